"""A case of the corpus said in another dialect, and what became of each of its facts."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from msgspec.structs import replace

from tests.fidelity.corpus import MODEL, as_sse, events_of
from tests.fidelity.facts import Fact, facts, unsaid
from wye.canon.events import Event, Start
from wye.canon.fold import fold
from wye.canon.free_text import as_functions
from wye.canon.loss import Loss, Losses
from wye.canon.parts import Part, Thinking, ToolCall, ToolResult
from wye.canon.request import ChatRequest
from wye.canon.response import ChatResponse
from wye.canon.seal import unseal
from wye.canon.usage import Usage
from wye.dialects.dialect import Dialect, Quirks, demand_whole
from wye.kernel import json, sse
from wye.kernel.errors import BadRequest, Unprocessable, UpstreamRefused, WyeError
from wye.kernel.sse import SseDecoder

State = Literal["carried", "lost", "refused", "silent"]


Wire = dict[str, Any]
"""What goes over the wire at once: a `body` (of a stream, one frame's, under its type) and `headers`."""
Change = Callable[[Wire], Wire]


def as_said(wire: Wire) -> Wire:
    return wire


class Outcome(NamedTuple):
    fact: Fact
    state: State
    reason: str = ""
    severity: str = ""


def request(one: Dialect, other: Dialect, wire: dict[str, Any], change: Change = as_said) -> list[Outcome]:
    """A request of one dialect, sent to an upstream that speaks another. `change` is what happens on the way there."""
    return asked_in(one, other, one.decode_request({"model": MODEL, **wire}), change)


def asked_in(one: Dialect, other: Dialect, asked: ChatRequest, change: Change = as_said) -> list[Outcome]:
    """A request that was understood, sent on in another dialect. Content that is refused is named, and the rest of the
    request is looked at without it."""
    try:
        if other is not one:
            demand_whole(asked, one)
    except BadRequest as error:
        return _refused(facts(asked), error)
    outcomes: list[Outcome] = []
    while True:
        losses = Losses()
        try:
            left, headers = asked if other.custom_tools else as_functions(asked, losses), {}
            if other.headers is not None:
                left, headers = other.headers.encode_request(left, losses)
            said = other.encode_request(left, losses, Quirks(custom_tools=True))
        except BadRequest as error:
            less = without(asked, error.param or "")
            if less is None:
                return outcomes + _refused(facts(asked), error)
            gone = unsaid(facts(asked), facts(less))
            outcomes += [Outcome(fact, "refused", error.message) for fact in gone]
            asked = less
        else:
            sent = change({"body": json.decode(json.encode(said)), "headers": headers})
            if other.model_in_path:
                sent["body"] |= {"model": asked.model, "stream": asked.stream}
            try:
                heard = other.decode_request(sent["body"])
            except (BadRequest, Unprocessable) as error:
                # The upstream refuses them as well: a limit of no tokens, a conversation in which nobody speaks.
                spoken = any(message.role not in ("system", "developer") for message in asked.messages)
                if spoken and asked.max_tokens != 0:
                    raise
                error.param = "max_tokens" if spoken else "messages"
                return outcomes + _refused(facts(asked), error)
            if other.headers is not None:
                heard = other.headers.decode_request(heard, sent["headers"])
            return outcomes + judged(asked, heard, other, losses)


def _refused(asked: list[Fact], error: WyeError) -> list[Outcome]:
    """Of a request that is refused whole, what is to blame: all else might have been carried."""
    at = error.param or ""
    return [Outcome(fact, "refused", error.message) for fact in asked if re.match(rf"{re.escape(at)}(\W|$)", fact.at)]


def answer(one: Dialect, other: Dialect, wire: dict[str, Any], change: Change = as_said) -> list[Outcome]:
    """An upstream's whole answer, for a client that speaks another dialect."""
    told = one.decode_response(wire)
    losses = Losses()
    start, headers = in_headers(other, Start("", "", None, told.usage, told.service_tier, told.extras), 5)
    said = other.encode_response(replace(told, service_tier=start.service_tier, extras=start.extras), losses)
    sent = change({"body": json.decode(json.encode(said)), "headers": headers})
    return read(told, other, losses, lambda: beside(other, sent["headers"], other.decode_response(sent["body"])))


def stream(one: Dialect, other: Dialect, wire: bytes, change: Change = as_said, size: int = 1 << 20) -> list[Outcome]:
    """An upstream's stream, in pieces of `size` bytes, for a client that speaks another dialect."""
    return streamed_in(other, events_of(one, wire, size), size, change)


def streamed_in(other: Dialect, events: list[Event], size: int, change: Change = as_said) -> list[Outcome]:
    """A stream that was understood, told in another dialect and read there in pieces of `size` bytes."""
    other = as_sse(other)
    losses = Losses()
    told = fold(events)
    try:
        encoder = other.stream_encoder(ChatRequest(model=MODEL, messages=[], stream=True, include_usage=True), losses)
    except BadRequest as error:
        return [Outcome(fact, "refused", error.message) for fact in facts(told)]
    said, headers = b"", {}
    for event in events:
        told_in_body: Event = event
        if isinstance(event, Start):
            told_in_body, headers = in_headers(other, event, None)
        said += encoder.encode(told_in_body)
    if change is not as_said:
        said, headers = _changed(said, change), change({"headers": headers})["headers"]
    return read(told, other, losses, lambda: beside(other, headers, fold(events_of(other, said, size))))


def _changed(stream: bytes, change: Change) -> bytes:
    frames: list[bytes] = []
    for found in SseDecoder().feed(stream):
        try:
            body = json.decode(found.data)
        except json.JsonError:  # the terminator
            frames.append(sse.frame(found.data, found.event))
            continue
        kind = found.event or body.get("type", "frame")
        frames.append(sse.frame(json.encode(change({kind: body})[kind]), found.event))
    return b"".join(frames)


def in_headers(dialect: Dialect, start: Start, took_ms: int | None) -> tuple[Start, dict[bytes, bytes]]:
    """What an answer's headers leave to its body, and the headers."""
    codec = dialect.headers
    return (
        (start, {})
        if codec is None or codec.encode_answer is None
        else codec.encode_answer(start, took_ms is None, took_ms)
    )


def beside(dialect: Dialect, headers: dict[bytes, bytes], answer: ChatResponse) -> ChatResponse:
    """An answer together with what its headers tell, which the body knows better."""
    codec = dialect.headers
    told = None if codec is None or codec.decode_answer is None else codec.decode_answer(headers)
    if told is None:
        return answer
    usage = answer.usage if told.usage is None else told.usage.updated(answer.usage or Usage())
    extras = {**(told.extras or {}), **(answer.extras or {})}
    return replace(answer, usage=usage, service_tier=answer.service_tier or told.service_tier, extras=extras)


def read(told: ChatResponse, other: Dialect, losses: Losses, decode: Callable[[], ChatResponse]) -> list[Outcome]:
    try:
        return judged(opened(told), opened(decode()), other, losses)
    except UpstreamRefused:
        # An answer that an error ended is one that failed.
        assert told.choices[0].finish_reason == "error"
        return [Outcome(fact, "carried") for fact in facts(told) if fact.member == "finish_reason"]


_BY_AWS = {
    "bedrock_converse",
    "bedrock_nova",
    "bedrock_titan",
    "bedrock_llama",
    "bedrock_mistral_prompt",
    "bedrock_cohere",
    "bedrock_cohere_prompt",
    "bedrock_stability",
}
_NEEDS_NO_WORDS = [
    ((), "id", None, _BY_AWS, "the header x-amzn-requestid tells it"),
    ((), "id", None, {"openai_responses"}, "its clients know an answer by the beginning of its id: it has a new one"),
    ((), "model", None, _BY_AWS, "the caller named it in the path"),
    ((), "created", None, {*_BY_AWS, "anthropic_messages", "bedrock_claude"}, "the HTTP header Date tells it"),
    (
        ("OutputFormat",),
        "strict",
        True,
        {"anthropic_messages", "bedrock_converse", "bedrock_claude"},
        "a schema is always kept to",
    ),
]
"""Members (of what, and which value, if not any) that some dialects have no words for and need none, and why."""
_BYTES_ONLY = {"bedrock_llama", "bedrock_stability"}
"""The bytes of an image tell its format."""


_NO_CALL_IDS = {"bedrock_cohere"}
"""A result repeats its call, which needs no id."""


def _needs_no_words(fact: Fact, other: Dialect, heard: list[Fact]) -> bool:
    if fact.member == "media_type" and other.name in _BYTES_ONLY:
        return any(found.of == fact.of and found.member == "data" for found in heard)
    return any(
        (fact.of, fact.member) == (of, member) and value in (None, fact.value) and other.name in dialects
        for of, member, value, dialects, _ in _NEEDS_NO_WORDS
    )


def opened(answer: ChatResponse) -> ChatResponse:
    """The answer as it is understood when its client sends it back: what was sealed for another vendor is open."""
    choices = [replace(choice, parts=[_unsealed(part) for part in choice.parts]) for choice in answer.choices]
    return replace(answer, choices=choices)


def _unsealed(part: Part) -> Part:
    if not isinstance(part, Thinking):
        return part
    found = unseal(part.signature or part.redacted or "")
    # A seal may hold one that another Wye made, behind this one.
    return (
        part if found is None else _unsealed(replace(found, text=part.text) if isinstance(found, Thinking) else found)
    )


def numbered(said: Any) -> Any:
    """With calls known by their order instead of by their ids; not those that a server ran, which are lost by name."""
    numbers: dict[str, str] = {}

    def known(part: Part) -> Part:
        if isinstance(part, ToolCall) and part.kind != "server":
            return replace(part, id=numbers.setdefault(part.id, f"#{len(numbers)}"))
        return replace(part, call_id=numbers.get(part.call_id, part.call_id)) if isinstance(part, ToolResult) else part

    holders = said.messages if isinstance(said, ChatRequest) else said.choices
    held = [replace(holder, parts=[known(part) for part in holder.parts]) for holder in holders]
    return replace(said, **{"messages" if isinstance(said, ChatRequest) else "choices": held})


def judged(
    told: ChatRequest | ChatResponse, again: ChatRequest | ChatResponse, other: Dialect, losses: Losses
) -> list[Outcome]:
    """What became of each fact, by what the other side reads and what was reported on the way."""
    if other.name in _NO_CALL_IDS:
        told, again = numbered(told), numbered(again)
    whole, heard = facts(told), facts(again)
    missing = unsaid(whole, heard)
    outcomes: list[Outcome] = []
    for fact in whole:
        if fact not in missing or _needs_no_words(fact, other, heard):
            outcomes.append(Outcome(fact, "carried"))
        elif loss := _loss_of(fact, whole, heard, losses):
            outcomes.append(Outcome(fact, "lost", loss.reason, loss.severity))
        else:
            outcomes.append(Outcome(fact, "silent"))
    return outcomes


def _loss_of(fact: Fact, whole: list[Fact], heard: list[Fact], losses: Losses) -> Loss | None:
    """The loss that tells of a fact, or of another that says the same: which of two is missing cannot be seen."""
    same = [fact, *(other for other in whole if other[2:] == fact[2:])]
    return next((loss for one in same for loss in losses if covers(loss, one, heard)), None)


_OWN_WORDS: list[tuple[re.Pattern[str], Any]] = [
    (re.compile(r"^(choices\[0\]\.message\.content|choices\[0\]\.content)"), "content"),
    (re.compile(r"^output\[(\d+)\](?:\.content\[(\d+)\])?"), lambda at: f"content[{int(at[1]) + int(at[2] or 0)}]"),
    (re.compile(r"^choices\[0\]\."), ""),
    (re.compile(r"^(response_format|text\.format)"), "output"),
]
"""Losses name places in the words of the dialect that is to be said, which are brought to those of the facts."""


def covers(loss: Loss, fact: Fact, heard: list[Fact]) -> bool:
    """Whether a loss tells of the fact: it names its place, or what holds it."""
    field, at = loss.field, fact.at.removeprefix("choices[0].")
    for words, ours in _OWN_WORDS:
        field = words.sub(ours, field)
    if ".citations." in field:
        at = re.sub(r"(?<=citations)\[\d+\]", "", at)
    if at == field or at.startswith((f"{field}.", f"{field}[")):
        return True
    place, _, member = field.rpartition(".")
    if member == "text_start":
        # One loss for both ends of what a citation supports.
        return at == f"{place}.text_end"
    if member == "role" and fact.member == "text":
        # Said by another.
        return at.startswith(f"{place}.") and any(
            fact.value in other.value for other in heard if other.member == "text"
        )
    if "not shown to the model" in loss.reason and fact.of[:1] == ("tool",):
        return not any(other.of == fact.of for other in heard)
    return False


def without(asked: ChatRequest, path: str) -> ChatRequest | None:
    """The request without what is at a path; None when nothing is left to ask."""
    asked = copy.deepcopy(asked)
    steps = re.findall(r"\w+", path)
    if path == "messages":
        return None
    if steps[0] != "messages":
        member = {"response_format": "output"}.get(steps[0], steps[0])
        return replace(asked, **{member: False if member == "stream" else None})
    message = asked.messages[int(steps[1])]
    if len(steps) > 3 and len(message.parts) > 1:
        del message.parts[int(steps[3])]
    else:
        del asked.messages[int(steps[1])]
    return asked if asked.messages else None
