"""Content blocks of Nova's messages: objects whose one member tells what they are.

https://docs.aws.amazon.com/nova/latest/userguide/complete-request-schema.html
"""

from __future__ import annotations

from typing import Any, TypeGuard, assert_never

from wye.canon.extras import FORM, Extras, extras_of, own_extras
from wye.canon.loss import Losses, cannot_say
from wye.canon.parts import (
    Audio,
    Base64,
    CacheMark,
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
    Url,
)
from wye.canon.seal import seal, unseal
from wye.dialects.bedrock_invoke.nova.name import NAME, ORIGIN
from wye.kernel.errors import BadRequest
from wye.kernel.fields import Fields
from wye.kernel.json import JsonError, JsonObject, as_object, decode, encode_text, type_name

_FORMATS = ("jpeg", "png", "gif", "webp")


# Decoding


def decode_parts(items: list[Any], path: str) -> list[Part]:
    """Blocks as parts. A cache point marks the part before it; a block of unknown kind stays whole."""
    parts: list[Part] = []
    for i, item in enumerate(items):
        members = as_object(item) or {}
        point = as_object(members.get("cachePoint"))
        last = parts[-1] if parts else None
        if point is not None and len(members) == 1 and _markable(last) and last.cache is None:
            last.cache = decode_cache_point(point)
        else:
            parts.append(_unsealed(decode_part(item, f"{path}[{i}]")))
    return parts


def _unsealed(part: Part) -> Part:
    """What was sealed in a thought's place. In an answer a seal is not ours to open: a Wye behind that upstream made
    it, and wants it back."""
    if not isinstance(part, Thinking) or part.signature is None:
        return part
    sealed = unseal(part.signature)
    if isinstance(sealed, Thinking):
        sealed.text = part.text
    return sealed or part


Markable = Text | Image | SearchResult | Document | ToolCall | ToolResult


def _markable(part: Part | None) -> TypeGuard[Markable]:
    return isinstance(part, Markable)


def decode_cache_point(point: JsonObject) -> CacheMark:
    rest = dict(point)
    if rest.get("type") == "default":
        del rest["type"]
    ttl = rest.pop("ttl", None) if isinstance(rest.get("ttl"), str) else None
    return CacheMark(ttl, extras_of(NAME, rest))


def decode_part(value: Any, path: str) -> Part:
    fields = Fields(value, path)
    part: Part | None = None
    if fields.has("text"):
        part = Text(fields.required_str("text"))
    elif (image := fields.fields("image")) is not None:
        part = _image(image)
    elif (audio := fields.fields("audio")) is not None:
        part = _audio(audio)
    elif (call := fields.fields("toolUse")) is not None:
        part = decode_call(call)
    elif (result := fields.fields("toolResult")) is not None:
        part = _tool_result(result)
    elif (thought := fields.fields("reasoningContent")) is not None:
        part = _reasoning(thought)
    if part is None or fields.rest():
        return Opaque(NAME, value)
    return part


def decode_answer_part(value: Any) -> Part:
    """A block of an answer: one that is not as it should be stays whole. Raises BadRequest for no object."""
    try:
        part = decode_part(value, "content")
    except BadRequest:
        if not isinstance(value, dict):
            raise
        return Opaque(NAME, value)  # pyright: ignore[reportUnknownArgumentType]
    if isinstance(part, Thinking):
        part.origin = ORIGIN
    return part


def _image(fields: Fields) -> Part | None:
    kind, source = fields.required_str("format"), fields.fields("source")
    found: Base64 | Url | None = None
    extras: JsonObject = {}
    if source is not None and source.has("bytes"):
        found = Base64(source.required_str("bytes"), f"image/{kind}")
    elif source is not None and (location := source.fields("s3Location")) is not None:
        found = Url(location.required_str("uri"))
        # The type is not in a URL; the owner of its bucket has no place elsewhere.
        extras = {FORM: {"format": kind}, **({"s3Location": location.rest()} if location.rest() else {})}
    if found is None or source is None or source.rest() or fields.rest():
        return None
    return Image(found, extras=extras_of(NAME, extras))


def _audio(fields: Fields) -> Part | None:
    kind, source = fields.str("format"), fields.fields("source")
    if source is None or not source.has("bytes"):
        return None
    audio = Audio(source.required_str("bytes"), kind, extras=extras_of(NAME, fields.rest()))
    return None if source.rest() else audio


