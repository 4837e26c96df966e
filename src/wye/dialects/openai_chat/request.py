"""Requests of the Chat Completions API. https://platform.openai.com/docs/api-reference/chat/create"""

from __future__ import annotations

from wye.canon.extras import extras_of, own_extras
from wye.canon.loss import Losses, cannot_say
from wye.canon.parts import Audio, Opaque, Part, Refusal, Text, Thinking, ToolCall, ToolResult
from wye.canon.request import ChatRequest, Message, OutputFormat, Reasoning
from wye.dialects.dialect import Quirks
from wye.dialects.openai_chat.content import (
    decode_cache,
    decode_parts,
    encode_cache,
    encode_content,
    encode_part,
    joined,
    mark_last,
)
from wye.dialects.openai_chat.name import NAME
from wye.dialects.openai_chat.reasoning import encode_history, take_thinking
from wye.dialects.openai_chat.response import add_tier, drop_empty
from wye.dialects.openai_chat.tools import (
    decode_tool_choice,
    decode_tools,
    encode_tool_call,
    encode_tool_choice,
    encode_tools,
    take_tool_calls,
)
from wye.kernel.errors import BadRequest, Unprocessable
from wye.kernel.fields import Fields
from wye.kernel.json import JsonObject

_PLAIN = (
    "temperature",
    "top_p",
    "frequency_penalty",
    "presence_penalty",
    "logit_bias",
    "seed",
    "n",
    "logprobs",
    "top_logprobs",
    "parallel_tool_calls",
    "verbosity",
    "user",
    "metadata",
    "store",
    "prompt_cache_key",
)
"""Members that have one name here and in the canonical form."""


def decode_request(body: JsonObject) -> ChatRequest:
    fields = Fields(body)
    options = fields.fields("stream_options")
    effort = fields.str("reasoning_effort")
    limit_key = "max_completion_tokens" if fields.has("max_completion_tokens") else "max_tokens"
    limit = fields.int(limit_key)
    if limit is not None and limit < 1:
        raise BadRequest(f"{limit_key} must be at least 1, not {limit}", param=limit_key)
    request = ChatRequest(
        model=fields.required_str("model"),
        messages=_decode_messages(fields),
        stream=fields.bool("stream") or False,
        include_usage=options.bool("include_usage") if options else None,
        max_tokens=limit,
        temperature=fields.number("temperature"),
        top_p=fields.number("top_p"),
        frequency_penalty=fields.number("frequency_penalty"),
        presence_penalty=fields.number("presence_penalty"),
        logit_bias=fields.dict("logit_bias"),
        seed=fields.int("seed"),
        stop=fields.strings("stop"),
        n=fields.int("n"),
        logprobs=fields.bool("logprobs"),
        top_logprobs=fields.int("top_logprobs"),
        tools=decode_tools(fields),
        tool_choice=decode_tool_choice(fields),
        parallel_tool_calls=fields.bool("parallel_tool_calls"),
        output=_decode_output(fields),
        verbosity=fields.str("verbosity"),
        reasoning=Reasoning(effort=effort) if effort is not None else None,
        cache=decode_cache(fields),
        user=fields.str("user"),
        metadata=fields.dict("metadata"),
        service_tier=fields.str("service_tier"),
        store=fields.bool("store"),
        prompt_cache_key=fields.str("prompt_cache_key"),
    )
    rest = fields.rest()
    if options is not None and options.rest():
        rest["stream_options"] = options.rest()
    request.extras = extras_of(NAME, rest)
    return request


def _decode_messages(fields: Fields) -> list[Message]:
    if not fields.has("messages"):
        raise Unprocessable("messages is required", param="messages")
    messages: list[Message] = []
    joined = False
    for item in fields.each("messages"):
        message, is_result = _decode_message(item)
        # Results of one turn belong together, as they do in the dialects that keep them in one message.
        if is_result and joined:
            messages[-1].parts += message.parts
        else:
            messages.append(message)
        joined = is_result
    if not messages:
        raise Unprocessable("messages must hold at least one message", param="messages")
    return messages


def _decode_message(fields: Fields) -> tuple[Message, bool]:
    """The message, and whether it is a tool's result."""
    role = fields.one_of("role", ("system", "developer", "user", "assistant", "tool", "function"))
    match role:
        case None:
            raise BadRequest(f"{fields.at('role')} is required", param=fields.at("role"))
        case "tool" | "function":
            called = fields.str("tool_call_id") if role == "tool" else fields.str("name")
            if called is None:
                missing = fields.at("tool_call_id" if role == "tool" else "name")
                raise BadRequest(f"{missing} is required", param=missing)
            parts = decode_parts(fields.any("content"), fields.at("content"))
            result = ToolResult(called, parts, cache=decode_cache(fields))
            result.extras = extras_of(NAME, fields.rest())
            return Message("user", [result]), True
        case "assistant":
            return _decode_assistant(fields), False
        case "system" | "developer" | "user":
            if not fields.has("content"):
                raise BadRequest(f"{fields.at('content')} is required", param=fields.at("content"))
            message = Message(role, decode_parts(fields.any("content"), fields.at("content")), fields.str("name"))
            mark_last(message.parts, fields)
            message.extras = extras_of(NAME, fields.rest())
            return message, False
        case _:  # pragma: no cover - one_of lets no other through
            raise AssertionError(role)


