"""Files that a chat request names, as text. Implements `ports.attachments.Attachments`."""

from __future__ import annotations

import asyncio
import csv
import io
import itertools
import tempfile
from collections.abc import Sequence
from pathlib import Path

from wye.kernel.errors import BadRequest, NotFound
from wye.kernel.json import JsonError, formatted
from wye.knowledge.extract import extract
from wye.knowledge.kinds import demand_readable
from wye.knowledge.library import Library
from wye.knowledge.on_demand import LibraryOnDemand
from wye.ports.jobs import GiveUp
from wye.ports.reading import Extracted, PageText
from wye.ports.store import StoredFile

_MAX_CHARACTERS = 200_000
"""Of all files together: about 50,000 tokens."""
_READ_BYTES = 1024 * 1024
_ROWS = 50
_MARKUP = ("text/html", "application/xml")
_AT_ONCE = 2
"""How many files are extracted at one time: each takes a process."""


class LibraryAttachments:
    def __init__(self, library: LibraryOnDemand) -> None:
        self._library = library
        self._extracting = asyncio.Semaphore(_AT_ONCE)

    async def context(self, principal: str, file_ids: Sequence[str]) -> str:
        library = await self._library()
        files = [await _file(library, principal, file_id, f"file_ids[{i}]") for i, file_id in enumerate(file_ids)]
        left = _MAX_CHARACTERS
        blocks: list[str] = []
        for file in files:
            text = (await self._text(library, file)).strip()
            shown = text[:left]
            left -= len(shown)
            if len(shown) < len(text):
                shown += f"\n[cut here: {len(text) - len(shown)} more characters]"
            name = file.filename.replace('"', "'")
            blocks.append(f'<file name="{name}" type="{file.content_type}">\n{shown}\n</file>')
        return "\n\n".join(blocks)

    async def read(self, principal: str, file_id: str, path: str) -> tuple[str, Extracted]:
        """The name of a file and what is in it; `path` is where the request names it. Raises as `context` does."""
        library = await self._library()
        file = await _file(library, principal, file_id, path)
        if _is_read_as_it_is(file.content_type):
            return file.filename, Extracted([PageText(_decoded(await _head(library, file)))])
        return file.filename, await self._extract(library, file)

    async def read_data(self, data: bytes, content_type: str, path: str) -> Extracted:
        """What is in a document that came in the request. Raises UnsupportedMedia, BadRequest."""
        demand_readable(content_type, path)
        if _is_read_as_it_is(content_type):
            return Extracted([PageText(_decoded(data))])
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder) / "document"
            await asyncio.to_thread(place.write_bytes, data)
            try:
                async with self._extracting:
                    return await extract(place, content_type, _nobody)
            except GiveUp as error:
                raise BadRequest(f"{path} cannot be read: {error.message}", param=path) from None

    async def _text(self, library: Library, file: StoredFile) -> str:
        kind = file.content_type
        if not _is_read_as_it_is(kind):
            extracted = await self._extract(library, file)
            parts = [f"[page {part.number}]\n{part.text}" if part.number else part.text for part in extracted.parts]
            return "\n\n".join((*parts, *(f"[{note}]" for note in extracted.notes)))
        head = await _head(library, file)
        match kind:
            case "text/csv":
                return await asyncio.to_thread(_table, head, file)
            case "application/json" if file.bytes <= _READ_BYTES:
                try:
                    return formatted(head)
                except JsonError:
                    return _decoded(head)
            case _:
                return _decoded(head)

    async def _extract(self, library: Library, file: StoredFile) -> Extracted:
        with tempfile.TemporaryDirectory() as folder:
            try:
                path = await library.blobs.fetch(file.blob, Path(folder))
                async with self._extracting:
                    return await library.ingest.reader.extract(path, file.content_type, _nobody)
            except (GiveUp, FileNotFoundError) as error:
                reason = error.message if isinstance(error, GiveUp) else "Its content is gone."
                raise BadRequest(f"The file {file.filename!r} cannot be read: {reason}", param="file_ids") from None


async def _file(library: Library, principal: str, file_id: str, path: str) -> StoredFile:
    file = await library.store.files.get(principal, file_id)
    if file is None:
        raise NotFound(f"No such File object: {file_id[:100]}", param=path, code="file_not_found")
    demand_readable(file.content_type, file.filename)
    return file


def _is_read_as_it_is(content_type: str) -> bool:
    is_text = content_type.startswith("text/") or "json" in content_type
    return is_text and content_type not in _MARKUP


async def _nobody(_: float) -> None:
    """Who chats is not told how far the reading is."""


async def _head(library: Library, file: StoredFile) -> bytes:
    """As much of a content as is looked at. Raises BadRequest when it is gone."""
    found: list[bytes] = []
    size = 0
    try:
        async for piece in library.blobs.read(file.blob):
            found.append(piece)
            size += len(piece)
            if size >= _READ_BYTES:
                break
    except FileNotFoundError:
        raise BadRequest(f"The content of the file {file.filename!r} is gone", param="file_ids") from None
    return b"".join(found)[:_READ_BYTES]


def _decoded(data: bytes) -> str:
    """Text by its mark, else as UTF-8, else as what Windows writes in the West; never fails."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", "replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if len(data) == _READ_BYTES and error.start >= len(data) - 3:  # we cut it, within a character
            return data[: error.start].decode("utf-8-sig")
        return data.decode("cp1252", "replace")


def _table(head: bytes, file: StoredFile) -> str:
    """The names of the columns, how many rows there are, and the first of them."""
    text = _decoded(head)
    try:
        dialect = csv.Sniffer().sniff(text[:4096], delimiters=",;\t|")
    except csv.Error:
        dialect = csv.excel
    rows = [row for row in itertools.islice(csv.reader(io.StringIO(text), dialect), _ROWS + 1) if row]
    if not rows:
        return ""
    lines = text.count("\n") + (not text.endswith("\n")) - 1
    count = f"{lines}" if file.bytes <= len(head) else f"about {lines * file.bytes // len(head)}"
    shown = io.StringIO()
    csv.writer(shown, lineterminator="\n").writerows(rows)
    return f"Columns: {', '.join(rows[0])}\nRows: {count}, of which the first {len(rows) - 1}:\n{shown.getvalue()}"