def decode_call(fields: Fields) -> ToolCall:
    call = ToolCall(fields.required_str("toolUseId"), fields.required_str("name"))
    given = fields.any("input")
    call.arguments = "" if given is None else encode_text(given)
    call.extras = extras_of(NAME, fields.rest())
    return call


def _tool_result(fields: Fields) -> Part:
    status = fields.one_of("status", ("success", "error"))
    result = ToolResult(
        fields.required_str("toolUseId"),
        [_result_part(item, f"{fields.at('content')}[{i}]") for i, item in enumerate(fields.list("content") or ())],
        None if status is None else status == "error",
    )
    result.extras = extras_of(NAME, fields.rest())
    return result


def _result_part(value: Any, path: str) -> Part:
    """A result that is JSON is its text to everybody else."""
    members = as_object(value) or {}
    if members.keys() == {"json"}:
        return Text(encode_text(members["json"]), extras={NAME: {FORM: {"json": True}}})
    part = decode_part(value, path)
    if isinstance(part, ToolCall | ToolResult):
        raise BadRequest(f"{path} must be text, JSON or an image", param=path)
    return part


def _reasoning(fields: Fields) -> Part | None:
    if fields.has("redactedContent"):
        thought = Thinking(redacted=fields.required_str("redactedContent"))
    elif (text := fields.fields("reasoningText")) is not None:
        thought = Thinking(text.str("text") or "", text.str("signature"))
        if text.rest():
            return None
    else:
        return None
    return None if fields.rest() else thought


# Encoding


def encode_parts(parts: list[Part], path: str, losses: Losses, *, answer: bool = False) -> list[JsonObject]:
    """The blocks for these parts, without those that became losses. `answer`: for a client, not for the model."""
    blocks: list[JsonObject] = []
    for i, part in enumerate(parts):
        at = f"{path}[{i}]"
        block = encode_part(part, at, losses, answer=answer)
        if block is not None:
            blocks.append(block)
            if _markable(part) and part.cache is not None:
                blocks.append(encode_cache_point(part.cache, at, losses))
    return blocks


def encode_cache_point(mark: CacheMark, path: str, losses: Losses) -> JsonObject:
    point: JsonObject = {"type": "default"}
    if mark.ttl is not None:
        point["ttl"] = mark.ttl
    return {"cachePoint": point | own_extras(mark.extras, NAME, losses, f"{path}.cache_control", "info")}


def encode_part(part: Part, path: str, losses: Losses, *, answer: bool = False) -> JsonObject | None:
    """A part's block; None when it is reported as lost, as in an answer is what has no block."""
    try:
        return _encode_part(part, path, losses, answer)
    except BadRequest as error:
        if not answer:
            raise
        losses.add(path, error.message)
        return None


def _encode_part(part: Part, path: str, losses: Losses, answer: bool) -> JsonObject | None:
    match part:
        case Text() | Refusal():
            return _encode_text(part, path, losses)
        case Image():
            return _encode_image(part, path, losses)
        case Audio():
            if not part.data:
                raise cannot_say(NAME, "audio by reference", path)
            if part.transcript is not None:
                losses.add(f"{path}.transcript", "audio has no transcript")
            own = own_extras(part.extras, NAME, losses, path)
            for name in ("id", "transcript"):
                if getattr(part, name) is not None:
                    losses.add(f"{path}.{name}", f"audio is only sound in {NAME}", "info")
            return {"audio": {"format": part.format or "wav", "source": {"bytes": part.data}, **own}}
        case Thinking():
            return encode_answer_thought(part) if answer else _encode_thought(part, path, losses)
        case ToolCall():
            if part.kind == "server":
                return _sealed_or_lost(part, f"another provider ran {part.name!r} itself", path, losses, answer)
            return {"toolUse": {**start_call(part, path, losses), "input": encode_input(part, path, losses, answer)}}
        case ToolResult():
            return _encode_result(part, path, losses)
        case Opaque():
            if part.dialect == NAME:
                return part.value
            return _sealed_or_lost(part, f"only {part.dialect} understands {part.type!r}", path, losses, answer)
        case Document() | SearchResult():
            raise cannot_say(NAME, f"a {type(part).__name__}", path)
        case _:
            assert_never(part)


def _encode_text(part: Text | Refusal, path: str, losses: Losses) -> JsonObject:
    own = own_extras(part.extras, NAME, losses, path)
    if isinstance(part, Refusal):
        losses.add(f"{path}.refusal", f"a refusal is text in {NAME}", "info")
    elif part.citations:
        losses.add(f"{path}.citations", f"{NAME} does not cite", "info")
    if own.get(FORM, {}).get("json"):
        try:
            return {"json": decode(part.text)}
        except JsonError:
            losses.add(path, "it is no longer JSON: sent as text", "info")
    return {"text": part.text}