def _decode_assistant(fields: Fields) -> Message:
    name = fields.str("name")
    parts = decode_parts(fields.any("content"), fields.at("content"))
    mark_last(parts, fields)
    refusal = fields.str("refusal")
    if refusal:
        parts.append(Refusal(refusal))
    audio = fields.fields("audio")
    if audio is not None:
        said = Audio("", id=audio.required_str("id"))
        said.extras = extras_of(NAME, audio.rest())
        parts.append(said)
    rest = fields.rest()
    rest.pop("parsed", None)  # OpenAI's SDK adds its reading of the content to what it sends back
    calls = take_tool_calls(rest)
    if rest.get("tool_calls"):
        at = fields.at("tool_calls")
        raise BadRequest(f"{at} must be an array of calls, each with a name and its arguments as text", param=at)
    thoughts: list[Part] = [*take_thinking(rest)]
    drop_empty(rest)
    return Message("assistant", [*thoughts, *parts, *calls], name, extras_of(NAME, rest))


def _decode_output(fields: Fields) -> OutputFormat | None:
    form = fields.fields("response_format")
    if form is None:
        return None
    kind = form.one_of("type", ("text", "json_object", "json_schema"))
    match kind:
        case "text" | "json_object":
            return OutputFormat(kind, extras=extras_of(NAME, form.rest()))
        case "json_schema":
            below = form.fields("json_schema")
            if below is None:
                raise BadRequest(f"{form.at('json_schema')} is required", param=form.at("json_schema"))
            output = OutputFormat(
                "json_schema", below.dict("schema"), below.str("name"), below.str("description"), below.bool("strict")
            )
            rest, inner = form.rest(), below.rest()
            output.extras = extras_of(NAME, {**rest, "json_schema": inner} if inner else rest)
            return output
        case _:
            raise BadRequest(f"{form.at('type')} is required", param=form.at("type"))


def encode_request(request: ChatRequest, losses: Losses, quirks: Quirks) -> JsonObject:
    own = dict(own_extras(request.extras, NAME, losses, ""))
    body: JsonObject = {"model": request.model, "messages": _encode_messages(request, losses, quirks)}
    if request.stream:
        body["stream"] = True
    _encode_stream_options(request, body, own, losses, quirks)
    if request.max_tokens is not None:
        body[quirks.max_tokens_key] = request.max_tokens
        if own.pop(quirks.max_tokens_key, None) is not None:
            losses.add(quirks.max_tokens_key, "max_completion_tokens goes before it", "info")
    for name in _PLAIN:
        value = getattr(request, name)
        if value is not None:
            body[name] = value
    if request.stop:
        body["stop"] = request.stop
    if request.top_k is not None:
        losses.add("top_k", f"{NAME} has no such setting")
    if request.betas:
        losses.add("anthropic_beta", f"{NAME} has no previews of Anthropic's API", "info")
    if request.cache is not None:
        body.update(encode_cache(request.cache, losses, ""))
    _encode_tools(request, body, losses)
    if request.output is not None:
        body["response_format"] = _encode_output(request.output, losses)
    if request.reasoning is not None:
        _encode_reasoning(request.reasoning, body, losses)
    add_tier(body, request.service_tier, losses)
    return {**body, **own}


def _encode_stream_options(
    request: ChatRequest, body: JsonObject, own: JsonObject, losses: Losses, quirks: Quirks
) -> None:
    options: JsonObject = {}
    if request.include_usage is not None and quirks.stream_usage:
        options["include_usage"] = request.include_usage
    elif request.include_usage:
        losses.add("stream_options.include_usage", "this upstream cannot be asked for it", "info")
    options.update(own.pop("stream_options", {}))
    if options:
        body["stream_options"] = options


def _encode_tools(request: ChatRequest, body: JsonObject, losses: Losses) -> None:
    tools = encode_tools(request.tools or [], losses)
    if tools:
        body["tools"] = tools
        if request.tool_choice is not None:
            body["tool_choice"] = encode_tool_choice(request.tool_choice, request.tools or [], losses)
        return
    # Both are refused without tools.
    if request.tool_choice is not None:
        needed = request.tool_choice.mode not in ("auto", "none")
        losses.add("tool_choice", "there is no tool to choose", "warning" if needed else "info")
    if body.pop("parallel_tool_calls", None) is not None:
        losses.add("parallel_tool_calls", "there is no tool to call", "info")


def _encode_reasoning(reasoning: Reasoning, body: JsonObject, losses: Losses) -> None:
    own_extras(reasoning.extras, NAME, losses, "reasoning")
    if reasoning.effort is not None:
        body["reasoning_effort"] = reasoning.effort
    if reasoning.budget_tokens is not None:
        losses.add("reasoning.budget_tokens", f"{NAME} has efforts, no budget")
    # An effort says that there is to be reasoning.
    if reasoning.mode is not None and (reasoning.effort is None or reasoning.mode == "disabled"):
        losses.add("reasoning.mode", f"{NAME} cannot switch reasoning on or off for every model")
    if reasoning.display is not None:
        losses.add("reasoning.display", f"{NAME} has no such setting", "info")


