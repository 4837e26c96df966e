"""Requests of Nova. https://docs.aws.amazon.com/nova/latest/userguide/complete-request-schema.html"""

from __future__ import annotations

from wye.canon.extras import FORM, extras_of, own_extras
from wye.canon.loss import Losses, cannot_say
from wye.canon.request import ChatRequest, Message, Reasoning, Role
from wye.dialects.bedrock_invoke.nova.content import decode_parts, encode_parts
from wye.dialects.bedrock_invoke.nova.name import NAME
from wye.dialects.bedrock_invoke.nova.tools import decode_tool_choice, decode_tools, encode_tool_config
from wye.dialects.bedrock_invoke.settings import refuse_formats, report_unsaid, set_members
from wye.dialects.dialect import Quirks
from wye.kernel.errors import Unprocessable
from wye.kernel.fields import Fields
from wye.kernel.json import JsonObject

_SETTINGS = {
    "max_tokens": "maxTokens",
    "temperature": "temperature",
    "top_p": "topP",
    "top_k": "topK",
    "stop": "stopSequences",
}
_ROLES: dict[str, Role] = {"user": "user", "assistant": "assistant"}


def decode_request(body: JsonObject) -> ChatRequest:
    fields = Fields(body)
    config = fields.fields("inferenceConfig") or Fields({}, "inferenceConfig")
    tools = fields.fields("toolConfig") or Fields({}, "toolConfig")
    thinking = config.fields("reasoningConfig")
    request = ChatRequest(
        model=fields.str("model") or "",
        messages=_decode_messages(fields),
        stream=fields.bool("stream") or False,
        max_tokens=config.int("maxTokens"),
        temperature=config.number("temperature"),
        top_p=config.number("topP"),
        top_k=config.int("topK"),
        stop=config.strings("stopSequences"),
        tools=decode_tools(tools),
        tool_choice=decode_tool_choice(tools),
        reasoning=_decode_reasoning(thinking) if thinking else None,
    )
    version = fields.str("schemaVersion")
    rest = fields.rest()
    for name, left in (("inferenceConfig", config), ("toolConfig", tools)):
        if left.rest():
            rest[name] = left.rest()
    if version is not None:
        rest[FORM] = {"schemaVersion": version}
    request.extras = extras_of(NAME, rest)
    return request


def _decode_messages(fields: Fields) -> list[Message]:
    messages: list[Message] = []
    system = fields.list("system")
    if system:
        messages.append(Message("system", decode_parts(system, fields.at("system"))))
    if not fields.has("messages"):
        raise Unprocessable("messages is required", param="messages")
    before = len(messages)
    for item in fields.each("messages"):
        role = _ROLES[item.one_of("role", tuple(_ROLES)) or item.required_str("role")]
        parts = decode_parts(item.list("content") or [], item.at("content"))
        messages.append(Message(role, parts, extras=extras_of(NAME, item.rest())))
    if len(messages) == before:
        raise Unprocessable("messages must hold at least one message", param="messages")
    return messages


def _decode_reasoning(fields: Fields) -> Reasoning:
    kind, effort = fields.one_of("type", ("enabled", "disabled")), fields.str("maxReasoningEffort")
    mode = "disabled" if kind == "disabled" else "enabled" if kind == "enabled" else None
    return Reasoning(mode, effort, extras=extras_of(NAME, fields.rest()))


def encode_request(request: ChatRequest, losses: Losses, quirks: Quirks) -> JsonObject:
    own = dict(own_extras(request.extras, NAME, losses, ""))
    report_unsaid(request, {*_SETTINGS, "reasoning"}, NAME, losses)
    refuse_formats(request, NAME, losses)
    system, messages = _encode_messages(request.messages, losses)
    body: JsonObject = {**own.pop(FORM, {})}
    if system:
        body["system"] = system
    body["messages"] = messages
    config: JsonObject = {}
    set_members(config, request, _SETTINGS)
    if request.reasoning is not None:
        config |= _encode_reasoning(request.reasoning, losses)
    for name, said in (("inferenceConfig", config), ("toolConfig", encode_tool_config(request, losses))):
        whole = {**said, **own.pop(name, {})}
        if whole:
            body[name] = whole
    return body | own


def _encode_messages(messages: list[Message], losses: Losses) -> tuple[list[JsonObject], list[JsonObject]]:
    """The system's blocks, and the conversation with neighbours of one role joined: turns alternate for the model."""
    system: list[JsonObject] = []
    encoded: list[JsonObject] = []
    for i, message in enumerate(messages):
        path = f"messages[{i}]"
        if message.name is not None:
            losses.add(f"{path}.name", f"participants have no names in {NAME}")
        blocks = encode_parts(message.parts, f"{path}.content", losses)
        own = own_extras(message.extras, NAME, losses, path)
        if message.role in ("system", "developer"):
            if encoded:
                losses.add(f"{path}.role", "the system's words stand before the conversation")
            system += blocks
        elif message.parts and not blocks:
            if message.role == "user":
                raise cannot_say(NAME, "a message of which nothing is left", path)
        elif not own and encoded and encoded[-1].keys() == {"role", "content"} and encoded[-1]["role"] == message.role:
            encoded[-1]["content"] += blocks
        else:
            encoded.append({"role": message.role, "content": blocks, **own})
    return system, encoded


def _encode_reasoning(reasoning: Reasoning, losses: Losses) -> JsonObject:
    own = own_extras(reasoning.extras, NAME, losses, "reasoning")
    said: JsonObject = {}
    mode = reasoning.mode
    if mode == "disabled" or reasoning.effort == "none":
        return {"reasoningConfig": {"type": "disabled", **own}}
    if mode is not None or reasoning.effort is not None or reasoning.budget_tokens is not None:
        said["type"] = "enabled"
    if mode == "adaptive":
        losses.add("reasoning.mode", f"{NAME} has no adaptive thinking: 'enabled' is sent", "info")
    if reasoning.effort is not None:
        nearest = {"minimal": "low", "xhigh": "high", "max": "high"}.get(reasoning.effort, reasoning.effort)
        if nearest != reasoning.effort:
            losses.add("reasoning.effort", f"{nearest!r} is sent instead of {reasoning.effort!r}")
        said["maxReasoningEffort"] = nearest
    if reasoning.budget_tokens is not None:
        losses.add("reasoning.budget_tokens", f"{NAME} has efforts, no budget")
    if reasoning.display is not None:
        losses.add("reasoning.display", f"{NAME} has no such setting", "info")
    return {"reasoningConfig": said | own} if said or own else {}
