"""Where model files come from. Every file is known by its SHA-256, whatever brought it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from wye.catalog.model_card import ModelCard

Progress = Callable[[int, int], None]
"""Called with (bytes so far, bytes in all) while a file is fetched."""


class Weights(Protocol):
    def locate(self, card: ModelCard) -> Path | None:
        """The file on this disk whose hash was checked, without fetching anything; None when it is not here.

        Raises ConfigError when it is here but is not what the card says.
        """
        ...

    def is_here(self, card: ModelCard) -> bool:
        """Whether there is a file for it, checked or not: cheap enough to list models."""
        ...

    def remove(self, card: ModelCard) -> int:
        """Remove what was fetched of a file, whole or in part; gives back the bytes that are free now.

        Raises ConfigError when nothing was fetched: a file in a package or of one's own is not Wye's to remove.
        """
        ...

    def fetch(self, card: ModelCard, progress: Progress | None = None) -> Path:
        """Bring the file here: resumes a broken download, checks the hash, moves it into place in one step.

        Raises ConfigError that says what was tried and what to do.
        """
        ...
