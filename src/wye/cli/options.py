"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def config_options(command: F) -> F:
    """`--config` and `--env-file`, as every command that reads the configuration takes them."""
    config = click.option(
        "--config", "config_file", type=click.Path(path_type=Path), help="Configuration file. [default: ./wye.yaml]"
    )
    env = click.option(
        "--env-file", type=click.Path(path_type=Path), help="File with environment variables. [default: ./.env]"
    )
    return config(env(command))
