"""Content blocks: what messages, system prompts, tool results and answers are made of.

Each is an object with one known member, which names its kind. A `cachePoint` marks the block before it.
https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ContentBlock.html
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from typing import Any, NamedTuple, assert_never

from wye.canon.loss import Losses, cannot_say
from wye.canon.parts import (
    Audio,
    CacheMark,
    Citation,
    Document,
    Image,
    Opaque,
    Part,
    Refusal,
    SearchResult,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from wye.dialects.bedrock_converse.citations import decode_citation, encode_citation, encode_plain, pieces, plain_texts
from wye.dialects.bedrock_converse.form import (
    OUTER,
    block,
    block_extras,
    extras_with,
    form_of,
    own_members,
)
from wye.dialects.bedrock_converse.media import (
    GUARDED,
    decode_audio,
    decode_document,
    decode_image,
    encode_audio,
    encode_document,
    encode_image,
)
from wye.dialects.bedrock_converse.name import NAME
from wye.dialects.bedrock_converse.reasoning import (
    decode_reasoning,
    encode_answer,
    encode_history,
    encode_sealed,
    opened,
)
from wye.dialects.bedrock_models import Family
from wye.kernel.errors import BadRequest
from wye.kernel.fields import Fields
from wye.kernel.json import JsonError, JsonObject, as_list, as_object, decode, encode_text, type_name

SERVER_TOOL = "server_tool_use"
_ID = re.compile(r"[a-zA-Z0-9_.:-]{1,64}")

Decoders = dict[str, Callable[[Fields], Part | None]]
"""What decodes a block of each kind; None for a block that stays whole after all."""


class Reader(NamedTuple):
    """Who will read the blocks: a client, or a model."""

    answer: bool = False
    family: Family | None = None
    """The model's; None for a client, and for a model whose id does not tell."""


# Decoding


def decode_parts(value: Any, path: str, blocks: Decoders) -> list[Part]:
    """Content as parts. Blocks of unknown kind stay whole. Raises BadRequest."""
    items = as_list(value)
    if items is None:
        raise BadRequest(f"{path} must be an array of blocks, not {type_name(value)}", param=path)
    parts: list[Part] = []
    for i, item in enumerate(items):
        fields = Fields(item, f"{path}[{i}]")
        marked = parts[-1] if parts else None
        # Of anything else than one block that can be marked, it stays a block of its own.
        if (
            fields.has("cachePoint")
            and len(item) == 1
            and isinstance(marked, Text | Image | Document | SearchResult | ToolCall | ToolResult)
            and marked.cache is None
        ):
            marked.cache = decode_cache(fields)
        else:
            parts.append(decode_part(item, fields.path, blocks))
    return parts


def decode_part(value: JsonObject, path: str, blocks: Decoders) -> Part:
    """One block. `blocks` are the kinds understood in this place: those that nest are fewer inside, so the depth is
    bounded."""
    kinds = [kind for kind, member in value.items() if kind in blocks and member is not None]
    part = blocks[kinds[0]](Fields(value, path)) if len(kinds) == 1 else None
    return Opaque(NAME, value) if part is None else part


def decode_cache(fields: Fields) -> CacheMark:
    point = Fields(fields.any("cachePoint"), fields.at("cachePoint"))
    kind, ttl = point.str("type"), point.str("ttl")
    return CacheMark(ttl, extras_with({**point.rest(), **({} if kind == "default" else {"type": kind})}))


def _text(outer: Fields) -> Part:
    return Text(outer.required_str("text"), extras=extras_with(outer.rest()))


def _cited(outer: Fields) -> Part | None:
    inner = outer.fields("citationsContent") or Fields({})
    texts = plain_texts(inner.any("content"))
    if texts is None:
        return None
    given: JsonObject = {"citations": []} if inner.has("citations") else {}
    citations = [decode_citation(item) for item in inner.each("citations")]
    form: JsonObject = {} if citations else {"citationsContent": given}
    if len(texts) != 1:
        form["content"] = [len(text) for text in texts]
    return Text("".join(texts), citations, extras=block_extras(inner, outer, form))


