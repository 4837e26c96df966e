"""A file's name as its sender gave it, made safe to keep and to show. Never used as a path."""

from __future__ import annotations

import re
import unicodedata

_MAX = 200
_FOLDERS = re.compile(r".*[/\\]", re.DOTALL)


def safe_name(given: str) -> str:
    """Without folders, without what cannot be seen or turns the direction of writing; never empty."""
    name = _FOLDERS.sub("", unicodedata.normalize("NFC", given))
    name = "".join(character for character in name if unicodedata.category(character)[0] != "C").strip(" .")
    if len(name) <= _MAX:
        return name or "file"
    stem, dot, ending = name.rpartition(".")
    return f"{stem[: _MAX - 20]}{dot}{ending}" if dot and len(ending) < 20 else name[:_MAX]
