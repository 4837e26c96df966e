"""Images, documents and audio: a `format`, and a `source` that is bytes (base64), a place in S3, or text.

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_DocumentBlock.html
"""

from __future__ import annotations

import re

from wye.canon.extras import Extras
from wye.canon.loss import Losses, cannot_say
from wye.canon.parts import Audio, Base64, Blocks, Document, FileId, Image, Part, PlainText, Text, Url
from wye.dialects.bedrock_converse.citations import encode_plain, plain_texts
from wye.dialects.bedrock_converse.form import OUTER, block_extras, form_of, own_members
from wye.dialects.bedrock_converse.form import block as encode_block
from wye.dialects.bedrock_converse.name import NAME
from wye.kernel.fields import Fields
from wye.kernel.json import JsonObject

_OFFICE = "application/vnd.openxmlformats-officedocument."
_DOCUMENTS = {
    "pdf": "application/pdf",
    "csv": "text/csv",
    "doc": "application/msword",
    "docx": f"{_OFFICE}wordprocessingml.document",
    "xls": "application/vnd.ms-excel",
    "xlsx": f"{_OFFICE}spreadsheetml.sheet",
    "html": "text/html",
    "txt": "text/plain",
    "md": "text/markdown",
}
_FORMATS = {kind: name for name, kind in _DOCUMENTS.items()}
_IMAGES = {"image/jpg": "jpeg"}
_IMAGE_NAMES = {"gif": "gif", "jpeg": "jpeg", "jpg": "jpeg", "png": "png", "webp": "webp"}
"""The format of an image by how its name ends."""
_MAGIC = {"/9j/": "jpeg", "iVBORw0KGgo": "png", "R0lGOD": "gif", "UklGR": "webp", "JVBERi0": "pdf"}
"""How base64 data of each format begins."""
_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9\s()\[\]-]|(?<=\s)\s")
MAX_NAME = 200
GUARDED = "guardContent"


def decode_image(outer: Fields, kind: str = "image") -> Part | None:
    """None for an image whose source is of an unknown kind, or that is missing for an error."""
    inner = outer.fields(kind) or Fields({})
    name = inner.str("format")
    source = _source(inner, f"image/{name}" if name else None)
    if not isinstance(source, Base64 | Url):
        return None
    # A place in S3 has no media type that the canonical form could keep.
    form = {"format": name} if isinstance(source, Url) and name is not None else None
    return Image(source, extras=block_extras(inner, outer, form))


def decode_document(outer: Fields) -> Part | None:
    inner = outer.fields("document") or Fields({})
    name = inner.str("format")
    citations = inner.any("citations")
    title = inner.str("name")
    context = inner.str("context")
    source = _source(inner, _DOCUMENTS.get(name or "", f"application/{name}" if name else None))
    if source is None:
        return None
    enabled: bool | None = None
    match citations:
        case None:
            pass
        case {"enabled": bool(given), **more} if not more:
            enabled = given
        case _:
            inner.rest()["citations"] = citations
    form: JsonObject = {"format": name} if name != _format_of(source) else {}
    if title is not None and title != _plain_name(title):
        form["name"] = title
    return Document(source, title, context, enabled, extras=block_extras(inner, outer, form))


def decode_audio(outer: Fields) -> Part | None:
    """Only bytes: audio in S3 has no place in the canonical form."""
    inner = outer.fields("audio") or Fields({})
    name = inner.str("format")
    source = _source(inner, name)
    return Audio(source.data, name, extras=block_extras(inner, outer)) if isinstance(source, Base64) else None


def _source(inner: Fields, media_type: str | None) -> Base64 | Url | PlainText | Blocks | None:
    """What else the source holds stays in the inner object's rest."""
    source = inner.fields("source")
    if source is None:
        return None
    found: Base64 | Url | PlainText | Blocks
    if source.has("bytes"):
        found = Base64(source.required_str("bytes"), media_type)
    elif source.has("s3Location"):
        place = Fields(source.any("s3Location"), source.at("s3Location"))
        found = Url(place.required_str("uri"))
        if place.rest():
            source.rest()["s3Location"] = place.rest()
    elif source.has("text"):
        found = PlainText(source.required_str("text"), media_type or "text/plain")
    else:
        texts = plain_texts(source.any("content"))
        if not texts:
            return None
        found = Blocks([Text(text) for text in texts])
    if source.rest():
        inner.rest()["source"] = source.rest()
    return found