def _guarded(outer: Fields) -> Part | None:
    """What a guardrail looks at is a text or an image like any other to the model."""
    inner = outer.fields(GUARDED) or Fields({})
    if inner.has("image"):
        part = decode_image(inner, "image")
        if isinstance(part, Image):
            beside = (part.extras or {}).get(NAME, {}).pop(OUTER, {})
            _guard(part, beside, outer)
        return part
    said = inner.fields("text")
    if said is None:
        return None
    part = Text(said.required_str("text"))
    beside = inner.rest()
    _guard(part, {"text": said.rest(), **beside} if said.rest() or beside else {}, outer)
    return part


def _guard(part: Text | Image, members: JsonObject, outer: Fields) -> None:
    extras = {**(part.extras or {}).get(NAME, {}), GUARDED: members}
    if outer.rest():
        extras[OUTER] = outer.rest()
    part.extras = {NAME: extras}


def _search_result(outer: Fields) -> Part | None:
    inner = outer.fields("searchResult") or Fields({})
    source, title = inner.required_str("source"), inner.required_str("title")
    texts = plain_texts(inner.any("content"))
    if texts is None:
        return None
    cited: bool | None = None
    match inner.any("citations"):
        case None:
            pass
        case {"enabled": bool(enabled), **more} if not more:
            cited = enabled
        case odd:
            inner.rest()["citations"] = odd
    return SearchResult(source, title, [Text(text) for text in texts], cited, extras=block_extras(inner, outer))


def _tool_use(outer: Fields) -> Part:
    inner = outer.fields("toolUse") or Fields({})
    identity, name = inner.required_str("toolUseId"), inner.required_str("name")
    kind = inner.str("type")
    form: JsonObject = {} if kind is None else {"type": kind}
    call = ToolCall(identity, name, encode_text(inner.any("input")), "server" if kind == SERVER_TOOL else "function")
    call.extras = block_extras(inner, outer, form)
    return call


def _tool_result(outer: Fields) -> Part:
    inner = outer.fields("toolResult") or Fields({})
    identity = inner.required_str("toolUseId")
    status = inner.str("status")
    if status not in (None, "success", "error"):
        inner.rest()["status"] = status
    content = inner.any("content")
    return ToolResult(
        identity,
        [] if content is None else decode_parts(content, inner.at("content"), _RESULTS),
        {"success": False, "error": True}.get(status or ""),
        extras=block_extras(inner, outer),
    )


def _json(outer: Fields) -> Part:
    value = outer.any("json")
    return Text(encode_text(value), extras=extras_with(outer.rest(), {"json": True}))


_RESULTS: Decoders = {
    "text": _text,
    "json": _json,
    "image": decode_image,
    "document": decode_document,
    "searchResult": _search_result,
}
SYSTEM: Decoders = {"text": _text, GUARDED: _guarded}
ANSWER: Decoders = {
    **SYSTEM,
    "image": decode_image,
    "document": decode_document,
    "audio": decode_audio,
    "searchResult": _search_result,
    "citationsContent": _cited,
    "reasoningContent": decode_reasoning,
    "toolUse": _tool_use,
    "toolResult": _tool_result,
}
"""A seal in an answer is not ours to open: the Wye behind that upstream made it, and wants it back."""
REQUEST: Decoders = {**ANSWER, "reasoningContent": opened}


# Encoding


def encode_parts(parts: list[tuple[str, Part]], losses: Losses, reader: Reader) -> list[JsonObject]:
    """The blocks for parts, each with its path, without those that became losses. Raises BadRequest for content that
    has no block."""
    blocks: list[JsonObject] = []
    for path, part in parts:
        said = encode_part(part, path, losses, reader)
        if said is not None:
            blocks.append(said)
            mark = _mark_of(part)
            if mark is not None and takes_cache(mark, path, losses, reader):
                blocks.append(encode_cache(mark, path, losses))
    return blocks


