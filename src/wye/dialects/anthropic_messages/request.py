"""Requests of the Messages API. https://docs.anthropic.com/en/api/messages"""

from __future__ import annotations

from typing import Literal

from wye.canon.extras import extras_of, own_extras
from wye.canon.loss import Losses, cannot_say
from wye.canon.parts import Text
from wye.canon.request import ChatRequest, Message, OutputFormat, Reasoning, Role
from wye.dialects.anthropic_messages.content import (
    decode_cache,
    decode_parts,
    encode_cache,
    encode_parts,
    short,
    unsealed,
)
from wye.dialects.anthropic_messages.name import NAME
from wye.dialects.anthropic_messages.tools import decode_tool_choice, decode_tools, encode_tool_choice, encode_tools
from wye.dialects.dialect import Quirks
from wye.kernel.errors import BadRequest, Unprocessable
from wye.kernel.fields import Fields
from wye.kernel.json import JsonObject

_TIERS = ("auto", "standard_only")
_NOT_COUNTED = frozenset(
    {"max_tokens", "metadata", "service_tier", "stop_sequences", "stream", "temperature", "top_k", "top_p"}
)


_MODES: dict[str, Literal["enabled", "adaptive", "disabled"]] = {
    "enabled": "enabled",
    "adaptive": "adaptive",
    "disabled": "disabled",
}
_ROLES: dict[str, Role] = {"user": "user", "assistant": "assistant", "system": "system"}


def decode_request(body: JsonObject) -> ChatRequest:
    request = decode_count_request(body)
    if request.max_tokens is None:
        raise BadRequest("max_tokens is required", param="max_tokens")
    return request


def decode_count_request(body: JsonObject) -> ChatRequest:
    """A request to count the tokens of an input: the same members, of which max_tokens is not required."""
    fields = Fields(body)
    thinking = fields.fields("thinking")
    config = fields.fields("output_config")
    metadata = fields.fields("metadata")
    choice, parallel = decode_tool_choice(fields)
    request = ChatRequest(
        model=fields.required_str("model"),
        messages=_decode_messages(fields),
        stream=fields.bool("stream") or False,
        max_tokens=_decode_limit(fields),
        temperature=fields.number("temperature"),
        top_p=fields.number("top_p"),
        top_k=fields.int("top_k"),
        stop=fields.strings("stop_sequences"),
        tools=decode_tools(fields),
        tool_choice=choice,
        parallel_tool_calls=parallel,
        output=_decode_output(fields, config),
        reasoning=_decode_reasoning(thinking, config),
        cache=decode_cache(fields),
        user=metadata.str("user_id") if metadata else None,
        service_tier=_decode_tier(fields),
    )
    rest = fields.rest()
    for name, left in (("output_config", config), ("metadata", metadata)):
        if left is not None and left.rest():
            rest[name] = left.rest()
    request.extras = extras_of(NAME, rest)
    return request


def _decode_messages(fields: Fields) -> list[Message]:
    messages: list[Message] = []
    system = fields.any("system")
    if system is not None:
        messages.append(Message("system", decode_parts(system, fields.at("system"))))
    if not fields.has("messages"):
        raise Unprocessable("messages is required", param="messages")
    before = len(messages)
    for item in fields.each("messages"):
        role = _ROLES[item.one_of("role", tuple(_ROLES)) or item.required_str("role")]
        parts = [unsealed(part) for part in decode_parts(item.any("content"), item.at("content"))]
        messages.append(Message(role, parts, extras=extras_of(NAME, item.rest())))
    if len(messages) == before:
        raise Unprocessable("messages must hold at least one message", param="messages")
    return messages


def _decode_limit(fields: Fields) -> int | None:
    limit = fields.int("max_tokens")
    if limit is not None and limit < 0:
        raise BadRequest(f"max_tokens must not be negative, but is {limit}", param="max_tokens")
    return limit


def _decode_tier(fields: Fields) -> str | None:
    """A tier that only this dialect knows stays an extra."""
    tier = fields.str("service_tier")
    if tier is not None and tier not in _TIERS:
        fields.rest()["service_tier"] = tier
        return None
    return tier


