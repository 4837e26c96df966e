"""Citations: where the text of an answer comes from. https://docs.anthropic.com/en/docs/build-with-claude/citations"""

from __future__ import annotations

from typing import Literal, assert_never

from wye.canon.extras import extras_of, own_extras
from wye.canon.loss import Losses
from wye.canon.parts import Citation
from wye.dialects.anthropic_messages.name import NAME
from wye.kernel.fields import Fields
from wye.kernel.json import JsonObject

_Span = tuple[Literal["char", "page", "block"], str, str]
_SPANS: dict[str | None, _Span] = {
    "char_location": ("char", "start_char_index", "end_char_index"),
    "page_location": ("page", "start_page_number", "end_page_number"),
    "content_block_location": ("block", "start_block_index", "end_block_index"),
}
_LOCATIONS = {span[0]: (kind, span[1], span[2]) for kind, span in _SPANS.items()}


def decode_citation(fields: Fields) -> Citation:
    kind = fields.str("type")
    span = _SPANS.get(kind)
    if span is not None:
        unit, start, end = span
        return Citation(
            unit,
            quote=fields.str("cited_text"),
            title=fields.str("document_title"),
            file_id=fields.str("file_id"),
            document=fields.int("document_index"),
            start=fields.int(start),
            end=fields.int(end),
            extras=extras_of(NAME, fields.rest()),
        )
    if kind == "web_search_result_location":
        return Citation(
            "url",
            quote=fields.str("cited_text"),
            title=fields.str("title"),
            url=fields.str("url"),
            extras=extras_of(NAME, fields.rest()),
        )
    if kind == "search_result_location":
        return Citation(
            "search_result",
            quote=fields.str("cited_text"),
            title=fields.str("title"),
            source=fields.str("source"),
            document=fields.int("search_result_index"),
            start=fields.int("start_block_index"),
            end=fields.int("end_block_index"),
            extras=extras_of(NAME, fields.rest()),
        )
    return Citation("block", extras=extras_of(NAME, {**fields.rest(), "type": kind}))


def encode_citation(citation: Citation, path: str, losses: Losses, *, answer: bool) -> JsonObject | None:
    """A citation's location; None for one that became a loss."""
    own = own_extras(citation.extras, NAME, losses, path, "info")
    if "type" in own:
        return own
    location: JsonObject = {"type": "", "cited_text": citation.quote or ""}
    match citation.kind:
        case "char" | "page" | "block":
            location["type"], start, end = _LOCATIONS[citation.kind]
            location |= {"document_index": citation.document or 0, "document_title": citation.title}
            location |= {start: citation.start or 0, end: citation.end or 0}
            if citation.file_id is not None:
                location["file_id"] = citation.file_id
        case "search_result":
            if citation.url is not None:
                losses.add(f"{path}.url", "a passage is known by its source", "info")
            location["type"] = "search_result_location"
            location |= {"source": citation.source or "", "title": citation.title}
            location |= {"search_result_index": citation.document or 0}
            location |= {"start_block_index": citation.start or 0, "end_block_index": citation.end or 0}
        case "url":
            if not answer and "encrypted_index" not in own:
                losses.add(path, "a web citation is refused without the index that came with it", "info")
                return None
            location["type"] = "web_search_result_location"
            location |= {"url": citation.url or "", "title": citation.title, "encrypted_index": ""}
        case "file" | "container_file":
            losses.add(path, f"{NAME} does not cite files by name")
            return None
        case _:
            assert_never(citation.kind)
    if citation.text_start is not None or citation.text_end is not None:
        losses.add(f"{path}.text_start", "a citation stands at the text it supports, without positions", "info")
    return location | own
