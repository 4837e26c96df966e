"""A case of the corpus said in another dialect, and what became of each of its facts."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from msgspec.structs import replace

from tests.fidelity.corpus import as_sse, events_of
from tests.fidelity.facts import Fact, facts, unsaid
from wye.canon.fold import fold
from wye.canon.free_text import as_functions
from wye.canon.loss import Losses
from wye.canon.request import ChatRequest
from wye.canon.response import ChatResponse
from wye.dialects.dialect import Dialect, Quirks, demand_whole
from wye.kernel import json
from wye.kernel.errors import BadRequest, Unprocessable, UpstreamRefused

State = Literal["carried", "lost", "refused", "silent"]
MODEL = "m-1"


class Outcome(NamedTuple):
    fact: Fact
    state: State
    reason: str = ""
    severity: str = ""


def request(one: Dialect, other: Dialect, wire: dict[str, Any]) -> list[Outcome]:
    """A request of one dialect, sent to an upstream that speaks another. Content that is refused is named, and the rest
    of the request is looked at without it."""
    asked = one.decode_request({"model": MODEL, **wire})
    try:
        if other is not one:
            demand_whole(asked, one)
    except BadRequest as error:
        return [Outcome(fact, "refused", error.message) for fact in facts(asked)]
    outcomes: list[Outcome] = []
    while True:
        losses = Losses()
        try:
            said = other.encode_request(
                asked if other.custom_tools else as_functions(asked, losses), losses, Quirks(custom_tools=True)
            )
        except BadRequest as error:
            less = without(asked, error.param or "")
            gone = unsaid(facts(asked), facts(less)) if less else facts(asked)
            outcomes += [Outcome(fact, "refused", error.message) for fact in gone]
            if less is None:
                return outcomes
            asked = less
        else:
            if other.model_in_path:
                said = {**said, "model": asked.model, "stream": asked.stream}
            try:
                heard = other.decode_request(json.decode(json.encode(said)))
            except (BadRequest, Unprocessable) as error:
                # The upstream refuses them as well: a limit of no tokens, a conversation in which nobody speaks.
                spoken = any(message.role not in ("system", "developer") for message in asked.messages)
                if spoken and asked.max_tokens != 0:
                    raise
                return outcomes + [Outcome(fact, "refused", error.message) for fact in facts(asked)]
            return outcomes + judged(asked, heard, other, losses)


def answer(one: Dialect, other: Dialect, wire: dict[str, Any]) -> list[Outcome]:
    """An upstream's whole answer, for a client that speaks another dialect."""
    told = one.decode_response(wire)
    losses = Losses()
    said = other.encode_response(copy.deepcopy(told), losses)
    return read(told, other, losses, lambda: other.decode_response(json.decode(json.encode(said))))


def stream(one: Dialect, other: Dialect, wire: bytes, size: int = 1 << 20) -> list[Outcome]:
    """An upstream's stream, in pieces of `size` bytes, for a client that speaks another dialect."""
    one, other = as_sse(one), as_sse(other)
    losses = Losses()
    events = events_of(one, wire, size)
    told = fold(events)
    try:
        encoder = other.stream_encoder(ChatRequest(model=MODEL, messages=[], stream=True, include_usage=True), losses)
    except BadRequest as error:
        return [Outcome(fact, "refused", error.message) for fact in facts(told)]
    said = b"".join(encoder.encode(event) for event in events)
    return read(told, other, losses, lambda: fold(events_of(other, said, size)))


def read(told: ChatResponse, other: Dialect, losses: Losses, decode: Callable[[], ChatResponse]) -> list[Outcome]:
    try:
        return judged(told, decode(), other, losses)
    except UpstreamRefused:
        # An answer that an error ended is one that failed.
        assert told.choices[0].finish_reason == "error"
        return [Outcome(fact, "carried") for fact in facts(told) if fact.member == "finish_reason"]


_TOLD_ELSEWHERE: dict[tuple[str, str], tuple[set[str], str]] = {
    ("images", "media_type"): ({"bedrock_llama", "bedrock_stability"}, "the bytes of an image tell its format"),
}
"""What a dialect needs no words for, though others have them: the dialects, and why."""


def judged(
    told: ChatRequest | ChatResponse, again: ChatRequest | ChatResponse, other: Dialect, losses: Losses
) -> list[Outcome]:
    """What became of each fact, by what the other side reads and what was reported on the way."""
    whole = facts(told)
    missing = unsaid(whole, facts(again))
    outcomes: list[Outcome] = []
    for fact in whole:
        elsewhere, why = _TOLD_ELSEWHERE.get((fact.feature, fact.member), ((), ""))
        if other.name in elsewhere:
            outcomes.append(Outcome(fact, "carried", why))
        elif fact not in missing:
            outcomes.append(Outcome(fact, "carried"))
        elif loss := next((loss for loss in losses if covers(loss.field, fact)), None):
            outcomes.append(Outcome(fact, "lost", loss.reason, loss.severity))
        else:
            outcomes.append(Outcome(fact, "silent"))
    return outcomes


_HEADS = re.compile(r"^(choices\[0\]\.message\.content|choices\[0\]\.content|output(?=\[))")
"""A dialect's losses name places in its own words. Those of the first answer are `content` here."""
_IN_THE_CHOICE = ("finish_reason", "stop_sequence", "logprobs")


def covers(field: str, fact: Fact) -> bool:
    """Whether a loss of this name tells of the fact: it names the fact's place, or what holds it."""
    field = _HEADS.sub("content", field)
    if field.split(".")[0] in _IN_THE_CHOICE and fact.at.startswith("choices["):
        field = f"choices[0].{field}"
    return fact.at == field or fact.at.startswith((f"{field}.", f"{field}["))


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
