"""`wye check`: is my configuration good, are my providers up?"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import NamedTuple

import click

from wye.cli.options import config_options
from wye.config.schema import Config
from wye.kernel.errors import ConfigError, UpstreamError
from wye.ports.blobs import BlobsAway
from wye.ports.transport import Clocks, Transport
from wye.providers.upstream import UpstreamProvider

_QUICK = Clocks(connect_s=5, headers_s=5)


class Finding(NamedTuple):
    """One line of the answer."""

    name: str
    where: str
    key: str
    state: str
    good: bool


@click.command()
@click.option("--format", "shape", type=click.Choice(["table", "json"]), default="table", help="How to print.")
@config_options
def command(shape: str, config_file: Path | None, env_file: Path | None) -> None:
    """Say whether the configuration is good, and the providers and the place of files can be reached.

    Connects to each provider that is in use, without spending a token; where storage.blobs is set, a small file is kept
    there, read and deleted. Exit status 1 when one cannot be used.
    """
    from wye.config.load import load_config
    from wye.kernel.json import encode_text

    config = load_config(file=config_file, env_file=env_file)
    findings = [*asyncio.run(_upstreams(config)), *asyncio.run(_contents(config)), *_local_models(config)]
    if shape == "json":
        click.echo(encode_text([finding._asdict() for finding in findings]))
    else:
        _show(findings)
    if not all(finding.good for finding in findings):
        raise SystemExit(1)


def _show(findings: list[Finding]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table("Provider", "Address or model", "Key", "State", box=None, pad_edge=False)
    for finding in findings:
        table.add_row(*map(escape, finding[:4]), style=None if finding.good else "red")
    click.echo("The configuration is good.")
    Console().print(table)


async def _upstreams(config: Config) -> list[Finding]:
    from wye.drivers.http import HttpTransport
    from wye.wiring import make_providers

    used = {d.provider for route in config.routes.values() for d in route.deployments} | set(config.providers)
    transport = HttpTransport(proxies=config.proxies)
    try:
        providers = make_providers(config, transport)
        found = [p for name in sorted(used) if isinstance(p := providers.get(name), UpstreamProvider)]
        return list(await asyncio.gather(*(_upstream(config, provider, transport) for provider in found)))
    finally:
        await transport.close()


async def _upstream(config: Config, provider: UpstreamProvider, transport: Transport) -> Finding:
    origin = provider.origin
    section = config.providers.get(provider.name)
    key = section.api_key.masked() if section and section.api_key else ("missing" if provider.missing_key else "none")
    where = f"{origin.scheme}://{origin.authority}"
    try:
        # Any answer will do: what is asked is whether somebody is there.
        reply = await transport.send(origin, b"GET", b"/", b"", b"", _QUICK)
    except UpstreamError as error:
        return Finding(provider.name, where, key, error.message, False)
    reply.close()
    if provider.missing_key:
        return Finding(provider.name, where, key, "reached, but there is no key", False)
    return Finding(provider.name, where, key, "reached", True)


async def _contents(config: Config) -> list[Finding]:
    """Whether the place of files' contents takes one, gives it back and deletes it: all that will be done there."""
    import tempfile

    from wye.kernel.ids import new_id
    from wye.wiring_documents import home_of, make_blobs

    if not config.storage.blobs:
        return []
    key = new_id("check-")
    blobs = make_blobs(config.storage, home_of(config))
    try:
        with tempfile.TemporaryDirectory() as folder:
            probe = Path(folder) / "probe"
            probe.write_bytes(b"wye")
            await blobs.put(key, probe)
            await blobs.fetch(key, Path(folder))
            await blobs.delete(key)
    except BlobsAway as error:
        return [Finding("storage", config.storage.blobs, "-", error.message, False)]
    finally:
        await blobs.close()
    return [Finding("storage", config.storage.blobs, "-", "takes files, gives them back", True)]


def _local_models(config: Config) -> list[Finding]:
    """Those that the configuration names; without any route or name, the one that answers by default."""
    from wye.wiring import local_cards, make_weights, preloaded

    local = config.local
    if not local.enabled:
        return []
    routed = [d.model for route in config.routes.values() for d in route.deployments if d.provider == "local"]
    named = [*routed, *preloaded(config), *local.aliases, *local.files]
    wanted = dict.fromkeys(local.aliases.get(name, name) for name in named)
    cards, weights = local_cards(config), make_weights(config)
    findings: list[Finding] = []
    for name in [name for name in wanted if name not in local.attached]:
        card = cards.get(name)
        try:
            if card is None:
                state, good = f"unknown; known: {', '.join(cards)}", False
            else:
                good = weights.locate(card) is not None
                state = "its file is here" if good else f"no file: run 'wye models pull {name}'"
        except ConfigError as error:
            state, good = error.message, False
        findings.append(Finding("local", name, "-", state, good))
    return findings
