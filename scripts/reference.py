"""The reference of commands and routes, from the code that serves them."""

from __future__ import annotations

from collections.abc import Iterator

import click

from wye.api.routes import HOT_ROUTES, PAGES
from wye.cli import wye

INTRO = """# Reference

Every command with its options, and every route, as the code has them: `scripts/generate_docs.py` writes this page. What
they are for is told in [command line](cli.md) and [HTTP API](http-api.md); every setting is in
[configuration](configuration.md).
"""


def render() -> str:
    lines = [INTRO, "## Commands", ""]
    for name, command in commands():
        lines += _command(name, command)
    lines += ["## Routes", "", "| method | path | key | answers with | |", "|---|---|---|---|---|"]
    for hot in HOT_ROUTES:
        lines.append(_route("POST", hot.paths, "yes", "application/json", hot.summary))
    for page in PAGES:
        who = "no" if page.open else "the server's" if page.admin else "yes"
        lines.append(_route(page.method, page.paths, who, page.media, page.summary))
    return "\n".join(lines) + "\n"


def commands(command: click.Command = wye, name: str = "wye") -> Iterator[tuple[str, click.Command]]:
    """A command's whole name and the command, those below it included."""
    yield name, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for below in command.list_commands(context):
            found = command.get_command(context, below)
            assert found is not None
            yield from commands(found, f"{name} {below}")


def _command(name: str, command: click.Command) -> list[str]:
    context = click.Context(command, info_name=name)
    usage = " ".join([name, *command.collect_usage_pieces(context)])
    said = " ".join((command.help or "").split("\b")[0].split())
    lines = [f"### {name}", "", f"`{usage}`", "", said, ""]
    rows = [_option(option, context) for option in command.get_params(context) if isinstance(option, click.Option)]
    rows = [row for row in rows if row]
    return [*lines, "| option | |", "|---|---|", *rows, ""] if rows else lines


def _option(option: click.Option, context: click.Context) -> str:
    if option.hidden or "--help" in option.opts:
        return ""
    names = ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
    default = option.get_help_extra(context).get("default")
    told = f" [default: {default}]" if default else " [required]" if option.required else ""
    kind = "" if option.is_flag or option.count else f" {_cell(option.make_metavar(context))}"
    return f"| {names}{kind} | {_cell((option.help or '') + told)} |"


def _route(method: str, paths: tuple[str, ...], key: str, media: str, summary: str) -> str:
    shown = ", ".join(f"`{path.replace(':path', '')}`" for path in paths)
    return f"| {method} | {shown} | {key} | `{media}` | {_cell(summary)} |"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
