"""What the head of a request says, the first time and each time after."""

from __future__ import annotations

import pytest

from wye.drivers.http import route as module
from wye.drivers.http.route import Route
from wye.kernel.errors import BadRequest
from wye.ports.transport import Origin

HEADERS = b"accept: */*\r\n"


def made() -> Route:
    return Route(Origin("http", "upstream", 8000), None, None)


def head(method: bytes, target: bytes, last: bytes) -> bytes:
    return b"%b %b HTTP/1.1\r\nhost: upstream:8000\r\naccept: */*\r\n%b\r\n" % (method, target, last)


@pytest.mark.parametrize(
    ("method", "body", "last"),
    [
        (b"POST", b"abc", b"content-length: 3\r\n"),
        (b"POST", b"", b"content-length: 0\r\n"),
        (b"GET", b"", b""),
        (b"DELETE", b"{}", b"content-length: 2\r\n"),
    ],
    ids=["body", "empty body", "none", "body where there need be none"],
)
def test_a_head_is_the_same_each_time(method: bytes, body: bytes, last: bytes) -> None:
    route = made()
    for target in (b"/v1/chat", b"/v1/other", b"/v1/chat"):
        assert route.head(method, target, HEADERS, body) == head(method, target, last)


def test_heads_of_two_methods_are_two() -> None:
    route = made()
    assert route.head(b"GET", b"/a", HEADERS, b"") == head(b"GET", b"/a", b"")
    assert route.head(b"HEAD", b"/a", HEADERS, b"") == head(b"HEAD", b"/a", b"")


@pytest.mark.parametrize("target", [b"", b"/a b", b"/a\r\nx: y", b"/a\n", b" /a"])
def test_a_target_that_could_smuggle_a_request_is_refused_each_time(target: bytes) -> None:
    route = made()
    for _ in range(2):
        with pytest.raises(BadRequest, match="blank"):
            route.head(b"POST", target, b"", b"")


def test_targets_without_end_are_not_all_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_REMEMBERED", 3)
    route = made()
    for i in range(20):
        assert b"/r/%d " % i in route.head(b"GET", b"/r/%d" % i, b"", b"")
    assert len(route._lines) <= 3  # pyright: ignore[reportPrivateUsage]
