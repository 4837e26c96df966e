"""Who may call and what it costs, made from a configuration."""

from __future__ import annotations

import os
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import pytest

import wye
from wye import wiring_admission as module
from wye.canon.usage import Usage
from wye.config.load import config_from
from wye.drivers.memory.state import MemoryState
from wye.kernel.errors import ConfigError, MissingExtra
from wye.ports.keys import Budget
from wye.wiring_admission import Admission, make_admission, make_database, make_prices


@pytest.fixture
def made(tmp_path: Path) -> Any:
    def made(**tree: Any) -> Admission:
        return make_admission(config_from({"home": str(tmp_path), **tree}), MemoryState(), [])

    return made


async def test_what_is_not_used_is_not_made(made: Any, tmp_path: Path) -> None:
    plain = made()
    settlement = plain.settlement
    assert (settlement._local, settlement._shared, settlement._budgets, settlement._bookkeeper) == (None,) * 4
    assert plain.auth.open
    await plain.stop()
    limited = made(limits={"concurrent": 1})
    assert limited.settlement._local is not None
    assert os.listdir(tmp_path) == []  # noqa: PTH208 - nothing blocks here


async def test_issued_keys_bring_all_of_it_and_open_no_database_yet(made: Any, tmp_path: Path) -> None:
    admission = made(keys={"enabled": True})
    settlement = admission.settlement
    assert not admission.auth.open
    assert None not in (settlement._local, settlement._budgets, settlement._bookkeeper)
    await admission.stop()
    assert os.listdir(tmp_path) == []  # noqa: PTH208 - nothing blocks here


async def test_the_ledger_is_written_or_not_whatever_keys_there_are(made: Any) -> None:
    unwritten = made(keys={"enabled": True}, usage={"ledger": False})
    assert unwritten.settlement._bookkeeper is None
    alone = made(usage={"ledger": True})
    assert alone.auth.open
    assert alone.settlement._budgets is None
    assert alone.settlement._bookkeeper is not None
    for admission in (unwritten, alone):
        await admission.stop()


def of_route(**deployment: Any) -> dict[str, Any]:
    return {"m": {"deployments": [{"provider": "openai", "model": "gpt-4o", **deployment}], "budget": {"usd": 0.25}}}


async def test_a_route_with_a_budget_brings_a_ledger_and_no_keys(made: Any) -> None:
    admission = made(routes=of_route())
    assert admission.auth.open
    assert None not in (admission.settlement._budgets, admission.settlement._bookkeeper)
    assert admission.settlement._budgets._routes == {"m": Budget(250_000, "month")}
    unwritten = made(routes=of_route(), usage={"ledger": False})
    assert unwritten.settlement._bookkeeper is None
    for one in (admission, unwritten):
        await one.stop()


async def test_a_budget_of_calls_whose_price_nobody_knows_is_refused(made: Any) -> None:
    with pytest.raises(ConfigError, match=r"routes\.m\.budget: nobody knows what openai/mine costs: set .* price"):
        made(routes=of_route(model="mine"))
    for known in (
        {"model": "mine", "price": {"input_usd": 0}},
        {"provider": "local", "model": "smollm2-135m-instruct"},
    ):
        await made(routes=of_route(**known)).stop()


def test_a_missing_extra_is_named(made: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    found: ModuleSpec | None = None
    monkeypatch.setattr(module, "find_spec", lambda name: found)
    with pytest.raises(MissingExtra, match=r"wye\[prices\]"):
        made(keys={"enabled": True})
    monkeypatch.setitem(sys.modules, "wye.drivers.sql.database", None)
    for tree, setting in (
        ({"keys": {"enabled": True}}, "keys.enabled"),
        ({"usage": {"ledger": True}}, "usage.ledger"),
        ({"routes": of_route()}, "the budget of a route"),
    ):
        with pytest.raises(MissingExtra, match=rf"{setting}.*wye\[documents\]"):
            made(**tree)


def test_a_database_is_where_the_configuration_says(tmp_path: Path) -> None:
    assert make_database(config_from({"home": str(tmp_path)}), "x").url.database == str(tmp_path / "wye.db")
    own = config_from({"storage": {"url": "postgresql://me:secret@db/wye"}})
    assert make_database(own, "x").url.host == "db"
    with pytest.raises(ConfigError, match=r"storage\.url cannot be used"):
        make_database(config_from({"storage": {"url": "nonsense"}}), "x")


def test_ones_own_prices_go_before_those_that_are_known() -> None:
    deployments = [
        {"provider": "openai", "model": "gpt-4o", "price": {"input_usd": 1, "output_usd": 2, "cached_usd": 0.5}},
        {"provider": "mine", "model": "x", "price": {"input_usd": 0.000001}},
    ]
    config = config_from(
        {
            "providers": {"mine": {"kind": "vllm", "base_url": "http://127.0.0.1:1"}, "eu": {"kind": "azure"}},
            "routes": {"m": {"deployments": deployments}},
        }
    )
    prices, usage = make_prices(config), Usage(1_000_000, 1_000_000, cached_tokens=500_000)
    assert prices.cost_micro_usd("openai", "gpt-4o", usage) == 500_000 + 250_000 + 2_000_000
    assert prices.cost_micro_usd("mine", "x", usage) == 1
    assert prices.cost_micro_usd("eu", "gpt-4o-mini", usage) > 0
    assert prices.cost_micro_usd("mine", "gpt-4o", usage) == prices.cost_micro_usd("local", "gpt-4o", usage) == 0


def test_an_application_has_it() -> None:
    app = wye.create_app({"local": {"enabled": False}, "keys": {"enabled": True}})
    assert not app.pipeline.auth.open