def paths(parts: list[Part], path: str) -> list[tuple[str, Part]]:
    return [(f"{path}[{i}]", part) for i, part in enumerate(parts)]


def _mark_of(part: Part) -> CacheMark | None:
    """A mark within a tool's result stands after the result: there are no cache points inside."""
    if not isinstance(part, Text | Image | Document | SearchResult | ToolCall | ToolResult):
        return None
    if part.cache is None and isinstance(part, ToolResult):
        return next((mark for inner in reversed(part.parts) if (mark := _mark_of(inner))), None)
    return part.cache


def takes_cache(mark: CacheMark, path: str, losses: Losses, reader: Reader) -> bool:
    """Whether the model has a cache to point at: any other refuses the request."""
    if reader.family in (None, "claude", "nova"):
        return True
    losses.add(_mark_path(path), f"models of the family {reader.family} have no prompt cache", "info")
    return False


def encode_cache(mark: CacheMark, path: str, losses: Losses) -> JsonObject:
    point: JsonObject = {"type": "default"}
    if mark.ttl is not None:
        point["ttl"] = mark.ttl
    return {"cachePoint": point | own_members(mark.extras, losses, _mark_path(path), "info")}


def _mark_path(path: str) -> str:
    """Marks have no member here: they are named as callers of other dialects know them."""
    return f"{path}.cache_control" if path else "cache_control"


def encode_part(part: Part, path: str, losses: Losses, reader: Reader) -> JsonObject | None:
    """None for a part that became a loss. Raises BadRequest for content of a request that has no block."""
    try:
        return _encode_part(part, path, losses, reader)
    except BadRequest as error:
        if not reader.answer:
            raise
        losses.add(error.param or path, error.message)
        return None


def _encode_part(part: Part, path: str, losses: Losses, reader: Reader) -> JsonObject | None:
    match part:
        case Text():
            return _encode_text(part, path, losses, reader)
        case Image():
            return encode_image(part, path, losses)
        case Document():
            return encode_document(part, path, losses)
        case SearchResult():
            return _encode_search_result(part, path, losses)
        case Thinking():
            if reader.answer:
                return encode_answer(part, path, losses)
            return encode_history(part, path, losses, reader.family)
        case Refusal():
            losses.add(f"{path}.refusal", "a refusal is said as text", "info")
            return {"text": part.text} | own_members(part.extras, losses, path, "info")
        case ToolCall():
            return _encode_call(part, path, losses, reader)
        case ToolResult():
            return _encode_result(part, path, losses, reader)
        case Opaque():
            if part.dialect == NAME:
                return part.value
            if reader.answer:
                return encode_sealed(part, path, f"only {part.dialect} understands {part.type!r}", losses)
            losses.add(path, f"only {part.dialect} understands {part.type!r}")
            return None
        case Audio():
            if part.id is not None and not part.data:
                raise cannot_say(NAME, "audio that another model said before", path)
            return encode_audio(part, path, losses)
        case _:
            assert_never(part)


def _encode_text(part: Text, path: str, losses: Losses, reader: Reader) -> JsonObject:
    form = form_of(part.extras)
    own = own_members(part.extras, losses, path)
    if GUARDED in own:
        outer = own.pop(OUTER, {})
        inner: JsonObject = {**own.pop(GUARDED)}
        return {GUARDED: {**inner, "text": {"text": part.text, **inner.get("text", {})}}, **outer}
    if form.get("json"):
        try:
            return {"json": decode(part.text), **own}
        except JsonError:
            pass  # It is a text by now.
    citations = _encode_citations(part.citations, path, losses, reader)
    bare = as_object(form.get("citationsContent"))
    if citations or bare is not None:
        content = [{"text": text} for text in pieces(part.text, form, "content")]
        given = {"citations": citations} if citations else bare or {}
        return block("citationsContent", {"content": content, **given}, own)
    return {"text": part.text, **own}


