"""What is known of a local model before it is loaded."""

from __future__ import annotations

from typing import Literal

import msgspec

from wye.catalog.roles import Role


class WeightsSource(msgspec.Struct, frozen=True):
    """One way to get a file.

    `file`: `location` is a path. `package`: `location` is `import_name/path/in/package`, or several joined by "+",
    whose contents are concatenated; packages are located, never imported. `hub`: `location` is an https URL.
    """

    kind: Literal["file", "package", "hub"]
    location: str
    install: str = ""
    """For a package: what brings it here, in words for the operator."""


class ModelCard(msgspec.Struct, frozen=True):
    """A model that Wye knows by the hash of its file."""

    id: str
    title: str
    sources: tuple[WeightsSource, ...]
    bytes: int
    """The size of the file; about, where its hash is unknown."""
    context_length: int
    """Tokens of one conversation at most; less than the file allows where the cache for all would cost too much."""
    licence: str
    created: int
    """When it was published, in seconds since 1970; for a file of one's own, when it was written."""
    sha256: str = ""
    """Of the file. Unknown for a file of one's own, which is what it is, and for one whose hub has to tell it."""
    roles: tuple[Role, ...] = ()
    chat_template: str | None = None
    """Instead of the one in the file, where that one makes answers worse (Jinja)."""
