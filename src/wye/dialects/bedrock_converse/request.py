"""Requests of Converse and ConverseStream. https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html

The model and whether to stream are in the URL: a decoded request has neither, unless a client put them in the body.
"""

from __future__ import annotations

import re
from itertools import islice

from wye.canon.loss import Losses, cannot_say
from wye.canon.parts import Image, Opaque, Part, Text, ToolCall
from wye.canon.request import ChatRequest, Message, OutputFormat, Role
from wye.canon.tools import NativeTool, Tool
from wye.dialects.bedrock_converse.content import (
    REQUEST,
    SYSTEM,
    Reader,
    decode_parts,
    encode_cache,
    encode_parts,
    paths,
    takes_cache,
)
from wye.dialects.bedrock_converse.form import extras_with, form_of, merged, own_members
from wye.dialects.bedrock_converse.media import GUARDED
from wye.dialects.bedrock_converse.model_fields import (
    CLAUDE,
    MEMBER,
    Wishes,
    claude_tools,
    encode_fields,
    says_schema,
    understood,
)
from wye.dialects.bedrock_converse.name import NAME
from wye.dialects.bedrock_converse.tools import (
    decode_tool_choice,
    decode_tools,
    encode_tool_choice,
    encode_tools,
    named_in_history,
)
from wye.dialects.bedrock_models import family
from wye.dialects.dialect import Quirks
from wye.kernel.errors import BadRequest, Unprocessable
from wye.kernel.fields import Fields
from wye.kernel.json import JsonError, JsonObject, as_object, decode, encode_text

_ROLES: dict[str, Role] = {"user": "user", "assistant": "assistant", "system": "system"}
_TIERS = ("default", "flex", "priority", "reserved")
_TAG = re.compile(r"[a-zA-Z0-9\s:_@$#=/+,.-]{0,256}")
"""What a key or a value of `requestMetadata` may be."""
MAX_TAGS = 16


def decode_request(body: JsonObject) -> ChatRequest:
    request = decode_input(body)
    if not request.messages and "promptVariables" not in (request.extras or {}).get(NAME, {}):
        raise Unprocessable("messages must hold at least one message", param="messages")
    return request


def decode_input(body: JsonObject, path: str = "") -> ChatRequest:
    """A request of which no member is required."""
    fields = Fields(body, path)
    sampling, tools = fields.fields("inferenceConfig"), fields.fields("toolConfig")
    config, tier = fields.fields("outputConfig"), fields.fields("serviceTier")
    members = fields.dict(MEMBER) or {}
    wishes, spelled = understood(members)
    model = fields.str("modelId")
    request = ChatRequest(
        model=fields.str("model") or model or "",
        messages=_decode_messages(fields),
        stream=fields.bool("stream") or False,
        max_tokens=_decode_limit(sampling),
        temperature=sampling.number("temperature") if sampling else None,
        top_p=sampling.number("topP") if sampling else None,
        top_k=wishes.top_k,
        stop=sampling.strings("stopSequences") if sampling else None,
        tools=_decode_tools(tools, wishes),
        tool_choice=decode_tool_choice(tools) if tools else None,
        parallel_tool_calls=wishes.parallel_tool_calls,
        output=_decode_output(config, wishes),
        metadata=_decode_tags(fields),
        service_tier=tier.str("type") if tier else None,
        betas=wishes.betas,
    )
    if config is not None and wishes.effort is None:
        wishes.effort = config.str("effort")
    request.reasoning = wishes.reasoning()
    unknown = {name: value for name, value in members.items() if name not in spelled}
    rest = fields.rest()
    left = {"inferenceConfig": sampling, "toolConfig": tools, "outputConfig": config, "serviceTier": tier}
    rest |= {name: inner.rest() for name, inner in left.items() if inner is not None and inner.rest()}
    if unknown:
        rest[MEMBER] = unknown
    request.extras = extras_with(rest, {MEMBER: spelled} if spelled else None)
    return request


