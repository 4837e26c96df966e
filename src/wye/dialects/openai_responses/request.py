"""Requests of the Responses API. https://platform.openai.com/docs/api-reference/responses/create"""

from __future__ import annotations

from wye.canon.extras import FORM, extras_of, own_extras
from wye.canon.loss import Losses
from wye.canon.parts import Text
from wye.canon.request import ChatRequest, Message, OutputFormat, Reasoning
from wye.dialects.dialect import Quirks
from wye.dialects.openai_responses.content import decode_content, encode_part, extras_with, form_of, own_members
from wye.dialects.openai_responses.items import decode_input, encode_input
from wye.dialects.openai_responses.name import NAME
from wye.dialects.openai_responses.tools import (
    decode_tool_choice,
    decode_tools,
    encode_tool_choice,
    encode_tools,
    names_of,
)
from wye.kernel.errors import BadRequest, Unprocessable
from wye.kernel.fields import Fields
from wye.kernel.json import JsonObject, as_list

_PLAIN = (
    "temperature",
    "top_p",
    "top_logprobs",
    "parallel_tool_calls",
    "user",
    "metadata",
    "store",
    "prompt_cache_key",
    "service_tier",
)
"""Members that have one name here and in the canonical form."""
_UNSAID = ("top_k", "frequency_penalty", "presence_penalty", "logit_bias", "seed", "stop")
_ELSEWHERE = ("previous_response_id", "conversation", "prompt")
"""Members that tell where the input is, if not in `input`."""
LOGPROBS = "message.output_text.logprobs"
"""What `include` holds when the probabilities of tokens are asked for."""


def decode_request(body: JsonObject) -> ChatRequest:
    fields = Fields(body)
    text = fields.fields("text")
    limit = fields.int("max_output_tokens")
    if limit is not None and limit < 1:
        raise BadRequest(f"max_output_tokens must be at least 1, not {limit}", param="max_output_tokens")
    tools = decode_tools(fields)
    messages = _decode_instructions(fields)
    form: JsonObject = {} if fields.has("input") else {"input": "absent"}
    _decode_input(fields, messages, names_of(tools), form)
    request = ChatRequest(
        model=fields.required_str("model"),
        messages=messages,
        stream=fields.bool("stream") or False,
        max_tokens=limit,
        temperature=fields.number("temperature"),
        top_p=fields.number("top_p"),
        logprobs=LOGPROBS in (as_list(body.get("include")) or ()) or None,
        top_logprobs=fields.int("top_logprobs"),
        tools=tools,
        tool_choice=decode_tool_choice(fields),
        parallel_tool_calls=fields.bool("parallel_tool_calls"),
        output=_decode_output(text),
        verbosity=text.str("verbosity") if text else None,
        reasoning=_decode_reasoning(fields),
        user=fields.str("user"),
        metadata=fields.dict("metadata"),
        service_tier=fields.str("service_tier"),
        store=fields.bool("store"),
        prompt_cache_key=fields.str("prompt_cache_key"),
    )
    rest = fields.rest()
    if text is not None and text.rest():
        rest["text"] = text.rest()
    request.extras = extras_with(rest, form)
    return request


def _decode_instructions(fields: Fields) -> list[Message]:
    instructions = fields.str("instructions")
    if instructions is None:
        return []
    return [Message("system", [Text(instructions)], extras={NAME: {FORM: {"instructions": True}}})]


def _decode_input(
    fields: Fields, messages: list[Message], names: dict[tuple[str | None, str], str], form: JsonObject
) -> None:
    value = fields.any("input")
    if isinstance(value, str):
        form["input"] = "text"
        messages.append(Message("user", decode_content(value, "input")))
        return
    items = as_list(value)
    if value is not None and items is None:
        raise BadRequest("input must be a string or an array of items", param="input")
    if not items and not any(fields.has(name) for name in _ELSEWHERE):
        raise Unprocessable("input must hold at least one item", param="input")
    messages += decode_input(items or [], names)


def _decode_output(text: Fields | None) -> OutputFormat | None:
    form = text.fields("format") if text else None
    if form is None:
        return None
    kind = form.one_of("type", ("text", "json_object", "json_schema"))
    match kind:
        case "text" | "json_object":
            return OutputFormat(kind, extras=extras_of(NAME, form.rest()))
        case "json_schema":
            output = OutputFormat(
                "json_schema", form.dict("schema"), form.str("name"), form.str("description"), form.bool("strict")
            )
            output.extras = extras_of(NAME, form.rest())
            return output
        case _:
            raise BadRequest(f"{form.at('type')} is required", param=form.at("type"))


