"""CPU per call of three HTTP clients, in one process each, taking turns against the same upstream. See README.md."""

from __future__ import annotations

import argparse
import asyncio
import resource
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

import uvloop
from upstream import SMALL, STREAM_BYTES

CLIENTS = ("wye", "pyreqwest", "aiohttp")
WORKLOADS = {
    # name: path, bytes of body, calls per round, calls at once
    "small": ("/small", 400, 4000, 8),
    "64 KB prompt": ("/small", 65_536, 2000, 8),
    "100 chunks": ("/stream", 400, 150, 8),
    "100 chunks, 1 ms apart": ("/paced", 400, 60, 8),
}
HEADER_LINES = {
    "accept": "*/*",
    "accept-encoding": "identity",
    "content-type": "application/json",
    "authorization": "Bearer sk-0123456789abcdef0123456789abcdef",
    "user-agent": "wye",
}
TIMEOUT_S = 60.0

Call = Callable[[str, bytes], Awaitable[tuple[int, int]]]
"""One call: (path, body) to (bytes of the answer, pieces they were read in)."""
Close = Callable[[], Awaitable[None]]


async def wye_client(base: str, ca: Path | None) -> tuple[Call, Close]:
    from wye.drivers.http import HttpTransport
    from wye.ports.transport import Clocks, Origin

    transport = HttpTransport(ca_file=ca)
    parts = urlsplit(base)
    origin, clocks = Origin(parts.scheme, str(parts.hostname), int(parts.port or 0)), Clocks()
    lines = b"".join(f"{name}: {value}\r\n".encode() for name, value in HEADER_LINES.items())

    async def call(path: str, body: bytes) -> tuple[int, int]:
        reply = await transport.send(origin, b"POST", path.encode(), lines, body, clocks)
        if path == "/small":
            return len(await reply.read_all(1_000_000, TIMEOUT_S)), 1
        size = pieces = 0
        while piece := await reply.read(TIMEOUT_S):
            size += len(piece)
            pieces += 1
        return size, pieces

    return call, transport.close


async def pyreqwest_client(base: str, ca: Path | None) -> tuple[Call, Close]:
    from pyreqwest.client import ClientBuilder

    builder = ClientBuilder().http1_only().no_proxy()
    if ca:
        builder = builder.add_root_certificate_pem(ca.read_bytes())  # noqa: ASYNC240 - before the measurement
    client = builder.build()

    async def call(path: str, body: bytes) -> tuple[int, int]:
        request = client.post(base + path).headers(HEADER_LINES).body_bytes(body)
        if path == "/small":
            response = await request.build().send()
            return len(await response.bytes()), 1
        size = pieces = 0
        # The default limit collects 64 KB before it gives any of a stream.
        async with request.streamed_read_buffer_limit(0).build_streamed() as response:
            while piece := await response.body_reader.read_chunk():
                size += len(piece)
                pieces += 1
        return size, pieces

    return call, client.close


async def aiohttp_client(base: str, ca: Path | None) -> tuple[Call, Close]:
    import aiohttp

    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, ssl=ssl.create_default_context(cafile=ca) if ca else True),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=TIMEOUT_S, sock_read=TIMEOUT_S),
        headers=HEADER_LINES,
    )

    async def call(path: str, body: bytes) -> tuple[int, int]:
        async with session.post(base + path, data=body) as response:
            if path == "/small":
                return len(await response.read()), 1
            size = pieces = 0
            while piece := await response.content.readany():
                size += len(piece)
                pieces += 1
            return size, pieces

    return call, session.close


def cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)  # all threads: pyreqwest works in some of its own
    return used.ru_utime + used.ru_stime


async def client_process(name: str, base: str, ca: Path | None) -> None:
    """Answer each line (a workload's name) with the CPU per call in us and the pieces per call."""
    opener = {"wye": wye_client, "pyreqwest": pyreqwest_client, "aiohttp": aiohttp_client}[name]
    call, close = await opener(base, ca)

    async def run(path: str, body: bytes, calls: int, at_once: int) -> float:
        expected = len(SMALL) if path == "/small" else STREAM_BYTES
        total_pieces = 0

        async def worker() -> None:
            nonlocal total_pieces
            for _ in range(calls // at_once):
                size, pieces = await call(path, body)
                assert size == expected, (name, path, size)
                total_pieces += pieces

        await asyncio.gather(*(worker() for _ in range(at_once)))
        return total_pieces / (calls // at_once * at_once)

    while workload := sys.stdin.readline().strip():
        path, body_bytes, calls, at_once = WORKLOADS[workload]
        body = b"x" * body_bytes
        await run(path, body, max(calls // 20, at_once), at_once)  # warm
        before = cpu_s()
        pieces = await run(path, body, calls, at_once)
        print((cpu_s() - before) / (calls // at_once * at_once) * 1e6, pieces, flush=True)
    await close()


def start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    )


def certificate(folder: Path) -> list[str]:
    cert, key = str(folder / "cert.pem"), str(folder / "key.pem")
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost "
    command += f"-addext subjectAltName=DNS:localhost -addext basicConstraints=CA:FALSE -keyout {key} -out {cert}"
    subprocess.run(command.split(), check=True, capture_output=True)
    return [cert, key]


def compare(rounds: int, tls: list[str]) -> None:
    here = Path(__file__)
    upstream = start(str(here.with_name("upstream.py")), *tls)
    base = f"{'https' if tls else 'http'}://localhost:{upstream.stdout.readline().strip()}"
    clients = {name: start(str(here), "--client", name, "--base", base, *tls[:1]) for name in CLIENTS}
    print(f"{'':24}" + "".join(f"{name:>26}" for name in CLIENTS))
    try:
        for workload in WORKLOADS:
            figures: dict[str, list[tuple[float, float]]] = {name: [] for name in CLIENTS}
            for _ in range(rounds):
                for name, process in clients.items():
                    process.stdin.write(workload + "\n")
                    cpu_us, pieces = process.stdout.readline().split()
                    figures[name].append((float(cpu_us), float(pieces)))
            ours = median(cpu for cpu, _ in figures["wye"])
            line = f"{workload:24}"
            for name in CLIENTS:
                cpu = median(cpu for cpu, _ in figures[name])
                pieces = median(pieces for _, pieces in figures[name])
                line += f"{cpu:11.1f} us {cpu / ours:4.2f}x {pieces:4.0f} rd"
            print(line, flush=True)
    finally:
        for process in (*clients.values(), upstream):
            process.stdin.close()
            process.wait(10)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--client", choices=CLIENTS, help=argparse.SUPPRESS)
    parser.add_argument("--base", help=argparse.SUPPRESS)
    parser.add_argument("ca", nargs="?", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--tls", action="store_true", help="speak TLS")
    options = parser.parse_args()
    if options.client:
        uvloop.run(client_process(options.client, options.base, options.ca))
    else:
        with tempfile.TemporaryDirectory() as folder:
            compare(options.rounds, certificate(Path(folder)) if options.tls else [])
