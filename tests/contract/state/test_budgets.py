"""Money that a key may spend is counted exactly over every state, whoever of several replicas is asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import pytest

from tests.books import Books, issued
from wye.canon.usage import Usage
from wye.catalog.prices import Price, Rate
from wye.drivers.memory.quotas import MemoryQuotas
from wye.gateway.deployment import Deployment
from wye.gateway.policy import budgets as module
from wye.gateway.policy.budgets import Budgets, Spending
from wye.gateway.policy.counts import Counts
from wye.gateway.policy.issued_keys import IssuedKeys
from wye.gateway.policy.limits import Limits
from wye.gateway.policy.prices import Prices
from wye.kernel import clock
from wye.kernel.errors import LimitExceeded
from wye.kernel.json import Raw
from wye.ports.keys import Budget, IssuedKey
from wye.ports.ledger import Entry
from wye.ports.provider import Provider
from wye.ports.state import State
from wye.ports.transport import Clocks

NOV_21_S = 1_795_219_200.0


class Upstream:
    name = "up"


CHEAP, DEAR = (Deployment(cast(Provider, Upstream()), model, Clocks()) for model in ("cheap", "dear"))
PRICES = {"up/cheap": Price(((0, Rate(1_000_000, 1_000_000)),)), "up/dear": Price(((0, Rate(2_000_000, 2_000_000)),))}
"""A unit is a micro-dollar: what a token costs at the cheap one."""


class Replica:
    def __init__(self, books: Books, state: State, routes: dict[str, Budget]) -> None:
        self.keys = IssuedKeys(books, Limits())
        self.counts = Counts(MemoryQuotas(), state)
        prices = Prices(PRICES, {}, lambda vendor, model: None)
        self.budgets = Budgets(self.keys, routes, books, prices, self.counts, "wye")

    async def reserve(
        self, units: int, model: str = "m", of: tuple[Deployment, ...] = (CHEAP,), secret: str = "a"
    ) -> Spending | None:
        await self.keys.meet(f"wye-{secret}".encode())
        return await self.budgets.reserve(f"key_{secret}", model, [*of], 0, units)

    async def settle(self, spending: Spending | None, units: int | None, *, paid: bool = False) -> None:
        assert spending is not None
        usage = Usage(0, units) if units is not None else None
        self.budgets.settle(spending, CHEAP, usage, paid=paid)
        while self.counts._settling:
            await asyncio.wait(self.counts._settling)


Make = Callable[..., list[Replica]]


@pytest.fixture
async def make(state: State, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Make]:
    """Replicas with these keys, budgets of routes and one ledger: several where the state can be shared."""
    monkeypatch.setattr(clock, "wall_s", lambda: NOV_21_S + 3600)
    made: list[Replica] = []

    def make(*keys: IssuedKey, books: Books | None = None, routes: dict[str, Budget] | None = None) -> list[Replica]:
        ledger = books or Books(*keys)
        made.extend(Replica(ledger, state, routes or {}) for _ in range(4 if state.shared else 1))
        return [made[i % len(made)] for i in range(4)]

    yield make
    for replica in made:
        await replica.counts.stop()


def entry(number: int, micro_usd: int, **more: Any) -> Entry:
    members: dict[str, Any] = {
        "at_s": NOV_21_S + 60,
        "principal": "key_a",
        "model": "m",
        "deployment": "up/cheap",
        "status": "answered",
        "cache": None,
        "input_tokens": 0,
        "output_tokens": 0,
        "cached_tokens": 0,
        **more,
    }
    return Entry(id=str(number), cost_micro_usd=micro_usd, **members)


async def test_of_a_thousand_calls_at_once_no_more_go_than_the_budget_pays(make: Make) -> None:
    replicas = make(issued("a", budget=Budget(500)))
    wanted = [replicas[i % 4].reserve(1) for i in range(1000)]
    got = await asyncio.gather(*wanted, return_exceptions=True)
    granted = [(replicas[i % 4], one) for i, one in enumerate(got) if isinstance(one, Spending)]
    assert len(granted) == 500
    assert all(isinstance(one, LimitExceeded | Spending) for one in got)
    for replica, spending in granted:
        await replica.settle(spending, 1)
    with pytest.raises(
        LimitExceeded, match=r"may spend \$0\.0005 each month, and that is spent or reserved until"
    ) as e:
        await replicas[0].reserve(1)
    assert (e.value.code, e.value.status) == ("budget_exceeded", 429)
    assert e.value.retry_after_s == pytest.approx(9.9 * 86400, rel=0.02)


async def test_a_route_may_cost_so_much_for_all_callers_together(make: Make) -> None:
    replicas = make(issued("a"), issued("b", budget=Budget(5)), routes={"m": Budget(300, "day")})
    got: list[object] = []
    for secret, calls in (("b", 20), ("?", 900)):  # nobody has issued the other
        wanted = [replicas[i % 4].reserve(1, secret=secret) for i in range(calls)]
        got += await asyncio.gather(*wanted, return_exceptions=True)
        if secret == "b":
            assert sum(isinstance(one, Spending) for one in got) == 5, "a key keeps its own, too"
    granted = [(replicas[i % 4], one) for i, one in enumerate(got) if isinstance(one, Spending)]
    assert len(granted) == 300
    for replica, spending in granted:
        await replica.settle(spending, 1)
    with pytest.raises(
        LimitExceeded, match=r"^'m' may cost \$0\.0003 each day for all callers together, and that is spent"
    ) as raised:
        await replicas[1].reserve(1)
    assert (raised.value.code, raised.value.status) == ("budget_exceeded", 429)
    assert raised.value.retry_after_s == pytest.approx(23 * 3600)
    assert await replicas[2].reserve(10**9, model="n") is None, "another route has none"


async def test_what_a_route_cost_is_known_by_the_ledger(make: Make) -> None:
    books = Books(issued("a"))
    await books.add([entry(1, 40), entry(2, 30, principal="b"), entry(3, 99, model="n"), entry(4, 9, at_s=1.0)])
    one, other, *_ = make(books=books, routes={"m": Budget(100, "day"), "n": Budget(100, "total")})
    with pytest.raises(LimitExceeded, match="'m' may cost"):
        await one.reserve(31)
    assert await other.reserve(30)
    found = await one.budgets.of_routes()
    assert {name: of.spent_micro_usd for name, of in found.items()} == {"m": 70, "n": 99}
    books.away = "gone"
    assert (await one.budgets.of_routes())["m"].spent_micro_usd is None


async def test_what_was_not_spent_is_free_again(make: Make) -> None:
    one, other, *_ = make(issued("a", budget=Budget(100)))
    held = await one.reserve(90)
    with pytest.raises(LimitExceeded):
        await other.reserve(20)
    await one.settle(held, 30)
    held = await other.reserve(70)
    await other.settle(held, None)  # nobody told what was used
    with pytest.raises(LimitExceeded):
        await one.reserve(1)


async def test_what_is_paid_for_or_came_to_nothing_costs_nothing(make: Make) -> None:
    one, other, *_ = make(issued("a", budget=Budget(100)))
    await one.settle(await one.reserve(100), 100, paid=True)
    spending = await other.reserve(100)
    assert spending is not None
    other.budgets.settle(spending, None, None, paid=False)
    await other.counts.stop()
    await one.settle(await one.reserve(100), 50)


async def test_the_dearest_who_may_answer_is_reserved_for(make: Make) -> None:
    one, *_ = make(issued("a", budget=Budget(100)))
    with pytest.raises(LimitExceeded):
        await one.reserve(51, of=(CHEAP, DEAR))
    assert await one.reserve(50, of=(CHEAP, DEAR))


async def test_each_model_may_have_a_budget_of_its_own(make: Make) -> None:
    key = issued("a", budget=Budget(100, "day"), route_budgets={"m": Budget(10, "total")})
    one, other, *_ = make(key)
    with pytest.raises(LimitExceeded, match=r"\$0\.00001 in all on 'm', and that is spent or reserved$") as raised:
        await one.reserve(11)
    assert raised.value.retry_after_s is None
    await one.reserve(10)
    assert await other.reserve(90, model="n")
    with pytest.raises(LimitExceeded, match=r"each day, and .* until 2026-11-22 00:00 UTC"):
        await one.reserve(1, model="n")


async def test_what_the_ledger_knows_is_spent(make: Make) -> None:
    books = Books(issued("a", budget=Budget(100, "day"), route_budgets={"m": Budget(50, "month")}))
    await books.add(
        [entry(1, 10), entry(2, 20, model="n"), entry(3, 25, at_s=NOV_21_S - 60), entry(4, 99, principal="b")]
    )
    one, other, *_ = make(books=books)
    with pytest.raises(LimitExceeded, match="on 'm'"):
        await one.reserve(16)
    await other.reserve(15)
    with pytest.raises(LimitExceeded, match="each day"):
        await one.reserve(56, model="n")
    assert await one.reserve(55, model="n")


async def test_a_new_period_begins_anew(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    one, *_ = make(issued("a", budget=Budget(10, "day")), issued("b", budget=Budget(10, "month")))
    for secret in ("a", "b"):
        await one.reserve(10, secret=secret)
    monkeypatch.setattr(clock, "wall_s", lambda: NOV_21_S + 90_000)
    await one.reserve(10, secret="a")
    with pytest.raises(LimitExceeded):
        await one.reserve(1, secret="b")
    monkeypatch.setattr(clock, "wall_s", lambda: NOV_21_S + 11 * 86400)
    await one.reserve(10, secret="b")


async def test_a_key_without_budgets_reserves_nothing(make: Make) -> None:
    one, *_ = make(issued("a"), issued("b", route_budgets={"n": Budget(1)}))
    assert await one.reserve(10**9) is None
    assert await one.reserve(10**9, secret="b") is None


async def test_while_the_ledger_is_away_what_is_known_is_kept(make: Make) -> None:
    books = Books(issued("a", budget=Budget(10)), issued("b", budget=Budget(10)))
    one, other, *_ = make(books=books)
    await one.reserve(8)
    await other.keys.meet(b"wye-a")
    await one.keys.meet(b"wye-b")
    books.away = "gone"
    with pytest.raises(LimitExceeded):
        await other.reserve(3)
    assert await one.reserve(10**6, secret="b") is None, "what is not known binds nobody"
    books.away = None
    assert await one.reserve(10, secret="b")


async def test_what_a_replica_held_that_is_gone_is_free_after_its_lease(state: State, make: Make) -> None:
    if not state.shared:
        return  # with the one process its counts are gone, too
    gone, alive, *_ = make(issued("a", budget=Budget(100)))
    await gone.reserve(60)
    await alive.reserve(40)
    assert gone.counts._renewal is not None
    gone.counts._renewal.cancel()  # as kill -9 leaves it
    with pytest.raises(LimitExceeded):
        await alive.reserve(1)
    await state.acquire(gone.counts._owner, gone.counts._owner, 0.1)  # the last of its lease
    await asyncio.sleep(0.2)
    assert await alive.reserve(60)
    with pytest.raises(LimitExceeded):
        await alive.reserve(1)


@pytest.mark.parametrize(
    ("members", "tokens"),
    [
        ({"max_tokens": b"7"}, 7),
        ({"max_completion_tokens": b"8", "messages": b"[]"}, 8),
        ({"max_output_tokens": b"9"}, 9),
        ({"inferenceConfig": b'{"maxTokens": 10}'}, 10),
        ({"textGenerationConfig": b'{"maxTokenCount": 11}'}, 11),
        ({"max_tokens": b"-5"}, 0),
        ({"max_tokens": b'"many"', "inferenceConfig": b"[]"}, module.OUTPUT_TOKENS),
        ({"max_tokens": b"null"}, module.OUTPUT_TOKENS),
        ({}, module.OUTPUT_TOKENS),
    ],
)
def test_how_long_an_answer_may_be_is_read_in_every_dialect(members: dict[str, bytes], tokens: int) -> None:
    assert module.output_limit({name: Raw(value) for name, value in members.items()}) == tokens


@pytest.mark.parametrize(("month", "until"), [("2026-12-05", "2027-01-01"), ("2027-01-31", "2027-02-01")])
async def test_a_month_ends_with_its_last_day(
    month: str, until: str, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    from datetime import UTC, datetime

    now_s = datetime.fromisoformat(month).replace(tzinfo=UTC).timestamp()
    monkeypatch.setattr(clock, "wall_s", lambda: now_s)
    one, *_ = make(issued("a", budget=Budget(10)))
    with pytest.raises(LimitExceeded, match=f"until {until} 00:00 UTC"):
        await one.reserve(11)
