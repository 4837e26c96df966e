"""`wye bench`: how many calls a server answers, and how fast."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import click
from msgspec import to_builtins

if TYPE_CHECKING:
    from rich.console import Group

    from wye.cli.load import Load, Summary
    from wye.dialects.dialect import Dialect
    from wye.ports.provider import Provider
    from wye.ports.transport import Transport

_FORMATS = {"chat": "openai_chat", "responses": "openai_responses", "messages": "anthropic_messages"}
_PROMPT = "Say in two sentences what the number {n} is known for."


@click.command()
@click.option("--base-url", required=True, help="Address of the server, with or without /v1.")
@click.option("--api-key", help="Its key.")
@click.option("--model", help="Model to ask. [default: the first that the server lists]")
@click.option("--api", type=click.Choice([*_FORMATS]), default="chat", help="Format to ask in. [default: chat]")
@click.option("--stream/--no-stream", default=True, help="Ask for streamed answers. [default: --stream]")
@click.option("--calls", type=click.IntRange(1, 1_000_000), default=100, help="How many. [default: 100]")
@click.option("--at-once", type=click.IntRange(1, 1000), default=8, help="How many at one time. [default: 8]")
@click.option("--seconds", type=click.FloatRange(0.1, 86_400), help="Begin no call after so long.")
@click.option("--prompt", default=_PROMPT, help="What to ask; {n} is the number of the call.")
@click.option("--max-tokens", type=click.IntRange(1), default=64, help="Length of an answer. [default: 64]")
@click.option("--timeout", type=click.FloatRange(0.1), default=60.0, help="Seconds without a byte. [default: 60]")
@click.option(
    "--format", "shape", type=click.Choice(["table", "json"]), default="table", help="How to tell. [default: table]"
)
def command(
    base_url: str,
    api_key: str | None,
    model: str | None,
    api: str,
    stream: bool,
    calls: int,
    at_once: int,
    seconds: float | None,
    prompt: str,
    max_tokens: int,
    timeout: float,
    shape: str,
) -> None:
    """Measure how many calls a server answers, and how fast.

    Every call is one that is paid for, where answers are. Exit status 1 when a call failed.
    """
    from wye.cli.load import Load, Question, summary_of
    from wye.drivers.http import HttpTransport
    from wye.kernel.json import encode_text
    from wye.testing.conformance.target import Target

    target = Target(base_url, api_key, model=model, timeout_s=timeout)
    target.find_model()
    transport = HttpTransport()
    provider = _provider(target.url, api_key, api, transport)
    load = Load(provider, _dialect(api), Question(target.model, prompt, max_tokens, stream, timeout))
    ended = False
    try:
        asyncio.run(_run(load, transport, calls, at_once, seconds, watched=shape == "table"))
    except KeyboardInterrupt:
        ended = True  # what was measured is told all the same
    summary = summary_of(load)
    if shape == "json":
        asked = {"url": target.url, "model": target.model, "api": api, "stream": stream}
        click.echo(encode_text({**asked, **to_builtins(summary)}))
    else:
        from rich.console import Console

        Console().print(_told(summary))
    if ended or summary.failed:
        raise SystemExit(130 if ended else 1)


def _dialect(api: str) -> Dialect:
    from wye.dialects.registry import DIALECTS

    return DIALECTS[_FORMATS[api]]


def _provider(url: str, api_key: str | None, api: str, transport: Transport) -> Provider:
    from wye.dialects.dialect import Quirks
    from wye.dialects.registry import DIALECTS
    from wye.kernel.secret import Secret
    from wye.providers.rows import ROWS
    from wye.providers.upstream import UpstreamProvider

    row = ROWS["anthropic" if api == "messages" else "openai"]
    address = url if api == "messages" else f"{url}/v1"
    key = Secret(api_key or "none")
    return UpstreamProvider(
        "bench", row, DIALECTS, transport, base_url=address, api_key=key, headers={}, quirks=Quirks()
    )


async def _run(
    load: Load, transport: Transport, calls: int, at_once: int, seconds: float | None, *, watched: bool
) -> None:
    """Who watches sees how far it is."""
    from rich.console import Console
    from rich.live import Live

    from wye.cli.load import summary_of

    console = Console(stderr=True)
    shown = watched and console.is_terminal
    try:
        with Live(
            console=console,
            transient=True,
            auto_refresh=shown,
            get_renderable=lambda: _told(summary_of(load), load.running) if shown else "",
        ):
            await load.run(calls, at_once, seconds)
    finally:
        await transport.close()


def _told(summary: Summary, running: int = 0) -> Group:
    from rich.console import Group
    from rich.markup import escape
    from rich.table import Table

    under_way = f", {running} under way" if running else ""
    failed = f", [red]{summary.failed} failed[/]" if summary.failed else ""
    head = (
        f"{summary.calls:,} calls in {summary.seconds:.1f} s{failed}{under_way}: {summary.calls_per_s:,.1f} answers/s"
    )
    tokens = f", {summary.output_tokens_per_s:,.0f} tokens/s" if summary.output_tokens else ""
    table = Table("", "50 %", "90 %", "99 %", "most", box=None, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    for name, spread, unit in (
        ("Whole answer", summary.latency_s, "s"),
        ("First content", summary.first_token_s, "s"),
        ("Tokens of an answer", summary.tokens_per_s, "/s"),
    ):
        if spread is not None:
            table.add_row(name, *(_figure(figure, unit) for figure in (spread.p50, spread.p90, spread.p99, spread.max)))
    for failure, count in summary.failures.items():
        table.add_row(f"[red]{escape(failure)}[/]", f"{count:,}")
    return Group(head + tokens, table)


def _figure(figure: float, unit: str) -> str:
    return f"{figure * 1000:,.1f} ms" if unit == "s" and figure < 1 else f"{figure:,.1f} {unit}".replace(" /s", "/s")
