"""Content parts of user, system and tool messages. https://platform.openai.com/docs/api-reference/chat/create"""

from __future__ import annotations

from typing import Any, assert_never

from wye.canon.data_url import decode_url, encode_url
from wye.canon.extras import extras_of, own_extras
from wye.canon.loss import Losses, cannot_say
from wye.canon.parts import (
    Audio,
    Base64,
    Blocks,
    CacheMark,
    Document,
    FileId,
    Image,
    Opaque,
    Part,
    PlainText,
    Refusal,
    SearchResult,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Url,
)
from wye.dialects.openai_chat.name import NAME
from wye.kernel.errors import BadRequest
from wye.kernel.fields import Fields
from wye.kernel.json import JsonObject, as_list, type_name

BREAKPOINT = "prompt_cache_breakpoint"


def decode_parts(value: Any, path: str) -> list[Part]:
    """Content as parts: a string is one text, null is none. Parts of unknown type stay whole. Raises BadRequest."""
    if value is None:
        return []
    if isinstance(value, str):
        return [Text(value)]
    items = as_list(value)
    if items is None:
        raise BadRequest(f"{path} must be a string or an array of parts, not {type_name(value)}", param=path)
    return [_decode_part(item, f"{path}[{i}]") for i, item in enumerate(items)]


def _decode_part(value: Any, path: str) -> Part:
    fields = Fields(value, path)
    match fields.required_str("type"):
        case "text":
            text = fields.required_str("text")
            return Text(text, cache=decode_cache(fields), extras=extras_of(NAME, fields.rest()))
        case "refusal":
            return Refusal(fields.required_str("refusal"), extras=extras_of(NAME, fields.rest()))
        case "image_url":
            return _decode_image(fields)
        case "input_audio":
            audio = fields.fields("input_audio") or _missing(fields, "input_audio")
            part = Audio(audio.required_str("data"), audio.str("format"))
            part.extras = extras_of(NAME, _with(fields.rest(), "input_audio", audio.rest()))
            return part
        case "file" if (file := fields.fields("file")) is not None:
            return _decode_file(fields, file) or Opaque(NAME, value)
        case _:
            return Opaque(NAME, value)


def _missing(fields: Fields, name: str) -> Fields:
    raise BadRequest(f"{fields.at(name)} is required", param=fields.at(name))


def _with(rest: JsonObject, name: str, below: JsonObject) -> JsonObject:
    return {**rest, name: below} if below else rest


def _decode_image(fields: Fields) -> Image:
    image = fields.fields("image_url") or _missing(fields, "image_url")
    source = decode_url(image.required_str("url"))
    part = Image(source, image.str("detail"), decode_cache(fields))
    part.extras = extras_of(NAME, _with(fields.rest(), "image_url", image.rest()))
    return part


def _decode_file(fields: Fields, file: Fields) -> Document | None:
    """None for a file that only some servers take, as by its URL."""
    name = file.str("filename")
    if (identity := file.str("file_id")) is not None:
        source: FileId | Base64 = FileId(identity)
    elif (data := file.str("file_data")) is not None:
        found = decode_url(data)
        if isinstance(found, Url) and "://" in data:
            return None
        source = found if isinstance(found, Base64) else Base64(data)
    else:
        return None
    part = Document(source, title=name, cache=decode_cache(fields))
    part.extras = extras_of(NAME, _with(fields.rest(), "file", file.rest()))
    return part


def decode_cache(fields: Fields) -> CacheMark | None:
    """OpenAI's `prompt_cache_breakpoint`, or `cache_control` as clients send it through OpenAI-shaped gateways.

    What was said stays in the mark's extras, even when empty: only a mark of this dialect is said again in it.
    """
    mark = fields.fields("cache_control")
    if mark is not None:
        ttl, rest = mark.str("ttl"), mark.rest()
        if rest.get("type") == "ephemeral":
            del rest["type"]
        return CacheMark(ttl, {NAME: rest})
    point = fields.dict(BREAKPOINT)
    # Its lifetimes (30m, 12h) are not those of other dialects, so they stay among its own members.
    return None if point is None else CacheMark(extras={NAME: {BREAKPOINT: point}})


def mark_last(parts: list[Part], fields: Fields) -> None:
    """A cache mark on a message stands for its last part; where that cannot bear it, it stays a member."""
    last = parts[-1] if parts else None
    if isinstance(last, Text | Image | Document) and last.cache is None:
        last.cache = decode_cache(fields)


def encode_cache(mark: CacheMark | None, losses: Losses, path: str) -> JsonObject:
    """As a member to merge. Marks of other dialects stay unsaid: most servers of this API refuse what they do not know,
    and cache by themselves."""
    if mark is None:
        return {}
    at = f"{path}.cache_control" if path else "cache_control"
    if mark.extras is None or NAME not in mark.extras:
        losses.add(at, f"{NAME} caches by itself", "info")
        return {}
    own = own_extras(mark.extras, NAME, losses, at)
    if BREAKPOINT in own:
        return own
    ttl = {} if mark.ttl is None else {"ttl": mark.ttl}
    return {"cache_control": {"type": "ephemeral", **ttl, **own}}


