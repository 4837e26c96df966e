"""Where settings are written: a YAML file that remembers its lines, and the environment with its `.env` file."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import yaml
from dotenv import dotenv_values

from wye.kernel.errors import ConfigError

Tree = dict[str, Any]
Path_ = tuple[str | int, ...]

_WRITTEN = re.compile(r"\$\{(\w+)\}")
# Braces mean something to YAML in `{api_key: ${KEY}}`: references are read under two characters that do not.
_REFERENCE = re.compile(r"\ue000(\w+)\ue001|^os\.environ/(\w+)$")


class Document:
    """One configuration file: its values, and the line on which each of them stands."""

    def __init__(self, path: Path, text: str, environment: Mapping[str, str]) -> None:
        self.path = path
        self._environment = environment
        self._lines: dict[Path_, int] = {}
        self._missing: list[str] = []
        try:
            root = yaml.compose(_WRITTEN.sub("\ue000\\1\ue001", text), Loader=yaml.SafeLoader)
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            where = f"{path}:{mark.line + 1}" if mark else str(path)
            raise ConfigError(f"{where}: not valid YAML: {getattr(error, 'problem', None) or error}") from None
        values: Any = {} if root is None else self._value(root, ())
        if not isinstance(values, dict):
            raise ConfigError(f"{path}:1: the file must hold settings as `name: value`")
        if self._missing:
            raise ConfigError(
                "These environment variables are referred to but not set:\n  "
                + "\n  ".join(self._missing)
                + "\nSet them, or take the lines out."
            )
        self.values = cast("Tree", values)

    def where(self, path: Path_) -> str:
        """`wye.yaml:12`, the line of a value or of the nearest section around it."""
        while path and path not in self._lines:
            path = path[:-1]
        return f"{self.path}:{self._lines.get(path, 1)}"

    def _value(self, node: yaml.Node, path: Path_) -> Any:
        self._lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            values: Tree = {}
            for key_node, value_node in node.value:
                key = str(key_node.value)
                if key in values:
                    raise ConfigError(f"{self.path}:{key_node.start_mark.line + 1}: {key!r} is given twice")
                self._lines[(*path, key)] = key_node.start_mark.line + 1
                values[key] = self._value(value_node, (*path, key))
            return values
        if isinstance(node, yaml.SequenceNode):
            return [self._value(item, (*path, i)) for i, item in enumerate(node.value)]
        value = yaml.SafeLoader("").construct_object(node)  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
        return self._resolved(value, node) if isinstance(value, str) else value  # pyright: ignore[reportUnknownVariableType]

    def _resolved(self, value: str, node: yaml.Node) -> str:
        def replace(found: re.Match[str]) -> str:
            name = found[1] or found[2]
            if name not in self._environment:
                self._missing.append(f"{name}  ({self.path}:{node.start_mark.line + 1})")
                return ""
            return self._environment[name]

        return _REFERENCE.sub(replace, value)


def read_document(explicit: Path | None, environment: Mapping[str, str]) -> Document | None:
    """The configuration file: the one given, else WYE_CONFIG, else `./wye.yaml` when it exists.

    Raises ConfigError when a file that was asked for is not there, or cannot be understood.
    """
    named = explicit or (Path(environment["WYE_CONFIG"]) if environment.get("WYE_CONFIG") else None)
    path = named or Path("wye.yaml")
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        if named is None:
            return None
        asked = "--config" if explicit else "WYE_CONFIG"
        raise ConfigError(f"The configuration file {path} does not exist ({asked} names it)") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"The configuration file {path} cannot be read: {error}") from None
    return Document(path, text, environment)


def read_environment(env_file: Path | None) -> dict[str, str]:
    """The process's environment over the `.env` file (the one given, else `./.env` when it exists)."""
    if env_file is not None and not env_file.is_file():
        raise ConfigError(f"The environment file {env_file} does not exist (--env-file names it)")
    from_file = dotenv_values(env_file or ".env", interpolate=False)
    return {**{name: value for name, value in from_file.items() if value is not None}, **os.environ}  # noqa: TID251 - the one place


def home_folder(configured: str | None, environment: Mapping[str, str]) -> Path:
    """Wye's own folder. https://specifications.freedesktop.org/basedir-spec/latest/"""
    if chosen := configured or environment.get("WYE_HOME"):
        return Path(chosen).expanduser()
    data = environment.get("XDG_DATA_HOME")
    return (Path(data) if data else Path("~/.local/share").expanduser()) / "wye"
