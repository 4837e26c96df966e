"""`wye usage`: who used what, and what it cost."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import click

from wye.cli.options import config_options
from wye.config.schema import Config
from wye.kernel import clock
from wye.kernel.money import format_usd
from wye.ports.keys import Budget, IssuedKey, Keys
from wye.ports.ledger import Group, Ledger, Sum

_GROUPS: tuple[Group, ...] = ("key", "model", "deployment", "day")
_DAY_S = 86400
_Found = TypeVar("_Found")


@click.command()
@click.option("--by", type=click.Choice(_GROUPS), default="key", help="What to sum up. [default: key]")
@click.option("--days", type=click.IntRange(1, 3660), default=30, help="How far back, today included. [default: 30]")
@click.option("--key", "key_id", help="Of one key alone: its id.")
@click.option("--budgets", is_flag=True, help="What may be spent, of routes and of keys, and what is left of it.")
@click.option("--format", "shape", type=click.Choice(["table", "json"]), default="table", help="How to print.")
@config_options
def command(
    by: Group,
    days: int,
    key_id: str | None,
    budgets: bool,
    shape: str,
    config_file: Path | None,
    env_file: Path | None,
) -> None:
    """Say who used what, and what it cost, from the ledger."""
    from wye.config.load import load_config
    from wye.kernel.json import encode_text

    config = load_config(file=config_file, env_file=env_file)
    if budgets:
        found = asyncio.run(_with_books(config, lambda ledger, keys: _spending(config, ledger, keys, key_id)))
        click.echo(encode_text(found)) if shape == "json" else _print_budgets(found)
        return
    now_s = clock.wall_s()
    since_s = (now_s // _DAY_S - days + 1) * _DAY_S
    until_s = now_s + _DAY_S
    sums, keys = asyncio.run(
        _with_books(config, lambda ledger, keys: _sums(ledger, keys, by, since_s, until_s, key_id))
    )
    names = {key.id: key.name for key in keys} if by == "key" else {}
    if shape == "json":
        from msgspec.structs import asdict

        rows: list[dict[str, Any]] = [{**asdict(one), "name": names.get(one.of)} for one in sums]
        click.echo(encode_text(rows))
        return
    _print_table(by, sums, names, since_s)


async def _with_books(config: Config, work: Callable[[Ledger, Keys], Awaitable[_Found]]) -> _Found:
    from wye.gateway.policy.bookkeeping import bring_in
    from wye.wiring_admission import make_database, make_journal

    database = make_database(config, "wye usage")
    from wye.drivers.sql.keys import SqlKeys
    from wye.drivers.sql.ledger import SqlLedger

    ledger = SqlLedger(database)
    try:
        for leftover in make_journal(config).left_behind():
            await bring_in(leftover, ledger)
        return await work(ledger, SqlKeys(database))
    finally:
        await database.close()


async def _sums(
    ledger: Ledger, keys: Keys, by: Group, since_s: float, until_s: float, key_id: str | None
) -> tuple[list[Sum], list[IssuedKey]]:
    return await ledger.sums(by, since_s, until_s, key_id), await keys.all()


async def _spending(config: Config, ledger: Ledger, keys: Keys, key_id: str | None) -> list[dict[str, Any]]:
    """Every budget that binds somebody: of routes, then of keys."""
    from msgspec.structs import asdict

    from wye.gateway.policy.budgets import spent_micro_usd
    from wye.wiring_admission import route_budgets

    found: list[tuple[IssuedKey | None, str | None, Budget]] = []
    if key_id is None:
        found += [(None, model, budget) for model, budget in route_budgets(config).items()]
    for key in await keys.all():
        if key.revoked_s is None and key_id in (None, key.id):
            found += [(key, None, key.budget)] if key.budget is not None else []
            found += [(key, model, budget) for model, budget in key.route_budgets.items()]
    return [
        {
            "key": key.id if key is not None else None,
            "name": key.name if key is not None else None,
            "model": model,
            **asdict(budget),
            "spent_micro_usd": await spent_micro_usd(ledger, budget, key.id if key is not None else None, model),
        }
        for key, model, budget in found
    ]


def _print_budgets(budgets: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.progress_bar import ProgressBar
    from rich.table import Table

    table = Table("Key", "Model", "Budget", "Spent", "Left", "", box=None, pad_edge=False)
    for column in table.columns[2:5]:
        column.justify = "right"
    for budget in budgets:
        whole, spent = budget["micro_usd"], budget["spent_micro_usd"]
        table.add_row(
            escape(budget["name"] or "all callers"),
            escape(budget["model"] or "all models"),
            f"{format_usd(whole)}/{budget['period']}",
            format_usd(spent),
            format_usd(max(0, whole - spent)),
            ProgressBar(whole, spent, width=20, finished_style="red"),
        )
    Console().print(table)


def _print_table(by: Group, sums: list[Sum], names: dict[str, str], since_s: float) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    since = datetime.fromtimestamp(since_s, UTC).date()
    table = Table(
        by.capitalize(), title=f"Since {since}, UTC", title_justify="left", box=None, pad_edge=False, show_footer=True
    )
    columns = ("Calls", "Failed", "Input", "Cached", "Output", "Cost")
    figures = [(s.calls, s.failed, s.input_tokens, s.cached_tokens, s.output_tokens, s.cost_micro_usd) for s in sums]
    totals = [sum(column) for column in zip(*figures, strict=True)] or [0] * len(columns)
    for name, text in zip(columns, _texts(totals), strict=True):
        table.add_column(name, justify="right", footer=text)
    table.columns[0].footer = "Total"
    for one, row in zip(sums, figures, strict=True):
        table.add_row(escape(names.get(one.of) or one.of or "nobody answered"), *_texts(row))
    Console().print(table)


def _texts(figures: Any) -> list[str]:
    *counts, micro_usd = figures
    return [*(f"{count:,}" for count in counts), format_usd(micro_usd)]
