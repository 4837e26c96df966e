"""`wye conformance`: how well a server speaks the vendors' formats."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from wye.kernel.errors import ConfigError
from wye.kernel.json import encode_text

if TYPE_CHECKING:
    from wye.testing.conformance.check import Check, Result
    from wye.testing.conformance.target import Target

_FORMATS = ("chat", "responses", "messages", "converse", "embeddings")
_MARKS = {"passed": "[green]ok[/]", "failed": "[red]FAILED[/]", "skipped": "[dim]skipped[/]"}


@click.command()
@click.option("--base-url", required=True, help="Address of the server, with or without /v1.")
@click.option("--api-key", help="Its key.")
@click.option("--model", help="Model to ask. [default: the first that the server lists]")
@click.option("--embedding-model", help="Model to ask for vectors. [default: that of --model]")
@click.option("--only", "formats", multiple=True, type=click.Choice(_FORMATS), help="Format to check. [default: all]")
@click.option("--behind", type=click.IntRange(1, 65535), help="Serve the fake provider on this port, for a gateway.")
@click.option("--upstream", "upstreams", multiple=True, help="Model that the gateway answers from it: LABEL=MODEL.")
@click.option("--timeout", type=click.FloatRange(0.1), default=60.0, help="Seconds for an answer. [default: 60]")
@click.option(
    "--format", "shape", type=click.Choice(["table", "json"]), default="table", help="How to tell. [default: table]"
)
@click.option("--junit", type=click.Path(path_type=Path), help="File to write the results to, as JUnit's XML.")
def command(
    base_url: str,
    api_key: str | None,
    model: str | None,
    embedding_model: str | None,
    formats: tuple[str, ...],
    behind: int | None,
    upstreams: tuple[str, ...],
    timeout: float,
    shape: str,
    junit: Path | None,
) -> None:
    """Check how well a server speaks the formats of OpenAI, Anthropic and Bedrock.

    With --behind, whether a gateway carries them: it must be configured to answer the models of --upstream from
    http://127.0.0.1:PORT. Exit status 1 when a check fails.
    """
    from wye.testing.conformance.check import run
    from wye.testing.conformance.report import as_json, as_junit
    from wye.testing.conformance.target import Target

    target = Target(base_url, api_key, model=model, timeout_s=timeout)
    with ExitStack() as stack:
        if behind is not None:
            checks = _of_gateway(stack, behind, upstreams)
        elif upstreams:
            raise ConfigError("--upstream names models of a gateway before the fake provider: give --behind PORT")
        else:
            checks = _of_server(formats or _FORMATS)
        if behind is None:
            target.find_model()
        results = _told(run(_with_models(checks, target, embedding_model), target), shape == "table")
    if junit is not None:
        try:
            junit.write_text(as_junit(results))
        except OSError as error:
            raise ConfigError(f"{junit}: {error.strerror}") from None
    if shape == "json":
        click.echo(encode_text(as_json(target.url, target.model, results)))
    else:
        _table(target, results)
    if any(result.verdict == "failed" for result in results):
        raise SystemExit(1)


def _of_server(formats: Sequence[str]) -> list[Check]:
    from wye.testing.conformance.anthropic import MESSAGES
    from wye.testing.conformance.bedrock import CONVERSE
    from wye.testing.conformance.openai import CHAT, EMBEDDINGS, RESPONSES

    known = dict(zip(_FORMATS, (CHAT, RESPONSES, MESSAGES, CONVERSE, EMBEDDINGS), strict=True))
    return [check for name in _FORMATS if name in formats for check in known[name]]


def _of_gateway(stack: ExitStack, port: int, upstreams: Sequence[str]) -> list[Check]:
    from wye.testing.conformance.gateway import gateway_checks
    from wye.testing.fake_provider import FakeProvider

    pairs = [(label, model) for label, _, model in (named.partition("=") for named in upstreams) if model]
    if not pairs or len(pairs) < len(upstreams):
        raise ConfigError("--upstream must be LABEL=MODEL, at least once: --upstream anthropic=claude-sonnet")
    try:
        provider = stack.enter_context(FakeProvider(port=port))
    except OSError as error:
        raise ConfigError(error.strerror or str(error)) from None
    return list(gateway_checks(provider, pairs))


def _with_models(checks: Iterable[Check], target: Target, embedding_model: str | None) -> Iterable[Check]:
    """Each check, with the model that it is to ask in place."""
    asked = target.model
    for check in checks:
        target.model = embedding_model or asked if check.area == "OpenAI embeddings" else asked
        yield check
    target.model = asked


def _told(results: Iterable[Result], watched: bool) -> list[Result]:
    """All of them; who watches sees how far it is."""
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn

    found: list[Result] = []
    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console, transient=True, disable=not (watched and console.is_terminal)) as progress:
        task = progress.add_task("checking")
        for result in results:
            found.append(result)
            progress.update(task, description=f"{len(found)} {result.area}: {result.name}")
    return found


def _table(target: Target, results: Sequence[Result]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from wye.testing.conformance.report import counts

    console = Console()
    for area in dict.fromkeys(result.area for result in results):
        mine = [result for result in results if result.area == area]
        passed, failed, skipped = counts(mine)
        if skipped == len(mine):
            console.print(f"[bold]{escape(area)}[/]  [dim]not served: {escape(mine[0].detail)}[/]\n")
            continue
        table = Table("Topic", "What is right", "", "What is wrong", box=None, pad_edge=False)
        for result in mine:
            detail = "" if result.verdict == "passed" else escape(result.detail)
            table.add_row(result.topic, escape(result.name), _MARKS[result.verdict], detail)
        console.print(f"[bold]{escape(area)}[/]  {passed} of {passed + failed}")
        console.print(table)
        console.print()
    passed, failed, skipped = counts(results)
    asked = f", model {target.model}" if target.model else ""
    console.print(
        f"{passed} of {passed + failed} checks passed, {skipped} skipped: {target.url}{asked}", highlight=False
    )