def _decode_reasoning(fields: Fields) -> Reasoning | None:
    below = fields.fields("reasoning")
    if below is None:
        return None
    return Reasoning(effort=below.str("effort"), display=below.str("summary"), extras=extras_of(NAME, below.rest()))


def encode_request(request: ChatRequest, losses: Losses, quirks: Quirks) -> JsonObject:
    """`quirks` say nothing that matters here: there is one way to say each setting."""
    own, form = own_members(request.extras, losses, "")
    body: JsonObject = {"model": request.model}
    instructions = instructions_of(request)
    if instructions is not None:
        body["instructions"] = _encode_instructions(instructions, losses)
    items = encode_input(request.messages, losses, 0 if instructions is None else 1)
    if form.get("input") == "text" and len(items) == 1:
        body["input"] = items[0]["content"][0]["text"]
    elif items or form.get("input") != "absent":
        body["input"] = items
    if request.stream:
        body["stream"] = True
    if request.max_tokens is not None:
        body["max_output_tokens"] = request.max_tokens
    for name in _PLAIN:
        value = getattr(request, name)
        if value is not None:
            body[name] = value
    if request.logprobs and "include" not in own:
        body["include"] = [LOGPROBS]
    _encode_tools(request, body, losses)
    _encode_text(request, body, own, losses)
    if request.reasoning is not None:
        _encode_reasoning(request.reasoning, body, losses)
    _report_unsaid(request, losses)
    return {**body, **own}


def instructions_of(request: ChatRequest) -> Message | None:
    """The message that is no item of the input."""
    first = request.messages[0] if request.messages else None
    return first if first is not None and form_of(first.extras).get("instructions") else None


def _encode_instructions(message: Message, losses: Losses) -> str:
    own_extras(message.extras, NAME, losses, "messages[0]")
    texts = [encode_part(part, losses, f"messages[0].content[{i}]") for i, part in enumerate(message.parts)]
    return "".join(text["text"] for text in texts if text is not None)


def _encode_tools(request: ChatRequest, body: JsonObject, losses: Losses) -> None:
    if request.tools is not None:
        body["tools"] = encode_tools(request.tools, losses)
    if request.tool_choice is not None:
        body["tool_choice"] = encode_tool_choice(request.tool_choice, request.tools or [], losses)


def _encode_text(request: ChatRequest, body: JsonObject, own: JsonObject, losses: Losses) -> None:
    text: JsonObject = {}
    if request.output is not None:
        text["format"] = _encode_output(request.output, losses)
    if request.verbosity is not None:
        text["verbosity"] = request.verbosity
    text.update(own.pop("text", {}))
    if text:
        body["text"] = text


def _encode_output(output: OutputFormat, losses: Losses) -> JsonObject:
    own = own_extras(output.extras, NAME, losses, "text.format")
    if output.type != "json_schema":
        return {"type": output.type, **own}
    said: JsonObject = {"type": "json_schema", "name": output.name or "answer"}
    for name, value in (("description", output.description), ("schema", output.schema), ("strict", output.strict)):
        if value is not None:
            said[name] = value
    return {**said, **own}


def _encode_reasoning(reasoning: Reasoning, body: JsonObject, losses: Losses) -> None:
    said = dict(own_extras(reasoning.extras, NAME, losses, "reasoning"))
    effort = reasoning.effort or ("none" if reasoning.mode == "disabled" else None)
    if effort is not None:
        said["effort"] = effort
    if reasoning.budget_tokens is not None:
        losses.add("reasoning.budget_tokens", f"{NAME} has efforts, no budget")
    # An effort says that there is to be reasoning.
    if reasoning.mode is not None and (effort is None or (reasoning.mode == "disabled" and effort != "none")):
        losses.add("reasoning.mode", f"{NAME} cannot switch reasoning on or off for every model")
    if reasoning.display == "omitted":
        losses.add("reasoning.display", f"{NAME} shows no reasoning unless it is asked to", "info")
    elif reasoning.display is not None:
        # The other dialects' word for a summary leaves its length to the model.
        said["summary"] = "auto" if reasoning.display == "summarized" else reasoning.display
    if said:
        body["reasoning"] = said


def _report_unsaid(request: ChatRequest, losses: Losses) -> None:
    """Settings that have no member here."""
    for name in _UNSAID:
        if getattr(request, name) is not None:
            losses.add(name, f"{NAME} has no such setting")
    if request.n is not None and request.n > 1:
        losses.add("n", f"{NAME} gives one answer")
    if request.betas:
        losses.add("anthropic_beta", f"{NAME} has no previews of Anthropic's API", "info")
    if request.cache is not None:
        losses.add("cache_control", f"{NAME} caches by itself", "info")