def _decode_messages(fields: Fields) -> list[Message]:
    messages: list[Message] = []
    system = fields.any("system")
    if system:
        messages.append(Message("system", decode_parts(system, fields.at("system"), SYSTEM)))
    for item in fields.each("messages"):
        role = _ROLES[item.one_of("role", tuple(_ROLES)) or item.required_str("role")]
        parts = decode_parts(item.any("content"), item.at("content"), REQUEST)
        # A system message among the others stays there.
        form: JsonObject = {"role": role} if role == "system" else {}
        messages.append(Message(role, parts, extras=extras_with(item.rest(), form)))
    return messages


def _decode_tags(fields: Fields) -> JsonObject | None:
    """Those that the service would take; any other stays an extra."""
    given = fields.dict("requestMetadata")
    if given is None:
        return None
    fitting = (name for name, value in given.items() if _fits(name, value))
    tags = {name: given[name] for name in islice(fitting, MAX_TAGS)}
    if len(tags) < len(given):
        fields.rest()["requestMetadata"] = {name: value for name, value in given.items() if name not in tags}
    return tags


def _fits(name: str, value: object) -> bool:
    return isinstance(value, str) and bool(_TAG.fullmatch(name) and _TAG.fullmatch(value))


def _decode_tools(config: Fields | None, wishes: Wishes) -> list[Tool] | None:
    tools = decode_tools(config) if config else None
    if wishes.tools:
        tools = [*(tools or ()), *(NativeTool(CLAUDE, value) for value in wishes.tools)]
    return tools


def _decode_limit(sampling: Fields | None) -> int | None:
    limit = sampling.int("maxTokens") if sampling else None
    if limit is not None and limit < 1:
        raise BadRequest(
            f"inferenceConfig.maxTokens must be at least 1, not {limit}", param="inferenceConfig.maxTokens"
        )
    return limit


def _decode_output(config: Fields | None, wishes: Wishes) -> OutputFormat | None:
    form = config.fields("textFormat") if config else None
    if form is None:
        return None if wishes.schema is None else OutputFormat("json_schema", wishes.schema)
    form.one_of("type", ("json_schema",))
    structure = form.fields("structure")
    definition = structure.fields("jsonSchema") if structure else None
    if structure is None or definition is None:
        raise BadRequest(f"{form.at('structure.jsonSchema')} is required", param=form.at("structure.jsonSchema"))
    text = definition.required_str("schema")
    at = definition.at("schema")
    try:
        schema = as_object(decode(text))
    except JsonError as error:
        raise BadRequest(f"{at} is not valid JSON: {error}", param=at) from None
    if schema is None:
        raise BadRequest(f"{at} must be the text of a JSON object", param=at)
    output = OutputFormat("json_schema", schema, definition.str("name"), definition.str("description"))
    rest = form.rest()
    if structure.rest():
        rest["structure"] = structure.rest()
    if definition.rest():
        rest = merged(rest, {"structure": {"jsonSchema": definition.rest()}})
    output.extras = extras_with(rest, {"schema": text})
    return output


