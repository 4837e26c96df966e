"""wye worker: read documents for the servers that share its database."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import click

from wye.cli.options import config_options
from wye.config.schema import Config
from wye.kernel.errors import ConfigError


@click.command(name="worker")
@click.option(
    "--readers", type=click.IntRange(1, 64), help="How many documents to read at one time. [default: documents.readers]"
)
@config_options
def command(readers: int | None, config_file: Path | None, env_file: Path | None) -> None:
    """Read documents for the servers that share its database, until it is stopped."""
    from wye.cli.logs import set_up
    from wye.config.load import load_config

    flags = {("documents", "readers"): readers}
    config = load_config(file=config_file, env_file=env_file, flags=flags)
    if not config.documents.readers:
        raise ConfigError(
            "documents.readers is 0 for the servers: say how many a worker reads at one time by --readers"
        )
    set_up(config.server.log_level, config.server.log_format)
    asyncio.run(_work(config))


async def _work(config: Config) -> None:
    from wye.wiring import create_worker

    told = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    app, library = create_worker(config)
    await app.start()
    try:
        await library()
        click.echo(f"Reading documents that wait for it, {config.documents.readers} at one time. Ctrl-C ends it.")
        await told.wait()
    finally:
        await app.stop()
