"""Model files on this disk: in packages, in folders of one's own, or fetched into Wye's own."""

from __future__ import annotations

import hashlib
import importlib.util
import ipaddress
import shutil
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

from wye.catalog.model_card import ModelCard, WeightsSource
from wye.engines.weights.gguf import read_header
from wye.kernel.errors import ConfigError
from wye.kernel.json import JsonError, as_object, decode, encode
from wye.ports.weights import Progress

_BLOCK = 1024 * 1024
_TIMEOUT_S = 60.0
UNCHECKED = ""
"""The sha256 of a card for a file of the operator's own: it is what it is."""


def card_of_file(name: str, path: Path) -> ModelCard:
    """A card for a model file of one's own. Raises ConfigError when it is not there or no GGUF model."""
    header = read_header(path)
    return ModelCard(
        id=name,
        title=header.name,
        sources=(WeightsSource("file", str(path)),),
        sha256=UNCHECKED,
        bytes=path.stat().st_size,
        context_length=header.context_length,
        licence="your own",
    )


class LocalWeights:
    """Implements `ports.weights.Weights`. Fetched and joined files are kept in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def locate(self, card: ModelCard) -> Path | None:
        kept = self._folder / f"{card.id}.gguf"
        for path in (kept, *(path for source in card.sources if (path := _in_place(source)) is not None)):
            if path.is_file():
                self._check(card, path)
                return path
        return None

    def fetch(self, card: ModelCard, progress: Progress | None = None) -> Path:
        found = self.locate(card)
        if found is not None:
            return found
        self._folder.mkdir(parents=True, exist_ok=True)
        tried: list[str] = []
        for source in card.sources:
            part = self._folder / f"{card.id}.gguf.part"
            try:
                if source.kind == "hub":
                    _download(source.location, part, card, progress)
                elif not _join(source, part, card, progress):
                    tried.append(source.install or f"{source.location} is not here")
                    continue
                self._check(card, part)
            except (OSError, urllib.error.URLError) as error:
                tried.append(f"{source.location}: {error}")
                continue
            kept = self._folder / f"{card.id}.gguf"
            part.replace(kept)
            self._check(card, kept)
            return kept
        raise ConfigError(f"The file of {card.id} cannot be had:\n  " + "\n  ".join(tried))

    def _check(self, card: ModelCard, path: Path) -> None:
        """Raises ConfigError when the file is not what the card says. A file that was checked is not read again."""
        if card.sha256 == UNCHECKED:
            return
        stat = path.stat()
        seen = f"{stat.st_size}:{stat.st_mtime_ns}:{card.sha256}"
        book = self._folder / "checked.json"
        known: dict[str, object] = {}
        with suppress(OSError, JsonError):
            known = as_object(decode(book.read_bytes())) or {}
        if known.get(str(path)) == seen:
            return
        if stat.st_size != card.bytes or _sha256(path) != card.sha256:
            if path.parent == self._folder:
                path.unlink()
            raise ConfigError(
                f"{path} is not the file of {card.id}: its size or hash is another. "
                f"Remove it, then run: wye models pull {card.id}"
            )
        # The note saves time only: where it cannot be written, the next start reads the file again.
        with suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
            book.write_bytes(encode({**known, str(path): seen}))


def _in_place(source: WeightsSource) -> Path | None:
    """A source that is usable where it lies."""
    if source.kind == "file":
        return Path(source.location).expanduser()
    if source.kind == "package" and "+" not in source.location:
        return _in_package(source.location)
    return None


def _in_package(location: str) -> Path | None:
    """A file inside an installed package, which is not imported: it is there for its data."""
    package, _, inside = location.partition("/")
    spec = importlib.util.find_spec(package)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder) / inside
        if path.is_file():
            return path
    return None


def _join(source: WeightsSource, target: Path, card: ModelCard, progress: Progress | None) -> bool:
    """Write the pieces of a file into one; False when they are not all here."""
    pieces = [_in_package(location) for location in source.location.split("+")]
    if source.kind != "package" or not all(pieces):
        return False
    with target.open("wb") as out:
        for piece in pieces:
            assert piece is not None
            with piece.open("rb") as file:
                shutil.copyfileobj(file, out, _BLOCK)
            if progress:
                progress(out.tell(), card.bytes)
    return True


def _download(url: str, part: Path, card: ModelCard, progress: Progress | None) -> None:
    """Fetch into `part`, going on where it was broken off. Raises OSError, ConfigError."""
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_loopback(parts.hostname or "")):
        raise ConfigError(f"{url}: model files are fetched by https only")
    have = part.stat().st_size if part.exists() else 0
    headers = {"range": f"bytes={have}-"} if have else {}
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - the scheme was checked
    with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:  # noqa: S310 - the scheme was checked
        resumed = answer.status == 206
        with part.open("ab" if resumed else "wb") as out:
            _copy(answer, out, card, progress)
    if part.stat().st_size < card.bytes:
        raise OSError(f"broken off after {part.stat().st_size} of {card.bytes} bytes; run it again to go on")


def _copy(answer: BinaryIO, out: BinaryIO, card: ModelCard, progress: Progress | None) -> None:
    while block := answer.read(_BLOCK):
        out.write(block)
        if out.tell() > card.bytes:
            raise OSError(f"sends more than the {card.bytes} bytes of {card.id}")
        if progress:
            progress(out.tell(), card.bytes)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
