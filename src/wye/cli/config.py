"""`wye config`: settings that are kept between runs, and what the configuration comes to."""

from __future__ import annotations

import asyncio
import difflib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import click
import msgspec

from wye.cli.options import config_options, env_file_option
from wye.config.schema import ProviderConfig
from wye.kernel.errors import ConfigError
from wye.kernel.json import JsonError, as_object, decode, encode_text
from wye.kernel.secret import Secret
from wye.ports.transport import Clocks
from wye.providers.bedrock import BedrockRuntime

_ASKED = (
    ("OpenAI API key", "OPENAI_API_KEY"),
    ("API key that callers of this server need", "API_KEY"),
    ("AWS access key id", "AWS_ACCESS_KEY_ID"),
    ("AWS secret access key", "AWS_SECRET_ACCESS_KEY"),
    ("AWS region", "AWS_REGION"),
)
_SHOWN_AS_TYPED = ("AWS_ACCESS_KEY_ID", "AWS_REGION")
_USER_OF_A_URL = re.compile(r"//[^/@]*@")
_MAX_ANSWER_BYTES = 64 * 1024
_QUICK = Clocks(connect_s=5, headers_s=10)
_PATH = tuple[str, ...]


@click.group()
def command() -> None:
    """Keep settings between runs, see what the configuration comes to, and try the AWS credentials."""


@command.command("set")
@click.option("--key", help="A setting, as in 'server.port', or the variable that stands for it, as in OPENAI_API_KEY.")
@click.option("--value", help="Its value. [default: asked for, unseen]")
@env_file_option
def set_(key: str | None, value: str | None, env_file: Path | None) -> None:
    """Save settings; without --key, asks for the usual ones.

    They are kept in Wye's own folder, where only you can read them. Every other source of settings is stronger.
    """
    from wye.config.load import config_from, put
    from wye.config.saved import read_saved, write_saved

    if value is not None and not (key and value):
        raise click.UsageError("--value needs --key, and must not be empty: 'wye config unset' forgets a setting")
    home = _home(env_file)
    saved = read_saved(home)
    if key is not None:
        answers = {_path(key): value if value is not None else _ask(key, seen=False)}
    else:
        click.echo("Press Enter to leave a setting as it is.")
        answers = {_path(name): _ask(told, seen=name in _SHOWN_AS_TYPED) for told, name in _ASKED}
    for path, answer in answers.items():
        if answer:
            tree: dict[str, Any] = {}
            put(tree, path, answer)
            config_from(tree)
            put(saved, path, answer)
    write_saved(home, saved)
    click.echo("Configuration saved")


@command.command()
@click.argument("key")
@env_file_option
def unset(key: str, env_file: Path | None) -> None:
    """Forget a saved setting."""
    from wye.config.saved import read_saved, write_saved

    home, path = _home(env_file), _path(key)
    saved = read_saved(home)
    if not _remove(saved, path):
        raise ConfigError(f"{'.'.join(path)} is not saved")
    write_saved(home, saved)
    click.echo("Configuration saved")


@command.command()
@click.option("--format", "shape", type=click.Choice(["text", "json"]), default="text", help="How to print.")
@config_options
def show(shape: str, config_file: Path | None, env_file: Path | None) -> None:
    """Print every setting that is not its default, wherever it comes from. Keys are masked."""
    from wye.config.load import load_config
    from wye.config.saved import NAME

    changed = list(_settings(load_config(file=config_file, env_file=env_file), changed=True))
    if shape == "json":
        click.echo(encode_text({".".join(path): _masked(path, value) for path, value in changed}))
    else:
        for path, value in changed:
            click.echo(f"{'.'.join(path)} = {_masked(path, value)}")
    file = _home(env_file) / NAME
    if file.exists():
        click.echo(f"Saved settings are in {file}", err=True)


@command.command()
@click.argument("key")
@config_options
def get(key: str, config_file: Path | None, env_file: Path | None) -> None:
    """Print one setting as it counts now, or all of a section. Keys are masked."""
    from wye.config.load import load_config

    wanted = _path(key)
    settings = dict(_settings(load_config(file=config_file, env_file=env_file), changed=False))
    if wanted in settings:
        click.echo(_masked(wanted, settings[wanted]))
        return
    below = {path: value for path, value in settings.items() if path[: len(wanted)] == wanted}
    if not below:
        near = difflib.get_close_matches(".".join(wanted), [".".join(path) for path in settings], 1)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise ConfigError(f"{'.'.join(wanted)} is not set.{hint}")
    for path, value in below.items():
        click.echo(f"{'.'.join(path)} = {_masked(path, value)}")


