"""`wye check`: is my configuration good, are my providers up?"""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from wye.cli.options import config_options
from wye.config.schema import Config
from wye.kernel.errors import UpstreamError
from wye.ports.transport import Clocks, Transport
from wye.providers.upstream import UpstreamProvider

_QUICK = Clocks(connect_s=5, headers_s=5)


@click.command()
@config_options
def command(config_file: Path | None, env_file: Path | None) -> None:
    """Say whether the configuration is good and the providers can be reached.

    Connects to each provider that is in use, without spending a token. Exit status 1 when one cannot be reached.
    """
    from rich.console import Console
    from rich.table import Table

    from wye.config.load import load_config

    config = load_config(file=config_file, env_file=env_file)
    rows = asyncio.run(_examine(config))
    table = Table("Provider", "Address", "Key", "State", box=None, pad_edge=False)
    for row in rows:
        table.add_row(*row[:3], f"[{'green' if row[4] else 'red'}]{row[3]}")
    console = Console()
    console.print("Configuration is good.")
    console.print(table)
    if not all(row[4] for row in rows):
        raise SystemExit(1)


async def _examine(config: Config) -> list[tuple[str, str, str, str, bool]]:
    """For each provider in use: name, address, key, state in words, and whether that is well."""
    from wye.drivers.http import HttpTransport
    from wye.wiring import DEFAULT_LOCAL_MODEL, local_cards, make_providers, make_weights

    transport = HttpTransport(proxies=config.proxies)
    used = {d.provider for route in config.routes.values() for d in route.deployments} | set(config.providers)
    providers = make_providers(config, transport)
    try:
        found = [p for name in sorted(used) if isinstance(p := providers.get(name), UpstreamProvider)]
        rows = list(await asyncio.gather(*(_examine_one(config, provider, transport) for provider in found)))
    finally:
        await transport.close()
    if config.local.enabled:
        card = local_cards(config)[DEFAULT_LOCAL_MODEL]
        here = make_weights(config).locate(card) is not None
        state = "its file is here" if here else f"no file: run 'wye models pull {card.id}'"
        rows.append(("local", card.id, "-", state, here))
    return rows


async def _examine_one(
    config: Config, provider: UpstreamProvider, transport: Transport
) -> tuple[str, str, str, str, bool]:
    origin = provider.origin
    section = config.providers.get(provider.name)
    key = section.api_key.masked() if section and section.api_key else ("missing" if provider.missing_key else "none")
    address = f"{origin.scheme}://{origin.authority}"
    try:
        reply = await transport.send(origin, b"GET", b"/", b"", b"", _QUICK)
        reply.close()
    except UpstreamError as error:
        return provider.name, address, key, error.message, False
    if provider.missing_key:
        return provider.name, address, key, "reached, but there is no key", False
    return provider.name, address, key, "reached", True
