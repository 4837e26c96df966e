"""Every call goes into the ledger, also through a database that is away and a server that ends."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any, cast

import pytest

from tests.books import Books
from tests.waiting import until
from wye.canon.usage import Usage
from wye.catalog.prices import Price, Rate
from wye.dialects.registry import DIALECTS
from wye.drivers.disk.journal import DiskJournal
from wye.gateway.deployment import Deployment
from wye.gateway.exchange import Exchange
from wye.gateway.policy import bookkeeping as module
from wye.gateway.policy import prices as pricing
from wye.gateway.policy.bookkeeping import Bookkeeper
from wye.gateway.policy.prices import Prices
from wye.gateway.settle import Settlement
from wye.ports.ledger import Entry
from wye.ports.provider import Provider
from wye.ports.transport import Clocks


class Upstream:
    name = "up"


DEPLOYMENT = Deployment(cast(Provider, Upstream()), "x", Clocks())
PRICES = Prices({"up/x": Price(((0, Rate(1_000_000, 2_000_000)),))}, {}, lambda vendor, model: None)
USAGE = Usage(10, 5, cached_tokens=3)


@pytest.fixture
def journal(tmp_path: Path) -> DiskJournal:
    return DiskJournal(tmp_path)


def exchange(**more: Any) -> Exchange:
    return Exchange("req_1", DIALECTS["openai_chat"], b"{}", {}, "alice", 0.0, model="m", **more)


def figures(entry: Entry) -> tuple[Any, ...]:
    counted = (entry.input_tokens, entry.output_tokens, entry.cached_tokens, entry.cost_micro_usd)
    return (entry.deployment, entry.status, entry.cache, *counted)


async def written(books: Books, keeper: Bookkeeper) -> list[Entry]:
    await keeper.stop()
    return [*books.entries.values()]


@pytest.mark.parametrize(
    ("about", "usage", "failed", "wanted"),
    [
        ({"serving": DEPLOYMENT}, USAGE, False, ("up/x", "answered", None, 10, 5, 3, 20)),
        ({"serving": DEPLOYMENT}, USAGE, True, ("up/x", "failed", None, 10, 5, 3, 20)),
        ({"serving": DEPLOYMENT}, None, True, ("up/x", "failed", None, 0, 0, 0, 0)),
        ({"deployment": DEPLOYMENT, "cache": "hit"}, USAGE, False, ("up/x", "answered", "hit", 10, 5, 3, 0)),
        ({"deployment": DEPLOYMENT, "cache": "join"}, USAGE, False, ("up/x", "answered", "join", 10, 5, 3, 0)),
        ({"deployment": DEPLOYMENT, "cache": "miss"}, USAGE, False, ("up/x", "answered", None, 10, 5, 3, 20)),
        ({"deployment": DEPLOYMENT, "cache": "miss"}, None, True, (None, "failed", None, 0, 0, 0, 0)),
        ({"deployment": DEPLOYMENT}, None, True, (None, "failed", None, 0, 0, 0, 0)),
    ],
    ids=["whole", "cut", "cut at once", "hit", "join", "miss", "miss that failed", "nobody answered"],
)
async def test_a_call_is_noted_with_what_it_cost(
    about: dict[str, Any], usage: Usage | None, failed: bool, wanted: tuple[Any, ...], journal: DiskJournal
) -> None:
    books = Books()
    keeper = Bookkeeper(books, journal, PRICES)
    settlement, call = Settlement(None, bookkeeper=keeper), exchange(**about)
    await settlement.begin(call)
    if call.serving is not None:
        call.serving.health.begin(0.0)
    settlement.end(call, usage, failed=failed)
    (entry,) = await written(books, keeper)
    assert (entry.principal, entry.model) == ("alice", "m")
    assert figures(entry) == wanted


async def test_entries_are_written_many_at_a_time_and_soon(
    monkeypatch: pytest.MonkeyPatch, journal: DiskJournal
) -> None:
    monkeypatch.setattr(module, "WRITTEN_S", 0.02)
    monkeypatch.setattr(module, "_AT_ONCE", 40)
    books = Books()
    keeper = Bookkeeper(books, journal, PRICES)
    for round_ in range(2):
        for _ in range(100):
            keeper.record(exchange(), DEPLOYMENT, USAGE, failed=False)
        assert keeper._writer is not None
        await asyncio.wait([keeper._writer], timeout=60)
        assert (len(books.entries), books.asked) == (100 * (round_ + 1), 3 * (round_ + 1))
    assert keeper.degraded is None


async def test_what_is_not_written_waits_for_the_database_up_to_a_bound(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, journal: DiskJournal
) -> None:
    monkeypatch.setattr(module, "WRITTEN_S", 0.02)
    monkeypatch.setattr(module, "MAX_WAITING", 10)
    books = Books()
    books.away = "gone"
    keeper = Bookkeeper(books, journal, PRICES)
    settlement = Settlement(None, bookkeeper=keeper)
    for _ in range(10):
        keeper.record(exchange(), DEPLOYMENT, USAGE, failed=False)
    await until(lambda: settlement.degraded() == {"ledger": "10 entries wait for the database"})
    for _ in range(2):
        keeper.record(exchange(), DEPLOYMENT, USAGE, failed=False)
    assert keeper.degraded == "10 entries wait for the database, 2 are lost"
    asyncio.get_running_loop().call_later(0.1, setattr, books, "away", None)
    assert len(await written(books, keeper)) == 10


async def test_what_is_not_written_at_the_end_is_by_the_next_process(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    monkeypatch.setattr(module, "WRITTEN_S", 0.02)
    monkeypatch.setattr(module, "_LAST_S", 0.05)
    books = Books()
    books.away = "gone"
    first, second, third = (Bookkeeper(books, DiskJournal(tmp_path), PRICES) for _ in range(3))
    for _ in range(3):
        first.record(exchange(), DEPLOYMENT, USAGE, failed=False)
    with caplog.at_level(logging.ERROR):
        await first.stop()
    assert "3 entries wait in the journal for the next start" in caplog.text
    await second.start()
    second.record(exchange(), DEPLOYMENT, USAGE, failed=False)
    books.away = None
    assert second._writer is not None
    await asyncio.wait([second._writer], timeout=60)
    assert len(books.entries) == 4
    await second.stop()
    await third.start()
    assert third._writer is None
    assert not third._journal.left_behind()


async def test_without_a_journal_what_is_not_written_is_lost_and_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    monkeypatch.setattr(module, "_LAST_S", 0.05)
    (tmp_path / "file").touch()
    books = Books()
    keeper = Bookkeeper(books, DiskJournal(tmp_path / "file"), PRICES)
    keeper.record(exchange(), DEPLOYMENT, USAGE, failed=False)
    assert keeper.degraded == "the journal cannot be written: File exists"
    books.away = "gone"
    with caplog.at_level(logging.WARNING):
        await keeper.stop()
    assert "1 entries are lost" in caplog.text


async def test_what_was_being_written_at_the_end_is_written_once(
    monkeypatch: pytest.MonkeyPatch, journal: DiskJournal
) -> None:
    monkeypatch.setattr(module, "WRITTEN_S", 0.0)
    books, gate = Books(), asyncio.Event()
    add = books.add

    async def slowly(entries: list[Entry]) -> None:
        await add(entries)
        await gate.wait()

    monkeypatch.setattr(books, "add", slowly)
    keeper = Bookkeeper(books, journal, PRICES)
    keeper.record(exchange(), DEPLOYMENT, USAGE, failed=False)
    await until(lambda: len(books.entries) == 1)
    gate.set()
    assert len(await written(books, keeper)) == 1


def test_a_price_is_asked_for_once_and_one_of_ones_own_goes_before() -> None:
    asked: list[tuple[str, str]] = []

    def known(vendor: str, model: str) -> Price | None:
        asked.append((vendor, model))
        return Price(((0, Rate(7_000_000)),)) if model == "known" else None

    prices = Prices({"up/own": Price(((0, Rate(1_000_000)),))}, {"up": "vendor"}, known)
    costs = [prices.cost_micro_usd("up", model, USAGE) for model in ("known", "known", "own", "strange", "strange")]
    assert costs == [70, 70, 10, 0, 0]
    assert prices.cost_micro_usd("vllm", "known", USAGE) == prices.cost_micro_usd("up", "known", None) == 0
    assert asked == [("vendor", "known"), ("vendor", "strange")]


def test_no_more_prices_are_remembered_than_have_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pricing, "_REMEMBERED", 10)
    prices = Prices({}, {"up": "vendor"}, lambda vendor, model: None)
    for number in range(100):
        prices.of("up", f"made-up-{number}")
    assert len(prices._found) <= 10
