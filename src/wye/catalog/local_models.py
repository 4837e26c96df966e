"""The local models that Wye knows: `local_models.toml`, a table each. The first one is the default."""

from __future__ import annotations

import tomllib
from importlib.resources import files

import msgspec

from wye.catalog.model_card import ModelCard


def _read() -> dict[str, ModelCard]:
    tables = tomllib.loads(files("wye.catalog").joinpath("local_models.toml").read_text("utf-8"))
    return {name: msgspec.convert({"id": name, **table}, ModelCard) for name, table in tables.items()}


CARDS: dict[str, ModelCard] = _read()
