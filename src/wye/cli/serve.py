"""`wye serve`: start the server and say in a few lines what it offers."""

from __future__ import annotations

import ipaddress
import os
import shutil
import signal
import socket
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType

import click

from wye.cli.logs import set_up
from wye.cli.options import config_options, url_of
from wye.config.schema import Config
from wye.kernel.errors import ConfigError


@click.command()
@click.option("--host", help="Address to listen on. [default: 127.0.0.1]")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on; 0 takes a free one. [default: 8000]")
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), help="How much to log.")
@click.option("--workers", type=click.IntRange(1), help="Processes that answer. [default: 1]")
@click.option("--reload", is_flag=True, help="Look at the configuration again and again, and serve it as it is then.")
@config_options
def command(
    host: str | None,
    port: int | None,
    log_level: str | None,
    workers: int | None,
    reload: bool,
    config_file: Path | None,
    env_file: Path | None,
) -> None:
    """Start the server.

    Without any configuration it answers from the model in the box, on http://127.0.0.1:8000.
    """
    from wye.config.load import load_config

    flags = {
        ("server", "host"): host,
        ("server", "port"): port,
        ("server", "log_level"): log_level,
        ("server", "workers"): workers,
    }

    def load() -> Config:
        config = load_config(file=config_file, env_file=env_file, flags=flags)
        refuse_open(config)
        return config

    config = load()
    if config.server.workers < 1:
        raise ConfigError(f"server.workers: {config.server.workers} processes cannot answer; 1 or more can")
    if config.server.workers > 1 and not hasattr(os, "fork"):
        raise ConfigError("server.workers: this system cannot fork processes; start with 1, or several servers")
    if config.server.workers > 1 and reload:
        raise ConfigError("--reload is for one process: start with --workers 1")
    listener = bind(config)
    set_up(config.server.log_level, config.server.log_format)
    if reload:
        run_reloading(config, listener, load)
    elif config.server.workers == 1:
        run(config, listener)
    else:
        run_workers(config, listener)


def refuse_open(config: Config) -> None:
    """Raises ConfigError when the server would answer anybody from other machines."""
    server = config.server
    if server.api_key or config.keys.enabled or server.allow_open or _is_loopback(server.host):
        return
    raise ConfigError(
        f"Refusing to listen on {server.host} without an API key: anybody who reaches it could spend your money.\n"
        "Set API_KEY (or server.api_key), or keys.enabled: true, or server.allow_open: true if that is what you want."
    )


def bind(config: Config) -> socket.socket:
    """The listening socket, taken before anything is loaded. Raises ConfigError when the address is not to be had."""
    host, port = config.server.host, config.server.port
    try:
        # A name with addresses of both families (`localhost`) is served on the older one, which every client tries.
        family = min(found[0] for found in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM))
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen()
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"Cannot listen on {host}:{port}: {reason}. Choose another with --port or --host.") from None
    listener.setblocking(False)
    return listener


def run(config: Config, listener: socket.socket) -> None:
    """Serve until SIGINT or SIGTERM; running answers may finish within `server.grace_s`."""
    from wye.api.http.server import make_server
    from wye.wiring import create_app

    # To be told to stop is no failure. uvicorn raises the signal once more when it has stopped.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _leave)
    app = create_app(config)
    for line in greeting(config, listener.getsockname()[1], app.pipeline.router.names()):
        click.echo(line)
    make_server(app, config.server.grace_s).run(sockets=[listener])


def run_reloading(config: Config, listener: socket.socket, load: Callable[[], Config]) -> None:
    """The same, and begin anew with each change of the configuration. Callers wait meanwhile; the address stays."""
    from wye.api.http.server import make_server
    from wye.cli.reload import Watch
    from wye.wiring import create_app

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _leave)
    while True:
        app = create_app(config)
        for line in greeting(config, listener.getsockname()[1], app.pipeline.router.names()):
            click.echo(line)
        server = make_server(app, config.server.grace_s)
        with Watch(load, create_app, config, partial(setattr, server, "should_exit", True)) as watch:
            server.run(sockets=[listener.dup()])  # uvicorn closes what it was given
        if watch.found is None:
            return
        if (watch.found.server.host, watch.found.server.port) != (config.server.host, config.server.port):
            click.echo("server.host and server.port stay as they are until the next start.")
        config = watch.found
        click.echo("The configuration has changed.")


def run_workers(config: Config, listener: socket.socket) -> None:
    """The same, with `server.workers` processes. What they share is in Redis where it is configured, else in one more
    process."""
    from wye.api.http.server import make_server
    from wye.cli.workers import Workers
    from wye.drivers.socket.server import listen
    from wye.engines.llama_cpp.engine import private_folder
    from wye.kernel.ids import new_id
    from wye.wiring import create_app, keep_state

    app = create_app(config)  # what is wrong is told once, before anything is started
    for line in greeting(config, listener.getsockname()[1], app.pipeline.router.names()):
        click.echo(line)
    name = new_id("server_")
    folder = private_folder()
    path = folder / "state.sock" if config.redis.url is None else None
    shared = listen(path) if path is not None else None

    def work() -> None:
        make_server(create_app(config, state_socket=path, server=name), config.server.grace_s).run(sockets=[listener])

    def keep() -> None:
        listener.close()
        if shared is not None:
            keep_state(config, shared)

    try:
        Workers(config.server.workers, work, keep if shared is not None else None, config.server.grace_s).run(listener)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _leave(number: int, frame: FrameType | None) -> None:
    raise SystemExit(0)


def greeting(config: Config, port: int, models: list[str]) -> list[str]:
    """What a person wants to know at the start."""
    url = url_of(config, port)
    key = "needed" if config.server.api_key or config.keys.enabled else "not needed"
    listed = ", ".join(models[:6]) + (f" and {len(models) - 6} more" if len(models) > 6 else "")
    own = ", each with local models of its own" if config.local.enabled else ""
    return [
        f"Wye listens on {url}",
        f"  models    {listed or 'none: configure a route or a provider'}",
        f"  API key   {key}",
        *([f"  workers   {config.server.workers}{own}"] if config.server.workers > 1 else []),
        f"  OpenAI    base_url={url}/v1",
        f"  Anthropic base_url={url}",
        f"  pages     {url}/docs  {url}/health",
    ]


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
