"""Settings from their four sources: flags over environment over file over defaults. Every error says where."""

from __future__ import annotations

import difflib
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import msgspec

from wye.config.schema import Config
from wye.config.sources import Document, Path_, Tree, home_folder, read_document, read_environment
from wye.kernel.errors import ConfigError
from wye.kernel.secret import Secret
from wye.providers.rows import ROWS

_ENVIRONMENT: dict[str, tuple[str, ...]] = {
    "API_KEY": ("server", "api_key"),
    "LOG_LEVEL": ("server", "log_level"),
    "DEFAULT_MODEL": ("default_model",),
}


def load_config(
    *,
    file: Path | None = None,
    env_file: Path | None = None,
    environment: Mapping[str, str] | None = None,
    flags: Mapping[tuple[str, ...], Any] | None = None,
) -> Config:
    """The configuration that a process runs with. `flags` are paths to values; None stands for "not given".

    Raises ConfigError with one clear message that names file and line, all unknown or wrong settings together.
    """
    env = read_environment(env_file) if environment is None else dict(environment)
    env.setdefault("WYE_HOME", str(home_folder(None, env)))
    document = read_document(file, env)
    tree: Tree = document.values if document else {}
    for path, value in (*_from_environment(env), *(flags or {}).items()):
        if value is not None:
            _put(tree, path, value)
    tree.setdefault("home", env["WYE_HOME"])
    proxies = {
        kind: value
        for kind in ("http", "https", "no")
        if (value := env.get(f"{kind}_proxy") or env.get(f"{kind.upper()}_PROXY"))
    }
    if proxies:
        tree.setdefault("proxies", proxies)
    return config_from(tree, document)


def config_from(tree: Mapping[str, Any], document: Document | None = None) -> Config:
    """A configuration from plain values, as a YAML file would hold them. Raises ConfigError."""
    problems: list[str] = []

    def report(path: Path_, message: str) -> None:
        name = ".".join(map(str, path))
        where = f"{document.where(path)}: " if document else ""
        problems.append(f"{where}{name}: {message}" if name else f"{where}{message}")

    config: Config | None = _convert(tree, Config, (), report)
    if config is not None and not problems:
        _check(config, report)
    if config is None or problems:
        raise ConfigError("\n".join(problems))
    return config


def _from_environment(env: Mapping[str, str]) -> list[tuple[tuple[str, ...], str]]:
    found = [(path, env[name]) for name, path in _ENVIRONMENT.items() if env.get(name)]
    found += [(("providers", row.name, "api_key"), env[row.key_env]) for row in ROWS.values() if env.get(row.key_env)]
    return [(path, value.lower() if path[-1] == "log_level" else value) for path, value in found]


def _put(tree: Tree, path: tuple[str, ...], value: Any) -> None:
    for name in path[:-1]:
        below = tree.get(name)
        if not isinstance(below, dict):
            below = tree[name] = {}
        tree = below  # pyright: ignore[reportUnknownVariableType]
    # A key that the file gives to a provider is more specific than the environment's for the vendor.
    if path[0] == "providers" and tree.get(path[-1]):
        return
    tree[path[-1]] = value


_Report = typing.Callable[[Path_, str], None]


def _convert(value: Any, kind: Any, path: Path_, report: _Report) -> Any:
    """`value` as `kind`, going down member by member so that every error has its exact path."""
    if _is_section(kind):
        return _convert_struct({} if value is None else value, kind, path, report)
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin is dict and isinstance(value, dict) and _is_section(args[1]):
        named = cast("Tree", value)
        return {name: _convert(item, args[1], (*path, name), report) for name, item in named.items()}
    if origin is list and isinstance(value, list) and _is_section(args[0]):
        listed = cast("list[Any]", value)
        return [_convert(item, args[0], (*path, i), report) for i, item in enumerate(listed)]
    try:
        return msgspec.convert(value, kind, strict=False, dec_hook=_secret)
    except msgspec.ValidationError as error:
        report(path, str(error).replace("`", "'"))
        return None


def _is_section(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _secret(kind: type, value: Any) -> Any:
    if kind is Secret:
        return Secret(str(value))
    raise NotImplementedError(kind)  # pragma: no cover - msgspec asks only for types it does not know


def _convert_struct(value: Any, kind: type[msgspec.Struct], path: Path_, report: _Report) -> Any:
    if not isinstance(value, dict):
        report(path, "must be a section of `name: value` lines")
        return None
    given = cast("Tree", value)
    known = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    for name in given:
        if name not in known:
            close = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean {close[0]!r}?" if close else f"known here: {', '.join(sorted(known))}"
            report((*path, name), f"unknown setting; {hint}")
    members = {
        field.name: _convert(given[name], field.type, (*path, name), report)
        for name, field in known.items()
        if name in given
    }
    for name, field in known.items():
        if field.required and name not in members:
            report(path, f"{name!r} is required")
            return None
    return kind(**members)


def _check(config: Config, report: _Report) -> None:
    """What a type cannot say."""
    known = {*config.providers, *ROWS, "local"}
    for name, provider in config.providers.items():
        kind = provider.kind or name
        if kind not in ROWS and name != "local":
            close = difflib.get_close_matches(kind, ROWS, 1)
            hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(sorted(ROWS))}"
            report(("providers", name, "kind"), f"unknown kind {kind!r}; {hint}")
    for name, route in config.routes.items():
        if not route.deployments:
            report(("routes", name, "deployments"), "a route needs at least one deployment")
        for i, deployment in enumerate(route.deployments):
            if deployment.provider not in known:
                close = difflib.get_close_matches(deployment.provider, known, 1)
                hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(sorted(known))}"
                report(
                    ("routes", name, "deployments", i, "provider"), f"unknown provider {deployment.provider!r}; {hint}"
                )
    for name in config.proxies.keys() - {"http", "https", "no"}:
        report(("proxies", name), "unknown setting; known here: http, https, no")
    for section, number, least in (
        ("server.port", config.server.port, 0),
        ("server.body_limit_mb", config.server.body_limit_mb, 1),
        ("local.max_concurrent", config.local.max_concurrent, 1),
        ("limits.requests_per_minute", config.limits.requests_per_minute, 1),
        ("limits.tokens_per_minute", config.limits.tokens_per_minute, 1),
        ("limits.concurrent", config.limits.concurrent, 1),
    ):
        if number is not None and number < least:
            report(tuple(section.split(".")), f"must be at least {least}, not {number}")
