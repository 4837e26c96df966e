"""`wye keys`: issue keys to callers, see them, revoke them."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from wye.cli.options import config_options
from wye.config.schema import Config
from wye.gateway.policy.issued_keys import OPERATIONS, PREFIX
from wye.kernel import clock
from wye.kernel.errors import ConfigError
from wye.kernel.money import MICRO_USD_PER_USD, format_usd
from wye.kernel.secret import fingerprint
from wye.ports.keys import Budget, IssuedKey, Period

if TYPE_CHECKING:
    from wye.drivers.sql.keys import SqlKeys

_UNITS_S = {"h": 3600, "d": 86400, "w": 7 * 86400}
_PERIODS: dict[str, Period] = {"day": "day", "month": "month", "total": "total"}
_SHOWN = len(PREFIX) + 6
"""Characters of a secret that are kept, to recognise it by."""
_Done = TypeVar("_Done")


@click.group()
@config_options
@click.pass_context
def command(ctx: click.Context, config_file: Path | None, env_file: Path | None) -> None:
    """Issue keys to callers, see them, revoke them."""
    from wye.config.load import load_config

    ctx.obj = load_config(file=config_file, env_file=env_file)


def time(value: str) -> float:
    """Seconds since 1970, of a time from now on (`90d`, `12h`) or of a date (`2027-01-31`)."""
    if found := re.fullmatch(r"(\d{1,4})([hdw])", value):
        return clock.wall_s() + int(found[1]) * _UNITS_S[found[2]]
    try:
        until = datetime.fromisoformat(value)
    except ValueError:
        raise click.BadParameter(f"{value!r} is no time: write 90d, 12h, 4w or a date as 2027-01-31") from None
    return (until if until.tzinfo else until.replace(tzinfo=UTC)).timestamp()


def money(value: str) -> Budget:
    """Dollars, and in which time: `10/day`, `99.50/month`, `5/total`; by default in a month."""
    found = re.fullmatch(r"\$?(\d{1,9}(?:\.\d{1,6})?)(?:/(\w+))?", value)
    period = _PERIODS.get(found[2] or "month") if found else None
    if found is None or period is None:
        raise click.BadParameter(f"{value!r} is no budget: write 10/day, 99.50/month or 5/total, in dollars")
    return Budget(int(Decimal(found[1]) * MICRO_USD_PER_USD), period)


def model_money(value: str) -> tuple[str, Budget]:
    model, equals, budget = value.rpartition("=")
    if not (model and equals):
        raise click.BadParameter(f"{value!r} is no budget of a model: write MODEL=10/day")
    return model, money(budget)


@command.command()
@click.argument("name")
@click.option("--model", "models", multiple=True, help="A model that it may ask for, `*` for anything. [default: all]")
@click.option("--operation", "operations", multiple=True, type=click.Choice(OPERATIONS), help="What it is for.")
@click.option("--expires", type=time, help="When it ends: 90d, 12h, 4w or a date.")
@click.option("--requests-per-minute", type=click.IntRange(1), help="Calls in any minute.")
@click.option("--tokens-per-minute", type=click.IntRange(1), help="Input and output tokens in any minute.")
@click.option("--concurrent", type=click.IntRange(1), help="Calls at the same time.")
@click.option("--budget", type=money, help="What it may spend: 10/day, 99.50/month, 5/total; in dollars.")
@click.option("--model-budget", "of_models", multiple=True, type=model_money, help="For one model: MODEL=10/day.")
@click.option("--format", "shape", type=click.Choice(["text", "json"]), default="text", help="How to print.")
@click.pass_obj
def create(
    config: Config,
    name: str,
    models: tuple[str, ...],
    operations: tuple[str, ...],
    expires: float | None,
    requests_per_minute: int | None,
    tokens_per_minute: int | None,
    concurrent: int | None,
    budget: Budget | None,
    of_models: tuple[tuple[str, Budget], ...],
    shape: str,
) -> None:
    """Issue a key. Its secret is shown once, and kept nowhere."""
    from wye.kernel.json import encode_text

    secret = PREFIX + secrets.token_urlsafe(32)
    key = IssuedKey(
        id=f"key_{secrets.token_hex(6)}",
        name=name[:200],
        prefix=secret[:_SHOWN],
        hash=fingerprint(secret).hex(),
        created_s=clock.wall_s(),
        expires_s=expires,
        routes=list(models) or None,
        operations=list(operations) or None,
        requests_per_minute=requests_per_minute,
        tokens_per_minute=tokens_per_minute,
        concurrent=concurrent,
        budget=budget,
        route_budgets=dict(of_models),
    )
    _with_keys(config, lambda keys: keys.add(key))
    if shape == "json":
        click.echo(encode_text({**_described(key), "secret": secret}))
        return
    click.echo(secret)
    click.echo(f"This is the secret of {key.id} ({key.name}): it is not shown again.", err=True)
    if not config.keys.enabled:
        click.echo("The server takes it with keys.enabled: true in its configuration.", err=True)


@command.command(name="list")
@click.option("--format", "shape", type=click.Choice(["table", "json"]), default="table", help="How to print.")
@click.pass_obj
def list_keys(config: Config, shape: str) -> None:
    """Show the keys that were issued: never their secrets."""
    from wye.kernel.json import encode_text

    issued = _with_keys(config, lambda keys: keys.all())
    if shape == "json":
        click.echo(encode_text([_described(key) for key in issued]))
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table("Key", "Name", "Secret", "State", "For", "Limits", "Budgets", box=None, pad_edge=False)
    table.columns[0].no_wrap = True  # it is to be copied
    for key in issued:
        state = _state(key)
        row = (key.id, key.name, f"{key.prefix}...", state, _scope(key), _limits(key), _budgets(key))
        table.add_row(*map(escape, row), style=None if state.startswith("valid") else "dim")
    Console().print(table)


@command.command()
@click.argument("key_id")
@click.pass_obj
def revoke(config: Config, key_id: str) -> None:
    """End a key. Servers that have seen it refuse it within five seconds."""
    if not _with_keys(config, lambda keys: keys.revoke(key_id, clock.wall_s())):
        raise ConfigError(f"No valid key has the id {key_id!r}: `wye keys list` shows them")
    click.echo(f"{key_id} is revoked")


def _with_keys(config: Config, work: Callable[[SqlKeys], Awaitable[_Done]]) -> _Done:
    from wye.wiring_admission import make_database

    database = make_database(config, "wye keys")
    from wye.drivers.sql.keys import SqlKeys

    async def run() -> _Done:
        try:
            return await work(SqlKeys(database))
        finally:
            await database.close()

    return asyncio.run(run())


def _described(key: IssuedKey) -> dict[str, Any]:
    """For programs: all but the hash."""
    from msgspec.structs import asdict

    return {**{name: value for name, value in asdict(key).items() if name != "hash"}, "state": _state(key)}


def _state(key: IssuedKey) -> str:
    if key.revoked_s is not None:
        return "revoked"
    if key.expires_s is None:
        return "valid"
    until = datetime.fromtimestamp(key.expires_s, UTC).strftime("%Y-%m-%d %H:%M")
    return f"valid until {until}" if clock.wall_s() < key.expires_s else f"expired {until}"


def _scope(key: IssuedKey) -> str:
    return "; ".join(", ".join(names) for names in (key.routes, key.operations) if names) or "everything"


def _limits(key: IssuedKey) -> str:
    limits = {
        "calls/min": key.requests_per_minute,
        "tokens/min": key.tokens_per_minute,
        "at once": key.concurrent,
    }
    return ", ".join(f"{number} {what}" for what, number in limits.items() if number is not None)


def _budgets(key: IssuedKey) -> str:
    budgets = {"": key.budget, **{f"{model} ": budget for model, budget in key.route_budgets.items()}}
    return ", ".join(f"{of}{format_usd(b.micro_usd)}/{b.period}" for of, b in budgets.items() if b is not None)
