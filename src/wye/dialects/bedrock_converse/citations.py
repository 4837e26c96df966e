"""Citations: where the text of an answer comes from.

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Citation.html
"""

from __future__ import annotations

from typing import Any, Literal

from wye.canon.loss import Losses, cannot_say
from wye.canon.parts import Citation, Part, Text
from wye.dialects.bedrock_converse.form import extras_with, form_of, merged, own_members
from wye.dialects.bedrock_converse.name import NAME
from wye.kernel.fields import Fields
from wye.kernel.json import JsonObject, as_list

_Kind = Literal["char", "page", "block", "search_result"]
_SPANS: dict[str, tuple[_Kind, str]] = {
    "documentChar": ("char", "documentIndex"),
    "documentPage": ("page", "documentIndex"),
    "documentChunk": ("block", "documentIndex"),
    "searchResultLocation": ("search_result", "searchResultIndex"),
}
_LOCATIONS = {kind: (location, index) for location, (kind, index) in _SPANS.items()}


def decode_citation(fields: Fields) -> Citation:
    """A citation without a location is one of a passage, at no place."""
    citation = Citation("block", title=fields.str("title"), source=fields.str("source"))
    form: JsonObject = {}
    passages = fields.any("sourceContent")
    texts = plain_texts(passages)
    if texts is None:
        fields.rest()["sourceContent"] = passages
    elif texts:
        citation.quote = "".join(texts)
        if len(texts) > 1:
            form["sourceContent"] = [len(text) for text in texts]
    location = fields.fields("location")
    if location is not None:
        left = _take_location(location, citation)
        if left:
            fields.rest()["location"] = left
    citation.extras = extras_with(fields.rest(), form)
    return citation


def plain_texts(value: Any) -> list[str] | None:
    """The texts of `[{"text": ...}]`, none for what is absent; None for what holds anything else."""
    items = [] if value is None else as_list(value)
    if items is None:
        return None
    texts: list[str] = []
    for item in items:
        match item:
            case {"text": str(text), **more} if not more:
                texts.append(text)
            case _:
                return None
    return texts


def encode_plain(parts: list[Part], what: str, path: str, inside: str, losses: Losses) -> list[JsonObject]:
    """Texts as `[{"text": ...}]`, each called by its place `inside`. Raises BadRequest for parts that are no text."""
    said: list[JsonObject] = []
    for i, part in enumerate(parts):
        if not isinstance(part, Text):
            raise cannot_say(NAME, f"{what} that holds more than text", path)
        at = f"{inside}[{i}]"
        if part.citations:
            losses.add(f"{at}.citations", f"{what} holds plain text", "info")
        if part.cache is not None:
            losses.add(f"{at}.cache_control", f"there are no cache points within {what}", "info")
        said.append({"text": part.text} | own_members(part.extras, losses, at))
    return said


def _take_location(location: Fields, citation: Citation) -> JsonObject:
    """Gives back what was not understood of it."""
    for name, (kind, index) in _SPANS.items():
        if location.has(name):
            span = Fields(location.any(name), location.at(name))
            citation.kind = kind
            citation.document = span.int(index)
            citation.start, citation.end = span.int("start"), span.int("end")
            empty = citation.document is None and citation.start is None and citation.end is None
            return {name: span.rest(), **location.rest()} if span.rest() or empty else location.rest()
    web = location.fields("web")
    if web is not None:
        citation.kind = "url"
        citation.url = web.str("url")
        empty = citation.url is None
        return {"web": web.rest(), **location.rest()} if web.rest() or empty else location.rest()
    return location.rest()


def encode_citation(citation: Citation, path: str, losses: Losses, *, answer: bool) -> JsonObject | None:
    """None for one that became a loss."""
    own = own_members(citation.extras, losses, path, "info")
    if citation.kind in ("file", "container_file"):
        losses.add(path, "Converse has no citations of files", "warning" if answer else "info")
        return None
    if citation.file_id is not None:
        losses.add(f"{path}.file_id", "a citation names its document by its place in the request", "info")
    if citation.text_start is not None or citation.text_end is not None:
        losses.add(f"{path}.text_start", "a citation stands at the text it supports, without positions", "info")
    said: JsonObject = {}
    if citation.title is not None:
        said["title"] = citation.title
    if citation.source is not None:
        said["source"] = citation.source
    if citation.quote is not None:
        said["sourceContent"] = [{"text": text} for text in pieces(citation.quote, form_of(citation.extras))]
    location = _location(citation)
    if location:
        said["location"] = location
    return merged(said, own)


def pieces(text: str, form: JsonObject, name: str = "sourceContent") -> list[str]:
    """A text as the pieces it came in; in one, if it is no longer the same."""
    lengths = form.get(name)
    if not isinstance(lengths, list):
        return [text]
    found: list[str] = []
    at = 0
    for length in lengths:  # pyright: ignore[reportUnknownVariableType]
        if not isinstance(length, int) or length < 0:
            return [text]
        found.append(text[at : at + length])
        at += length
    return found if at == len(text) else [text]


def _location(citation: Citation) -> JsonObject:
    if citation.kind == "url":
        return {} if citation.url is None else {"web": {"url": citation.url}}
    name, index = _LOCATIONS[citation.kind]
    span = {index: citation.document, "start": citation.start, "end": citation.end}
    told = {member: value for member, value in span.items() if value is not None}
    return {name: told} if told else {}
