"""Issued keys: remembered, refused when their time is over, bound to what they are for."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from tests.books import Books, issued
from wye.gateway.policy import issued_keys as module
from wye.gateway.policy.auth import Auth
from wye.gateway.policy.issued_keys import IssuedKeys
from wye.gateway.policy.limits import Limits
from wye.kernel import clock
from wye.kernel.errors import Forbidden, Unauthenticated
from wye.kernel.secret import Secret
from wye.kernel.sigv4 import unknown_key
from wye.ports.keys import IssuedKey
from wye.ports.store import StoreAway


class Hand:
    now_s = 1000.0


@pytest.fixture
def hand(monkeypatch: pytest.MonkeyPatch) -> Hand:
    hand = Hand()
    monkeypatch.setattr(clock, "monotonic_s", lambda: hand.now_s)
    monkeypatch.setattr(clock, "wall_s", lambda: hand.now_s)
    return hand


def made(*keys: IssuedKey, **limits: int) -> tuple[IssuedKeys, Books]:
    books = Books(*keys)
    return IssuedKeys(books, Limits(**limits)), books


async def test_a_key_is_looked_up_once_in_five_seconds(hand: Hand) -> None:
    key = issued("a")
    keys, books = made(key)
    assert keys.find(b"wye-a") is None, "who was not met is not known"
    await asyncio.gather(*(keys.meet(b"wye-a") for _ in range(20)))
    assert (keys.find(b"wye-a"), keys.of("key_a"), books.asked) == (key, key, 1)
    hand.now_s += 4.9
    await keys.meet(b"wye-a")
    assert books.asked == 1
    hand.now_s += 0.2
    await keys.meet(b"wye-a")
    assert books.asked == 2


async def test_a_revoked_key_is_refused_within_five_seconds(hand: Hand) -> None:
    key = issued("a")
    keys, books = made(key)
    await keys.meet(b"wye-a")
    books.keys[key.hash] = replace(key, revoked_s=1001.0)
    hand.now_s += 5
    await keys.meet(b"wye-a")
    with pytest.raises(Unauthenticated, match="revoked"):
        keys.find(b"wye-a")


async def test_a_key_ends_when_its_time_is_over(hand: Hand) -> None:
    keys, _ = made(issued("a", expires_s=1002.0))
    await keys.meet(b"wye-a")
    assert keys.find(b"wye-a") is not None
    hand.now_s += 2
    with pytest.raises(Unauthenticated, match="expired"):
        keys.find(b"wye-a")


async def test_what_nobody_was_issued_is_looked_up_once_and_forgotten_when_there_is_much_of_it(
    hand: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_REMEMBERED", 10)
    keys, books = made(issued("a"))
    await keys.meet(b"wye-a")
    await keys.meet(b"other")
    assert (keys.find(b"other"), books.asked) == (None, 1)
    for number in (*range(30), 29):
        await keys.meet(b"wye-made-up-%d" % number)
    assert (keys.find(b"wye-made-up-29"), books.asked, len(keys._strange)) == (None, 31, 10)
    assert keys.find(b"wye-a") is not None


async def test_while_the_database_is_away_those_who_were_met_go_on(hand: Hand) -> None:
    keys, books = made(issued("a"), issued("b"))
    await keys.meet(b"wye-a")
    hand.now_s += 60
    books.away = "gone"
    await keys.meet(b"wye-a")
    assert keys.find(b"wye-a") is not None
    with pytest.raises(StoreAway):
        await keys.meet(b"wye-b")


async def test_who_leaves_while_a_key_is_looked_up_leaves_the_others_alone(hand: Hand) -> None:
    keys, books = made(issued("a"))
    books.away = "gone"
    left = asyncio.create_task(keys.meet(b"wye-a"))
    await asyncio.sleep(0)
    left.cancel()
    await asyncio.wait([left])
    await asyncio.sleep(0)
    assert keys._looking == {}


@pytest.mark.parametrize(
    ("scope", "operation", "model", "allowed"),
    [
        ({}, "chat", "m", True),
        ({}, "resources", None, True),
        ({}, "admin", None, False),
        ({"operations": ["chat"]}, "chat", "m", True),
        ({"operations": ["chat"]}, "embed", "m", False),
        ({"operations": ["chat"]}, "resources", None, False),
        ({"operations": ["admin"]}, "admin", None, True),
        ({"operations": ["admin"]}, "chat", "m", False),
        ({"routes": ["m", "gpt-*"]}, "chat", "gpt-4o", True),
        ({"routes": ["m", "gpt-*"]}, "chat", "up/m", False),
        ({"routes": ["m", "gpt-*"]}, "embed", "M", False),
        ({"routes": ["m"]}, "resources", None, True),
    ],
)
async def test_a_key_is_for_what_it_says(
    scope: dict[str, list[str]], operation: str, model: str | None, allowed: bool
) -> None:
    keys, _ = made(issued("a", **scope))
    await keys.meet(b"wye-a")
    if allowed:
        keys.allow("key_a", operation, model)
    else:
        with pytest.raises(Forbidden, match="is not for"):
            keys.allow("key_a", operation, model)
    keys.allow("server", operation, model)


async def test_limits_are_a_keys_own_or_those_of_all() -> None:
    own = {"requests_per_minute": 5, "tokens_per_minute": 6, "concurrent": 7}
    keys, _ = made(issued("a", **own), issued("b", concurrent=1), requests_per_minute=100)
    for secret in ("a", "b"):
        await keys.meet(f"wye-{secret}".encode())
    assert keys.limits_of("key_a") == Limits(**own)
    assert keys.limits_of("key_b") == Limits(requests_per_minute=100, concurrent=1)
    assert keys.limits_of("server") == Limits(requests_per_minute=100)


async def test_issued_keys_are_taken_beside_the_servers_own() -> None:
    keys, _ = made(issued("a"))
    auth = Auth({"server": Secret("wye-server")}, issued=keys)
    for secret, wanted in (("wye-a", "key_a"), ("wye-server", "server")):
        headers = {b"authorization": f"Bearer {secret}".encode()}
        await auth.meet(headers)
        assert auth.principal(headers) == auth.aws_caller(headers).principal == wanted
    for headers in ({}, {b"x-api-key": b"wye-b"}):
        await auth.meet(headers)
        with pytest.raises(Unauthenticated):
            auth.principal(headers)
    with pytest.raises(type(unknown_key())):
        auth.aws_caller({b"x-api-key": b"wye-b"})
    with pytest.raises(Forbidden):
        auth.allow("key_a", "admin")


def test_with_issued_keys_alone_nobody_is_anonymous() -> None:
    auth = Auth({}, issued=made()[0])
    assert not auth.open
    with pytest.raises(Unauthenticated):
        auth.principal({})
