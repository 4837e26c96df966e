"""What a message is made of. Every part may carry extras and, where the dialects allow it, a cache mark."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from wye.canon.extras import Extras


class CacheMark(msgspec.Struct):
    """The prompt up to and including the marked element should be cached by the upstream."""

    ttl: str | None = None
    """As the dialects write it: `5m`, `1h`; None for the upstream's default."""
    extras: Extras | None = None


class Base64(msgspec.Struct, tag="base64"):
    data: str
    """Base64 text, as it came."""
    media_type: str | None = None


class Url(msgspec.Struct, tag="url"):
    url: str


class FileId(msgspec.Struct, tag="file_id"):
    """A file that the upstream, or Wye's own file store, holds."""

    id: str


class PlainText(msgspec.Struct, tag="plain_text"):
    """The text of a document, given in place."""

    text: str
    media_type: str = "text/plain"


class Blocks(msgspec.Struct, tag="blocks"):
    """A document given as passages that citations can point at."""

    parts: list[Part]


Source = Base64 | Url | FileId | PlainText | Blocks


class Citation(msgspec.Struct):
    """Where a piece of an answer comes from."""

    kind: Literal["char", "page", "block", "url", "search_result", "file", "container_file"]
    quote: str | None = None
    """The words of the source."""
    title: str | None = None
    url: str | None = None
    file_id: str | None = None
    source: str | None = None
    document: int | None = None
    """Index of the document (or search result) in the request."""
    start: int | None = None
    """Where in the source, in the unit of `kind`: characters, pages (from 1) or blocks; `end` is exclusive."""
    end: int | None = None
    text_start: int | None = None
    """Which characters of the answer's text it supports, where the dialect says so; `text_end` is exclusive."""
    text_end: int | None = None
    extras: Extras | None = None


class Text(msgspec.Struct, tag="text"):
    text: str
    citations: list[Citation] = msgspec.field(default_factory=list[Citation])
    cache: CacheMark | None = None
    extras: Extras | None = None


class Image(msgspec.Struct, tag="image"):
    source: Base64 | Url | FileId
    detail: str | None = None
    """`low`, `high`, `auto`, `original`: how closely to look."""
    cache: CacheMark | None = None
    extras: Extras | None = None


class Audio(msgspec.Struct, tag="audio"):
    data: str
    """Base64; empty when `id` names audio that the model said before."""
    format: str | None = None
    id: str | None = None
    transcript: str | None = None
    extras: Extras | None = None


class Document(msgspec.Struct, tag="document"):
    source: Source
    title: str | None = None
    """The title or file name."""
    context: str | None = None
    citations: bool | None = None
    """Whether the answer should cite this document."""
    cache: CacheMark | None = None
    extras: Extras | None = None


class SearchResult(msgspec.Struct, tag="search_result"):
    """A passage found by the caller's own search, to be cited."""

    source: str
    title: str
    parts: list[Part]
    citations: bool | None = None
    cache: CacheMark | None = None
    extras: Extras | None = None


class Thinking(msgspec.Struct, tag="thinking"):
    """The model's reasoning. `signature` and `redacted` are opaque: carried byte for byte, never rebuilt."""

    text: str = ""
    signature: str | None = None
    redacted: str | None = None
    """Encrypted reasoning, beside the text or instead of it."""
    id: str | None = None
    origin: str | None = None
    """Whose models wrote `signature` and `redacted` and can read them: `anthropic`, `openai`; None if unknown."""
    extras: Extras | None = None


class Refusal(msgspec.Struct, tag="refusal"):
    text: str
    extras: Extras | None = None


class ToolCall(msgspec.Struct, tag="tool_call"):
    id: str
    name: str
    arguments: str = ""
    """JSON text for a function, free text for a custom tool; as the model wrote it."""
    kind: Literal["function", "custom", "server"] = "function"
    """`server`: the provider runs it; the caller is only told."""
    cache: CacheMark | None = None
    extras: Extras | None = None


class ToolResult(msgspec.Struct, tag="tool_result"):
    """The outcome of a ToolCall. Lives in a message of role `user`, whatever role the dialect gives it."""

    call_id: str
    parts: list[Part]
    is_error: bool | None = None
    kind: Literal["function", "custom"] = "function"
    cache: CacheMark | None = None
    extras: Extras | None = None


class Opaque(msgspec.Struct, tag="opaque"):
    """An element that only its own dialect understands, whole and unchanged."""

    dialect: str
    value: dict[str, Any]

    @property
    def type(self) -> str:
        return str(self.value.get("type", ""))


Part = Text | Image | Audio | Document | SearchResult | Thinking | Refusal | ToolCall | ToolResult | Opaque
