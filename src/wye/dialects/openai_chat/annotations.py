"""Citations of answers. https://platform.openai.com/docs/guides/tools-web-search

`url_citation` is OpenAI's; a citation of any other kind is said as an annotation of type `citation`, so that its quote
and place are not lost: `{"type": "citation", "citation": {"kind": "page", "quote": ..., "document": 0, "start": 7}}`.
"""

from __future__ import annotations

from typing import Any, get_args, get_type_hints

import msgspec

from wye.canon.extras import extras_of, own_extras
from wye.canon.loss import Losses
from wye.canon.parts import Citation
from wye.dialects.openai_chat.name import NAME
from wye.kernel.json import JsonObject, as_object

_KINDS = get_args(get_type_hints(Citation)["kind"])
_WIRE = {"text_start": "start_index", "text_end": "end_index"}
_MEMBERS = {
    field.name: _WIRE.get(field.name, field.name)
    for field in msgspec.structs.fields(Citation)
    if field.name not in ("extras", "kind")
}
"""Canonical to wire names; those that `url_citation` does not have are added to it."""


def decode_annotation(value: Any) -> Citation | None:
    """None for what is no annotation of a known type."""
    annotation = dict(as_object(value) or {})
    kind = annotation.pop("type", None)
    annotation.pop("index", None)  # its number in a stream, which is its place
    below = as_object(annotation.pop(kind, None)) if isinstance(kind, str) else None
    if below is None:
        return None
    below = dict(below)
    what = "url" if kind == "url_citation" else below.pop("kind", None) if kind == "citation" else None
    if what not in _KINDS:
        return None
    members = {name: below.pop(wire) for name, wire in _MEMBERS.items() if wire in below}
    try:
        citation = msgspec.convert({"kind": what, **members}, Citation)
    except msgspec.ValidationError:
        return None
    citation.extras = extras_of(NAME, {**annotation, **({kind: below} if below else {})})
    return citation


def encode_annotation(citation: Citation, losses: Losses, path: str) -> JsonObject:
    own = dict(own_extras(citation.extras, NAME, losses, path, "info"))
    members = {wire: value for name, wire in _MEMBERS.items() if (value := getattr(citation, name)) is not None}
    kind = "url_citation" if citation.kind == "url" else "citation"
    fixed = {"title": "", "url": ""} if citation.kind == "url" else {"kind": citation.kind}
    return {"type": kind, kind: {**fixed, **members, **own.pop(kind, {})}, **own}
