"""Model files on this disk: in packages, in folders of one's own, or fetched into Wye's own."""

from __future__ import annotations

import hashlib
import importlib.util
import ipaddress
import re
import urllib.request
from contextlib import suppress
from email.message import Message
from http import HTTPStatus
from http.client import HTTPException, HTTPMessage
from pathlib import Path
from typing import IO, BinaryIO
from urllib.error import HTTPError
from urllib.parse import urlsplit

import msgspec

from wye.catalog.model_card import ModelCard, WeightsSource
from wye.engines.weights.gguf import read_header
from wye.kernel.errors import ConfigError
from wye.kernel.json import JsonError, as_object, decode, encode
from wye.ports.weights import Progress

_BLOCK = 1024 * 1024
_TIMEOUT_S = 60.0
_NOTES = "checked.json"
_SHA256 = re.compile("[0-9a-f]{64}")


def card_of_file(name: str, path: Path) -> ModelCard:
    """A card for a model file of one's own. Raises ConfigError when it is not there or no GGUF model."""
    header, stat = read_header(path), path.stat()
    return ModelCard(
        id=name,
        title=header.name,
        sources=(WeightsSource("file", str(path)),),
        bytes=stat.st_size,
        context_length=header.context_length,
        licence="your own",
        created=int(stat.st_mtime),
    )


