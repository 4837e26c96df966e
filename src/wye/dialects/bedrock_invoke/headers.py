"""What InvokeModel says in headers, whatever the family: how a request is to be served, and how an answer was.

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_InvokeModel.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from msgspec.structs import replace

from wye.canon.events import Start
from wye.canon.extras import Extras
from wye.canon.loss import Losses
from wye.canon.request import ChatRequest
from wye.canon.usage import Usage
from wye.dialects.dialect import HeaderCodec
from wye.kernel.errors import BadRequest
from wye.kernel.json import JsonError, JsonObject, as_object, decode, encode

PREFIX = b"x-amzn-bedrock-"

_CONVERSE = "bedrock_converse"
"""The dialect that says in its body what headers say here: its words for it are kept under its name."""
_TRACE = b"x-amzn-bedrock-trace"
_GUARD = {
    "guardrailIdentifier": b"x-amzn-bedrock-guardrailidentifier",
    "guardrailVersion": b"x-amzn-bedrock-guardrailversion",
    "trace": _TRACE,
}
_LATENCY = b"x-amzn-bedrock-performanceconfig-latency"
_TIER = b"x-amzn-bedrock-service-tier"
_TAGS = b"x-amzn-bedrock-request-metadata"
_CONTENT_TYPE = b"x-amzn-bedrock-content-type"
_FRESH = b"x-amzn-bedrock-input-token-count"
_OUTPUT = b"x-amzn-bedrock-output-token-count"
_READ = b"x-amzn-bedrock-cache-read-input-token-count"
_WRITTEN = b"x-amzn-bedrock-cache-write-input-token-count"
_TOOK = b"x-amzn-bedrock-invocation-latency"

_TIERS = ("default", "flex", "priority", "reserved")
_SENDABLE = re.compile(r"[!-~]{1,2048}")
_FIGURE = re.compile(rb"[0-9]{1,18}")
_MAX_TAGS_BYTES = 8500


def decode_request(request: ChatRequest, headers: Mapping[bytes, bytes]) -> ChatRequest:
    guard = {member: headers[name].decode("latin-1") for member, name in _GUARD.items() if name in headers}
    if "trace" in guard:
        guard["trace"] = guard["trace"].lower()
    said: JsonObject = {"guardrailConfig": guard} if guard else {}
    if _LATENCY in headers:
        said["performanceConfig"] = {"latency": headers[_LATENCY].decode("latin-1")}
    tier = headers[_TIER].decode("latin-1") if _TIER in headers else request.service_tier
    tags = _decode_tags(headers[_TAGS]) if _TAGS in headers else request.metadata
    return replace(request, service_tier=tier, metadata=tags, extras=_with(request.extras, said))


def _decode_tags(value: bytes) -> JsonObject:
    try:
        tags = as_object(decode(value))
    except JsonError:
        tags = None
    if tags is None:
        raise BadRequest("X-Amzn-Bedrock-Request-Metadata must be a JSON object", param="requestMetadata")
    return tags


def encode_request(request: ChatRequest, losses: Losses) -> tuple[ChatRequest, dict[bytes, bytes]]:
    own = dict((request.extras or {}).get(_CONVERSE, {}))
    headers = _take(own, "guardrailConfig", _GUARD)
    if _TRACE in headers:
        headers[_TRACE] = headers[_TRACE].upper()
    headers |= _take(own, "performanceConfig", {"latency": _LATENCY})
    tier = "default" if request.service_tier == "standard_only" else request.service_tier
    if tier in _TIERS:
        headers[_TIER] = tier.encode()
        tier = None
    metadata = request.metadata
    tags = encode(metadata) if metadata else b""
    if tags.isascii() and 0 < len(tags) <= _MAX_TAGS_BYTES:
        headers[_TAGS] = tags
        metadata = None
    return replace(request, service_tier=tier, metadata=metadata, extras=_without(request.extras, own)), headers


def _take(own: JsonObject, member: str, names: Mapping[str, bytes]) -> dict[bytes, bytes]:
    """What headers can say of Converse's member; the rest of it stays."""
    config = as_object(own.pop(member, None)) or {}
    headers: dict[bytes, bytes] = {}
    left: JsonObject = {}
    for name, value in config.items():
        if name in names and isinstance(value, str) and _SENDABLE.fullmatch(value):
            headers[names[name]] = value.encode()
        else:
            left[name] = value
    if left:
        own[member] = left
    return headers


def decode_answer(headers: Mapping[bytes, bytes]) -> Start | None:
    """None when they tell nothing. The figures count neither what the cache gave nor what it took: the total does."""
    fresh, output, read, written = (_figure(headers.get(name)) for name in (_FRESH, _OUTPUT, _READ, _WRITTEN))
    start = Start("", "")
    if fresh is not None or output is not None:
        total = None if fresh is None else fresh + (read or 0) + (written or 0)
        start.usage = Usage(total, output, read, written)
    if _TIER in headers:
        start.service_tier = headers[_TIER].decode("latin-1")
    if _LATENCY in headers:
        start.extras = {_CONVERSE: {"performanceConfig": {"latency": headers[_LATENCY].decode("latin-1")}}}
    return None if start == Start("", "") else start


def _figure(value: bytes | None) -> int | None:
    return int(value) if value is not None and _FIGURE.fullmatch(value) else None


def encode_answer(start: Start, streamed: bool, took_ms: int | None) -> tuple[Start, dict[bytes, bytes]]:
    own = dict((start.extras or {}).get(_CONVERSE, {}))
    headers = _take(own, "performanceConfig", {"latency": _LATENCY})
    tier = "default" if start.service_tier == "standard" else start.service_tier
    if tier in _TIERS:
        headers[_TIER] = tier.encode()
        tier = None
    if streamed:
        headers[_CONTENT_TYPE] = b"application/json"
    else:
        headers |= _figures(start.usage)
    if took_ms is not None:
        headers[_TOOK] = b"%d" % took_ms
    return replace(start, service_tier=tier, extras=_without(start.extras, own)), headers


def _figures(usage: Usage | None) -> dict[bytes, bytes]:
    if usage is None:
        return {}
    read, written = usage.cached_tokens or 0, usage.cache_write_tokens or 0
    figures = {_FRESH: max(0, (usage.input_tokens or 0) - read - written), _OUTPUT: usage.output_tokens or 0}
    if read or written:
        figures |= {_READ: read, _WRITTEN: written}
    return {name: b"%d" % figure for name, figure in figures.items()}


def _with(extras: Extras | None, own: JsonObject) -> Extras | None:
    return {**(extras or {}), _CONVERSE: own} if own else extras


def _without(extras: Extras | None, left: JsonObject) -> Extras | None:
    """With only what is left of Converse's members."""
    others = {name: members for name, members in (extras or {}).items() if name != _CONVERSE}
    return _with(others, left) or None


HEADERS = HeaderCodec(
    decode_request=decode_request,
    encode_request=encode_request,
    decode_answer=decode_answer,
    encode_answer=encode_answer,
    passed_on=PREFIX,
)
