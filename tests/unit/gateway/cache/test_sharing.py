"""One teller, many listeners, and everything that can become of the teller and of what is between them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.conftest import Later
from tests.waiting import until
from wye.canon.events import End, Event, Failure, Finish, PartEnd, PartStart, Ping, Start, TextDelta
from wye.canon.loss import Loss
from wye.canon.parts import Text
from wye.drivers.memory.state import MemoryState
from wye.gateway.cache import sharing as module
from wye.gateway.cache.live import Live
from wye.gateway.cache.sharing import Sharing
from wye.kernel import clock
from wye.kernel.errors import StreamCut, UpstreamRefused, WyeError
from wye.ports.state import StateAway

LEASE_S = 60.0
"""What lasts so long ends where a test turns the clock, and nowhere else."""
BEGINNING: list[Event] = [Start("a", "m", 1), PartStart(0, Text("")), TextDelta(0, "Hel")]
REST: list[Event] = [TextDelta(0, "lo"), PartEnd(0), Finish("stop"), End()]


class Shared(MemoryState):
    """As it is between replicas; `cut` takes it away."""

    shared = True

    def __init__(self) -> None:
        super().__init__()
        self.cut = False

    def __getattribute__(self, name: str) -> Any:
        if name in ("get", "acquire", "release", "append", "items", "delete") and self.cut:
            raise StateAway("cut")
        return super().__getattribute__(name)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LEASE_S", LEASE_S)
    monkeypatch.setattr(module, "_RENEWED_S", 0.05)
    monkeypatch.setattr(module, "_LISTENS_EVERY_S", 0.005)
    monkeypatch.setattr(module, "_SILENT_S", 0.05)
    monkeypatch.setattr(module, "_PATIENCE_S", LEASE_S)


@pytest.fixture
def state() -> Shared:
    return Shared()


async def teller(state: Shared, live: Live) -> Sharing:
    sharing = Sharing(state, "x:")
    run = await sharing.lead("k")
    assert run is not None
    sharing.tell("k", live, run)
    return sharing


def listen(state: Shared, live: Live) -> asyncio.Task[bool]:
    return asyncio.create_task(Sharing(state, "x:").hear("k", live, lambda name: None))


def begin(live: Live) -> None:
    live.hear(BEGINNING)
    live.open(None, 2, [Loss("a", "b")])


async def test_what_is_told_is_heard_to_the_end(state: Shared) -> None:
    told, heard = Live(), Live()
    await teller(state, told)
    assert await Sharing(state, "x:").lead("k") is None
    listener = listen(state, heard)
    begin(told)
    await until(lambda: heard.events == BEGINNING)
    assert (heard.opened, heard.attempts, heard.losses) == (True, 2, [Loss("a", "b")])
    told.hear([Ping(), *REST])
    told.finish()
    assert await listener
    assert heard.events == [*BEGINNING, *REST]
    await until(lambda: "x:k:lease" not in state._leases)
    assert await Sharing(state, "x:").lead("k") is not None, "the lease was given back"


async def test_who_comes_late_hears_all(state: Shared) -> None:
    told, heard = Live(), Live()
    await teller(state, told)
    begin(told)
    await until(lambda: "x:k:said" in state._lists)
    told.hear(REST)
    told.finish()
    assert await listen(state, heard)
    assert heard.events == [*BEGINNING, *REST]


async def test_a_lease_is_kept_while_the_upstream_thinks(state: Shared, later: Later) -> None:
    await teller(state, Live())
    for _ in range(3):
        later(LEASE_S * 2 / 3)
        await until(lambda: state._leases["x:k:lease"][0] > clock.monotonic_s() + LEASE_S / 2)
    assert await Sharing(state, "x:").lead("k") is None


@pytest.mark.parametrize("begun", [True, False])
async def test_why_it_broke_off_is_told(begun: bool, state: Shared) -> None:
    told, heard = Live(), Live()
    await teller(state, told)
    listener = listen(state, heard)
    error = UpstreamRefused("too much", status=429, code="slow", retry_after_s=3)
    if begun:
        begin(told)
        told.hear([Failure(error)])
        told.finish()
    else:
        told.finish(error)
    with pytest.raises(UpstreamRefused, match="too much") as caught:
        await listener
    assert (caught.value.status, caught.value.code, caught.value.retry_after_s) == (429, "slow", 3)
    assert heard.opened is begun


async def test_a_mistake_of_ours_is_not_told_in_detail(state: Shared) -> None:
    told, heard = Live(), Live()
    await teller(state, told)
    listener = listen(state, heard)
    told.finish(ZeroDivisionError("secret"))
    with pytest.raises(WyeError) as caught:
        await listener
    assert (caught.value.status, "secret" in str(caught.value)) == (500, False)


async def test_a_teller_that_dies_before_it_began_lets_others_ask(state: Shared) -> None:
    assert await state.acquire("x:k:lease", "dead", 0.1)
    assert await listen(state, Live()) is False


async def test_a_teller_that_dies_in_the_middle_is_a_cut(state: Shared, later: Later) -> None:
    told, heard = Live(), Live()
    sharing = await teller(state, told)
    begin(told)
    listener = listen(state, heard)
    await until(lambda: heard.events == BEGINNING)
    for task in sharing._tellers:
        task.cancel()
    later(2 * LEASE_S)
    with pytest.raises(StreamCut, match="is gone"):
        await listener
    assert heard.events == BEGINNING


async def test_a_state_that_comes_back_empty_is_told_all_again(state: Shared) -> None:
    told, heard = Live(), Live()
    await teller(state, told)
    begin(told)
    listener = listen(state, heard)
    await until(lambda: heard.events == BEGINNING)
    state.cut = True
    await asyncio.sleep(0.05)
    state._lists.clear()
    state._leases.clear()
    state.cut = False
    told.hear(REST)
    told.finish()
    assert await listener
    assert heard.events == [*BEGINNING, *REST]


async def test_a_state_that_stays_away_is_a_cut_or_a_reason_to_ask(state: Shared, later: Later) -> None:
    told, heard, late = Live(), Live(), Live()
    sharing = await teller(state, told)
    begin(told)
    listener = listen(state, heard)
    await until(lambda: heard.events == BEGINNING)
    state.cut = True
    assert await listen(state, late) is False
    later(2 * LEASE_S)
    with pytest.raises(StreamCut, match="shared state is away"):
        await listener
    told.hear(REST)
    told.finish()
    await asyncio.sleep(0.1)
    later(2 * LEASE_S)
    await until(lambda: not sharing._tellers)  # nobody is told for ever


async def test_with_the_state_away_everybody_may_ask(state: Shared) -> None:
    state.cut = True
    sharing = Sharing(state, "x:")
    run = await sharing.lead("k")
    assert run is not None
    assert not run.shared
    sharing.tell("k", Live(), run)
    assert not sharing._tellers


async def test_alone_nothing_is_told() -> None:
    state = MemoryState()
    sharing = Sharing(state, "x:")
    run = await sharing.lead("k")
    assert run is not None
    sharing.tell("k", Live(), run)
    assert not sharing._tellers
    assert await state.acquire("x:k:lease", "anybody", 1)


async def test_another_run_under_the_same_name_is_not_mixed_in(state: Shared) -> None:
    told, heard = Live(), Live()
    sharing = await teller(state, told)
    begin(told)
    listener = listen(state, heard)
    await until(lambda: heard.events == BEGINNING)
    for task in sharing._tellers:
        task.cancel()
    await state.append("x:k:said", [b'{"run":"other","events":[]}'], 60)
    with pytest.raises(StreamCut, match="cannot be followed"):
        await listener


async def test_what_another_version_tells_is_a_cut_and_no_crash(state: Shared) -> None:
    await state.append("x:k:said", [b'{"run":7}'], 60)
    with pytest.raises(StreamCut, match="cannot be followed"):
        await listen(state, Live())


async def test_who_lost_its_lease_tells_no_more(state: Shared) -> None:
    told = Live()
    sharing = await teller(state, told)
    state._leases["x:k:lease"] = (float("inf"), "another")
    await until(lambda: not sharing._tellers)