def _encode_image(part: Image, path: str, losses: Losses) -> JsonObject:
    own = own_extras(part.extras, NAME, losses, path)
    if part.detail not in (None, "auto"):
        losses.add(f"{path}.detail", "the model looks at every image in the same way")
    if isinstance(part.source, Base64):
        kind = (part.source.media_type or "image/png").removeprefix("image/")
        if kind not in _FORMATS:
            raise cannot_say(NAME, f"an image of type {part.source.media_type!r}", path)
        return {"image": {"format": kind, "source": {"bytes": part.source.data}}}
    if isinstance(part.source, Url) and part.source.url.startswith("s3://"):
        location = {"uri": part.source.url, **own.get("s3Location", {})}
        return {"image": {"format": own.get(FORM, {}).get("format", "png"), "source": {"s3Location": location}}}
    raise cannot_say(NAME, "an image that is neither in place nor in S3", path)


def _encode_result(part: ToolResult, path: str, losses: Losses) -> JsonObject:
    content = encode_parts(part.parts, f"{path}.content", losses)
    result: JsonObject = {"toolUseId": part.call_id, "content": content}
    if part.is_error is not None:
        result["status"] = "error" if part.is_error else "success"
    return {"toolResult": result | own_extras(part.extras, NAME, losses, path)}


def start_call(part: ToolCall, path: str, losses: Losses) -> JsonObject:
    """A call without its input."""
    return {"toolUseId": part.id, "name": part.name, **own_extras(part.extras, NAME, losses, path, "info")}


def encode_input(part: ToolCall, path: str, losses: Losses, answer: bool) -> JsonObject:
    """Arguments as the object that `input` must be. Raises BadRequest for those in a request that are none; the model's
    own mistake, in an answer, is passed on under `_raw`."""
    if part.kind == "custom":
        losses.add(f"{path}.arguments", "the free text of a custom tool is sent as the object {input: text}")
        return {"input": part.arguments}
    if not part.arguments.strip():
        return {}
    try:
        value = decode(part.arguments)
        reason = f"{type_name(value)}, not an object"
    except JsonError as error:
        value, reason = None, f"no valid JSON ({error})"
    members = as_object(value)
    if members is not None:
        return members
    at = f"{path}.arguments"
    if not answer:
        raise BadRequest(f"{at}: the arguments of the call to {part.name!r} are {reason}", param=at)
    losses.add(at, f"the model's arguments are {reason}")
    return {"_raw": part.arguments}


def _encode_thought(part: Thinking, path: str, losses: Losses) -> JsonObject | None:
    own_extras(part.extras, NAME, losses, path, "info")
    if part.origin not in (None, ORIGIN):
        losses.add(path, f"only {part.origin}'s models can read this thinking")
        return None
    if part.id is not None:
        losses.add(f"{path}.id", f"thinking has no id in {NAME}", "info")
    return _reasoning_block(part)


def _reasoning_block(part: Thinking) -> JsonObject:
    if part.redacted is not None:
        return {"reasoningContent": {"redactedContent": part.redacted}}
    text: JsonObject = {"text": part.text}
    if part.signature is not None:
        text["signature"] = part.signature
    return {"reasoningContent": {"reasoningText": text}}


def encode_answer_thought(part: Thinking) -> JsonObject:
    """A thought for a client: what another vendor's model must get back is sealed in its signature."""
    return _reasoning_block(Thinking(part.text, sealed) if (sealed := sealed_signature(part)) else part)


def sealed_signature(part: Thinking) -> str | None:
    """The seal of what only another vendor can read; None where there is no such thing."""
    foreign: Extras = {name: members for name, members in (part.extras or {}).items() if name != NAME}
    if part.origin in (None, ORIGIN) and not foreign and part.id is None:
        return None
    if part.signature is None and part.redacted is None and part.id is None and not foreign:
        return None
    return seal(Thinking("", part.signature, part.redacted, part.id, part.origin, foreign or None))


def _sealed_or_lost(part: ToolCall | Opaque, reason: str, path: str, losses: Losses, answer: bool) -> JsonObject | None:
    if answer:
        return {"reasoningContent": {"reasoningText": {"text": "", "signature": seal(part)}}}
    losses.add(path, reason)
    return None
