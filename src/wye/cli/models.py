"""`wye models`: what this machine can run, and what it takes to have it here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from wye.cli.options import config_options
from wye.config.schema import Config
from wye.kernel.errors import ConfigError


@click.group(invoke_without_command=True)
@config_options
@click.option("--format", "shape", type=click.Choice(["table", "json", "list"]), default="table", help="How to print.")
@click.pass_context
def command(ctx: click.Context, config_file: Path | None, env_file: Path | None, shape: str) -> None:
    """List, fetch, load and unload models. Without a subcommand: list them."""
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
            "licence": card.licence,
            "here": weights.locate(card) is not None,
        }
        for card in local_cards(config).values()
    ]
    if shape == "json":
        click.echo(encode_text(rows))
    elif shape == "list":
        click.echo("\n".join(row["id"] for row in rows))
    else:
        from rich.console import Console
        from rich.table import Table

        table = Table("Model", "Title", "MB", "Context", "Licence", "File", box=None, pad_edge=False)
        for row in rows:
            state = "[green]here" if row["here"] else f"wye models pull {row['id']}"
            table.add_row(
                row["id"], row["title"], str(row["size_mb"]), str(row["context_length"]), row["licence"], state
            )
        Console().print(table)


@command.command()
@click.argument("model")
@click.pass_obj
def pull(config: Config, model: str) -> None:
    """Fetch a model's file, with a progress bar; goes on where it was broken off, and checks the hash."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    from wye.wiring import local_cards, make_weights

    cards = local_cards(config)
    if model not in cards:
        raise ConfigError(f"Unknown model {model!r}; known: {', '.join(cards)}")
    card = cards[model]
    columns = (TextColumn(card.id), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(card.id, total=card.bytes)
        path = make_weights(config).fetch(card, lambda done, total: progress.update(task, completed=done, total=total))
    click.echo(f"{card.id} is at {path}")


@command.command()
@click.argument("model")
@click.option("--server-url", default="http://127.0.0.1:8000", show_default=True, help="The running server.")
@click.option("--api-key", envvar="API_KEY", help="Its key, if it needs one.")
def load(model: str, server_url: str, api_key: str | None) -> None:
    """Load a model in a running server."""
    click.echo(_ask_server(model, "load", server_url, api_key))


@command.command()
@click.argument("model")
@click.option("--server-url", default="http://127.0.0.1:8000", show_default=True, help="The running server.")
@click.option("--api-key", envvar="API_KEY", help="Its key, if it needs one.")
def unload(model: str, server_url: str, api_key: str | None) -> None:
    """Unload a model in a running server and free its memory."""
    click.echo(_ask_server(model, "unload", server_url, api_key))


def _ask_server(model: str, verb: str, server_url: str, api_key: str | None) -> str:
    """One line on how it went. Raises ConfigError with the server's reason."""
    import urllib.error
    import urllib.request
    from urllib.parse import quote

    from wye.kernel.json import JsonError, as_object, decode

    url = f"{server_url.rstrip('/')}/v1/models/{quote(model)}/{verb}"
    if not url.startswith(("http://", "https://")):
        raise ConfigError(f"--server-url must begin with http:// or https://, not {server_url!r}")
    headers = {"authorization": f"Bearer {api_key}"} if api_key else {}
    request = urllib.request.Request(url, method="POST", headers=headers)  # noqa: S310 - the scheme was checked
    try:
        with urllib.request.urlopen(request, timeout=600) as answer:  # noqa: S310 - the scheme was checked
            described = as_object(decode(answer.read())) or {}
    except urllib.error.HTTPError as error:
        try:
            body = as_object(decode(error.read())) or {}
        except JsonError:
            body = {}
        raise ConfigError(str(body.get("detail") or f"The server answered {error.code}")) from None
    except (OSError, JsonError) as error:
        raise ConfigError(f"No Wye answers at {server_url}: {error}") from None
    return f"{described.get('id', model)} is {described.get('status', 'unknown')}"