def _decode_output(fields: Fields, config: Fields | None) -> OutputFormat | None:
    """`output_config.format`, or the `output_format` that went before it."""
    form = config.fields("format") if config else None
    if form is None:
        form = fields.fields("output_format")
    if form is None:
        return None
    form.one_of("type", ("json_schema",))
    schema = form.dict("schema")
    if schema is None:
        raise BadRequest(f"{form.at('schema')} is required", param=form.at("schema"))
    return OutputFormat("json_schema", schema, extras=extras_of(NAME, form.rest()))


def _decode_reasoning(thinking: Fields | None, config: Fields | None) -> Reasoning | None:
    effort = config.str("effort") if config else None
    if thinking is None:
        return None if effort is None else Reasoning(effort=effort)
    reasoning = Reasoning(effort=effort, budget_tokens=thinking.int("budget_tokens"), display=thinking.str("display"))
    kind = thinking.required_str("type")
    rest = thinking.rest()
    reasoning.mode = _MODES.get(kind)
    if reasoning.mode is None:
        rest["type"] = kind
    reasoning.extras = extras_of(NAME, rest)
    return reasoning


def encode_request(request: ChatRequest, losses: Losses, quirks: Quirks) -> JsonObject:
    own = dict(own_extras(request.extras, NAME, losses, ""))
    lifted = _leading_system(request.messages)
    body: JsonObject = {
        "model": request.model,
        "max_tokens": quirks.default_max_tokens if request.max_tokens is None else request.max_tokens,
    }
    if lifted:
        body["system"] = _encode_system(request.messages[:lifted], losses)
    body["messages"] = _encode_messages(request.messages, lifted, losses)
    if request.stream:
        body["stream"] = True
    _encode_sampling(request, body, losses)
    if request.tools is not None:
        body["tools"] = encode_tools(request.tools, request.tool_choice, losses)
    choice = encode_tool_choice(request.tool_choice, request.parallel_tool_calls, losses)
    if choice is not None:
        if body.get("tools") or choice["type"] in ("any", "tool"):
            body["tool_choice"] = choice
        else:
            losses.add("tool_choice", "there are no tools to choose from", "info")
    _encode_reasoning(request.reasoning, body, losses)
    _encode_output(request.output, body, losses)
    if request.cache is not None:
        body["cache_control"] = encode_cache(request.cache, "", losses)
    if request.user is not None:
        body["metadata"] = {"user_id": request.user}
    if request.service_tier is not None:
        tier = "standard_only" if request.service_tier == "default" else request.service_tier
        if tier in _TIERS:
            body["service_tier"] = tier
        else:
            losses.add("service_tier", f"{NAME} has no tier {tier!r}", "info")
    _report_unsaid(request, losses)
    for name in ("output_config", "metadata"):
        if isinstance(own.get(name), dict):
            own[name] = {**body.get(name, {}), **own[name]}
    return body | own


def encode_count_request(request: ChatRequest, losses: Losses, quirks: Quirks) -> JsonObject:
    """The same input, to be counted: without the settings that only say how to answer."""
    body = encode_request(request, losses, quirks)
    return {name: value for name, value in body.items() if name not in _NOT_COUNTED}


def _leading_system(messages: list[Message]) -> int:
    """How many messages the top-level `system` can say: those before any other role that are plain text blocks."""
    for count, message in enumerate(messages):
        known_here = not (message.extras or {}).get(NAME)
        texts = all(isinstance(part, Text) for part in message.parts)
        if message.role not in ("system", "developer") or not (texts and known_here):
            return count
    return len(messages)


def _encode_system(messages: list[Message], losses: Losses) -> str | list[JsonObject]:
    blocks: list[JsonObject] = []
    for i, message in enumerate(messages):
        _report_name(message, i, losses)
        own_extras(message.extras, NAME, losses, f"messages[{i}]")
        blocks += encode_parts(message.parts, f"messages[{i}].content", losses)
    if len(blocks) > 1 and len(blocks) == len(messages) and all(block.keys() == {"type", "text"} for block in blocks):
        return "\n".join(block["text"] for block in blocks)
    return short(blocks)


def _encode_messages(messages: list[Message], lifted: int, losses: Losses) -> list[JsonObject]:
    """The conversation, with neighbours of the same role joined: turns alternate for the model."""
    encoded: list[JsonObject] = []
    for i, message in enumerate(messages[lifted:], lifted):
        path = f"messages[{i}]"
        _report_name(message, i, losses)
        blocks = encode_parts(message.parts, f"{path}.content", losses)
        if message.parts and not blocks:
            if message.role != "assistant":
                raise cannot_say(NAME, "a message of which nothing is left", path)
            continue
        role: Role = "system" if message.role == "developer" else message.role
        said: JsonObject = {"role": role, "content": blocks, **own_extras(message.extras, NAME, losses, path)}
        last = encoded[-1] if encoded else {}
        if last.get("role") == role != "system" and last.keys() == said.keys() == {"role", "content"}:
            last["content"] += blocks
        else:
            encoded.append(said)
    for said in encoded:
        said["content"] = short(_in_order(said["content"]))
    return encoded