class LocalWeights:
    """Implements `ports.weights.Weights`. Fetched and joined files are kept in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def locate(self, card: ModelCard) -> Path | None:
        path = self._find(card)
        if path is not None and not self._is_file_of(card, path):
            raise ConfigError(
                f"{path} is not the file of {card.id}: its size or hash is another. "
                f"Remove it, then run: wye models pull {card.id}"
            )
        return path

    def is_here(self, card: ModelCard) -> bool:
        return self._find(card) is not None

    def fetch(self, card: ModelCard, progress: Progress | None = None) -> Path:
        found = self.locate(card)
        if found is not None:
            return found
        kept = self._kept(card)
        part = kept.with_suffix(".part")
        tried: list[str] = []
        for source in card.sources:
            try:
                self._folder.mkdir(parents=True, exist_ok=True)
                wanted = card if card.sha256 else _as_told_by_hub(card, source)
                _bring(source, part, wanted, progress)
                if part.stat().st_size != wanted.bytes or _sha256(part) != wanted.sha256:
                    part.unlink()
                    raise OSError("what came has another size or hash than it should; it was thrown away")
                part.replace(kept)
            except (OSError, HTTPException) as error:
                tried.append(f"{source.location}: {error}")
            else:
                self._note(card, kept)
                return kept
        raise ConfigError(f"The file of {card.id} cannot be had:\n  " + "\n  ".join(tried))

    def _find(self, card: ModelCard) -> Path | None:
        kept = [self._kept(card)] if any(source.kind != "file" for source in card.sources) else []
        paths = (*kept, *map(_in_place, card.sources))
        return next((path for path in paths if path is not None and path.is_file()), None)

    def remove(self, card: ModelCard) -> int:
        kept = self._kept(card)
        found = [path for path in (kept, kept.with_suffix(".part")) if path.is_file()]
        if not found:
            elsewhere = next(
                (path for path in map(_in_place, card.sources) if path is not None and path.is_file()), None
            )
            where = f"its file is {elsewhere}, which Wye did not fetch" if elsewhere else "its file is not here"
            raise ConfigError(f"{card.id} cannot be removed: {where}")
        freed = 0
        for path in found:
            freed += path.stat().st_size
            path.unlink()
        return freed

    def _kept(self, card: ModelCard) -> Path:
        return self._folder / f"{card.id}.gguf"

    def _is_file_of(self, card: ModelCard, path: Path) -> bool:
        """Whether the file is what the card says. A file that was checked is not read again until it is touched."""
        if not card.sha256:
            return True  # it was checked when it was fetched, or is a file of the operator's own
        if self._notes().get(str(path)) == _trace(card, path):
            return True
        if path.stat().st_size != card.bytes or _sha256(path) != card.sha256:
            return False
        self._note(card, path)
        return True

    def _notes(self) -> dict[str, object]:
        with suppress(OSError, JsonError):
            return as_object(decode((self._folder / _NOTES).read_bytes())) or {}
        return {}

    def _note(self, card: ModelCard, path: Path) -> None:
        # It saves time only: where it cannot be written, the next start reads the file again.
        with suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
            (self._folder / _NOTES).write_bytes(encode({**self._notes(), str(path): _trace(card, path)}))


def _trace(card: ModelCard, path: Path) -> str:
    """What changes when a file does: its size and times, and the hash that it had."""
    stat = path.stat()
    return f"{stat.st_size}:{stat.st_mtime_ns}:{stat.st_ctime_ns}:{card.sha256}"


def _in_place(source: WeightsSource) -> Path | None:
    """A source that is usable where it lies."""
    if source.kind == "file":
        return Path(source.location).expanduser()
    if source.kind == "package" and "+" not in source.location:
        return _in_package(source.location)
    return None


def _bring(source: WeightsSource, part: Path, card: ModelCard, progress: Progress | None) -> None:
    """Write the file into `part`. Raises OSError, HTTPException."""
    match source.kind:
        case "hub":
            _download(source.location, part, card, progress)
        case "package":
            _join(source, part, card, progress)
        case "file":
            raise OSError("there is no such file")


def _in_package(location: str) -> Path | None:
    """A file inside an installed package, which is not imported: it is there for its data."""
    package, _, inside = location.partition("/")
    spec = importlib.util.find_spec(package)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder) / inside
        if path.is_file():
            return path
    return None


def _join(source: WeightsSource, part: Path, card: ModelCard, progress: Progress | None) -> None:
    """Write the pieces of a file into one."""
    pieces: list[Path] = []
    for location in source.location.split("+"):
        piece = _in_package(location)
        if piece is None:
            raise OSError(source.install)
        pieces.append(piece)
    with part.open("wb") as out:
        for piece in pieces:
            with piece.open("rb") as file:
                _copy(file, out, card, progress)


def _download(url: str, part: Path, card: ModelCard, progress: Progress | None) -> None:
    """Fetch what is missing of `part`: it goes on where it was broken off."""
    _check_address(url)
    have = part.stat().st_size if part.exists() else 0
    if have >= card.bytes:  # whole, or spoilt: its hash tells
        return
    request = urllib.request.Request(url, headers={"range": f"bytes={have}-"} if have else {})  # noqa: S310 - checked
    with urllib.request.build_opener(_CheckedRedirects).open(request, timeout=_TIMEOUT_S) as answer:
        resumed = answer.status == HTTPStatus.PARTIAL_CONTENT
        with part.open("ab" if resumed else "wb") as out:
            _copy(answer, out, card, progress)
    have = part.stat().st_size
    if have < card.bytes:
        raise OSError(f"broken off after {have} of {card.bytes} bytes; run it again to go on")


def _as_told_by_hub(card: ModelCard, source: WeightsSource) -> ModelCard:
    """The card with the hash and the size of the file as its hub tells them beside the redirect to its store.

    https://huggingface.co/docs/huggingface_hub/package_reference/file_download#huggingface_hub.HfFileMetadata
    """
    _check_address(source.location)
    request = urllib.request.Request(source.location, method="HEAD")  # noqa: S310 - checked
    try:
        with urllib.request.build_opener(_NoRedirects).open(request, timeout=_TIMEOUT_S) as answer:
            headers: Message = answer.headers
    except HTTPError as error:
        if error.code >= HTTPStatus.BAD_REQUEST:
            raise
        headers = error.headers
    sha256, size = headers.get("x-linked-etag", "").strip('"'), headers.get("x-linked-size", "")
    if not (_SHA256.fullmatch(sha256) and size.isascii() and size.isdecimal()):
        raise OSError("its hub does not tell the hash of the file")
    if not card.bytes * 3 // 4 < int(size) < card.bytes * 5 // 4:
        raise OSError(f"its hub has a file of {size} bytes, not of about {card.bytes}")
    return msgspec.structs.replace(card, sha256=sha256, bytes=int(size))


def _copy(source: BinaryIO, out: BinaryIO, card: ModelCard, progress: Progress | None) -> None:
    """Write no more than a block beyond what the file may have: whoever sends, the disk does not fill."""
    while out.tell() <= card.bytes and (block := source.read(_BLOCK)):
        out.write(block)
        if progress:
            progress(out.tell(), card.bytes)


class _CheckedRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> urllib.request.Request | None:
        _check_address(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> None:
        return None


def _check_address(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_loopback(parts.hostname or "")):
        raise OSError("model files are fetched by https only")


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
