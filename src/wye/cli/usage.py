"""`wye usage`: who used what, and what it cost."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from wye.cli.options import config_options
from wye.config.schema import Config
from wye.kernel import clock
from wye.kernel.money import format_usd
from wye.ports.ledger import Group, Sum

if TYPE_CHECKING:
    from wye.ports.keys import IssuedKey

_GROUPS: tuple[Group, ...] = ("key", "model", "deployment", "day")
_DAY_S = 86400


@click.command()
@click.option("--by", type=click.Choice(_GROUPS), default="key", help="What to sum up. [default: key]")
@click.option("--days", type=click.IntRange(1, 3660), default=30, help="How far back, today included. [default: 30]")
@click.option("--key", "key_id", help="Of one key alone: its id.")
@click.option("--format", "shape", type=click.Choice(["table", "json"]), default="table", help="How to print.")
@config_options
def command(
    by: Group, days: int, key_id: str | None, shape: str, config_file: Path | None, env_file: Path | None
) -> None:
    """Say who used what, and what it cost, from the ledger."""
    from wye.config.load import load_config
    from wye.kernel.json import encode_text

    config = load_config(file=config_file, env_file=env_file)
    now_s = clock.wall_s()
    since_s = (now_s // _DAY_S - days + 1) * _DAY_S
    sums, keys = asyncio.run(_read(config, by, since_s, now_s + _DAY_S, key_id))
    names = {key.id: key.name for key in keys} if by == "key" else {}
    if shape == "json":
        from msgspec.structs import asdict

        rows: list[dict[str, Any]] = [{**asdict(one), "name": names.get(one.of)} for one in sums]
        click.echo(encode_text(rows))
        return
    _print_table(by, sums, names, since_s)


async def _read(
    config: Config, by: Group, since_s: float, until_s: float, key_id: str | None
) -> tuple[list[Sum], list[IssuedKey]]:
    from wye.wiring_admission import make_database

    database = make_database(config, "wye usage")
    from wye.drivers.sql.keys import SqlKeys
    from wye.drivers.sql.ledger import SqlLedger

    try:
        return await SqlLedger(database).sums(by, since_s, until_s, key_id), await SqlKeys(database).all()
    finally:
        await database.close()


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
