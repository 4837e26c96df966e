"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from wye.config.schema import Config

F = TypeVar("F", bound=Callable[..., Any])


env_file_option = click.option(
    "--env-file", type=click.Path(path_type=Path), help="File with environment variables. [default: ./.env]"
)


def config_options(command: F) -> F:
    """`--config` and `--env-file`, as every command that reads the configuration takes them."""
    config = click.option(
        "--config", "config_file", type=click.Path(path_type=Path), help="Configuration file. [default: ./wye.yaml]"
    )
    return config(env_file_option(command))


def url_of(config: Config, port: int | None = None) -> str:
    """Where a server with this configuration is reached; `port` when it took a free one."""
    host = config.server.host
    return f"http://{f'[{host}]' if ':' in host else host}:{port or config.server.port}"
