"""`wye ask`: files to a running server, a question about them, the answer as it comes and what it rests on."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from time import sleep

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from wye.cli.client import Server, server_of
from wye.cli.options import config_options
from wye.kernel.errors import ConfigError, StreamCut
from wye.kernel.json import JsonObject, as_list, as_object, decode

_LOOKED_S = 0.2


@click.command()
@click.argument("words", metavar="FILE... QUESTION", nargs=-1, required=True)
@click.option("--model", help="Who answers. [default: the server's documents.answer_model]")
@click.option("--server-url", help="The running server. [default: where this configuration serves]")
@click.option("--api-key", help="Its key, if it needs one. [default: server.api_key]")
@config_options
def command(
    words: tuple[str, ...],
    model: str | None,
    server_url: str | None,
    api_key: str | None,
    config_file: Path | None,
    env_file: Path | None,
) -> None:
    """Ask a question about files, which are sent to a running server and kept there."""
    from wye.config.load import load_config

    *names, question = words
    if not names:
        raise click.UsageError("Name at least one file, then the question: wye ask report.pdf 'What did it cost?'")
    files = [Path(name) for name in names]
    for file in files:
        if not file.is_file():
            raise ConfigError(f"There is no file {file}. The question comes last, in quotes")
    server = server_of(load_config(file=config_file, env_file=env_file), server_url, api_key)
    documents = _read(server, files)
    body: JsonObject = {"question": question, "document_ids": documents}
    _tell(server, {**body, "model": model} if model else body)


def _read(server: Server, files: Sequence[Path]) -> list[str]:
    """Send files and wait until they are read. Raises ConfigError for one that cannot be."""
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as progress:
        documents: list[tuple[Path, str]] = []
        for file in files:
            task = progress.add_task(f"{file.name}: sent", total=max(1, file.stat().st_size))
            told = server.upload("/api/v1/upload", file, lambda sent, task=task: progress.update(task, completed=sent))
            documents.append((file, str(told["document_id"])))
        for file, document in documents:
            task = progress.add_task(f"{file.name}: read", total=100)
            while True:
                known = server.ask("GET", f"/api/v1/documents/{document}")
                progress.update(task, completed=int(known.get("progress") or 0))
                if known.get("status") == "failed":
                    raise ConfigError(f"{file} cannot be read: {known.get('error')}")
                if known.get("status") == "ready":
                    break
                sleep(_LOOKED_S)
            for note in as_list(known.get("notes")) or ():
                progress.console.print(f"{file.name}: {note}", markup=False)
    return [document for _, document in documents]


def _tell(server: Server, body: JsonObject) -> None:
    """Print the answer as it comes, then its citations. Raises StreamCut for one that breaks off."""
    console = Console(highlight=False, soft_wrap=True, markup=False)
    citations: list[JsonObject] = []
    done = False
    for frame in server.stream("/api/v1/ask", body):
        match frame.event:
            case None | "message":
                if frame.data == b"[DONE]":
                    done = True
                else:
                    console.print(frame.data.decode("utf-8", "replace"), end="")
            case "citations":
                citations = [as_object(one) or {} for one in as_list(decode(frame.data)) or ()]
            case "error":
                raise StreamCut(str((as_object(decode(frame.data)) or {}).get("message")))
            case _:
                pass
    console.print()
    if not done:
        raise StreamCut(f"The answer of {server.url} broke off")
    for one in citations:
        page = f", page {one['page']}" if one.get("page") else ""
        console.print(f"[{one.get('number')}] {one.get('filename')}{page}: “{one.get('quote')}”", style="dim")
