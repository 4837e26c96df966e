"""`wye models`: what this machine can run, and what it takes to have it here."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any, Literal

import click

from wye.catalog.model_card import ModelCard
from wye.cli.options import config_options
from wye.config.schema import Config
from wye.kernel.errors import ConfigError
from wye.ports.weights import Weights

_server_url = click.option("--server-url", help="The running server. [default: where this configuration serves]")
_api_key = click.option("--api-key", help="Its key, if it needs one. [default: server.api_key]")

_format = click.option(
    "--format", "shape", type=click.Choice(["table", "json", "list"]), default="table", help="How to print."
)


@click.group(invoke_without_command=True)
@config_options
@_format
@click.pass_context
def command(ctx: click.Context, config_file: Path | None, env_file: Path | None, shape: str) -> None:
    """List, fetch, remove, load and unload models. Without a subcommand: list them."""
    from wye.config.load import load_config

    ctx.obj = load_config(file=config_file, env_file=env_file)
    if ctx.invoked_subcommand is None:
        show(ctx.obj, shape)


def show(config: Config, shape: str) -> None:
    """Print the local models that can be had, and whether their file is here."""
    from wye.kernel.json import encode_text
    from wye.wiring import local_cards, make_weights

    weights = make_weights(config)
    rows: list[dict[str, Any]] = [
        {
            "id": card.id,
            "title": card.title,
            "size_mb": card.bytes // 1_000_000,
            "context_length": card.context_length,
            "roles": list(card.roles),
            "licence": card.licence,
            "file": _state(weights, card),
        }
        for card in local_cards(config).values()
    ]
    if shape == "json":
        click.echo(encode_text(rows))
    elif shape == "list":
        click.echo("\n".join(row["id"] for row in rows))
    else:
        from rich.console import Console
        from rich.markup import escape
        from rich.table import Table

        table = Table("Model", "Title", "MB", "Context", "Roles", "File", box=None, pad_edge=False)
        for row in rows:
            told = row["id"], row["title"], row["size_mb"], row["context_length"], " ".join(row["roles"]), row["file"]
            table.add_row(*map(escape, map(str, told)), style=None if row["file"] == "here" else "dim")
        Console().print(table)


def _state(weights: Weights, card: ModelCard) -> Literal["here", "absent", "damaged"]:
    try:
        return "here" if weights.locate(card) else "absent"
    except ConfigError:
        return "damaged"  # `pull` says what to do about it


@command.command(name="list")
@_format
@click.pass_obj
def list_(config: Config, shape: str) -> None:
    """List the models, as `wye models` alone does."""
    show(config, shape)


@command.command()
@click.argument("models", nargs=-1, required=True)
@click.pass_obj
def pull(config: Config, models: tuple[str, ...]) -> None:
    """Fetch models' files, also all of a preset's (`D3`); goes on where it was broken off, and checks the hash."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    from wye.wiring import make_weights

    weights = make_weights(config)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    for card in _cards(config, models):
        with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
            task = progress.add_task(card.id, total=card.bytes)
            path = weights.fetch(card, lambda done, total: progress.update(task, completed=done, total=total))  # noqa: B023 - called within the loop's turn
        click.echo(f"{card.id} is at {path}")


@command.command()
@click.argument("models", nargs=-1, required=True)
@click.pass_obj
def rm(config: Config, models: tuple[str, ...]) -> None:
    """Remove files that were pulled, whole or broken off."""
    from wye.wiring import make_weights

    weights = make_weights(config)
    for card in _cards(config, models):
        freed = weights.remove(card)
        click.echo(f"{card.id} is removed ({freed / 1_000_000:.0f} MB)")


def _cards(config: Config, names: tuple[str, ...]) -> list[ModelCard]:
    """Of models and of presets, whose aliases count. Raises ConfigError for a name that is neither."""
    from wye.catalog.presets import PRESETS
    from wye.wiring import local_cards

    cards = local_cards(config)
    wanted: dict[str, ModelCard] = {}
    for name in names:
        members = PRESETS[name].models if name in PRESETS and name not in cards else (name,)
        for model in members:
            known = config.local.aliases.get(model, model)
            if known not in cards:
                raise ConfigError(f"Unknown model {model!r}; known: {', '.join(cards)}")
            wanted[known] = cards[known]
    return list(wanted.values())


@command.command()
@click.argument("model")
@_server_url
@_api_key
@click.pass_obj
def load(config: Config, model: str, server_url: str | None, api_key: str | None) -> None:
    """Load a model in a running server."""
    from rich.console import Console
    from rich.markup import escape

    console = Console(stderr=True)
    with console.status(f"loading {escape(model)}") if console.is_terminal else nullcontext():
        said = _ask_server(config, model, "load", server_url, api_key)
    click.echo(said)


@command.command()
@click.argument("model")
@_server_url
@_api_key
@click.pass_obj
def unload(config: Config, model: str, server_url: str | None, api_key: str | None) -> None:
    """Unload a model in a running server and free its memory."""
    click.echo(_ask_server(config, model, "unload", server_url, api_key))


def _ask_server(config: Config, model: str, verb: str, server_url: str | None, api_key: str | None) -> str:
    """One line on how it went. Raises WyeError with the server's reason."""
    from urllib.parse import quote

    from wye.cli.client import server_of

    told = server_of(config, server_url, api_key).ask("POST", f"/v1/models/{quote(model, safe='')}/{verb}")
    return f"{told.get('id', model)} is {told.get('status', 'unknown')}"