def encode_request(request: ChatRequest, losses: Losses, quirks: Quirks) -> JsonObject:
    reader = Reader(family=family(request.model))
    own = own_members(request.extras, losses, "")
    lifted = _leading_system(request.messages)
    body: JsonObject = {}
    if lifted:
        system: list[JsonObject] = []
        for i, message in enumerate(request.messages[:lifted]):
            system += _blocks(message, i, losses, reader)
            own_members(message.extras, losses, f"messages[{i}]")  # none of its own, or it had not been lifted
        body["system"] = [block for block in system if block != {"text": ""}]
    body["messages"] = _encode_messages(request, lifted, losses, reader)
    sampling = _encode_sampling(request, losses)
    if sampling:
        body["inferenceConfig"] = sampling
    config: JsonObject = {}
    spelled = as_object(form_of(request.extras).get(MEMBER)) or {}
    unknown = as_object(own.pop(MEMBER, None)) or {}
    fields = encode_fields(request, spelled, unknown, config, losses)
    _encode_output(request.output, says_schema(fields), config, losses)
    if config:
        body["outputConfig"] = config
    tools = _encode_tool_config(request, fields, losses, reader)
    if tools:
        body["toolConfig"] = tools
    if fields:
        body[MEMBER] = fields
    if request.reasoning is not None:
        own_members(request.reasoning.extras, losses, "reasoning")
    if request.metadata:
        tags = _tags(request.metadata, losses)
        if tags:
            body["requestMetadata"] = tags
    tier = "default" if request.service_tier == "standard_only" else request.service_tier
    if tier in _TIERS:
        body["serviceTier"] = {"type": tier}
    elif tier is not None:
        losses.add("service_tier", f"{NAME} has no tier {tier!r}", "info")
    _report_unsaid(request, losses)
    return merged({name: value for name, value in body.items() if value or name == "messages"}, own)


def _leading_system(messages: list[Message]) -> int:
    """How many messages the top-level `system` can say: those before any other role whose blocks it knows."""
    for count, message in enumerate(messages):
        sayable = all(_in_system(part) for part in message.parts)
        if message.role not in ("system", "developer") or not sayable or (message.extras or {}).get(NAME):
            return count
    return len(messages)


def _in_system(part: Part) -> bool:
    if isinstance(part, Image):
        return GUARDED in (part.extras or {}).get(NAME, {})
    return isinstance(part, Text) or (isinstance(part, Opaque) and part.dialect == NAME)


def _blocks(message: Message, index: int, losses: Losses, reader: Reader) -> list[JsonObject]:
    path = f"messages[{index}]"
    if message.name is not None:
        losses.add(f"{path}.name", f"participants have no names in {NAME}")
    return encode_parts(paths(message.parts, f"{path}.content"), losses, reader)


def _encode_messages(request: ChatRequest, lifted: int, losses: Losses, reader: Reader) -> list[JsonObject]:
    """The conversation, with neighbours of the same role joined: turns alternate for the model."""
    encoded: list[JsonObject] = []
    for i, message in enumerate(request.messages[lifted:], lifted):
        blocks = _blocks(message, i, losses, reader)
        if message.parts and not blocks:
            if message.role != "assistant":
                raise cannot_say(NAME, "a message of which nothing is left", f"messages[{i}]")
            continue
        role: Role = "system" if message.role == "developer" else message.role
        said: JsonObject = {"role": role, "content": blocks}
        said |= own_members(message.extras, losses, f"messages[{i}]")
        last = encoded[-1] if encoded else {}
        if last.get("role") == role != "system" and last.keys() == said.keys() == {"role", "content"}:
            last["content"] = _results_first([*last["content"], *blocks])
        else:
            encoded.append(said)
    for said in encoded:
        # An empty text beside other blocks is refused.
        said["content"] = [block for block in said["content"] if block != {"text": ""}] or said["content"][:1]
    if request.cache is not None and takes_cache(request.cache, "", losses, reader):
        tail: list[JsonObject] = encoded[-1]["content"] if encoded else []
        if tail and "cachePoint" not in tail[-1]:
            tail.append(encode_cache(request.cache, "", losses))
    return encoded


def _results_first(blocks: list[JsonObject]) -> list[JsonObject]:
    """Blocks of messages that became one: the results of tools go first, each with the cache point after it."""
    groups: list[list[JsonObject]] = []
    for block in blocks:
        if "cachePoint" in block and groups:
            groups[-1].append(block)
        else:
            groups.append([block])
    groups.sort(key=lambda group: "toolResult" not in group[0])
    return [block for group in groups for block in group]


