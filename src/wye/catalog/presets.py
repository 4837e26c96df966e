"""Combinations of models that are known by a name: `presets.toml`, a row each."""

from __future__ import annotations

import tomllib
from importlib.resources import files
from typing import Literal

import msgspec

Mode = Literal["single", "critique", "debate", "ensemble", "pipeline"]


class Preset(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which models, and how they work together."""

    name: str
    mode: Mode
    models: tuple[str, ...]
    """By their cards, in the order of the mode. In a debate and an ensemble the first also joins the answers."""


def _read() -> dict[str, Preset]:
    rows = tomllib.loads(files("wye.catalog").joinpath("presets.toml").read_text("utf-8"))
    return {name: msgspec.convert({"name": name, **row}, Preset) for name, row in rows.items()}


PRESETS: dict[str, Preset] = _read()
