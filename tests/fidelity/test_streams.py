"""Streams of the corpus, cut anywhere, and how answers end: between every two dialects."""

from __future__ import annotations

from typing import get_args

import pytest

from tests.fidelity import corpus, matrix, translation
from tests.fidelity.corpus import MODEL, NO_STREAMS
from tests.fidelity.translation import Outcome
from wye.canon.fold import unfold
from wye.canon.loss import Losses
from wye.canon.parts import Part, Text, ToolCall
from wye.canon.response import ChatResponse, Choice, FinishReason
from wye.canon.usage import Usage
from wye.dialects.registry import DIALECTS
from wye.kernel import json

pytestmark = pytest.mark.xdist_group("fidelity")  # one process: what a whole stream comes to is known there
SIZES = (1, 7, 64)
SPOKEN = [name for name in DIALECTS if name not in NO_STREAMS]
NO_CALLS = {
    *("openai_completions", "bedrock_titan", "bedrock_llama", "bedrock_mistral_prompt", "bedrock_cohere_prompt"),
    "bedrock_stability",
}


def states(outcomes: list[Outcome]) -> list[tuple[str, str]]:
    return [(outcome.state, outcome.reason) for outcome in outcomes]


@pytest.mark.parametrize("other", SPOKEN)
@pytest.mark.parametrize("one", SPOKEN)
def test_a_stream_says_the_same_however_it_is_cut(one: str, other: str) -> None:
    turn = SPOKEN.index(other)
    for number, case in enumerate(corpus.cases(one, "streams")):
        size = SIZES[(number + turn) % len(SIZES)]
        cut = translation.stream(DIALECTS[one], DIALECTS[other], case.wire, size=size)
        whole = [told.outcome for told in matrix.told(one, other, "streams") if told.case == case.name]
        assert states(cut) == states(whole), (case.name, size)


def ended(reason: FinishReason) -> ChatResponse:
    part: Part = ToolCall("call_1", "plant", "{}") if reason == "tool_calls" else Text("Vines")
    return ChatResponse(id="id-1", model=MODEL, choices=[Choice([part], reason)], usage=Usage(7, 2))


@pytest.mark.parametrize("reason", get_args(FinishReason))
@pytest.mark.parametrize("other", DIALECTS)
def test_a_finish_reason_is_said_or_reported(other: str, reason: FinishReason) -> None:
    dialect, losses = DIALECTS[other], Losses()
    told = ended(reason)
    body = json.decode(json.encode(dialect.encode_response(told, losses)))
    found = translation.read(told, dialect, losses, lambda: dialect.decode_response(body))
    if other not in NO_STREAMS:
        found += translation.streamed_in(dialect, unfold(told), 7)
    how = {outcome.state for outcome in found if outcome.fact.member == "finish_reason"}
    sayable = (
        reason == "stop"
        or (reason == "length" and other not in NO_STREAMS)
        or (reason == "tool_calls" and other not in NO_CALLS)
    )
    assert how == {"carried"} if sayable else how <= {"carried", "lost"}
    assert how
