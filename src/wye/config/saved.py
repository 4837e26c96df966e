"""What `wye config set` keeps: a file in Wye's own folder that only its owner can read, below every other source."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import mkstemp
from typing import Any, cast

import yaml

from wye.config.sources import Tree
from wye.kernel.errors import ConfigError

NAME = "settings.yaml"


def read_saved(home: Path) -> Tree:
    """The saved settings, as a tree like a configuration file's; empty when there are none. Raises ConfigError."""
    path = home / NAME
    try:
        values: Any = yaml.safe_load(path.read_bytes())
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ConfigError(f"The saved settings in {path} cannot be read: {error.strerror}") from None
    except yaml.YAMLError:
        values = None  # what it says may hold a secret: not repeated
    if not isinstance(values, dict):
        raise ConfigError(f"The saved settings in {path} are damaged: mend the file, or remove it")
    return cast("Tree", values)


def write_saved(home: Path, values: Tree) -> Path:
    """Replace the saved settings in one step. Raises ConfigError when the folder cannot be written to."""
    path = home / NAME
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        # mkstemp lets the owner alone read what it makes, from the start.
        handle, temporary = mkstemp(prefix=f".{NAME}.", dir=home)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            yaml.safe_dump(values, file, allow_unicode=True)
        Path(temporary).replace(path)
    except OSError as error:
        raise ConfigError(f"The settings cannot be saved in {path}: {error.strerror}") from None
    return path
