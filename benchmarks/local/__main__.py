"""What a local model gives through Wye, beside what its own process gives when it is asked directly, in the same run.

python -m benchmarks.local [--streams 8] [--tokens 64] [--rounds 3] [--check]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

MODEL = "smollm2-135m-instruct"
BOUND = 0.85
_ANSWER_S = 600
Connect = Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]


async def stream(connect: Connect, tokens: int, number: int) -> int:
    """The tokens of one streamed answer."""
    body = json.dumps(
        {
            "model": MODEL,
            "messages": [{"role": "user", "content": f"Tell a long story about {number} animals on an island."}],
            "max_tokens": tokens,
            "temperature": 0,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
    ).encode()
    reader, writer = await connect()
    writer.write(
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n"
        b"content-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
    )
    try:
        answer = await asyncio.wait_for(reader.readuntil(b"data: [DONE]"), _ANSWER_S)
    except asyncio.IncompleteReadError as error:
        answer = error.partial
    writer.close()
    found = re.search(rb'"completion_tokens":(\d+)', answer)
    if found is None:
        raise SystemExit(f"no whole answer: {answer[:300].decode('utf-8', 'replace')}")
    return int(found[1])


async def tokens_per_s(connect: Connect, streams: int, tokens: int) -> float:
    began_s = time.perf_counter()
    said = await asyncio.gather(*(stream(connect, tokens, i) for i in range(streams)))
    return sum(said) / (time.perf_counter() - began_s)


async def measure(port: int, sock: str, streams: int, tokens: int, rounds: int) -> dict[str, list[float]]:
    """Both in turn, after a warm-up of each."""
    parties: dict[str, Connect] = {
        "the child": lambda: asyncio.open_unix_connection(sock, limit=2**24),
        "Wye": lambda: asyncio.open_connection("127.0.0.1", port, limit=2**24),
    }
    figures: dict[str, list[float]] = {name: [] for name in parties}
    for turn in range(rounds + 1):
        for name, connect in parties.items():
            figure = await tokens_per_s(connect, streams, tokens)
            if turn:
                figures[name].append(figure)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.local", description=__doc__)
    parser.add_argument("--streams", type=int, default=8, help="answers at a time")
    parser.add_argument("--tokens", type=int, default=64, help="tokens of each answer")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured")
    parser.add_argument("--check", action="store_true", help=f"exit code 1 below {BOUND:.0%}")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="wb-") as folder:
        config = {"local": {"max_concurrent": asked.streams, "context_length": 512, "preload": [MODEL]}}
        Path(folder, "wye.yaml").write_text(json.dumps(config))
        environment = {**os.environ, "WYE_HOME": folder, "TMPDIR": folder}
        command = [sys.executable, "-m", "wye", "serve", "--port", "0", "--config", f"{folder}/wye.yaml"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment) as server:
            try:
                assert server.stdout is not None
                found = re.search(rb"http://[^:]+:(\d+)", server.stdout.readline())
                assert found, "the first line says where it listens"
                port = int(found[1])
                asyncio.run(stream(lambda: asyncio.open_connection("127.0.0.1", port, limit=2**24), 1, 0))  # loads it
                [sock] = Path(folder).glob("wye-*/*.sock")
                figures = asyncio.run(measure(port, str(sock), asked.streams, asked.tokens, asked.rounds))
            finally:
                server.terminate()
    medians = {name: statistics.median(values) for name, values in figures.items()}
    for name, values in figures.items():
        print(f"{name:10} {medians[name]:7.1f} tokens/s   ({', '.join(f'{value:.1f}' for value in values)})")
    ratio = medians["Wye"] / medians["the child"]
    print(f"{asked.streams} streams of {asked.tokens} tokens: {ratio:.1%} of the child's own (bound {BOUND:.0%})")
    if asked.check and ratio < BOUND:
        sys.exit(1)


if __name__ == "__main__":
    main()
