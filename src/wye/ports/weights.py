"""Where model files come from. Every file is known by its SHA-256, whatever brought it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal, Protocol

import msgspec

Progress = Callable[[int, int], None]
"""Called with (bytes so far, bytes in all) while a file is fetched or checked."""


class WeightsSource(msgspec.Struct, frozen=True):
    """One way to get a file.

    `file`: `location` is a path. `package`: `location` is `import_name/path/in/package`, or several joined
    by "+", whose contents are concatenated; packages are located, never imported. `hub`: `location` is an https URL.
    """

    kind: Literal["file", "package", "hub"]
    location: str


class ModelCard(msgspec.Struct, frozen=True):
    """What is known of a model before it is loaded."""

    id: str
    title: str
    sources: tuple[WeightsSource, ...]
    sha256: str
    bytes: int
    context_length: int
    licence: str
    roles: tuple[str, ...] = ()


class Weights(Protocol):
    def locate(self, card: ModelCard) -> Path | None:
        """The file on this disk whose hash was checked, without fetching anything; None when it is not here."""
        ...

    def fetch(self, card: ModelCard, progress: Progress | None = None) -> Path:
        """Bring the file here: resumes a broken download, checks the hash, moves it into place in one step.

        Raises ConfigError that says what was tried and what to do.
        """
        ...