def _encode_sampling(request: ChatRequest, losses: Losses) -> JsonObject:
    said: JsonObject = {}
    if request.max_tokens is not None:
        said["maxTokens"] = request.max_tokens
    if request.temperature is not None:
        said["temperature"] = request.temperature
        if request.temperature > 1:
            said["temperature"] = 1
            losses.add("temperature", f"{NAME} goes from 0 to 1: 1 is sent instead of {request.temperature:g}")
    if request.top_p is not None:
        said["topP"] = request.top_p
    if request.stop:
        said["stopSequences"] = request.stop
    return said


def _encode_output(output: OutputFormat | None, said: bool, config: JsonObject, losses: Losses) -> None:
    """`said`: the schema is among the fields for the model."""
    if output is None:
        return
    own = own_members(output.extras, losses, "output")
    if output.type == "json_object":
        losses.add("output", f"{NAME} gives JSON only with a schema: describe it in the prompt, or give one")
    elif output.type == "json_schema" and not said:
        schema = output.schema or {}
        text = form_of(output.extras).get("schema")
        definition: JsonObject = {"schema": text if _is_text_of(text, schema) else encode_text(schema)}
        if output.name is not None:
            definition["name"] = output.name
        if output.description is not None:
            definition["description"] = output.description
        if output.strict is False:
            losses.add("output.strict", "a schema is always kept to", "info")
        config["textFormat"] = merged({"type": "json_schema", "structure": {"jsonSchema": definition}}, own)


def _is_text_of(text: object, schema: JsonObject) -> bool:
    try:
        return isinstance(text, str) and decode(text) == schema
    except JsonError:
        return False


def _encode_tool_config(request: ChatRequest, fields: JsonObject, losses: Losses, reader: Reader) -> JsonObject:
    """Where the conversation holds calls, tools must be named; there is no word for calling none."""
    choice = request.tool_choice
    tools = encode_tools(request.tools or [], choice, losses, reader)
    elsewhere = {tool.get("name") for tool in claude_tools(request, reader.family)}
    called = [name for name in dict.fromkeys(_called(request)) if name not in elsewhere]
    if choice is not None and choice.mode == "none" and tools:
        own_members(choice.extras, losses, "tool_choice")
        if called:
            losses.add("tool_choice", f"{NAME} cannot forbid the tools of a conversation: they may be called")
        else:
            losses.add("tool_choice", "the tools are not shown to the model, so that it calls none", "info")
            tools = []
    elif choice is not None and not tools:
        losses.add("tool_choice", "there are no tools to choose from", "info")
    choosable = bool(tools)
    if called and not tools:
        losses.add("tools", "a conversation with calls is refused without tools: those called are named to the model")
        tools = named_in_history(called)
    if not tools:
        return {}
    config: JsonObject = {"tools": tools}
    if choice is not None and choice.mode != "none" and choosable and "tool_choice" not in fields:
        config["toolChoice"] = encode_tool_choice(choice, losses)
    return config


def _called(request: ChatRequest) -> list[str]:
    parts = (part for message in request.messages for part in message.parts)
    return [part.name for part in parts if isinstance(part, ToolCall) and part.kind != "server"]


def _tags(metadata: JsonObject, losses: Losses) -> JsonObject:
    tags: JsonObject = {}
    for name, value in metadata.items():
        if _fits(name, value) and len(tags) < MAX_TAGS:
            tags[name] = value
        else:
            losses.add(f"metadata.{name}", "up to 16 short texts of letters, digits and : _ @ $ # = / + , - .", "info")
    return tags


def _report_unsaid(request: ChatRequest, losses: Losses) -> None:
    """Settings that have no member here."""
    for name in ("frequency_penalty", "presence_penalty", "logit_bias", "seed", "top_logprobs", "verbosity"):
        if getattr(request, name) is not None:
            losses.add(name, f"{NAME} has no such setting")
    if request.n is not None and request.n > 1:
        losses.add("n", f"{NAME} gives one answer")
    if request.logprobs:
        losses.add("logprobs", f"{NAME} does not tell probabilities")
    for name in ("user", "store", "prompt_cache_key"):
        if getattr(request, name) is not None:
            losses.add(name, f"{NAME} has no such member", "info")
