"""Content blocks: what messages, system prompts, tool results and answers are made of.

https://docs.anthropic.com/en/api/messages
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any, assert_never

from msgspec.structs import replace

from wye.canon.extras import Extras, extras_of, own_extras
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
    Source,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Url,
)
from wye.canon.seal import seal, unseal
from wye.dialects.anthropic_messages.citations import decode_citation, encode_citation
from wye.dialects.anthropic_messages.name import NAME, ORIGIN
from wye.kernel.errors import BadRequest
from wye.kernel.fields import Fields
from wye.kernel.json import JsonError, JsonObject, decode, encode_text, type_name

SERVER_CALLS = frozenset({"server_tool_use", "mcp_tool_use"})
"""Calls that the provider runs itself. Their results are blocks of many types, which stay opaque."""


# Decoding


def decode_parts(value: Any, path: str, blocks: Decoders | None = None) -> list[Part]:
    """Content as parts: a string is one text. Blocks of unknown type stay whole. Raises BadRequest."""
    if isinstance(value, str):
        return [Text(value)]
    if not isinstance(value, list):
        raise BadRequest(f"{path} must be a string or an array of blocks, not {type_name(value)}", param=path)
    items: list[Any] = value  # pyright: ignore[reportUnknownVariableType]
    return [decode_part(item, f"{path}[{i}]", blocks) for i, item in enumerate(items)]


def decode_part(value: Any, path: str, blocks: Decoders | None = None) -> Part:
    """One block. `blocks` are the types understood in this place: those that may nest are fewer at each level, so
    the depth is bounded."""
    fields = Fields(value, path)
    kind = fields.required_str("type")
    decoder = (_BLOCKS if blocks is None else blocks).get(kind)
    part = decoder(fields) if decoder else None
    return Opaque(NAME, value) if part is None else part


def unsealed(part: Part) -> Part:
    """What another vendor left, where a client sends it back in the place of a signature; any other part as it is."""
    if not isinstance(part, Thinking):
        return part
    found = unseal(part.signature or part.redacted or "")
    if isinstance(found, Thinking):
        found.text = part.text
    return found or part


def decode_cache(fields: Fields) -> CacheMark | None:
    mark = fields.fields("cache_control")
    if mark is None:
        return None
    kind = mark.str("type")
    ttl = mark.str("ttl")
    rest = mark.rest()
    if kind not in (None, "ephemeral"):
        rest["type"] = kind
    return CacheMark(ttl, extras_of(NAME, rest))


def _extras(fields: Fields, more: JsonObject | None = None) -> Extras | None:
    rest = fields.rest()
    return extras_of(NAME, {**rest, **more} if more else rest)


def _text(fields: Fields) -> Part:
    return Text(
        text=fields.required_str("text"),
        citations=[decode_citation(item) for item in fields.each("citations")],
        cache=decode_cache(fields),
        extras=_extras(fields),
    )


def _image(fields: Fields) -> Part | None:
    source, more = _source(fields)
    if not isinstance(source, Base64 | Url | FileId):
        return None
    return Image(source, cache=decode_cache(fields), extras=_extras(fields, more))


def _document(fields: Fields) -> Part | None:
    source, more = _source(fields)
    if source is None:
        return None
    cited, odd = _cited(fields)
    return Document(
        source,
        title=fields.str("title"),
        context=fields.str("context"),
        citations=cited,
        cache=decode_cache(fields),
        extras=_extras(fields, {**more, **odd}),
    )


def _search_result(fields: Fields) -> Part:
    cited, odd = _cited(fields)
    return SearchResult(
        source=fields.required_str("source"),
        title=fields.required_str("title"),
        parts=decode_parts(fields.any("content"), fields.at("content"), _TEXTS),
        citations=cited,
        cache=decode_cache(fields),
        extras=_extras(fields, odd),
    )


def _thinking(fields: Fields) -> Part:
    # An empty signature is what a stream begins with, and what servers that do not sign send: no signature.
    text, signature = fields.str("thinking") or "", fields.str("signature") or None
    return Thinking(text, signature, origin=ORIGIN, extras=_extras(fields))


def _redacted_thinking(fields: Fields) -> Part:
    return Thinking(redacted=fields.required_str("data"), origin=ORIGIN, extras=_extras(fields))


def _tool_use(fields: Fields) -> Part:
    return ToolCall(
        id=fields.required_str("id"),
        name=fields.required_str("name"),
        arguments=encode_text(fields.dict("input") or {}),
        cache=decode_cache(fields),
        extras=_extras(fields),
    )


def _server_tool_use(kind: str) -> Callable[[Fields], Part]:
    def call(fields: Fields) -> Part:
        return ToolCall(
            id=fields.required_str("id"),
            name=fields.required_str("name"),
            arguments=encode_text(fields.dict("input") or {}),
            kind="server",
            cache=decode_cache(fields),
            extras=_extras(fields, {"type": kind}),
        )

    return call


def _tool_result(fields: Fields) -> Part:
    content = fields.any("content")
    return ToolResult(
        call_id=fields.required_str("tool_use_id"),
        parts=[] if content is None else decode_parts(content, fields.at("content"), _RESULTS),
        is_error=fields.bool("is_error"),
        cache=decode_cache(fields),
        extras=_extras(fields),
    )


Decoders = dict[str, Callable[[Fields], Part | None]]
"""What decodes a block of each type; None for a block that stays whole after all."""

_TEXTS: Decoders = {"text": _text}
_PASSAGES: Decoders = {**_TEXTS, "image": _image}
_RESULTS: Decoders = {**_PASSAGES, "document": _document, "search_result": _search_result}
_BLOCKS: Decoders = {
    **_RESULTS,
    "thinking": _thinking,
    "redacted_thinking": _redacted_thinking,
    "tool_use": _tool_use,
    **{kind: _server_tool_use(kind) for kind in SERVER_CALLS},
    "tool_result": _tool_result,
}


def _source(fields: Fields) -> tuple[Source | None, JsonObject]:
    """An image's or document's source, None when its type is unknown; and what else it holds, as an extra."""
    source = fields.fields("source")
    if source is None:
        raise BadRequest(f"{fields.at('source')} is required", param=fields.at("source"))
    found: Source
    match source.str("type"):
        case "base64":
            found = Base64(source.required_str("data"), source.str("media_type"))
        case "url":
            found = Url(source.required_str("url"))
        case "file":
            found = FileId(source.required_str("file_id"))
        case "text":
            found = PlainText(source.required_str("data"), source.str("media_type") or "text/plain")
        case "content":
            found = Blocks(decode_parts(source.any("content"), source.at("content"), _PASSAGES))
        case _:
            return None, {}
    rest = source.rest()
    return found, {"source": rest} if rest else {}


def _cited(fields: Fields) -> tuple[bool | None, JsonObject]:
    """`citations.enabled`; a value of any other shape goes through as an extra."""
    match fields.any("citations"):
        case None:
            return None, {}
        case {"enabled": bool(enabled), **rest} if not rest:
            return enabled, {}
        case odd:
            return None, {"citations": odd}


# Encoding


def encode_parts(parts: list[Part], path: str, losses: Losses, *, answer: bool = False) -> list[JsonObject]:
    """The blocks for these parts, without those that became losses. `answer`: for a client, not for the model.

    Raises BadRequest for content that has no block.
    """
    blocks = [encode_part(part, f"{path}[{i}]", losses, answer=answer) for i, part in enumerate(parts)]
    return [block for block in blocks if block is not None]


def short(blocks: list[JsonObject]) -> str | list[JsonObject]:
    """Content as people write it: a lone plain text is a string."""
    if len(blocks) == 1 and blocks[0].keys() == {"type", "text"}:
        return blocks[0]["text"]
    return blocks


def encode_part(part: Part, path: str, losses: Losses, *, answer: bool = False) -> JsonObject | None:
    match part:
        case Text():
            block: JsonObject = {"type": "text", "text": part.text}
            citations = [
                encode_citation(citation, f"{path}.citations[{i}]", losses, answer=answer)
                for i, citation in enumerate(part.citations)
            ]
            if any(citations):
                block["citations"] = [citation for citation in citations if citation]
            return _complete(block, part.cache, part.extras, path, losses)
        case Image():
            if part.detail not in (None, "auto"):
                losses.add(f"{path}.detail", "the model looks at every image in the same way")
            block = {"type": "image", "source": _encode_source(part.source, "image", path, losses)}
            return _complete(block, part.cache, part.extras, path, losses)
        case Document():
            block = {"type": "document", "source": _encode_source(part.source, "document", path, losses)}
            if part.title is not None:
                block["title"] = part.title
            if part.context is not None:
                block["context"] = part.context
            if part.citations is not None:
                block["citations"] = {"enabled": part.citations}
            return _complete(block, part.cache, part.extras, path, losses)
        case SearchResult():
            content = encode_parts(part.parts, f"{path}.content", losses)
            block = {"type": "search_result", "source": part.source, "title": part.title, "content": content}
            if part.citations is not None:
                block["citations"] = {"enabled": part.citations}
            return _complete(block, part.cache, part.extras, path, losses)
        case Thinking():
            return _encode_thinking(part, path, losses, answer)
        case Refusal():
            if not answer:
                losses.add(f"{path}.refusal", "an earlier refusal is sent as text", "info")
            return _complete({"type": "text", "text": part.text}, None, part.extras, path, losses)
        case ToolCall():
            return _encode_call(part, path, losses, answer)
        case ToolResult():
            block = {"type": "tool_result", "tool_use_id": part.call_id}
            if part.parts:
                block["content"] = short(encode_parts(part.parts, f"{path}.content", losses))
            if part.is_error is not None:
                block["is_error"] = part.is_error
            return _complete(block, part.cache, part.extras, path, losses)
        case Opaque():
            if part.dialect == NAME:
                return part.value
            if answer:
                return encode_sealed(part, path, losses)
            losses.add(path, f"only {part.dialect} understands {part.type!r}")
            return None
        case Audio():
            if answer:
                losses.add(path, f"{NAME} has no audio")
                return None
            raise cannot_say(NAME, "audio", path)
        case _:
            assert_never(part)


def encode_cache(mark: CacheMark, path: str, losses: Losses) -> JsonObject:
    control: JsonObject = {"type": "ephemeral"}
    if mark.ttl is not None:
        control["ttl"] = mark.ttl
    return control | own_extras(mark.extras, NAME, losses, f"{path}.cache_control", "info")


def _complete(
    block: JsonObject, cache: CacheMark | None, extras: Extras | None, path: str, losses: Losses
) -> JsonObject:
    if cache is not None:
        block["cache_control"] = encode_cache(cache, path, losses)
    if extras:
        for name, value in own_extras(extras, NAME, losses, path).items():
            # The unknown members of a source were kept apart from those of its block.
            block[name] = {**block[name], **value} if name == "source" and isinstance(value, dict) else value
    return block


def _encode_thinking(part: Thinking, path: str, losses: Losses, answer: bool) -> JsonObject | None:
    if is_foreign(part):
        if answer:
            return encode_sealed(part, path, losses)
        losses.add(path, f"only {part.origin}'s models can read this thinking")
        return None
    if part.id is not None:
        losses.add(f"{path}.id", f"thinking has no id in {NAME}", "info")
    if part.redacted is not None:
        block: JsonObject = {"type": "redacted_thinking", "data": part.redacted}
    elif part.signature is None and not answer:
        losses.add(path, "thinking without a signature is refused by the model that would read it")
        return None
    else:
        block = {"type": "thinking", "thinking": part.text, "signature": part.signature or ""}
    return _complete(block, None, part.extras, path, losses)


def is_foreign(part: Thinking | Opaque) -> bool:
    """Whether only another vendor can read what the part holds."""
    return part.origin not in (None, ORIGIN) if isinstance(part, Thinking) else part.dialect != NAME


def encode_sealed(part: Thinking | Opaque, path: str, losses: Losses) -> JsonObject:
    """A block whose opaque member a client sends back unchanged, with what only another vendor can read in it."""
    if isinstance(part, Thinking) and part.text:
        return {"type": "thinking", "thinking": part.text, "signature": seal(replace(part, text=""))}
    if isinstance(part, Opaque):
        losses.add(path, f"only {part.dialect} understands {part.type!r}: carried sealed, for it alone", "info")
    return {"type": "redacted_thinking", "data": seal(part)}


def _encode_call(part: ToolCall, path: str, losses: Losses, answer: bool) -> JsonObject | None:
    block = start_call(part, path, losses)
    if block is not None:
        given = encode_input(part, path, losses, answer=answer)
        block["input"] = given
    return block


def start_call(part: ToolCall, path: str, losses: Losses) -> JsonObject | None:
    """A tool call's block with its input still empty; None for a call that another provider ran."""
    if part.kind == "server" and "type" not in (part.extras or {}).get(NAME, {}):
        losses.add(path, f"another provider ran {part.name!r} itself")
        return None
    block: JsonObject = {"type": "tool_use", "id": part.id, "name": part.name, "input": {}}
    return _complete(block, part.cache, part.extras, path, losses)