def _encode_output(output: OutputFormat, losses: Losses) -> JsonObject:
    own = dict(own_extras(output.extras, NAME, losses, "response_format"))
    if output.type != "json_schema":
        return {"type": output.type, **own}
    below: JsonObject = {"name": output.name or "answer"}
    for name, value in (("description", output.description), ("schema", output.schema), ("strict", output.strict)):
        if value is not None:
            below[name] = value
    return {"type": "json_schema", "json_schema": {**below, **own.pop("json_schema", {})}, **own}


def _encode_messages(request: ChatRequest, losses: Losses, quirks: Quirks) -> list[JsonObject]:
    messages: list[JsonObject] = []
    media: list[JsonObject] = []
    """What the tools gave beside texts: it waits for the end of their messages, which must follow each other."""
    for i, message in enumerate(request.messages):
        path = f"messages[{i}]"
        own = own_extras(message.extras, NAME, losses, path)
        others: list[tuple[int, Part]] = list(enumerate(message.parts))
        if message.role == "user" and any(isinstance(part, ToolResult) for part in message.parts):
            messages += _encode_results(message.parts, media, losses, path)
            others = [(place, part) for place, part in others if not isinstance(part, ToolResult)]
            if not others:
                continue
        if message.role == "assistant":
            said = _encode_assistant(message.parts, losses, path, quirks)
            if not said:
                continue
        else:
            role = "system" if message.role == "developer" and not quirks.developer_role else message.role
            said = {"role": role, "content": encode_content(others, losses, f"{path}.content")}
        if message.name is not None:
            said["name"] = message.name
        if media:
            messages.append({"role": "user", "content": media})
            media = []
        messages.append({**said, **own})
    return [*messages, {"role": "user", "content": media}] if media else messages


def _encode_results(parts: list[Part], media: list[JsonObject], losses: Losses, path: str) -> list[JsonObject]:
    """The tool messages; what they cannot hold is added to `media`."""
    results: list[JsonObject] = []
    for i, part in enumerate(parts):
        if not isinstance(part, ToolResult):
            continue
        at = f"{path}.content[{i}]"
        if part.is_error:
            losses.add(f"{at}.is_error", f"{NAME} cannot mark a tool's failure; its text says it")
        texts: list[JsonObject] = []
        before = len(media)
        for j, below in enumerate(part.parts):
            where = f"{at}.content[{j}]"
            encoded = encode_part(below, losses, where)
            if encoded is not None and encoded["type"] in ("image_url", "input_audio", "file"):
                losses.add(where, f"{NAME} has only texts in a tool's result: this is said by the user after it")
                media.append(encoded)
            elif encoded is not None:
                texts.append(encoded)
        if part.parts and not texts and len(media) == before:
            raise cannot_say(NAME, "a tool's result that holds nothing else", f"{at}.content")
        own = own_extras(part.extras, NAME, losses, at)
        cache = encode_cache(part.cache, losses, at)
        results.append({"role": "tool", "tool_call_id": part.call_id, "content": joined(texts), **cache, **own})
    return results


def _encode_assistant(parts: list[Part], losses: Losses, path: str, quirks: Quirks) -> JsonObject:
    """The message; empty where it would hold nothing but reasoning that the upstream does not take."""
    thoughts: list[tuple[str, Thinking]] = []
    content: list[JsonObject] = []
    calls: list[JsonObject] = []
    others: JsonObject = {}
    for i, part in enumerate(parts):
        at = f"{path}.content[{i}]"
        match part:
            case Thinking():
                thoughts.append((at, part))
            case ToolCall():
                if (call := encode_tool_call(part, losses, at)) is not None:
                    calls.append(call)
            case Audio() if part.id is not None:
                others["audio"] = {"id": part.id, **own_extras(part.extras, NAME, losses, at)}
            case Refusal() if not own_extras(part.extras, NAME, losses, at):
                others["refusal"] = others.get("refusal", "") + part.text
            case Text() | Refusal() | Opaque():
                if (said := encode_part(part, losses, at)) is not None:
                    content.append(said)
                    if calls:
                        losses.add(at, f"{NAME} has text before tool calls: their order is lost", "info")
            case _:
                raise cannot_say(NAME, f"{type(part).__name__.lower()} from the assistant", at)
    others.update(encode_history(thoughts, losses, path, quirks))
    if calls:
        others["tool_calls"] = calls
    if not content and not others and len(thoughts) == len(parts) > 0:
        return {}
    if parts and not content and not others:
        raise cannot_say(NAME, "a message that holds nothing else", f"{path}.content")
    said_otherwise = others.keys() & {"tool_calls", "audio", "refusal"}
    return {"role": "assistant", "content": None if said_otherwise and not content else joined(content), **others}
