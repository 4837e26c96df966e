"""What a request or an answer says, fact by fact, and whether another says the same.

A fact is a leaf of the canonical form: a text, a name, a figure. Facts are found by walking whatever members the
canonical structs have, so that a new member is looked at without a line here. Two sides are compared by what they say
and to whom it belongs (a call's id, an image's bytes), never by position: dialects lift, merge and split messages.
"""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import replace

from wye.canon.extras import FORM
from wye.canon.parts import (
    Audio,
    Base64,
    CacheMark,
    Citation,
    Document,
    Image,
    Opaque,
    PlainText,
    Refusal,
    SearchResult,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from wye.canon.request import ChatRequest, Message, OutputFormat
from wye.canon.response import ChatResponse, Choice
from wye.canon.tools import CustomTool, FunctionTool, NativeTool, ToolChoice
from wye.canon.usage import Usage
from wye.kernel import json


class Fact(NamedTuple):
    feature: str
    at: str
    """Where it was found, as losses name places: `messages[1].content[0].cache_control.ttl`."""
    of: tuple[str, ...]
    """To what it belongs: `("result", "call_1")`."""
    member: str
    value: Any
    """A text, a number, or JSON as text."""


FEATURES = {
    "text": "Text",
    "system": "System",
    "names": "Names of speakers",
    "images": "Images",
    "audio": "Audio",
    "documents": "Documents",
    "tools": "Tools",
    "strict": "Strict tools",
    "provider_tools": "Tools of a provider",
    "tool_choice": "Tool choice",
    "parallel": "Parallel calls",
    "tool_calls": "Tool calls",
    "tool_results": "Tool results",
    "structured_output": "Structured output",
    "reasoning": "Reasoning settings",
    "thinking": "Thinking",
    "cache_marks": "Cache marks",
    "citations": "Citations",
    "stop_sequences": "Stop sequences",
    "logprobs": "Log probabilities",
    "sampling": "Sampling settings",
    "several_answers": "Several answers",
    "streams": "Streams",
    "usage": "Usage",
    "refusals": "Refusals",
    "finish_reasons": "Finish reasons",
    "identity": "Id, model, time",
    "metadata": "Metadata, user, tier",
    "unknown": "Members of one dialect",
}

_BY_TYPE: dict[type, str] = {
    Image: "images",
    Audio: "audio",
    Document: "documents",
    SearchResult: "documents",
    FunctionTool: "tools",
    CustomTool: "tools",
    NativeTool: "provider_tools",
    ToolCall: "tool_calls",
    ToolResult: "tool_results",
    Thinking: "thinking",
    Refusal: "refusals",
    Opaque: "unknown",
    CacheMark: "cache_marks",
    Citation: "citations",
    Usage: "usage",
}
_BY_MEMBER = {
    "strict": "strict",
    "tool_choice": "tool_choice",
    "parallel_tool_calls": "parallel",
    "output": "structured_output",
    "reasoning": "reasoning",
    "stop": "stop_sequences",
    "stop_sequence": "stop_sequences",
    "logprobs": "logprobs",
    "top_logprobs": "logprobs",
    "n": "several_answers",
    "stream": "streams",
    "finish_reason": "finish_reasons",
    "id": "identity",
    "model": "identity",
    "created": "identity",
    "max_tokens": "sampling",
    "temperature": "sampling",
    "top_p": "sampling",
    "top_k": "sampling",
    "frequency_penalty": "sampling",
    "presence_penalty": "sampling",
    "logit_bias": "sampling",
    "seed": "sampling",
    "verbosity": "sampling",
}
_WIRE_NAMES = {"parts": "content", "cache": "cache_control", "schema": "parameters", "betas": "anthropic_beta"}
"""Losses name places in the words of the wire."""
_NO_FACTS = {
    (ChatRequest, "include_usage"): "the gateway asks every upstream for it",
    (Message, "role"): "what a message holds belongs to its role",
    (Choice, "index"): "what a choice holds belongs to it",
    (Thinking, "origin"): "whose thought it is shows where it comes back to: tests/golden/test_there_and_back.py",
}
_SAID_BY_SILENCE = {
    (ChatRequest, "stream", False): "a whole answer is what every dialect gives",
    (ChatRequest, "n", 1): "one answer is what every dialect gives",
    (ChatRequest, "parallel_tool_calls", True): "as every dialect does that is not told otherwise",
    (OutputFormat, "type", "text"): "as every model answers that is not told otherwise",
    (ToolChoice, "mode", "auto"): "as every model does that has tools",
    (FunctionTool, "strict", False): "as every dialect but Responses, which says it",
    (ToolResult, "is_error", False): "a result is none unless it says so",
    (ToolResult, "kind", "function"): "a result is of its call's kind",
    (ToolResult, "kind", "custom"): "a result is of its call's kind",
    (ToolCall, "kind", "function"): "a call is of its tool's kind",
    (ToolCall, "kind", "custom"): "a call is of its tool's kind",
    (Document, "citations", False): "no document is cited unless it is asked for",
    (Image, "detail", "auto"): "the model looks as it thinks best",
    (Usage, "input_tokens", 0): "no figure is told where there is nothing to tell",
    (Usage, "output_tokens", 0): "as input_tokens",
    (Usage, "cached_tokens", 0): "as input_tokens",
    (Usage, "cache_write_tokens", 0): "as input_tokens",
    (Usage, "reasoning_tokens", 0): "as input_tokens",
}
"""What needs no words, and why."""

_SAME = {
    ("display", "summarized"): "auto",
    ("service_tier", "standard"): "default",
    ("service_tier", "standard_only"): "default",
}
"""One thing by two names."""


def facts(said: ChatRequest | ChatResponse) -> list[Fact]:
    """In the order in which they are said."""
    return list(_members(_plainly(said) if isinstance(said, ChatRequest) else said, "", (), "metadata"))


def _plainly(request: ChatRequest) -> ChatRequest:
    """The request with what can be said in two ways said in one."""
    reasoning, parallel = request.reasoning, request.parallel_tool_calls
    if reasoning is not None:
        if reasoning.mode == "disabled" or reasoning.effort == "none":
            effort = None if reasoning.effort == "none" else reasoning.effort
            reasoning = replace(reasoning, mode="disabled", effort=effort)
        elif reasoning.effort is not None:
            reasoning = replace(reasoning, mode=None)
    if not request.tools or (request.tool_choice is not None and request.tool_choice.mode == "none"):
        parallel = None
    return replace(request, reasoning=reasoning, parallel_tool_calls=parallel)


def _members(struct: msgspec.Struct, at: str, of: tuple[str, ...], feature: str) -> Iterator[Fact]:
    for name in struct.__struct_fields__:
        value = getattr(struct, name)
        kind = type(struct)
        if value is None or value in ([], "") or (kind, name) in _NO_FACTS:
            continue
        if isinstance(value, bool | int | str) and (kind, name, value) in _SAID_BY_SILENCE:
            continue
        below = f"{at}.{'refusal' if kind is Refusal else _WIRE_NAMES.get(name, name)}".lstrip(".")
        if kind is ToolCall and name == "arguments":
            value = _arguments(value)
        if name == "extras":
            yield from _extras(value, at, of)
        elif name == "parts" and isinstance(struct, Choice) and struct.index == 0:
            yield from _value(value, "content", of, "text", name)
        else:
            known = _BY_MEMBER.get(name) if isinstance(struct, ChatRequest | ChatResponse | Choice) else None
            if name == "name" and isinstance(struct, Message):
                known = "names"
            if name == "strict" and isinstance(struct, FunctionTool):
                known = "strict"
            yield from _value(value, below, of, known or feature, name)


def _extras(extras: dict[str, dict[str, Any]], at: str, of: tuple[str, ...]) -> Iterator[Fact]:
    for members in extras.values():
        for name, value in members.items():
            where = f"{at}.{name}".lstrip(".")
            if name in ("service_tier", "serviceTier"):
                tier = value.get("type") if isinstance(value, dict) else value
                yield Fact("metadata", where, (), "service_tier", _SAME.get(("service_tier", tier), tier))
            elif name != FORM and value is not None:
                # Members that two dialects share are the same wherever they are kept.
                yield Fact("unknown", where, of, name, _text(value))


def _value(value: Any, at: str, of: tuple[str, ...], feature: str, member: str) -> Iterator[Fact]:
    match value:
        case list():
            for i, item in enumerate(value):
                if isinstance(item, Choice):
                    own = of if item.index == 0 else (*of, f"choice {item.index}")
                    yield from _members(
                        item, f"choices[{item.index}]", own, "several_answers" if item.index else "text"
                    )
                else:
                    yield from _value(item, f"{at}[{i}]", of, feature, member)
        case Document(source=Base64(data=data, media_type=str(kind))) if kind.startswith("text/"):
            # A text is the same in either form.
            text = PlainText(base64.b64decode(data).decode(), kind)
            yield from _value(replace(value, source=text), at, of, feature, member)
        case Message():
            role = "system" if value.role == "developer" else value.role
            yield from _members(value, at, (*of, role), "system" if role == "system" else "text")
        case Opaque():
            yield Fact(feature if feature == "tool_results" else "unknown", at, of, "opaque", _text(value.value))
        case NativeTool():
            yield Fact("provider_tools", at, of, "tool", _text(value.value))
        case Thinking(text="", signature=None, redacted=None, extras=extras):
            # An id alone is no thought.
            yield from _extras(extras or {}, at, of)
        case Text():
            yield from _members(value, at, of, feature)
        case CacheMark():
            own = (*of, *_identity(value))
            yield Fact("cache_marks", at, own, "mark", True)
            yield from _members(value, at, own, "cache_marks")
        case msgspec.Struct():
            mine = _BY_TYPE.get(type(value), feature)
            # What a tool gave is a tool's result, whatever it is made of.
            if feature in ("tool_results", "several_answers") and mine != "cache_marks":
                mine = feature
            yield from _members(value, at, (*of, *_identity(value)), mine)
        case dict():
            for name, item in value.items():
                if item is None:
                    continue
                yield from _value(item, f"{at}.{name}", of, feature, f"{member}.{name}")
        case _:
            yield Fact(feature, at, of, member, _SAME.get((member, value), value) if isinstance(value, str) else value)


def _identity(value: msgspec.Struct) -> tuple[str, ...]:
    """What tells this from its neighbours."""
    match value:
        case ToolCall(id=name) | ToolResult(call_id=name):
            return (type(value).__name__, name)
        case FunctionTool(name=name) | CustomTool(name=name):
            return ("tool", name)
        case Image(source=source) | Document(source=source):
            named = [getattr(source, name) for name in ("data", "url", "id", "text") if hasattr(source, name)]
            return (type(value).__name__, *named)
        case _:
            return (type(value).__name__,)


def _arguments(text: str) -> Any:
    """What a call is given: an object means the same however it is spelled, and a free text in an object of its own."""
    try:
        value = json.decode(text or "{}")
    except json.JsonError:
        return text
    if isinstance(value, dict) and len(value) == 1:
        return next((value[name] for name in ("input", "_raw") if name in value), value)
    return value


def _text(value: Any) -> str:
    return json.encode_text(value)


_SPEAKERS = {("system",), ("user",), ("assistant",)}


def unsaid(first: list[Fact], second: list[Fact]) -> list[Fact]:
    """Which of the first are not among the second.

    A text is said where the other side's texts of the same speaker (or tool) hold it, each in its turn; all else is
    said once for each time that it is. A prompt that is no conversation to its reader holds the texts of all speakers.
    """
    if {fact.of for fact in second} & _SPEAKERS == {("user",)}:
        first = [fact._replace(of=("user",)) if fact.of in _SPEAKERS else fact for fact in first]
    told = Counter((fact.of, fact.member, _text(fact.value)) for fact in second)
    texts: dict[tuple[str, ...], str] = {}
    for fact in second:
        if fact.member in ("text", "description"):
            texts[fact.of] = texts.get(fact.of, "") + fact.value
    refused = told[((), "finish_reason", '"content_filter"')] > 0
    missing: list[Fact] = []
    for fact in first:
        if fact.member in ("text", "description"):
            of = fact.of
            if of == ("Refusal",) and of not in texts and refused:
                of = ()
            found = texts.get(of, "").find(fact.value)
            if found < 0:
                missing.append(fact)
            elif fact.value:
                texts[of] = texts[of][found + len(fact.value) :]
            continue
        keys = [(fact.of, fact.member, _text(fact.value))]
        if fact.of == ("CacheMark",):
            # A mark on the whole request may be said as one on any of its elements.
            keys += [key for key in told if key[0][-1:] == fact.of and key[1:] == keys[0][1:]]
        key = next((key for key in keys if told[key] > 0), None)
        if fact.member == "finish_reason" and fact.value == "stop":
            # Some dialects tell of refusals and calls by the reason, whatever the upstream's was.
            why = "Refusal" if refused else "ToolCall" if told[((), "finish_reason", '"tool_calls"')] else None
            if any(other.of[:1] == (why,) for other in first):
                continue
        if key is None:
            missing.append(fact)
        else:
            told[key] -= 1
    return missing
