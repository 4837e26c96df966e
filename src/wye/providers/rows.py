"""The providers that are only a name, a base URL, a key and a dialect: `rows.toml`, one table each."""

from __future__ import annotations

import tomllib
from fnmatch import fnmatchcase
from importlib.resources import files

import msgspec

from wye.dialects.dialect import Quirks


class Row(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A fact sheet. Behaviour that does not fit here is a file of its own beside this one."""

    name: str
    title: str
    telemetry_name: str = ""
    """What OpenTelemetry calls it, where that is not its name here."""
    prices_name: str = ""
    """What the package genai-prices calls it; none for one whose models cost what their owner says."""
    base_url: str
    """As the vendor's own SDK takes it."""
    dialects: list[str]
    """Those that all of its models understand; callers who speak none of them ask in the first."""
    models: dict[str, str] = msgspec.field(default_factory=dict[str, str])
    """Dialects of models that know only one, by name, with `*` for anything."""
    embeddings: bool = False
    """Whether it makes embeddings too, in OpenAI's format."""
    key_env: str = ""
    """The environment variable that holds the key."""
    auth: str = "authorization: Bearer {key}"
    """The header line that presents the key."""
    needs_key: bool = True
    patterns: list[str] = msgspec.field(default_factory=list[str])
    """Model names that are this provider's, with `*` for anything."""
    forward_headers: list[str] = msgspec.field(default_factory=list[str])
    """Headers of the caller that are sent on when it speaks the same dialect."""
    headers: dict[str, str] = msgspec.field(default_factory=dict[str, str])
    """Headers sent with every call, unless the caller sent its own."""
    quirks: Quirks = Quirks()
    prefill: list[str] = msgspec.field(default_factory=list[str])
    """Models that go on from a last message of the assistant, with `*` for anything; others refuse it or begin anew."""

    def takes_prefill(self, model: str) -> bool:
        return any(fnmatchcase(model, pattern) for pattern in self.prefill)


def _read() -> dict[str, Row]:
    tables = tomllib.loads(files("wye.providers").joinpath("rows.toml").read_text("utf-8"))
    return {name: msgspec.convert({"name": name, **table}, Row) for name, table in tables.items()}


ROWS: dict[str, Row] = _read()
