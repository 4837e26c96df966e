"""Items: what a request's `input` and an answer's `output` are lists of.

https://platform.openai.com/docs/api-reference/responses/object

Each text that begins a message of the assistant remembers that message: the id and the status are among its own
members, and its spelling says which of them are the message's. Items that only OpenAI understands stay whole, where
they stand.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from wye.canon.extras import FORM, extras_of, own_extras
from wye.canon.loss import Losses, cannot_say
from wye.canon.parts import Opaque, Part, Refusal, Text, Thinking, ToolCall, ToolResult
from wye.canon.request import Message, Role
from wye.dialects.openai_responses.content import (
    decode_content,
    encode_cache,
    encode_part,
    extras_with,
    form_of,
    own_members,
)
from wye.dialects.openai_responses.name import NAME
from wye.dialects.openai_responses.reasoning import decode_reasoning, encode_history
from wye.dialects.openai_responses.tools import Names, decode_call, encode_call
from wye.kernel.fields import Fields
from wye.kernel.json import JsonObject, as_object

_ROLES: dict[str, Role] = {"system": "system", "developer": "developer", "user": "user", "assistant": "assistant"}
CALLS = ("function_call", "custom_tool_call")
RESULTS = {"function_call_output": "function", "custom_tool_call_output": "custom"}


def decode_input(items: list[Any], names: Names) -> list[Message]:
    """The conversation. What the assistant did between two inputs of the user is one message."""
    messages: list[Message] = []
    for i, value in enumerate(items):
        fields = Fields(value, f"input[{i}]")
        kind = value.get("type")
        if isinstance(kind, str) and kind in RESULTS and fields.has("call_id"):
            _add(messages, "user", [_decode_result(fields)])
        elif kind in CALLS:
            _add(messages, "assistant", [decode_call(fields, names)])
        elif kind == "reasoning":
            _add(messages, "assistant", [decode_reasoning(value)])
        elif kind == "message" or (kind is None and fields.has("role")):
            _decode_message(fields, value, messages)
        else:
            fields.required_str("type")
            _add(messages, "assistant", [Opaque(NAME, value)])
    return messages


def _add(messages: list[Message], role: Role, parts: list[Part]) -> None:
    """To the last message, if it is of this role; else as a new one. Messages of the user hold results or contents."""
    last = messages[-1] if messages else None
    if last is not None and last.role == role and (role == "assistant" or _ends_in_result(last)):
        last.parts += parts
    else:
        messages.append(Message(role, parts))


def _ends_in_result(message: Message) -> bool:
    return bool(message.parts) and isinstance(message.parts[-1], ToolResult)


def _decode_message(fields: Fields, value: JsonObject, messages: list[Message]) -> None:
    form = {} if fields.str("type") else {"easy": True}
    role = _ROLES[fields.one_of("role", tuple(_ROLES)) or fields.required_str("role")]
    content = fields.any("content")
    if isinstance(content, str):
        form["text"] = True
    parts = decode_content(content, fields.at("content"), "output_text" if role == "assistant" else "input_text")
    if role != "assistant":
        messages.append(Message(role, parts, extras=extras_with(fields.rest(), form)))
    elif parts and isinstance(parts[0], Text | Refusal):
        begin_message(parts[0], fields.rest(), form)
        _add(messages, role, parts)
    else:
        _add(messages, role, [Opaque(NAME, value)])


def begin_message(part: Text | Refusal, members: JsonObject, form: JsonObject) -> None:
    """Let the part remember that it begins a message with these members."""
    own = {**(part.extras or {}).get(NAME, {})}
    same = {name: value for name, value in members.items() if name in own}
    apart = [name for name in members if name not in own]
    own |= {name: members[name] for name in apart} | ({"item": same} if same else {})
    own[FORM] = {**form_of(part.extras), "item": {**form, "members": apart} if apart else form}
    part.extras = extras_of(NAME, own)


def _decode_result(fields: Fields) -> ToolResult:
    kind = RESULTS[fields.required_str("type")]
    output = fields.any("output")
    result = ToolResult(fields.required_str("call_id"), [], kind="custom" if kind == "custom" else "function")
    result.parts = decode_content(output, fields.at("output"))
    lone = len(result.parts) == 1 and isinstance(result.parts[0], Text)
    result.extras = extras_with(fields.rest(), {"list": True} if lone and isinstance(output, list) else {})
    return result


def encode_input(messages: list[Message], losses: Losses, first: int = 0) -> list[JsonObject]:
    """The items of all messages from the `first` on."""
    items: list[JsonObject] = []
    calls = [part for message in messages for part in message.parts if isinstance(part, ToolCall)]
    custom = {call.id for call in calls if call.kind == "custom"}
    for i, message in enumerate(messages[first:], first):
        path = f"messages[{i}]"
        if message.name is not None:
            losses.add(f"{path}.name", f"participants have no names in {NAME}")
        if message.role == "assistant":
            own_extras(message.extras, NAME, losses, path)
            items += _encode_assistant(message.parts, losses, path)
            continue
        others = False
        for j, part in enumerate(message.parts):
            if isinstance(part, ToolResult):
                items.append(_encode_result(part, part.call_id in custom, losses, f"{path}.content[{j}]"))
            else:
                others = True
        if others or not message.parts:
            items.append(_encode_message(message, losses, path))
        else:
            own_extras(message.extras, NAME, losses, path)
    return items


def _encode_message(message: Message, losses: Losses, path: str) -> JsonObject:
    own, form = own_members(message.extras, losses, path)
    content: list[JsonObject] = []
    for i, part in enumerate(message.parts):
        if not isinstance(part, ToolResult):
            said = encode_part(part, losses, f"{path}.content[{i}]")
            content += [] if said is None else [said]
    return {**_head(form), "role": message.role, "content": _short(content, form), **own}


def _head(form: JsonObject) -> JsonObject:
    return {} if form.get("easy") else {"type": "message"}


def _short(content: list[JsonObject], form: JsonObject) -> str | list[JsonObject]:
    """Content as it was written: a lone plain text may have been a string."""
    if form.get("text") and len(content) == 1 and content[0].keys() == {"type", "text"}:
        return str(content[0]["text"])
    return content


def _encode_result(part: ToolResult, custom: bool, losses: Losses, path: str) -> JsonObject:
    own, form = own_members(part.extras, losses, path)
    if part.is_error:
        losses.add(f"{path}.is_error", f"{NAME} cannot mark a tool's failure; its text says it")
    encode_cache(part.cache, losses, path)
    said = [encode_part(below, losses, f"{path}.content[{i}]") for i, below in enumerate(part.parts)]
    output = [below for below in said if below is not None]
    kind = "custom_tool_call_output" if custom or part.kind == "custom" else "function_call_output"
    short = "" if not output else _short(output, {"text": not form.get("list")})
    return {"type": kind, "call_id": part.call_id, "output": short, **own}


def _encode_assistant(parts: list[Part], losses: Losses, path: str) -> list[JsonObject]:
    items: list[JsonObject | None] = []
    for start, group in grouped(parts):
        at = f"{path}.content[{start}]"
        match group[0]:
            case Text() | Refusal() as first:
                own, form = message_of(first)
                content = encode_said(group, start, losses, path)
                items.append({**_head(form), "role": "assistant", "content": _short(content, form), **own})
            case Thinking() as thought:
                items.append(encode_history(thought, losses, at))
            case ToolCall(kind="server") as call:
                losses.add(at, f"another provider ran {call.name!r} itself")
            case ToolCall() as call:
                items.append(encode_call(call, losses, at))
            case Opaque() as part:
                items.append(encode_part(part, losses, at))
            case part:
                raise cannot_say(NAME, f"{type(part).__name__.lower()} from the assistant", at)
    return [item for item in items if item is not None]


def grouped(parts: list[Part]) -> Iterator[tuple[int, list[Part]]]:
    """The parts of each item, with the index of the first: texts that follow each other are one message."""
    start = 0
    for i in range(1, len(parts) + 1):
        if i == len(parts) or not continues(parts[i - 1], parts[i]):
            yield start, parts[start:i]
            start = i


def continues(before: Part, part: Part) -> bool:
    """Whether a part belongs to the message of the part before it."""
    return isinstance(before, Text | Refusal) and isinstance(part, Text | Refusal) and not begins_message(part)


def begins_message(part: Text | Refusal) -> bool:
    return "item" in form_of(part.extras)


def message_of(part: Text | Refusal) -> tuple[JsonObject, JsonObject]:
    """The members of the message that this part begins, and how it was spelled."""
    own = (part.extras or {}).get(NAME, {})
    form = as_object(form_of(part.extras).get("item")) or {}
    members = {name: own[name] for name in form.get("members", ()) if name in own}
    return {**members, **(as_object(own.get("item")) or {})}, form


def encode_said(group: list[Part], start: int, losses: Losses, path: str) -> list[JsonObject]:
    """The content of a message of the assistant."""
    said = [encode_part(part, losses, f"{path}.content[{start + i}]", "output_text") for i, part in enumerate(group)]
    return [part for part in said if part is not None]
