"""Content parts of messages and of tools' outputs. https://platform.openai.com/docs/api-reference/responses/create"""

from __future__ import annotations

from typing import Any, assert_never

from wye.canon.data_url import decode_url, encode_url
from wye.canon.extras import FORM, Extras, extras_of, own_extras
from wye.canon.loss import Losses, Severity, cannot_say
from wye.canon.parts import (
    Audio,
    Base64,
    Blocks,
    CacheMark,
    Citation,
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
from wye.dialects.openai_responses.annotations import decode_annotation, encode_annotation
from wye.dialects.openai_responses.name import NAME
from wye.kernel.errors import BadRequest
from wye.kernel.fields import Fields
from wye.kernel.json import JsonObject, as_list, as_object, type_name

BREAKPOINT = "prompt_cache_breakpoint"


def extras_with(rest: JsonObject, form: JsonObject) -> Extras | None:
    """What a codec did not take, and how the rest was spelled."""
    return extras_of(NAME, {**rest, FORM: form} if form else rest)


def own_members(
    extras: Extras | None, losses: Losses, path: str, severity: Severity = "warning"
) -> tuple[JsonObject, JsonObject]:
    """The members that this dialect left here, and how it spelled the rest; those of others become losses."""
    own = dict(own_extras(extras, NAME, losses, path, severity))
    return own, as_object(own.pop(FORM, None)) or {}


def form_of(extras: Extras | None) -> JsonObject:
    """How this dialect spelled it."""
    return as_object((extras or {}).get(NAME, {}).get(FORM)) or {}


def decode_content(value: Any, path: str, kind: str = "input_text") -> list[Part]:
    """Content as parts: a string is one text. Parts of unknown type stay whole. Raises BadRequest.

    `kind` is the type that texts have in this place; one of another type remembers it.
    """
    if isinstance(value, str):
        return [Text(value)]
    items = as_list(value)
    if items is None:
        raise BadRequest(f"{path} must be a string or an array of parts, not {type_name(value)}", param=path)
    return [_decode_part(item, f"{path}[{i}]", kind) for i, item in enumerate(items)]


def _decode_part(value: Any, path: str, kind: str) -> Part:
    fields = Fields(value, path)
    match fields.required_str("type"):
        case "input_text" | "output_text" as given:
            return _decode_text(fields, {} if given == kind else {"type": given})
        case "refusal":
            return Refusal(fields.required_str("refusal"), extras=extras_of(NAME, fields.rest()))
        case "input_image":
            return _decode_image(fields) or Opaque(NAME, value)
        case "input_file":
            return _decode_file(fields) or Opaque(NAME, value)
        case "input_audio" if (audio := fields.fields("input_audio")) is not None:
            part = Audio(audio.required_str("data"), audio.str("format"))
            rest, below = fields.rest(), audio.rest()
            part.extras = extras_of(NAME, {**rest, "input_audio": below} if below else rest)
            return part
        case _:
            return Opaque(NAME, value)


def _decode_text(fields: Fields, form: JsonObject) -> Text:
    text = Text(fields.required_str("text"), cache=decode_cache(fields))
    rest = fields.rest()
    text.citations = take_citations(rest)
    # Texts of answers have these even when they are empty, and clients send them back.
    form.update({name: rest.pop(name) for name in ("annotations", "logprobs") if name in rest and not rest[name]})
    text.extras = extras_with(rest, form)
    return text


def take_citations(members: JsonObject) -> list[Citation]:
    """Remove the annotations when all of them are understood."""
    annotations = as_list(members.get("annotations")) or []
    citations = [citation for value in annotations if (citation := decode_annotation(value)) is not None]
    if not citations or len(citations) < len(annotations):
        return []
    del members["annotations"]
    return citations


def _decode_image(fields: Fields) -> Image | None:
    identity = fields.str("file_id")
    if identity is not None:
        source: FileId | Base64 | Url = FileId(identity)
    elif (url := fields.str("image_url")) is not None:
        source = decode_url(url)
    else:
        return None
    part = Image(source, fields.str("detail"), decode_cache(fields))
    part.extras = extras_of(NAME, fields.rest())
    return part


def _decode_file(fields: Fields) -> Document | None:
    form: JsonObject = {}
    if (identity := fields.str("file_id")) is not None:
        source: FileId | Base64 | Url = FileId(identity)
    elif (data := fields.str("file_data")) is not None:
        source = decode_url(data)
        if isinstance(source, Url):
            # Bare base64, without the head of a data URL.
            source, form = Base64(data), {"file_data": data}
    elif (url := fields.str("file_url")) is not None:
        source = Url(url)
    else:
        return None
    part = Document(source, title=fields.str("filename"), cache=decode_cache(fields))
    part.extras = extras_with(fields.rest(), form)
    return part


def decode_cache(fields: Fields) -> CacheMark | None:
    """A breakpoint's lifetimes (30m, 12h) are not those of other dialects, so they stay among its own members."""
    point = fields.dict(BREAKPOINT)
    return None if point is None else CacheMark(extras={NAME: {BREAKPOINT: point}})


def encode_cache(mark: CacheMark | None, losses: Losses, path: str) -> JsonObject:
    """As a member to merge: a breakpoint of OpenAI's, whichever of its dialects it came in."""
    if mark is None:
        return {}
    at = f"{path}.cache_control"
    points = [members[BREAKPOINT] for members in (mark.extras or {}).values() if BREAKPOINT in members]
    if not points:
        losses.add(at, f"{NAME} caches by itself", "info")
        return {}
    others = {
        dialect: {name: value for name, value in members.items() if name != BREAKPOINT}
        for dialect, members in (mark.extras or {}).items()
    }
    return {BREAKPOINT: points[0], **own_extras(others, NAME, losses, at)}


def encode_part(
    part: Part, losses: Losses, path: str, kind: str = "input_text", severity: Severity = "warning"
) -> JsonObject | None:
    """One part, texts as `kind`; None when it is reported as lost. Raises BadRequest for what cannot be said.

    `severity` is that of members of a text that only another dialect knows.
    """
    match part:
        case Text():
            return _encode_text(part, losses, path, kind, severity)
        case Refusal():
            own, _ = _without_message(*own_members(part.extras, losses, path, severity))
            if kind == "input_text":
                losses.add(f"{path}.refusal", f"{NAME} has refusals only from the assistant: said as text", "info")
                return {"type": kind, "text": part.text}
            return {"type": "refusal", "refusal": part.text, **own}
        case Image():
            return _encode_image(part, losses, path)
        case Audio():
            if not part.data:
                raise cannot_say(NAME, "audio by reference", path)
            own, _ = own_members(part.extras, losses, path)
            audio = {"data": part.data, "format": part.format or "wav", **own.pop("input_audio", {})}
            return {"type": "input_audio", "input_audio": audio, **own}
        case Document():
            return _encode_document(part, losses, path)
        case SearchResult():
            losses.add(path, f"{NAME} has no search results: said as text", "info")
            own_extras(part.extras, NAME, losses, path)
            text = f"{part.title}\n{part.source}\n\n{_text_of(part.parts, path)}"
            return {"type": "input_text", "text": text, **encode_cache(part.cache, losses, path)}
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


def _without_message(own: JsonObject, form: JsonObject) -> tuple[JsonObject, JsonObject]:
    """Without the members of the message that a text begins: they are said there."""
    item = as_object(form.get("item")) or {}
    apart = {"item", *item.get("members", ())}
    own = {name: value for name, value in own.items() if name not in apart}
    return own, {name: value for name, value in form.items() if name != "item"}


def _encode_text(part: Text, losses: Losses, path: str, kind: str, severity: Severity) -> JsonObject:
    own, form = _without_message(*own_members(part.extras, losses, path, severity))
    said: JsonObject = {"type": kind, "text": part.text, **form}
    if part.citations and said["type"] == "output_text":
        length = len(part.text)
        said["annotations"] = [
            encode_annotation(citation, length, losses, f"{path}.citations[{i}]")
            for i, citation in enumerate(part.citations)
        ]
    elif part.citations:
        losses.add(f"{path}.citations", f"{NAME} takes no citations here", "info")
    return {**said, **encode_cache(part.cache, losses, path), **own}


def _encode_image(part: Image, losses: Losses, path: str) -> JsonObject:
    own, _ = own_members(part.extras, losses, path)
    image: JsonObject = {"type": "input_image"}
    if isinstance(part.source, FileId):
        image["file_id"] = part.source.id
    else:
        image["image_url"] = encode_url(part.source, "image/png")
    if part.detail is not None:
        image["detail"] = part.detail
    return {**image, **encode_cache(part.cache, losses, path), **own}


def _encode_document(part: Document, losses: Losses, path: str) -> JsonObject:
    if part.citations:
        losses.add(f"{path}.citations", f"{NAME} does not cite documents")
    own, form = own_members(part.extras, losses, path)
    file: JsonObject = {"type": "input_file"}
    match part.source:
        case Base64():
            # OpenAI refuses file data without a name.
            file["filename"] = "document.pdf"
            file["file_data"] = encode_url(part.source, "application/pdf")
        case FileId():
            file["file_id"] = part.source.id
        case Url():
            file["file_url"] = part.source.url
        case PlainText() | Blocks():
            losses.add(path, f"{NAME} has no text documents: said as text", "info")
            text = part.source.text if isinstance(part.source, PlainText) else _text_of(part.source.parts, path)
            head = "\n".join(line for line in (part.title, part.context) if line)
            text = f"{head}\n\n{text}" if head else text
            return {"type": "input_text", "text": text, **encode_cache(part.cache, losses, path), **own}
        case _:
            assert_never(part.source)
    if part.context:
        losses.add(f"{path}.context", f"{NAME} has no place for a document's context")
    if part.title is not None:
        file["filename"] = part.title
    return {**file, **form, **encode_cache(part.cache, losses, path), **own}


def _text_of(parts: list[Part], path: str) -> str:
    texts: list[str] = []
    for part in parts:
        if not isinstance(part, Text):
            raise cannot_say(NAME, "a document with anything but text in it", path)
        texts.append(part.text)
    return "\n".join(texts)
