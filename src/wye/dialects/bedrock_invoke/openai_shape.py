"""Families whose bodies are those of OpenAI's Chat Completions API, more or less: `model` and `stream` are in the URL,
fewer settings are known, and some members have other names."""

from __future__ import annotations

import re
from collections.abc import Callable

import msgspec
from msgspec.structs import replace

from wye.canon.extras import own_extras
from wye.canon.loss import Losses
from wye.canon.parts import Image, Part, Text, ToolCall, ToolResult
from wye.canon.request import ChatRequest, Message
from wye.canon.response import ChatResponse
from wye.canon.tools import FunctionTool, Tool, ToolChoice
from wye.dialects.bedrock_invoke.family import bedrock_family
from wye.dialects.bedrock_invoke.settings import refuse_formats, refuse_tools, report_unsaid
from wye.dialects.bedrock_invoke.turns import say_text, text_of
from wye.dialects.dialect import Dialect, Quirks, StreamEncoder
from wye.dialects.openai_chat import DIALECT as CHAT
from wye.dialects.openai_chat.decoder import Decoder
from wye.dialects.openai_chat.encoder import Encoder
from wye.kernel.json import JsonObject

_PLACE = re.compile(r"messages\[\d+\]\.content\[\d+\]|tools\[\d+\]")
_NOT_IN_THE_BODY = ("model", "stream", "stream_options")


def _as_it_is(body: JsonObject) -> JsonObject:
    return body


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """How a family differs from OpenAI. The functions take a body of its own or of OpenAI's, and change neither."""

    name: str
    settings: tuple[str, ...] | None = None
    """The canonical settings that it knows; None for all of OpenAI's."""
    tools: bool = True
    images: bool = True
    names_a_tool: bool = True
    """Whether one tool among several can be required."""
    read_request: Callable[[JsonObject], JsonObject] = _as_it_is
    write_request: Callable[[JsonObject], JsonObject] = _as_it_is
    read_answer: Callable[[JsonObject], JsonObject] = _as_it_is
    write_answer: Callable[[JsonObject], JsonObject] = _as_it_is
    read_chunk: Callable[[JsonObject], JsonObject] | None = None
    write_chunk: Callable[[JsonObject], JsonObject] | None = None


def openai_family(shape: Shape) -> Dialect:
    def decode_request(body: JsonObject) -> ChatRequest:
        own = shape.read_request(body)
        request = CHAT.decode_request({**own, "model": own.get("model") or ""})
        extras = dict(request.extras or {})
        # Members of its own are nobody else's: not even OpenAI's, unless the body is entirely OpenAI's.
        if shape.settings is not None and CHAT.name in extras:
            extras[shape.name] = extras.pop(CHAT.name)
        request.extras = extras or None
        return request

    def encode_request(request: ChatRequest, losses: Losses, quirks: Quirks) -> JsonObject:
        own: JsonObject = {}
        places: dict[str, str] = {}
        if shape.settings is not None:
            own = own_extras(request.extras, shape.name, losses, "")
            request = _narrowed(request, shape, shape.settings, losses, places)
        found = Losses()
        body = CHAT.encode_request(request, found, quirks)
        for loss in found:
            field = _PLACE.sub(lambda place: places.get(place[0], place[0]), loss.field, count=1)
            losses.add(field, loss.reason.replace(CHAT.name, shape.name), loss.severity)
        for name in _NOT_IN_THE_BODY:
            value = body.pop(name, None)
            if name == "stream_options" and value and value.keys() - {"include_usage"}:
                losses.add(name, "Bedrock has no options for streams", "info")
        return {**shape.write_request(body), **own}

    def decode_response(body: JsonObject) -> ChatResponse:
        return CHAT.decode_response(shape.read_answer(body))

    def encode_response(response: ChatResponse, losses: Losses) -> JsonObject:
        return shape.write_answer(CHAT.encode_response(response, losses))

    def stream_encoder(request: ChatRequest, losses: Losses) -> StreamEncoder:
        # Bedrock always tells the figures.
        return Encoder(replace(request, include_usage=True), losses, shape.write_chunk)

    return bedrock_family(
        name=shape.name,
        decode_request=decode_request,
        encode_request=encode_request,
        decode_response=decode_response,
        encode_response=encode_response,
        decode_usage=CHAT.decode_usage,
        chunk_reader=lambda: Decoder(shape.read_chunk),
        stream_encoder=stream_encoder,
        encode_stream_error=CHAT.encode_stream_error,
        terminator=CHAT.tap.terminator,
    )


def _narrowed(
    request: ChatRequest, shape: Shape, settings: tuple[str, ...], losses: Losses, places: dict[str, str]
) -> ChatRequest:
    """The request without what the family has no word for: settings are lost, content is refused.

    Adds to `places` where each part that is left was, under the path that it has now.
    """
    report_unsaid(request, settings, shape.name, losses)
    said = ChatRequest(
        model=request.model,
        messages=[_plain(m, f"messages[{i}]", shape, losses, places) for i, m in enumerate(request.messages)],
    )
    for name in settings:
        setattr(said, name, getattr(request, name))
    if shape.tools:
        refuse_formats(request, shape.name, losses)
        said.tools, said.tool_choice = _callable(request, shape, losses, places)
    else:
        refuse_tools(request, shape.name, losses)
    return said


def _callable(
    request: ChatRequest, shape: Shape, losses: Losses, places: dict[str, str]
) -> tuple[list[Tool] | None, ToolChoice | None]:
    """The functions that may be called: which of them must is said by their being the only ones, where it has to be."""
    choice = request.tool_choice
    if request.parallel_tool_calls is False and request.tools:
        losses.add("parallel_tool_calls", f"{shape.name} cannot keep the model from calling several tools at once")
    allowed = None if choice is None else choice.allowed
    if choice is not None and choice.mode == "named" and not shape.names_a_tool:
        losses.add("tool_choice", "it is said by the tool's being the only one", "info")
        allowed, choice = [choice.name or ""], replace(choice, mode="required", name=None)
    if choice is not None and allowed is not None:
        losses.add("tool_choice.allowed", "the tools that may not be called are not shown to the model", "info")
        choice = replace(choice, allowed=None)
    tools: list[Tool] = []
    for i, tool in enumerate(request.tools or ()):
        if not isinstance(tool, FunctionTool):
            losses.add(f"tools[{i}]", f"{shape.name} knows only functions")
        elif allowed is None or tool.name in allowed:
            places[f"tools[{len(tools)}]"] = f"tools[{i}]"
            tools.append(tool)
    return tools or None, choice


def _plain(message: Message, path: str, shape: Shape, losses: Losses, places: dict[str, str]) -> Message:
    """A message's texts, and the calls, results and images that the family knows. Raises BadRequest for all else."""
    if message.name is not None:
        losses.add(f"{path}.name", f"participants have no names in {shape.name}")
    parts: list[Part] = []
    for i, part in enumerate(message.parts):
        at = f"{path}.content[{i}]"
        if isinstance(part, ToolResult) and shape.tools:
            text = text_of(part.parts, f"{at}.content", shape.name, losses)
            parts.append(replace(part, parts=[Text(text)]))
        elif (isinstance(part, ToolCall) and shape.tools) or (isinstance(part, Image) and shape.images):
            places[f"{path}.content[{len(parts)}]"] = at
            parts.append(part)
        elif (said := say_text(part, at, shape.name, losses)) is not None:
            parts.append(Text(said))
    if not shape.images and all(isinstance(part, Text) for part in parts):
        parts = [Text("\n".join(part.text for part in parts if isinstance(part, Text)))]
    return replace(message, parts=parts, name=None)