def encode_input(part: ToolCall, path: str, losses: Losses, *, answer: bool) -> JsonObject:
    """Arguments as the object that `input` must be.

    Raises BadRequest for arguments in a request that are none. In an answer they are the model's own mistake, or cut
    off by the token limit: they are passed on under `_raw`, where a tool's schema will refuse them.
    """
    if part.kind == "custom":
        losses.add(f"{path}.arguments", "the free text of a custom tool is sent as the object {input: text}")
        return {"input": part.arguments}
    if not part.arguments.strip():
        return {}
    try:
        value = decode(part.arguments)
    except JsonError as error:
        reason = f"no valid JSON ({error})"
    else:
        if isinstance(value, dict):
            return value  # pyright: ignore[reportUnknownVariableType]
        reason = f"{type_name(value)}, not an object"
    at = f"{path}.arguments"
    if not answer:
        raise BadRequest(f"{at}: the arguments of the call to {part.name!r} are {reason}", param=at)
    losses.add(at, f"the model's arguments are {reason}")
    return {"_raw": part.arguments}


_MAGIC = {
    "/9j/": "image/jpeg",
    "iVBORw0KGgo": "image/png",
    "R0lGOD": "image/gif",
    "UklGR": "image/webp",
    "JVBERi0": "application/pdf",
}
"""How base64 data of each type begins."""


