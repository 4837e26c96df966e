"""A form with a file in it, read as it comes: the file goes through in pieces, all else is small.

https://www.rfc-editor.org/rfc/rfc7578
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, cast

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from wye.kernel.errors import BadRequest, Unprocessable, UnsupportedMedia

_MAX_FIELD_BYTES = 64 * 1024
_MAX_PARTS = 64


class Form:
    """Read `file` to its end first: the other fields may come before it or after it."""

    def __init__(self, content_type: str, body: AsyncIterator[bytes]) -> None:
        """Raises UnsupportedMedia for a body that is no form, BadRequest for one without a boundary."""
        kind, options = parse_options_header(content_type)
        if kind != b"multipart/form-data":
            raise UnsupportedMedia("Send a form: multipart/form-data, with the file in the field `file`")
        if not options.get(b"boundary"):
            raise BadRequest("The form's Content-Type has no boundary")
        self.fields: dict[str, str] = {}
        self.filename: str | None = None
        """Of the file, once its first piece is there."""
        self._body = body
        self._file: _Part | None = None
        self._parser = _Parser(options[b"boundary"])

    async def file(self) -> AsyncIterator[bytes]:
        """The content of the part `file`. Raises BadRequest for what is no form, Unprocessable without a file."""
        async for chunk in self._body:
            for part, data in self._parsed(chunk):
                if part.filename is None:
                    self._take(part, data)
                elif part.name != "file":
                    raise Unprocessable(f"Send the file in the field `file`, not {part.name[:100]!r}", param="file")
                elif self._file not in (None, part):
                    raise BadRequest("The form has two files: send one at a time", param="file")
                else:
                    self._file, self.filename = part, part.filename or "file"
                    yield data
        if not self._parser.ended:
            raise BadRequest("The form is cut off: its last boundary is missing")
        if self.filename is None:
            raise Unprocessable("The form has no file: send it in the field `file`, with a file name", param="file")

    def _parsed(self, chunk: bytes) -> list[tuple[_Part, bytes]]:
        try:
            self._parser.feed(chunk)
        except FormParserError as error:
            raise BadRequest(f"The form cannot be understood: {error}") from None
        found, self._parser.found = self._parser.found, []
        return found

    def _take(self, part: _Part, data: bytes) -> None:
        part.value += data
        if len(part.value) > _MAX_FIELD_BYTES:
            raise BadRequest(f"The field {part.name[:100]!r} is longer than {_MAX_FIELD_BYTES} bytes")
        self.fields[part.name] = part.value.decode("utf-8", "replace")


class _Part:
    def __init__(self) -> None:
        self.name = ""
        self.filename: str | None = None
        self.value = b""


class _Parser:
    """python-multipart's callbacks, gathered. Each part is told once with no data, when its head is whole."""

    def __init__(self, boundary: bytes) -> None:
        callbacks: dict[str, Any] = {
            "on_part_begin": self._part_begins,
            "on_header_field": self._header_name,
            "on_header_value": self._header_value,
            "on_header_end": self._header_ends,
            "on_headers_finished": lambda: self.found.append((self._part, b"")),
            "on_part_data": self._data,
            "on_end": self._end,
        }
        self._parser = MultipartParser(boundary, cast(Any, callbacks))
        self.found: list[tuple[_Part, bytes]] = []
        self.ended = False
        self._part = _Part()
        self._parts = 0
        self._name = self._value = b""

    def feed(self, chunk: bytes) -> None:
        self._parser.write(chunk)

    def _part_begins(self) -> None:
        self._parts += 1
        if self._parts > _MAX_PARTS:
            raise BadRequest(f"The form has more than {_MAX_PARTS} fields")
        self._part = _Part()

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_ends(self) -> None:
        if self._name.lower() == b"content-disposition":
            _, options = parse_options_header(self._value)
            self._part.name = options.get(b"name", b"").decode("utf-8", "replace")
            if b"filename" in options:
                self._part.filename = options[b"filename"].decode("utf-8", "replace")
        self._name = self._value = b""

    def _data(self, data: bytes, start: int, end: int) -> None:
        self.found.append((self._part, data[start:end]))

    def _end(self) -> None:
        self.ended = True
