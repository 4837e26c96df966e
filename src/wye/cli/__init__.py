"""The command line: one file a command, imported when it runs."""

from __future__ import annotations

from importlib import import_module

import click

from wye import __version__

COMMANDS = {
    "serve": "Start the server.",
    "chat": "Talk to a model at the terminal.",
    "ask": "Ask a question about files.",
    "models": "List, fetch, load and unload models.",
    "config": "Keep settings between runs, see what they come to, try the AWS credentials.",
    "mock": "Serve every format without a model, to test against.",
    "keys": "Issue keys to callers, see them, revoke them.",
    "usage": "Say who used what, and what it cost.",
    "conformance": "Check how well a server speaks the vendors' formats.",
    "bench": "Measure how many calls a server answers, and how fast.",
    "worker": "Read documents for the servers that share its database.",
    "check": "Say whether the configuration is good and the providers can be reached.",
}


class _Commands(click.Group):
    """Knows the commands by name and imports one only to run it: `wye --help` stays instant."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        return import_module(f"wye.cli.{cmd_name}").command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="wye")
def wye() -> None:
    """One endpoint for every language model."""


def main() -> None:
    """Run a command. A mistake of the user's ends with one clear message and status 1, never a traceback."""
    from wye.kernel.errors import WyeError

    try:
        wye(prog_name="wye")
    except WyeError as error:
        click.echo(f"wye: {error.message}", err=True)
        raise SystemExit(1) from None