def _encode_source(source: Source, what: str, path: str, losses: Losses) -> JsonObject:
    match source:
        case Base64():
            kind = source.media_type or next((m for magic, m in _MAGIC.items() if source.data.startswith(magic)), None)
            if kind is None:
                raise cannot_say(NAME, f"{what} data without a media type", f"{path}.source")
            if what == "document" and kind.startswith("text/"):
                if kind != "text/plain":
                    losses.add(f"{path}.source.media_type", f"{NAME} has plain texts only", "info")
                return {"type": "text", "media_type": "text/plain", "data": _plain(source.data, path)}
            return {"type": "base64", "media_type": kind, "data": source.data}
        case Url():
            return {"type": "url", "url": source.url}
        case FileId():
            return {"type": "file", "file_id": source.id}
        case PlainText():
            return {"type": "text", "media_type": source.media_type, "data": source.text}
        case Blocks():
            content = encode_parts(source.parts, f"{path}.source.content", losses)
            return {"type": "content", "content": content}
        case _:
            assert_never(source)


def _plain(data: str, path: str) -> str:
    try:
        return base64.b64decode(data, validate=True).decode()
    except ValueError:  # no base64, or no UTF-8
        raise cannot_say(NAME, "a text document that is not UTF-8 in base64", f"{path}.source") from None
