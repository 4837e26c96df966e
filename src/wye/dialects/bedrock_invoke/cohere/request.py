"""Requests of Command R: the last message stands apart from the history.

https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-cohere-command-r-plus.html
"""

from __future__ import annotations

from wye.canon.extras import FORM, extras_of, own_extras
from wye.canon.loss import Losses, cannot_say
from wye.canon.parts import Part, Text, ToolCall, ToolResult
from wye.canon.request import ChatRequest, Message, Role
from wye.dialects.bedrock_invoke.cohere.name import NAME
from wye.dialects.bedrock_invoke.cohere.tools import Calls, decode_output, decode_tools, encode_call, encode_tools
from wye.dialects.bedrock_invoke.settings import refuse_formats, report_unsaid, set_members
from wye.dialects.bedrock_invoke.turns import say_text
from wye.dialects.dialect import Quirks
from wye.kernel.fields import Fields
from wye.kernel.json import JsonObject

_SETTINGS = {
    "max_tokens": "max_tokens",
    "temperature": "temperature",
    "top_p": "p",
    "top_k": "k",
    "frequency_penalty": "frequency_penalty",
    "presence_penalty": "presence_penalty",
    "seed": "seed",
    "stop": "stop_sequences",
}
_ROLES: dict[str, Role] = {"USER": "user", "CHATBOT": "assistant", "SYSTEM": "system", "TOOL": "user"}
_IMPLIED: JsonObject = {FORM: {"implied": True}}
"""Marks the calls that only their results told, and the message that was told with them."""


def decode_request(body: JsonObject) -> ChatRequest:
    fields = Fields(body)
    calls = Calls()
    messages: list[Message] = []
    preamble = fields.str("preamble")
    if preamble is not None:
        messages.append(Message("system", [Text(preamble)]))
    messages += [_decode_turn(turn, calls) for turn in fields.each("chat_history")]
    text = fields.required_str("message")
    results = [*fields.each("tool_results")]
    if results:
        messages += _decode_results(results, text, calls)
    else:
        messages.append(Message("user", [Text(text)]))
    request = ChatRequest(
        model=fields.str("model") or "",
        messages=messages,
        stream=fields.bool("stream") or False,
        max_tokens=fields.int("max_tokens"),
        temperature=fields.number("temperature"),
        top_p=fields.number("p"),
        top_k=fields.int("k"),
        frequency_penalty=fields.number("frequency_penalty"),
        presence_penalty=fields.number("presence_penalty"),
        seed=fields.int("seed"),
        stop=fields.strings("stop_sequences"),
        tools=decode_tools(fields),
    )
    request.extras = extras_of(NAME, fields.rest())
    return request


def _decode_turn(fields: Fields, calls: Calls) -> Message:
    role = fields.one_of("role", tuple(_ROLES)) or fields.required_str("role")
    parts: list[Part] = [_decode_result(result, calls, []) for result in fields.each("tool_results")]
    text = fields.str("message")
    if text:
        parts.append(Text(text))
    parts += [calls.decode(call) for call in fields.each("tool_calls")]
    return Message(_ROLES[role], parts, extras=extras_of(NAME, fields.rest()))


def _decode_results(results: list[Fields], text: str, calls: Calls) -> list[Message]:
    """The results that the model is to go on with. Calls that no turn of the history holds are told by their results:
    they answer the message."""
    implied: list[ToolCall] = []
    decoded: list[Part] = [_decode_result(result, calls, implied) for result in results]
    if not implied:
        return [Message("user", [*decoded, Text(text)] if text else decoded)]
    asked = [Message("user", [Text(text)], extras={NAME: _IMPLIED})] if text else []
    return [*asked, Message("assistant", [*implied], extras={NAME: _IMPLIED}), Message("user", decoded)]


def _decode_result(fields: Fields, calls: Calls, implied: list[ToolCall]) -> ToolResult:
    call, made = calls.answered(Fields(fields.any("call"), fields.at("call")))
    if not made:
        implied.append(call)
    outputs = fields.list("outputs") or []
    result = ToolResult(
        call.id, [decode_output(item, f"{fields.at('outputs')}[{i}]") for i, item in enumerate(outputs)]
    )
    result.extras = extras_of(NAME, fields.rest())
    return result


def encode_request(request: ChatRequest, losses: Losses, quirks: Quirks) -> JsonObject:
    own = own_extras(request.extras, NAME, losses, "")
    report_unsaid(request, _SETTINGS, NAME, losses)
    refuse_formats(request, NAME, losses)
    body = _encode_messages(request.messages, losses)
    set_members(body, request, _SETTINGS)
    tools = encode_tools(request, losses)
    if tools:
        body["tools"] = tools
    return body | own


def _encode_messages(messages: list[Message], losses: Losses) -> JsonObject:
    calls = Calls()
    preamble: list[str] = []
    turns: list[tuple[JsonObject, bool]] = []
    """Each with whether the turns of the history did not tell it."""
    path = "messages"
    for i, message in enumerate(messages):
        path = f"messages[{i}]"
        if message.name is not None:
            losses.add(f"{path}.name", f"participants have no names in {NAME}")
        own = dict(own_extras(message.extras, NAME, losses, path))
        implied = own.pop(FORM, None) == _IMPLIED[FORM]
        turn = _encode_turn(message, path, calls, losses) | own
        if turn.get("role") == "SYSTEM":
            if turns:
                losses.add(f"{path}.role", "the system's words stand before the conversation")
            preamble.append(str(turn.get("message", "")))
        else:
            turns.append((turn, implied))
    body: JsonObject = {"preamble": "\n".join(preamble)} if preamble else {}
    last: JsonObject = turns.pop()[0] if turns else {}
    if last.pop("role", None) not in ("USER", "TOOL"):
        raise cannot_say(NAME, "a conversation that does not end with the user", path)
    if "tool_results" in last and "message" not in last:
        while turns and turns[-1][1]:
            told = turns.pop()[0]
            if told["role"] == "USER":
                last |= {"message": told.get("message", "")}
    if turns:
        body["chat_history"] = [turn for turn, _ in turns]
    return {"message": "", **last, **body}


def _encode_turn(message: Message, path: str, calls: Calls, losses: Losses) -> JsonObject:
    lines: list[str] = []
    results: list[JsonObject] = []
    made: list[JsonObject] = []
    for i, part in enumerate(message.parts):
        at = f"{path}.content[{i}]"
        if isinstance(part, ToolResult):
            results.append(calls.encode_result(part, at, losses))
        elif isinstance(part, ToolCall) and part.kind != "server":
            made.append(encode_call(part, at, losses))
            calls.add(part)
        elif (text := say_text(part, at, NAME, losses)) is not None:
            lines.append(text)
    said: JsonObject = {"message": "\n".join(lines)} if lines else {}
    if results:
        return {"role": "TOOL", "tool_results": results, **said}
    if message.role == "user":
        return {"role": "USER", **said}
    if message.role == "assistant":
        return {"role": "CHATBOT", **said, **({"tool_calls": made} if made else {})}
    return {"role": "SYSTEM", **said}