@command.command("test-aws")
@click.option("--provider", default="bedrock", show_default=True, help="Which provider of kind bedrock to try.")
@config_options
def test_aws(provider: str, config_file: Path | None, env_file: Path | None) -> None:
    """Say in one line as whom Wye calls AWS and how it signed in, or why it cannot. Exit status 1 when it cannot."""
    from wye.config.load import load_config
    from wye.wiring import make_bedrock

    config = load_config(file=config_file, env_file=env_file)
    section = config.providers.get(provider, ProviderConfig() if provider == "bedrock" else None)
    if section is None or (section.kind or provider) != "bedrock":
        raise ConfigError(f"{provider!r} is no provider of kind bedrock")
    runtime = make_bedrock(provider, section)
    click.echo(asyncio.run(_who(runtime, config.proxies)))


async def _who(runtime: BedrockRuntime, proxies: dict[str, str]) -> str:
    settings, credentials = runtime.credentials.settings, runtime.credentials
    if settings.method == "bearer token":
        await _present(runtime, proxies)
        who = "accepted"
    else:
        who = await credentials.identity()
    return f"{settings.tell()}: {who}, in {await credentials.region()}"


async def _present(runtime: BedrockRuntime, proxies: dict[str, str]) -> None:
    """Show a bearer token to Bedrock with a call that asks for nothing. STS does not know these tokens."""
    from wye.drivers.http import HttpTransport
    from wye.ports.provider import Call

    transport = HttpTransport(proxies=proxies)
    try:
        target, body = runtime.target(Call("bedrock_converse", "none", b"{}")), b"{}"
        lines = b"content-type: application/json\r\n" + await runtime.authorize(b"POST", target, {}, body)
        reply = await transport.send(await runtime.origin(), b"POST", target, lines, body, _QUICK)
        try:
            answer = await reply.read_all(_MAX_ANSWER_BYTES, _QUICK.headers_s)
        finally:
            reply.close()
    finally:
        await transport.close()
    if reply.status in (401, 403):
        raise runtime.credentials.unusable(_reason(answer) or f"refused with status {reply.status}")


def _reason(answer: bytes) -> str | None:
    try:
        told = as_object(decode(answer)) or {}
    except JsonError:
        return None
    reason = told.get("message", told.get("Message"))
    return " ".join(reason.split())[:500] if isinstance(reason, str) else None


def _home(env_file: Path | None) -> Path:
    from wye.config.sources import home_folder, read_environment

    return home_folder(None, read_environment(env_file))


def _path(key: str) -> _PATH:
    """The setting that a key means: `server.port`, or a variable's."""
    from wye.config.load import ENVIRONMENT

    return ENVIRONMENT.get(key.upper()) or tuple(key.split("."))


def _ask(told: str, seen: bool) -> str:
    # Without a terminal there is nobody to hide it from, and getpass would complain.
    return click.prompt(told, default="", show_default=False, hide_input=not seen and sys.stdin.isatty())


def _remove(tree: dict[str, Any], path: _PATH) -> bool:
    """Take a value out, and the sections that are empty without it. Whether it was there."""
    name, *rest = path
    below = tree.get(name)
    if rest:
        if not isinstance(below, dict) or not _remove(cast("dict[str, Any]", below), tuple(rest)):
            return False
        if below:
            return True
    return tree.pop(name, None) is not None


def _settings(section: msgspec.Struct, changed: bool, path: _PATH = ()) -> Iterator[tuple[_PATH, Any]]:
    """Every single value of a section and of those below, with its path; `changed` leaves out defaults."""
    for field in msgspec.structs.fields(section):
        value = getattr(section, field.name)
        default = field.default_factory() if field.default_factory is not msgspec.NODEFAULT else field.default
        if not changed or value != default:
            yield from _values(value, changed, (*path, field.encode_name))


def _values(value: Any, changed: bool, path: _PATH) -> Iterator[tuple[_PATH, Any]]:
    match value:
        case msgspec.Struct():
            yield from _settings(value, changed, path)
        case dict():
            for name, below in cast("dict[str, Any]", value).items():
                yield from _values(below, changed, (*path, name))
        case list():
            for i, below in enumerate(cast("list[Any]", value)):
                yield from _values(below, changed, (*path, str(i)))
        case _:
            yield path, value


def _masked(path: _PATH, value: Any) -> str:
    """A value as it may be seen: keys, headers and the users of proxies are not."""
    if isinstance(value, Secret):
        return value.masked()
    if "headers" in path:
        return "***"
    if value is None or isinstance(value, bool):
        return "not set" if value is None else str(value).lower()
    return _USER_OF_A_URL.sub("//***@", str(value))