def _format_of(source: Base64 | Url | FileId | PlainText | Blocks) -> str | None:
    """The format that is said for a document of this source if nothing else is known."""
    match source:
        case Base64():
            kind = source.media_type
            if kind is None:
                return _sniffed(source.data)
            return _FORMATS.get(kind) or ("txt" if kind.startswith("text/") else None)
        case PlainText():
            return _FORMATS.get(source.media_type, "txt")
        case Url():
            end = _ending(source.url)
            return end if end in _DOCUMENTS else None
        case _:
            return None


def _ending(url: str) -> str:
    return url.rpartition(".")[2].lower()


def _sniffed(data: str) -> str | None:
    return next((name for magic, name in _MAGIC.items() if data.startswith(magic)), None)


def encode_image(part: Image, path: str, losses: Losses) -> JsonObject:
    """Raises BadRequest for an image that is not in S3 or here."""
    if part.detail not in (None, "auto"):
        losses.add(f"{path}.detail", "the model looks at every image in the same way")
    own = own_members(part.extras, losses, path)
    match part.source:
        case Base64():
            media = part.source.media_type
            name = _IMAGES.get(media or "") or (media or "").removeprefix("image/") or _sniffed(part.source.data)
            source: JsonObject = {"bytes": part.source.data}
        case Url():
            source = _place(part.source, "an image", path)
            name = form_of(part.extras).get("format") or _IMAGE_NAMES.get(_ending(part.source.url))
        case _:
            raise cannot_say(NAME, "an image by the id of a file", f"{path}.source")
    if name is None:
        raise cannot_say(NAME, "image data without a media type", f"{path}.source")
    members: JsonObject = {"format": name, "source": source}
    if GUARDED in own:
        # {"guardContent": {"image": {...}, what else was in it}}
        beside = {GUARDED: own.pop(GUARDED), **own.pop(OUTER, {})}
        return {**beside, GUARDED: {**encode_block("image", members, own), **beside[GUARDED]}}
    return encode_block("image", members, own)


def encode_document(part: Document, path: str, losses: Losses) -> JsonObject:
    """Raises BadRequest for a document that is not in S3 or here, or that holds more than text."""
    as_it_came = part.title is not None and part.title == form_of(part.extras).get("name")
    members: JsonObject = {"name": part.title if as_it_came else _name(part.title, path, losses)}
    name = form_of(part.extras).get("format") or _format_of(part.source)
    if name is not None and "format" not in _absent(part.extras):
        members["format"] = name
    match part.source:
        case Base64():
            if name is None:
                kind = part.source.media_type or "unknown type"
                raise cannot_say(NAME, f"a document of {kind}", f"{path}.source")
            members["source"] = {"bytes": part.source.data}
        case PlainText():
            members["source"] = {"text": part.source.text}
        case Url():
            members["source"] = _place(part.source, "a document", path)
        case Blocks():
            at = f"{path}.source"
            members["source"] = {"content": encode_plain(part.source.parts, "a document", at, f"{at}.content", losses)}
        case _:
            raise cannot_say(NAME, "a document by the id of a file", f"{path}.source")
    if part.context is not None:
        members["context"] = part.context
    if part.citations is not None:
        members["citations"] = {"enabled": part.citations}
    return encode_block("document", members, own_members(part.extras, losses, path))


def _absent(extras: Extras | None) -> frozenset[str]:
    """Members that were left out, though their value would be known."""
    return frozenset(name for name, value in form_of(extras).items() if value is None)


def _name(title: str | None, path: str, losses: Losses) -> str:
    """Names hold few characters, and differ within a request: those made up here tell the place of the document."""
    if not title:
        return f"document {'-'.join(re.findall('[0-9]+', path))}"
    name = _plain_name(title)
    if name != title:
        losses.add(f"{path}.title", f"a document's name holds letters, digits, - ( ) [ ]: {name!r} is sent", "info")
    return name


def _plain_name(title: str) -> str:
    return _NOT_IN_A_NAME.sub("-", title)[:MAX_NAME]


def _place(source: Url, what: str, path: str) -> JsonObject:
    if not source.url.startswith("s3://"):
        raise cannot_say(NAME, f"{what} by its URL", f"{path}.source")
    return {"s3Location": {"uri": source.url}}


def encode_audio(part: Audio, path: str, losses: Losses) -> JsonObject:
    if part.id is not None:
        losses.add(f"{path}.id", "audio has no id", "info")
    if part.transcript is not None:
        losses.add(f"{path}.transcript", "audio has no transcript")
    members: JsonObject = {"format": part.format or "wav", "source": {"bytes": part.data}}
    return encode_block("audio", members, own_members(part.extras, losses, path))
