"""Races that a real socket would win or lose by chance: here the test says what happens in which round of the loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from wye.drivers.http import transport as driver
from wye.drivers.http.connection import Connection
from wye.drivers.http.pool import Limits, Pool
from wye.drivers.http.proxy import Proxy, Tunnel
from wye.drivers.http.route import Route
from wye.kernel.errors import ClockExpired, ConnectFailed, StreamCut
from wye.ports.transport import Clocks, Origin

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


class Socket(asyncio.Transport):
    """Swallows what is written."""

    def write(self, data: Any) -> None: ...
    def abort(self) -> None: ...
    def get_write_buffer_size(self) -> int:
        return 0


class Dialler:
    """A route whose connections are up at once, unless `dial` is replaced."""

    peer = "stub:1"

    def __init__(self) -> None:
        self.dialled: list[Connection] = []

    async def dial(self, connection: Connection) -> None:
        connection.connection_made(Socket())
        self.dialled.append(connection)


def pool_of_one(route: Any = None) -> Pool:
    return Pool(route or Dialler(), Limits(connections=1, idle=1, waiting=8, idle_s=30.0))


def exchange(connection: Connection) -> asyncio.Task[Any]:
    async def ask() -> Any:
        return await connection.exchange(b"GET / HTTP/1.1\r\n\r\n", b"", False, 5.0)

    return asyncio.create_task(ask())


async def used_once(pool: Pool) -> Connection:
    connection = await pool.connect(1.0)
    first = exchange(connection)
    await asyncio.sleep(0)
    connection.data_received(OK)
    await first
    return connection


async def test_a_connection_that_ends_as_it_is_handed_over_is_replaced_by_a_new_one():
    pool = pool_of_one()
    busy = await pool.connect(1.0)
    waiting = asyncio.ensure_future(pool.connect(1.0))
    await asyncio.sleep(0)
    pool.keep(busy)
    busy.connection_lost(None)
    connection = await waiting
    assert connection is not busy
    assert not connection.closed


def handed_over(pool: Pool, busy: Connection) -> None:
    pool.keep(busy)


def place_freed(pool: Pool, busy: Connection) -> None:
    busy.end(StreamCut("over"))


def handed_over_and_ended(pool: Pool, busy: Connection) -> None:
    pool.keep(busy)
    busy.connection_lost(None)


@pytest.mark.parametrize("turn", [handed_over, place_freed, handed_over_and_ended])
async def test_what_a_leaving_waiter_was_given_goes_to_the_next(turn: Callable[[Pool, Connection], None]):
    pool = pool_of_one()
    busy = await pool.connect(1.0)
    leaving, staying = asyncio.ensure_future(pool.connect(1.0)), asyncio.ensure_future(pool.connect(1.0))
    await asyncio.sleep(0)
    turn(pool, busy)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    connection = await staying
    assert not connection.closed
    connection.end(StreamCut("over"))
    assert pool.empty


async def test_a_waiter_that_is_refused_as_it_leaves_has_nothing_to_pass_on():
    pool = pool_of_one()
    await pool.connect(1.0)
    leaving = asyncio.ensure_future(pool.connect(1.0))
    await asyncio.sleep(0)
    pool.close()
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    assert pool.empty


async def test_a_turn_never_goes_to_a_waiter_who_has_left_but_not_yet_gone():
    pool = pool_of_one()
    busy = await pool.connect(1.0)
    leaving, staying = asyncio.ensure_future(pool.connect(1.0)), asyncio.ensure_future(pool.connect(1.0))
    await asyncio.sleep(0)
    leaving.cancel()
    pool.keep(busy)
    assert await staying is busy


async def test_leaving_in_the_round_in_which_a_kept_connection_is_lost_frees_its_place():
    pool = pool_of_one()
    await used_once(pool)
    connection = pool.take()
    assert connection is not None
    leaving = exchange(connection)
    await asyncio.sleep(0)
    connection.connection_lost(None)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    assert pool.empty


async def test_leaving_in_the_round_in_which_the_answer_ends_does_not_touch_the_next_callers_exchange():
    pool = pool_of_one()
    connection = await pool.connect(1.0)
    leaving = exchange(connection)
    await asyncio.sleep(0)
    connection.data_received(OK)
    leaving.cancel()
    assert pool.take() is connection
    following = exchange(connection)
    with pytest.raises(asyncio.CancelledError):
        await leaving
    await asyncio.sleep(0)
    assert not connection.closed
    connection.data_received(OK)
    assert (await following).status == 200


async def test_a_replacement_that_takes_too_long_runs_out_of_its_clock_and_frees_its_place():
    route = Dialler()
    pool = pool_of_one(route)
    lost = await used_once(pool)

    async def never(connection: Connection) -> None:
        await asyncio.sleep(60)

    route.dial = never
    with pytest.raises(ClockExpired, match="connect_s"):
        await pool.replace(lost, 0.01)
    assert pool.empty


async def test_a_connection_lost_while_it_is_being_made_leaves_its_place():
    class Fickle(Dialler):
        async def dial(self, connection: Connection) -> None:
            await super().dial(connection)
            connection.connection_lost(None)

    pool = pool_of_one(Fickle())
    with pytest.raises(ConnectFailed, match="closed it at once"):
        await pool.connect(1.0)
    assert pool.empty


async def test_a_pool_that_closes_while_a_connection_is_made_closes_that_too():
    class Slow(Dialler):
        async def dial(self, connection: Connection) -> None:
            await super().dial(connection)
            pool.close()

    pool = pool_of_one(route := Slow())
    with pytest.raises(ConnectFailed, match="shutting down"):
        await pool.connect(1.0)
    assert route.dialled[0].closed


async def test_pools_without_a_connection_do_not_pile_up():
    transport = driver.HttpTransport()
    for number in range(300):
        with pytest.raises(ConnectFailed):
            await transport.send(Origin("unix", socket_path=f"/nowhere/{number}"), b"GET", b"/", b"", b"", Clocks())
    assert len(transport._pools) <= driver._MANY_POOLS


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (ConnectionResetError(), "it closed the connection during the handshake"),
        (OSError(113, "No route to host"), "No route to host"),
        (OSError("Multiple exceptions: one, two"), "Multiple exceptions: one, two"),
        (TimeoutError(110, "Connection timed out"), "Connection timed out"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, OSError) else "",
)
async def test_a_failure_to_connect_is_put_in_words(monkeypatch: pytest.MonkeyPatch, error: OSError, cause: str):
    async def fail(*args: Any, **kwargs: Any) -> None:
        raise error

    monkeypatch.setattr(asyncio.get_running_loop(), "create_connection", fail)
    with pytest.raises(ConnectFailed) as raised:
        await Route(Origin("http", "model.example", 80), None, None).dial(Connection("", pool_of_one()))
    assert raised.value.message == f"Cannot reach model.example:80: {cause}"


async def test_a_tunnel_that_opens_for_a_caller_who_left_stays_quiet():
    tunnel = Tunnel(Proxy("http://proxy:1", "https"), b"model.example:443")
    tunnel.connection_made(Socket())
    tunnel.opened.cancel()
    tunnel.data_received(b"HTTP/1.1 200 OK\r\n\r\n")
    tunnel.connection_lost(None)
    assert tunnel.opened.cancelled()


def test_a_proxys_password_is_absent_from_what_is_printed():
    proxy = Proxy("http://me:secret@proxy:3128", "http")
    assert (str(proxy), "secret" in repr(vars(proxy))) == ("proxy:3128", False)


async def test_a_pool_that_closes_in_the_round_of_a_hand_over_refuses_the_waiter():
    pool = pool_of_one()
    busy = await pool.connect(1.0)
    waiting = asyncio.ensure_future(pool.connect(1.0))
    await asyncio.sleep(0)
    pool.keep(busy)
    pool.close()
    with pytest.raises(ConnectFailed, match="shutting down"):
        await waiting
