"""Issued keys and what they used, in every database."""

from __future__ import annotations

from msgspec.structs import replace

from wye.drivers.sql.database import Database
from wye.drivers.sql.keys import SqlKeys
from wye.drivers.sql.ledger import SqlLedger
from wye.ports.keys import Budget, IssuedKey
from wye.ports.ledger import Entry, Group

PLAIN = IssuedKey(id="key_1", name="plain", prefix="wye-abc", hash="0" * 64, created_s=100.0)
BOUND = IssuedKey(
    id="key_2",
    name="büro",
    prefix="wye-def",
    hash="f" * 64,
    created_s=200.5,
    expires_s=300.0,
    routes=["m", "gpt-*"],
    operations=["chat"],
    requests_per_minute=5,
    tokens_per_minute=10**12,
    concurrent=2,
    budget=Budget(5_000_000, "day"),
    route_budgets={"m": Budget(1, "total")},
)
DAY_S = 86400


def entry(number: int, **more: object) -> Entry:
    return replace(
        Entry(
            id=f"call-{number}",
            at_s=1000.0 + number,
            principal="key_1",
            model="m",
            deployment="up/x",
            status="answered",
            cache=None,
            input_tokens=10,
            output_tokens=5,
            cached_tokens=1,
            cost_micro_usd=7,
        ),
        **more,
    )


async def test_a_key_is_found_by_its_hash_as_it_was_issued(database: Database) -> None:
    keys = SqlKeys(database)
    await keys.add(PLAIN)
    await keys.add(BOUND)
    assert await keys.find(BOUND.hash) == BOUND
    assert await keys.find(PLAIN.hash) == PLAIN
    assert await keys.find("1" * 64) is None
    assert await keys.all() == [BOUND, PLAIN]
    assert keys.away is None


async def test_a_key_is_revoked_once(database: Database) -> None:
    keys = SqlKeys(database)
    await keys.add(PLAIN)
    assert await keys.revoke(PLAIN.id, 250.0)
    assert not await keys.revoke(PLAIN.id, 260.0)
    assert not await keys.revoke("key_9", 260.0)
    assert await keys.find(PLAIN.hash) == replace(PLAIN, revoked_s=250.0)


async def test_an_entry_that_is_written_twice_counts_once(database: Database) -> None:
    ledger = SqlLedger(database)
    await ledger.add([entry(1), entry(2)])
    await ledger.add([entry(2), entry(3)])
    await ledger.add([])
    assert await ledger.spent_micro_usd(0, None, None) == 21


async def test_what_was_spent_is_told_by_time_caller_and_model(database: Database) -> None:
    ledger = SqlLedger(database)
    await ledger.add([entry(1), entry(2, principal="key_2"), entry(3, model="n"), entry(4, cost_micro_usd=2**40)])
    assert await ledger.spent_micro_usd(1003.0, None, None) == 7 + 2**40
    assert await ledger.spent_micro_usd(0, "key_2", None) == 7
    assert await ledger.spent_micro_usd(0, "key_1", "n") == 7
    assert await ledger.spent_micro_usd(2000.0, "key_1", "n") == 0


async def test_usage_is_summed_by_what_one_asks_for(database: Database) -> None:
    ledger = SqlLedger(database)
    await ledger.add([entry(n) for n in range(1200)])
    other = {"principal": "key_2", "model": "n", "deployment": None, "status": "failed", "cost_micro_usd": 0}
    await ledger.add([entry(9999, at_s=float(2 * DAY_S), **other)])

    async def sums(by: Group, since_s: float = 0.0, principal: str | None = None) -> list[tuple[str | None, int, int]]:
        found = await ledger.sums(by, since_s, 1e12, principal)
        return [(one.of, one.calls, one.cost_micro_usd) for one in found]

    assert await sums("key") == [("key_1", 1200, 8400), ("key_2", 1, 0)]
    assert await sums("model") == [("m", 1200, 8400), ("n", 1, 0)]
    assert await sums("deployment") == [("up/x", 1200, 8400), ("", 1, 0)]
    assert await sums("day") == [("1970-01-01", 1200, 8400), ("1970-01-03", 1, 0)]
    assert await sums("day", since_s=DAY_S) == [("1970-01-03", 1, 0)]
    assert await sums("model", principal="key_2") == [("n", 1, 0)]
    assert await ledger.sums("model", 0, 1000.0) == []
    (whole,) = await ledger.sums("model", 0, 1e12, "key_1")
    assert (whole.input_tokens, whole.output_tokens, whole.cached_tokens, whole.failed) == (12000, 6000, 1200, 0)
    assert (await ledger.sums("key", 0, 1e12, "key_2"))[0].failed == 1
