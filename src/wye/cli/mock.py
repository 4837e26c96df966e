"""`wye mock`: a provider of models that has none, to test against."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from types import FrameType

import click

from wye.kernel.errors import ConfigError, WyeError


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), default=8001, help="Port; 0 takes a free one. [default: 8001]")
@click.option("--script", type=click.Path(path_type=Path), help="File of rules: what to answer to what.")
@click.option("--fault", help="A fault that befalls every answer; --faults lists them.")
@click.option("--latency", type=click.FloatRange(0), default=0.0, help="Seconds until an answer begins.")
@click.option("--tokens-per-s", type=click.FloatRange(0.01), help="How fast answers come. [default: at once]")
@click.option("--api-key", help="Key that callers must have. [default: any, or none]")
@click.option("--rpm", type=click.IntRange(1), help="Calls a minute; more are refused with 429. [default: any number]")
@click.option("--tag", default="fake", help="Name of this instance, told with every answer. [default: fake]")
@click.option("--record", type=click.Path(path_type=Path), help="Forward to --to, and record its answers in a file.")
@click.option("--to", "base_url", help="Address of the server to record.")
@click.option("--replay", type=click.Path(path_type=Path), help="Answer from a file that was recorded.")
@click.option("--faults", "list_faults", is_flag=True, help="List the faults there are, and end.")
def command(
    port: int,
    script: Path | None,
    fault: str | None,
    latency: float,
    tokens_per_s: float | None,
    api_key: str | None,
    rpm: int | None,
    tag: str,
    record: Path | None,
    base_url: str | None,
    replay: Path | None,
    list_faults: bool,
) -> None:
    """Serve every format of OpenAI, Anthropic and Bedrock without a model.

    Answers are made up, always the same, and cost nothing; faults happen on demand.
    """
    from wye.testing.cassette import Recorder, Replayer
    from wye.testing.fake import FakeUpstream
    from wye.testing.fake_provider import FakeProvider
    from wye.testing.replies import load_rules

    if list_faults:
        _show_faults()
        return
    if (record is None) is not (base_url is None) or (record and replay):
        raise ConfigError(
            "--record FILE needs --to URL, the server whose answers are recorded; --replay FILE stands alone"
        )
    try:
        if replay is not None:
            server: FakeUpstream = Replayer(replay, port=port)
        elif record is not None and base_url is not None:
            server = Recorder(record, base_url, port=port)
        else:
            server = FakeProvider(
                load_rules(script) if script else (),
                port=port,
                tag=tag,
                api_key=api_key,
                fault=fault,
                latency_s=latency,
                tokens_per_s=tokens_per_s,
                requests_per_minute=rpm,
            )
        server.start()
    except WyeError as error:
        raise ConfigError(error.message) from None
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigError(f"{reason}. Choose another port with --port.") from None
    told = told_to_end()
    if isinstance(server, FakeProvider):
        lines = greeting(server.url, keyed=api_key is not None)
    else:
        lines = _of_cassette(server.url, replay, record, base_url)
    for line in lines:
        click.echo(line)
    told.wait()
    server.stop()


def _of_cassette(url: str, replay: Path | None, record: Path | None, base_url: str | None) -> list[str]:
    does = f"replays {replay}" if replay is not None else f"records {base_url}"
    return [
        f"The cassette on {url} {does}",
        f"  OpenAI    base_url={url}/v1",
        f"  Anthropic base_url={url}",
        f"  log       {replay or record}",
    ]


def told_to_end() -> threading.Event:
    """Set by SIGINT and SIGTERM from now on."""
    told = threading.Event()

    def leave(number: int, frame: FrameType | None) -> None:
        told.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, leave)
    return told


def greeting(url: str, *, keyed: bool) -> list[str]:
    """What a person wants to know at the start."""
    key = "as given" if keyed else "any"
    return [
        f"The fake provider listens on {url}",
        f"  OpenAI    base_url={url}/v1",
        f"  Anthropic base_url={url}",
        f"  Bedrock   endpoint_url={url}",
        f"  API key   {key}",
        "  models    any name; no-such-* are unknown",
        "  ask       2+2 · capital of France · Count from 1 to 5 · three colors · anything else comes back",
        "  tools     are called when asked about by name, or when they must be",
        "  faults    header x-fake-fault: stall=3, or a model's name: gpt-4o-fault-stall; wye mock --faults lists them",
        f"  log       {url}/__log",
    ]


def _show_faults() -> None:
    from rich.console import Console
    from rich.table import Table

    from wye.testing.faults import FAULTS

    table = Table("Fault", "What happens", "=NUMBER", box=None, pad_edge=False)
    table.add_row("503, 503-once", "any status of an error, always or once", "Retry-After")
    for fault in FAULTS.values():
        table.add_row(fault.name, fault.summary, fault.argument)
    Console().print(table)
