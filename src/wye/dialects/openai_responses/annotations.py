"""Citations of answers. https://platform.openai.com/docs/guides/tools-web-search

OpenAI cites URLs, files and files of containers. A citation of another kind (a page of a document, a passage) is said
as the nearest of these, with its `kind`, quote and place as further members: `{"type": "file_citation", "file_id": "",
"filename": "Tides", "index": 0, "kind": "page", "quote": "...", "start": 7, "end": 8}`.
"""

from __future__ import annotations

from typing import Any, get_args, get_type_hints

import msgspec

from wye.canon.extras import extras_of, own_extras
from wye.canon.loss import Losses
from wye.canon.parts import Citation
from wye.dialects.openai_responses.name import NAME
from wye.kernel.json import JsonObject, as_object

_KINDS = get_args(get_type_hints(Citation)["kind"])
_KIND_OF = {"url_citation": "url", "file_citation": "file", "container_file_citation": "container_file"}
_TYPE_OF = {"url": "url_citation", "search_result": "url_citation", "container_file": "container_file_citation"}
_FIXED: dict[str, JsonObject] = {
    "url_citation": {"start_index": 0, "end_index": 0, "title": "", "url": ""},
    "file_citation": {"file_id": "", "filename": "", "index": 0},
    "container_file_citation": {"container_id": "", "file_id": "", "filename": "", "start_index": 0, "end_index": 0},
}
"""What OpenAI's types require of each."""


def _members(kind: str) -> dict[str, str]:
    """Canonical to wire names, for an annotation of this type."""
    wire = {"text_start": "start_index", "text_end": "end_index"}
    if kind != "url_citation":
        wire["title"] = "filename"
    names = (field.name for field in msgspec.structs.fields(Citation) if field.name not in ("extras", "kind"))
    return {name: wire.get(name, name) for name in names}


_MEMBERS = {kind: _members(kind) for kind in _KIND_OF}


def decode_annotation(value: Any) -> Citation | None:
    """None for what is no annotation of a known type."""
    left = dict(as_object(value) or {})
    kind = left.pop("type", None)
    if not isinstance(kind, str) or kind not in _KIND_OF:
        return None
    what = left.pop("kind", None) or _KIND_OF[kind]
    if not isinstance(what, str) or what not in _KINDS:
        return None
    members = {name: left.pop(wire) for name, wire in _MEMBERS[kind].items() if left.get(wire) is not None}
    try:
        citation = msgspec.convert({"kind": what, **members}, Citation)
    except msgspec.ValidationError:
        return None
    if what == "search_result" and citation.url == citation.source:
        citation.url = None
    if citation.document is not None and left.get("index") == citation.document:
        del left["index"]
    citation.extras = extras_of(NAME, left)
    return citation


def needs_text(citation: Citation) -> bool:
    """Whether its annotation has a place in the text that the citation does not tell: then it supports all of it."""
    return citation.text_start is None and citation.kind in _TYPE_OF


def encode_annotation(citation: Citation, length: int, losses: Losses, path: str) -> JsonObject:
    """The annotation of a text of `length` characters."""
    own = own_extras(citation.extras, NAME, losses, path, "info")
    kind = _TYPE_OF.get(citation.kind, "file_citation")
    members = {wire: value for name, wire in _MEMBERS[kind].items() if (value := getattr(citation, name)) is not None}
    said: JsonObject = {"type": kind, **_FIXED[kind]}
    if "end_index" in said:
        said["end_index"] = length
    if kind == "url_citation" and citation.url is None:
        said["url"] = citation.source or ""
    if kind == "file_citation" and citation.document is not None:
        said["index"] = citation.document
    if _KIND_OF[kind] != citation.kind:
        said["kind"] = citation.kind
    return {**said, **members, **own}
