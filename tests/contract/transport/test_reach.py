"""The ways to an upstream: plain, TLS, unix sockets, proxies; and what is said when a way is closed."""

from __future__ import annotations

import asyncio
import ssl
import tempfile
from pathlib import Path

import pytest

from wye.kernel.errors import ClockExpired, ConfigError, ConnectFailed, UpstreamError
from wye.ports.transport import Origin, Transport

from .conftest import Call, Opener, ask
from .scripted_server import Visit, answering, scripted_server

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


@pytest.fixture
def server_tls(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    return context


async def ok(transport: Transport, origin: Origin) -> bool:
    return await (await ask(transport, origin)).read_all(10, 30) == b"ok"


async def test_a_unix_socket_is_reached_and_kept(transport: Transport):
    with tempfile.TemporaryDirectory() as folder:  # pytest's own is too long a path for a socket
        async with scripted_server(answering(OK), socket_path=Path(folder) / "s") as server:
            assert await ok(transport, server.origin)
            assert await ok(transport, server.origin)
            assert server.visits == 1
            assert server.requests[0].startswith(b"GET / HTTP/1.1\r\nhost: localhost\r\n")


async def test_unix_sockets_have_an_idle_time_of_their_own(opener: Opener):
    transport = opener(unix_idle_s=0.05)
    with tempfile.TemporaryDirectory() as folder:
        async with scripted_server(answering(OK), socket_path=Path(folder) / "s") as server:
            assert await ok(transport, server.origin)
            await server.lost()


async def test_a_trusted_certificate_opens_tls(
    opener: Opener, certificate: tuple[Path, Path], server_tls: ssl.SSLContext
):
    transport = opener(ca_file=certificate[0])
    async with scripted_server(answering(OK), tls=server_tls) as server:
        assert await ok(transport, server.origin)
        assert await ok(transport, Origin("https", "localhost", server.origin.port))
        assert await ok(transport, server.origin)
        assert server.visits == 2


async def test_an_unknown_certificate_is_refused_in_words(transport: Transport, server_tls: ssl.SSLContext):
    async with scripted_server(answering(OK), tls=server_tls) as server:
        with pytest.raises(ConnectFailed, match=r"127\.0\.0\.1:\d+: its TLS certificate is not trusted \(self.signed"):
            await ok(transport, server.origin)


async def test_a_certificate_for_another_name_is_refused_in_words(
    opener: Opener, certificate: tuple[Path, Path], server_tls: ssl.SSLContext
):
    transport = opener(ca_file=certificate[0])
    async with scripted_server(answering(OK), tls=server_tls) as server:
        with pytest.raises(ConnectFailed, match="certificate is not trusted"):
            await ok(transport, Origin("https", "127.1", server.origin.port))  # the same address by another name


async def test_tls_towards_a_plain_server_is_a_failed_handshake(transport: Transport):
    async def script(visit: Visit) -> None:
        await visit.say(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await visit.left()

    async with scripted_server(script) as server:
        with pytest.raises(ConnectFailed, match="TLS handshake failed"):
            await ok(transport, Origin("https", "127.0.0.1", server.origin.port))


async def test_a_server_that_hangs_up_in_the_handshake_is_named(transport: Transport):
    async def script(visit: Visit) -> None:
        visit.reset()

    async with scripted_server(script) as server:
        with pytest.raises(ConnectFailed, match=rf"Cannot reach 127\.0\.0\.1:{server.origin.port}: "):
            await ok(transport, Origin("https", "127.0.0.1", server.origin.port))


@pytest.mark.parametrize(
    ("origin", "words"),
    [
        (Origin("http", "127.0.0.1", 1), "Cannot reach 127.0.0.1:1: connection refused"),
        (Origin("http", "name.invalid", 80), "Cannot reach name.invalid:80: the name was not found"),
        (Origin("unix", socket_path="/nowhere/s"), "Cannot reach unix socket /nowhere/s: no such socket"),
        (Origin("http", "a..b", 80), "Cannot reach 'a..b': not a host name"),
        (Origin("http", "a\r\nx: y", 80), "not a host name"),
        (Origin("http", "x" * 70, 80), "not a host name"),
    ],
    ids=lambda value: "" if isinstance(value, Origin) else value[-24:],
)
async def test_a_way_that_is_closed_is_named_with_its_cause(call: Call, origin: Origin, words: str):
    with pytest.raises(ConnectFailed) as raised:
        await call(origin)
    assert words in raised.value.message


async def test_a_server_that_accepts_and_leaves_at_once_is_an_upstream_error_not_a_wait(opener: Opener):
    transport = opener(max_connections=1)

    async def script(visit: Visit) -> None:
        visit.reset()

    async with scripted_server(script) as server:
        for _ in range(20):
            with pytest.raises(UpstreamError) as raised:
                await ask(transport, server.origin, headers_s=60)
            assert not isinstance(raised.value, ClockExpired)


# Proxies


async def test_a_plain_request_goes_to_its_proxy_with_the_whole_url_and_the_proxys_password(opener: Opener):
    async with scripted_server(answering(OK)) as proxy:
        url = f"http://me:p%40ss@127.0.0.1:{proxy.origin.port}"
        transport = opener(proxies={"http": url, "https": "", "no": ""})
        assert await ok(transport, Origin("http", "model.example", 8000))
        assert await ok(transport, Origin("http", "model.example", 8000))
        assert proxy.visits == 1
        assert proxy.requests[0] == (
            b"GET http://model.example:8000/ HTTP/1.1\r\nhost: model.example:8000\r\n"
            b"proxy-authorization: Basic bWU6cEBzcw==\r\naccept: */*\r\n\r\n"
        )


def relaying(to: Origin):
    """A proxy that opens tunnels to `to`, whatever it is asked for."""

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            writer.write(data)
        writer.close()

    async def script(visit: Visit) -> None:
        await visit.request()
        reader, writer = await asyncio.open_connection("127.0.0.1", to.port)
        for piece in (b"HTTP/1.1 200 Connection ", b"established\r\n\r\n"):
            await visit.say(piece)
            await asyncio.sleep(0.01)
        await asyncio.gather(pump(reader, visit.writer), pump(visit.reader, writer), return_exceptions=True)

    return script


@pytest.mark.parametrize(
    ("host", "asked"), [("localhost", b"localhost"), ("127.0.0.1", b"127.0.0.1")], ids=["name", "address"]
)
async def test_tls_goes_through_a_tunnel_that_sees_neither_the_request_nor_its_own_password_passed_on(
    opener: Opener, certificate: tuple[Path, Path], server_tls: ssl.SSLContext, host: str, asked: bytes
):
    async with (
        scripted_server(answering(OK), tls=server_tls) as server,
        scripted_server(relaying(server.origin)) as proxy,
    ):
        transport = opener(proxies={"https": f"http://me:secret@127.0.0.1:{proxy.origin.port}"}, ca_file=certificate[0])
        assert await ok(transport, Origin("https", host, server.origin.port))
        assert await ok(transport, Origin("https", host, server.origin.port))
        to = asked + b":%d" % server.origin.port
        assert proxy.requests == [
            b"CONNECT " + to + b" HTTP/1.1\r\nhost: " + to + b"\r\nproxy-authorization: Basic bWU6c2VjcmV0\r\n\r\n"
        ]
        assert len(server.requests) == 2
        assert not any(b"proxy" in request for request in server.requests)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "wants a user name and a password"),
        (b"HTTP/1.1 403 Forbidden\r\n\r\n", "with status 403"),
        (b"SSH-2.0\r\n\r\n", "not HTTP/1.1"),
        (b"HTTP/1.1 200 OK\r\nx: " + b"y" * 70_000, "longer than 64 KiB"),
        (b"", "by closing the connection"),
    ],
    ids=["407", "403", "garbage", "giant", "closed"],
)
async def test_a_proxy_that_refuses_is_named(opener: Opener, answer: bytes, words: str):
    async def script(visit: Visit) -> None:
        await visit.request()
        await visit.say(answer)
        if answer:
            await visit.left()

    async with scripted_server(script) as proxy:
        transport = opener(proxies={"https": f"http://me:secret@127.0.0.1:{proxy.origin.port}"})
        with pytest.raises(ConnectFailed) as raised:
            await ok(transport, Origin("https", "model.example", 443))
        assert words in raised.value.message
        assert f"127.0.0.1:{proxy.origin.port}" in raised.value.message
        assert "secret" not in raised.value.message


