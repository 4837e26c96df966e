"""What the fake provider answers: by the rules of a script, else by a few answers that everybody expects.

A reply is a function of the request alone, so that the same question has the same answer at every instance.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import yaml

from wye.canon.parts import Part, PlainText, Text, Thinking, ToolCall, ToolResult
from wye.canon.request import ChatRequest
from wye.canon.response import FinishReason
from wye.canon.tools import CustomTool, FunctionTool
from wye.kernel.errors import BadRequest, ConfigError
from wye.kernel.json import JsonObject, encode_text
from wye.testing.schema_sample import sample

_TOKEN = re.compile(r"\s*\S+|\s+$")
_WORD = re.compile(r"[a-zA-Z][a-z]{3,}")
_SUM = re.compile(r"\b2 ?\+ ?2\b")
_COUNT = re.compile(r"\bcount from (\d{1,4}) to (\d{1,4})\b", re.IGNORECASE)
_ANSWERS = (
    (re.compile(r"capital of france", re.IGNORECASE), "Paris"),
    (re.compile(r"\b(three|3) colou?rs\b", re.IGNORECASE), "Red, green, blue"),
)
_MARK = "ZmFrZQ"
"""How the signatures of the fake's own thoughts begin."""


class Call(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    arguments: JsonObject = {}


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What to do with some requests. A member that is left out is as if there were no rule."""

    when: str = ""
    """A regular expression, looked for in what the user said last; upper and lower case are one."""
    system: str = ""
    """The same, looked for in the system's messages."""
    model: str = "*"
    """The name of the model that is asked, with `*` for anything."""
    say: str | None = None
    """The answer. `{0}` stands for what `when` found, `{1}` for its first group."""
    think: str | None = None
    call: Call | list[Call] | None = None
    """Calls of tools, whether the request offers them or not."""
    finish: FinishReason | None = None
    fault: str | None = None
    """A name of `faults.FAULTS`, with its argument: `stall=3`."""
    latency_s: float | None = None
    tokens_per_s: float | None = None
    input_tokens: int | None = None
    """What the usage tells, in place of what is counted."""
    output_tokens: int | None = None
    times: int | None = None
    """How often it applies; None for always."""

    def matches(self, request: ChatRequest) -> re.Match[str] | None:
        """What `when` found, where all of it applies."""
        if not fnmatchcase(request.model, self.model):
            return None
        if self.system and not re.search(self.system, _system_of(request), re.IGNORECASE):
            return None
        return re.search(self.when, last_said(request), re.IGNORECASE)


class Reply(msgspec.Struct):
    """One answer, before it is said in a dialect."""

    parts: list[Part]
    finish: FinishReason = "stop"
    stop_sequence: str | None = None
    input_tokens: int | None = None
    """What the usage tells, in place of what is counted."""
    output_tokens: int | None = None


def load_rules(path: Path) -> list[Rule]:
    """The rules of a file of YAML: a list, each with members of Rule. Raises ConfigError."""
    try:
        rules = msgspec.convert(yaml.safe_load(path.read_text()), list[Rule])
        for rule in rules:
            re.compile(rule.when)
            re.compile(rule.system)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    except (yaml.YAMLError, msgspec.ValidationError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from None
    except re.error as error:
        raise ConfigError(f"{path}: `when` or `system` is no regular expression: {error}") from None
    return rules


def reply_to(request: ChatRequest, rule: Rule | None = None) -> Reply:
    """An answer that the request begins itself, as the assistant's last message, goes on where that ends."""
    said = last_said(request)
    parts: list[Part] = []
    if rule is not None and rule.think is not None:
        parts.append(Thinking(rule.think))
    elif thinks(request):
        parts.append(Thinking(f"The question is: {said[:200]}"))
    if rule is not None and (rule.say is not None or rule.call is not None):
        parts += _ruled(rule, request)
    else:
        parts += _unruled(request, said)
    if request.messages and request.messages[-1].role == "assistant":
        begun = text_of(request.messages[-1].parts)
        parts = [Text(part.text.removeprefix(begun)) if isinstance(part, Text) else part for part in parts]
    reply = Reply(parts, "tool_calls" if any(isinstance(part, ToolCall) for part in parts) else "stop")
    _stop(reply, request.stop or [])
    _shorten(reply, request.max_tokens)
    if rule is not None:
        reply.finish = rule.finish or reply.finish
        reply.input_tokens, reply.output_tokens = rule.input_tokens, rule.output_tokens
    return reply


def _ruled(rule: Rule, request: ChatRequest) -> Iterable[Part]:
    found = rule.matches(request)
    if rule.say is not None:
        groups = (found[0], *(group or "" for group in found.groups())) if found else ("",)
        yield Text(re.sub(r"\{(\d)\}", lambda at: groups[int(at[1])] if int(at[1]) < len(groups) else at[0], rule.say))
    calls = rule.call if isinstance(rule.call, list) else [rule.call] if rule.call else []
    for i, call in enumerate(calls):
        yield ToolCall(_call_id(call.name, i), call.name, encode_text(call.arguments))


def _unruled(request: ChatRequest, said: str) -> list[Part]:
    last = request.messages[-1].parts if request.messages else []
    if results := [part for part in last if isinstance(part, ToolResult)]:
        return [Text("The tool says: " + " | ".join(text_of(result.parts) for result in results))]
    if calls := _calls(request, said):
        return [*calls]
    return [Text(_answer(request, said))]


def _answer(request: ChatRequest, said: str) -> str:
    if request.output is not None and request.output.type == "json_schema":
        return encode_text(sample(request.output.schema))
    found = next((answer for pattern, answer in _ANSWERS if pattern.search(said)), said or "Hello")
    if _SUM.search(said):
        found = "4"
    elif counted := _COUNT.search(said):
        found = ", ".join(map(str, range(int(counted[1]), int(counted[2]) + 1)))
    if request.output is not None and request.output.type == "json_object":
        return encode_text({"answer": found})
    return found


def _calls(request: ChatRequest, said: str) -> list[ToolCall]:
    """Of the tools that must be called the one named, or the first; else those whose name has a word with the question
    in common: `get_weather` for "What is the weather in Paris?"."""
    choice = request.tool_choice
    mode = choice.mode if choice is not None else "auto"
    tools = [tool for tool in request.tools or () if isinstance(tool, FunctionTool | CustomTool)]
    if choice is not None and choice.allowed is not None:
        tools = [tool for tool in tools if tool.name in choice.allowed]
    if mode == "none" or not tools:
        return []
    if mode == "named" and choice is not None:
        called = [tool for tool in tools if tool.name == choice.name]
    else:
        words = set(_WORD.findall(said.lower()))
        called = [tool for tool in tools if words & set(_WORD.findall(tool.name.lower()))]
        if mode == "required":
            called = called or tools[:1]
    if request.parallel_tool_calls is False:
        called = called[:1]
    return [_call(tool, i) for i, tool in enumerate(called)]


def _call(tool: FunctionTool | CustomTool, number: int) -> ToolCall:
    if isinstance(tool, CustomTool):
        return ToolCall(_call_id(tool.name, number), tool.name, "text", "custom")
    return ToolCall(_call_id(tool.name, number), tool.name, encode_text(sample(tool.schema or {"type": "object"})))


def _call_id(name: str, number: int) -> str:
    return f"{sha256(name.encode()).hexdigest()[:20]}{number:04d}"


def _stop(reply: Reply, sequences: Sequence[str]) -> None:
    """End the text before the first sequence at which the caller wants it to end."""
    for at, part in enumerate(reply.parts):
        if not isinstance(part, Text):
            continue
        found = [(place, sequence) for sequence in sequences if sequence and (place := part.text.find(sequence)) >= 0]
        if found:
            place, reply.stop_sequence = min(found)
            part.text = part.text[:place]
            del reply.parts[at + 1 :]
            reply.finish = "stop"
            return


def _shorten(reply: Reply, limit: int | None) -> None:
    """A text that is longer than the caller allows ends early; other parts are never cut."""
    if limit is None:
        return
    for at, part in enumerate(reply.parts):
        if isinstance(part, Text):
            pieces = tokens_of(part.text)
            if len(pieces) > limit:
                part.text = "".join(pieces[:limit])
                reply.finish = "length"
                reply.stop_sequence = None
                del reply.parts[at + 1 :]
                return
            limit -= len(pieces)


def thinks(request: ChatRequest) -> bool:
    reasoning = request.reasoning
    if reasoning is None or reasoning.mode == "disabled":
        return False
    return reasoning.mode is not None or reasoning.effort not in (None, "none")


def signature(text: str) -> str:
    """What the fake's vendor signs a thought with: other words have another."""
    return _MARK + b64encode(sha256(text.encode()).digest() * 2).decode()


def check_history(request: ChatRequest, earlier: Iterable[str] = ()) -> None:
    """Raises BadRequest, as vendors do, for results of calls that were never made (`earlier` are ids of calls that the
    vendor remembers) and for thoughts that were changed."""
    called = set(earlier)
    for i, message in enumerate(request.messages):
        for j, part in enumerate(message.parts):
            at = f"messages[{i}].content[{j}]"
            match part:
                case ToolCall():
                    called.add(part.id)
                case ToolResult() if part.call_id not in called:
                    raise BadRequest(f"{at}: there is no tool call with the id '{part.call_id[:100]}'", param=at)
                case Thinking(signature=str(signed)) if signed.startswith(_MARK) and signed != signature(part.text):
                    raise BadRequest(f"{at}: Invalid `signature` in `thinking` block", param=at)
                case _:
                    pass


def last_said(request: ChatRequest) -> str:
    """The text of the last message of the user's that has any."""
    for message in reversed(request.messages):
        if message.role == "user" and (text := text_of(message.parts)):
            return text
    return ""


def _system_of(request: ChatRequest) -> str:
    return "\n".join(text_of(message.parts) for message in request.messages if message.role in ("system", "developer"))


def text_of(parts: Iterable[Part]) -> str:
    return "\n".join(part.text for part in parts if isinstance(part, Text))


def tokens_of(text: str) -> list[str]:
    """Words with the blanks before them: joined, they are the text."""
    return _TOKEN.findall(text)


def input_tokens(request: ChatRequest) -> int:
    """An estimate that depends on the request alone: words, and four tokens for each message and tool."""
    total = 4 * (len(request.messages) + len(request.tools or ()))
    for message in request.messages:
        total += sum(map(_size, message.parts))
    for tool in request.tools or ():
        if isinstance(tool, FunctionTool):
            total += len(tokens_of(tool.description or "")) + len(encode_text(tool.schema or {})) // 4
    return total


def _size(part: Part) -> int:
    match part:
        case Text() | Thinking():
            return len(tokens_of(part.text))
        case ToolCall():
            return len(part.arguments) // 4 + 1
        case ToolResult():
            return sum(map(_size, part.parts))
        case _:
            source: Any = getattr(part, "source", None)
            return len(tokens_of(source.text)) if isinstance(source, PlainText) else 85