def _encode_citations(citations: list[Citation], path: str, losses: Losses, reader: Reader) -> list[JsonObject]:
    said: list[JsonObject] = []
    for i, citation in enumerate(citations):
        at = f"{path}.citations[{i}]"
        if reader.family == "claude" and citation.kind == "url":
            losses.add(at, "a web citation is refused without the index that came with it", "info")
        elif reader.family not in (None, "claude", "nova"):
            losses.add(at, f"models of the family {reader.family} read no citations", "info")
        elif (one := encode_citation(citation, at, losses, answer=reader.answer)) is not None:
            said.append(one)
    return said


def _encode_search_result(part: SearchResult, path: str, losses: Losses) -> JsonObject:
    content = encode_plain(part.parts, "a search result", path, f"{path}.content", losses)
    members: JsonObject = {"source": part.source, "title": part.title, "content": content}
    if part.citations is not None:
        members["citations"] = {"enabled": part.citations}
    return block("searchResult", members, own_members(part.extras, losses, path))


def _encode_call(part: ToolCall, path: str, losses: Losses, reader: Reader) -> JsonObject | None:
    if is_foreign(part):
        what = f"another provider ran {part.name!r} itself"
        if reader.answer:
            return encode_sealed(part, path, what, losses)
        losses.add(path, what)
        return None
    members = start_call(part, path, losses)
    members["input"] = encode_input(part, path, losses, reader)
    return block("toolUse", members, own_members(part.extras, losses, path))


def is_foreign(part: ToolCall) -> bool:
    """Whether a provider of another dialect ran it."""
    return part.kind == "server" and "type" not in form_of(part.extras)


def start_call(part: ToolCall, path: str, losses: Losses) -> JsonObject:
    """The members of a tool call, without its input."""
    members: JsonObject = {"toolUseId": encode_id(part.id, f"{path}.id", losses), "name": part.name}
    kind = form_of(part.extras).get("type")
    return members if kind is None else {**members, "type": kind}


def encode_id(identity: str, path: str, losses: Losses) -> str:
    """An id of other characters, or a longer one, is told by its hash: the call and its result by the same."""
    if _ID.fullmatch(identity):
        return identity
    losses.add(path, "ids of calls hold at most 64 letters, digits, _ . : -: a hash of it is sent", "info")
    return f"call_{hashlib.sha256(identity.encode()).hexdigest()[:32]}"


def encode_input(part: ToolCall, path: str, losses: Losses, reader: Reader) -> Any:
    """Arguments as the object that `input` should be.

    Raises BadRequest for arguments in a request that are none. In an answer they are the model's own mistake, or cut
    off by the token limit: what is no JSON is passed on under `_raw`, where a tool's schema will refuse it.
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
        if reader.answer:
            losses.add(f"{path}.arguments", f"the model's arguments are {reason}")
            return {"_raw": part.arguments}
    else:
        if isinstance(value, dict) or reader.answer:
            return value  # pyright: ignore[reportUnknownVariableType]
        reason = f"{type_name(value)}, not an object"
    at = f"{path}.arguments"
    raise BadRequest(f"{at}: the arguments of the call to {part.name!r} are {reason}", param=at)


def _encode_result(part: ToolResult, path: str, losses: Losses, reader: Reader) -> JsonObject:
    content: list[JsonObject] = []
    for at, inner in paths(part.parts, f"{path}.content"):
        if isinstance(inner, Audio):
            raise cannot_say(NAME, "audio in a tool's result", at)
        said = encode_part(inner, at, losses, reader)
        if said is not None:
            content.append(said)
    members: JsonObject = {"toolUseId": encode_id(part.call_id, f"{path}.tool_use_id", losses), "content": content}
    if part.is_error is not None:
        members["status"] = "error" if part.is_error else "success"
    return block("toolResult", members, own_members(part.extras, losses, path))