async def test_a_proxy_that_cannot_be_reached_is_named(opener: Opener):
    transport = opener(proxies={"https": "http://me:secret@127.0.0.1:1"})
    with pytest.raises(ConnectFailed) as raised:
        await ok(transport, Origin("https", "::1", 443))
    assert raised.value.message == (
        "Cannot reach ::1:443 through the proxy 127.0.0.1:1: connection refused; is anything listening there?"
    )


async def test_a_tunnel_to_a_server_with_an_unknown_certificate_is_refused_and_closed(
    opener: Opener, server_tls: ssl.SSLContext
):
    async with (
        scripted_server(answering(OK), tls=server_tls) as server,
        scripted_server(relaying(server.origin)) as proxy,
    ):
        transport = opener(proxies={"https": f"http://127.0.0.1:{proxy.origin.port}"})
        with pytest.raises(ConnectFailed, match=r"through the proxy .* certificate is not trusted"):
            await ok(transport, Origin("https", "localhost", server.origin.port))
        await proxy.lost()


@pytest.mark.parametrize(
    ("no", "direct"),
    [
        ("127.0.0.1", True),
        ("other, 127.0.0.1", True),
        ("*", True),
        ("", False),
        ("27.0.0.1", False),
        (".0.1", True),
        ("*.0.1", True),
    ],
)
async def test_hosts_in_no_are_reached_directly(opener: Opener, no: str, direct: bool):
    async with scripted_server(answering(OK)) as server, scripted_server(answering(OK)) as proxy:
        transport = opener(proxies={"http": f"http://127.0.0.1:{proxy.origin.port}", "no": no})
        assert await ok(transport, server.origin)
        assert (server.visits, proxy.visits) == ((1, 0) if direct else (0, 1))


@pytest.mark.parametrize(
    "settings",
    [
        {"proxies": {"https": "https://me:secret@proxy:1"}},
        {"proxies": {"http": "socks5://me:secret@proxy:1"}},
        {"proxies": {"http": "http://me:secret@proxy:port"}},
        {"proxies": {"http": "http://me:secret@[proxy"}},
        {"proxies": {"http": "me:secret@proxy"}},
        {"ca_file": Path("/nowhere/ca.pem")},
        {"ca_file": Path(__file__)},
    ],
    ids=["https", "socks", "port", "bracket", "no scheme", "no file", "no certificates"],
)
async def test_a_setting_that_cannot_work_is_refused_at_once_and_shows_no_password(opener: Opener, settings: dict):
    with pytest.raises(ConfigError) as raised:
        opener(**settings)
    assert "secret" not in raised.value.message