def _in_order(blocks: list[JsonObject]) -> list[JsonObject]:
    """Tool results first, and no empty text beside other blocks: anything else is refused."""
    if len(blocks) < 2:
        return blocks
    said = [block for block in blocks if block != {"type": "text", "text": ""}] or blocks[:1]
    return sorted(said, key=lambda block: block.get("type") != "tool_result")


def _report_name(message: Message, index: int, losses: Losses) -> None:
    if message.name is not None:
        losses.add(f"messages[{index}].name", f"participants have no names in {NAME}")


def _encode_sampling(request: ChatRequest, body: JsonObject, losses: Losses) -> None:
    if request.temperature is not None:
        body["temperature"] = request.temperature
        if request.temperature > 1:
            body["temperature"] = 1
            losses.add("temperature", f"{NAME} goes from 0 to 1: 1 is sent instead of {request.temperature:g}")
    if request.top_p is not None:
        body["top_p"] = request.top_p
    if request.top_k is not None:
        body["top_k"] = request.top_k
    if request.stop is not None:
        body["stop_sequences"] = request.stop


def _encode_reasoning(reasoning: Reasoning | None, body: JsonObject, losses: Losses) -> None:
    if reasoning is None:
        return
    own = own_extras(reasoning.extras, NAME, losses, "reasoning")
    thinking: JsonObject = {}
    mode = reasoning.mode or ("enabled" if reasoning.budget_tokens is not None else None)
    if reasoning.effort == "none":
        mode = "disabled"
    elif reasoning.effort == "minimal":
        losses.add("reasoning.effort", "'low' is the least effort: it is sent instead of 'minimal'", "info")
        body["output_config"] = {"effort": "low"}
    elif reasoning.effort is not None:
        body["output_config"] = {"effort": reasoning.effort}
    if mode is not None:
        thinking["type"] = mode
    if reasoning.budget_tokens is not None:
        thinking["budget_tokens"] = reasoning.budget_tokens
    if reasoning.display is not None:
        if mode in ("enabled", "adaptive") or "type" in own:
            # OpenAI's words for how a summary is written all ask for one.
            summary = reasoning.display in ("auto", "concise", "detailed")
            thinking["display"] = "summarized" if summary else reasoning.display
        else:
            losses.add("reasoning.display", "it is said together with how to think", "info")
    if thinking or own:
        body["thinking"] = thinking | own


def _encode_output(output: OutputFormat | None, body: JsonObject, losses: Losses) -> None:
    if output is None:
        return
    own = own_extras(output.extras, NAME, losses, "output")
    if output.type == "json_schema":
        form = {"type": "json_schema", "schema": output.schema} | own
        body["output_config"] = {**body.get("output_config", {}), "format": form}
        if output.name is not None:
            losses.add("output.name", f"a schema has no name in {NAME}", "info")
        if output.description is not None:
            losses.add("output.description", f"a schema has no description in {NAME}")
        if output.strict is False:
            losses.add("output.strict", "a schema is always kept to", "info")
    elif output.type == "json_object":
        losses.add("output", f"{NAME} gives JSON only with a schema: describe it in the prompt, or give one")


def _report_unsaid(request: ChatRequest, losses: Losses) -> None:
    """Settings that have no member here."""
    for name in ("frequency_penalty", "presence_penalty", "logit_bias", "seed", "top_logprobs", "verbosity"):
        if getattr(request, name) is not None:
            losses.add(name, f"{NAME} has no such setting")
    if request.n is not None and request.n > 1:
        losses.add("n", f"{NAME} gives one answer")
    if request.logprobs:
        losses.add("logprobs", f"{NAME} does not tell probabilities")
    if request.betas:
        losses.add("anthropic_beta", "it is said in a header", "info")
    for name in ("metadata", "store", "prompt_cache_key"):
        if getattr(request, name) is not None:
            losses.add(name, f"{NAME} has no such member", "info")