def encode_content(parts: list[tuple[int, Part]], losses: Losses, path: str) -> str | list[JsonObject]:
    """Parts, each with its place in the message, as its content. Raises BadRequest when nothing can be said."""
    encoded = [encode_part(part, losses, f"{path}[{place}]") for place, part in parts]
    said = [part for part in encoded if part is not None]
    if parts and not said:
        raise cannot_say(NAME, "a message that holds nothing else", path)
    return joined(said)


def joined(said: list[JsonObject]) -> str | list[JsonObject]:
    """One plain text as a string, which every server takes; else the array."""
    if not said:
        return ""
    if len(said) == 1 and said[0].keys() == {"type", "text"} and said[0]["type"] == "text":
        return str(said[0]["text"])
    return said


def encode_part(part: Part, losses: Losses, path: str) -> JsonObject | None:
    """One part; None when it is reported as lost. Raises BadRequest for content that cannot be said."""
    match part:
        case Text():
            for i, _ in enumerate(part.citations):
                losses.add(f"{path}.citations[{i}]", f"{NAME} takes no citations in messages", "info")
            own = own_extras(part.extras, NAME, losses, path)
            return {"type": "text", "text": part.text, **encode_cache(part.cache, losses, path), **own}
        case Refusal():
            return {"type": "refusal", "refusal": part.text, **own_extras(part.extras, NAME, losses, path)}
        case Image():
            return _encode_image(part, losses, path)
        case Audio():
            if not part.data:
                raise cannot_say(NAME, "audio by reference", path)
            own = dict(own_extras(part.extras, NAME, losses, path))
            audio = {"data": part.data, "format": part.format or "wav", **own.pop("input_audio", {})}
            return {"type": "input_audio", "input_audio": audio, **own}
        case Document():
            return _encode_document(part, losses, path)
        case SearchResult():
            losses.add(path, f"{NAME} has no search results: said as text", "info")
            own_extras(part.extras, NAME, losses, path)
            text = f"{part.title}\n{part.source}\n\n{_text_of(part.parts, path)}"
            return {"type": "text", "text": text, **encode_cache(part.cache, losses, path)}
        case Opaque():
            if part.dialect == NAME:
                return part.value
            losses.add(path, f"{NAME} has no {part.type or 'such part'}")
            return None
        case Thinking():
            losses.add(path, f"{NAME} takes no thinking here")
            return None
        case ToolCall() | ToolResult():
            raise cannot_say(NAME, "a tool call or result in this place", path)
        case _:
            assert_never(part)


def _encode_image(part: Image, losses: Losses, path: str) -> JsonObject:
    if isinstance(part.source, FileId):
        raise cannot_say(NAME, "an image by file id", path)
    own = dict(own_extras(part.extras, NAME, losses, path))
    image: JsonObject = {"url": encode_url(part.source, "image/png")}
    if part.detail is not None:
        image["detail"] = part.detail
    image.update(own.pop("image_url", {}))
    return {"type": "image_url", "image_url": image, **encode_cache(part.cache, losses, path), **own}


def _encode_document(part: Document, losses: Losses, path: str) -> JsonObject:
    if part.citations:
        losses.add(f"{path}.citations", f"{NAME} does not cite documents")
    own = dict(own_extras(part.extras, NAME, losses, path))
    cache = encode_cache(part.cache, losses, path)
    match part.source:
        case Base64():
            # OpenAI refuses file data without a name.
            file: JsonObject = {"filename": "document.pdf", "file_data": encode_url(part.source, "application/pdf")}
        case FileId():
            file = {"file_id": part.source.id}
        case Url():
            raise cannot_say(NAME, "a document by its URL", path)
        case PlainText() | Blocks():
            losses.add(path, f"{NAME} has no text documents: said as text", "info")
            text = part.source.text if isinstance(part.source, PlainText) else _text_of(part.source.parts, path)
            head = "\n".join(line for line in (part.title, part.context) if line)
            return {"type": "text", "text": f"{head}\n\n{text}" if head else text, **cache, **own}
        case _:
            assert_never(part.source)
    if part.context:
        losses.add(f"{path}.context", f"{NAME} has no place for a document's context")
    if part.title is not None:
        file["filename"] = part.title
    file.update(own.pop("file", {}))
    return {"type": "file", "file": file, **cache, **own}


def _text_of(parts: list[Part], path: str) -> str:
    texts: list[str] = []
    for part in parts:
        if not isinstance(part, Text):
            raise cannot_say(NAME, "a document with anything but text in it", path)
        texts.append(part.text)
    return "\n".join(texts)
