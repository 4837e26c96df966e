"""What must hold for every value: it comes back as it was, and nothing in it gets lost without a word."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from wye.canon.events import Event, Failure
from wye.canon.fold import fold, unfold
from wye.canon.loss import Losses
from wye.canon.parts import Text
from wye.canon.request import ChatRequest, Message
from wye.canon.response import ChatResponse, Choice
from wye.canon.usage import Usage
from wye.dialects.dialect import Quirks
from wye.dialects.openai_completions import DIALECT
from wye.kernel import json
from wye.kernel.errors import BadAnswer, CallerError, UpstreamRefused
from wye.kernel.sse import frame

NAME = "openai_completions"
CORPUS = Path(__file__).parents[3] / "golden" / NAME

bounded = settings(max_examples=120, deadline=None, derandomize=True)

words = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
figures = st.integers(0, 10**9)
extras = st.none() | st.builds(lambda value: {NAME: {"x_unknown": value}}, words)

requests = st.builds(
    lambda prompt, members: ChatRequest(**{"model": "m", "messages": [Message("user", [Text(prompt)])], **members}),
    words,
    st.fixed_dictionaries(
        {"max_tokens": st.integers(0, 10**6)},
        optional={
            "stream": st.booleans(), "include_usage": st.booleans(), "temperature": st.floats(0, 2),
            "top_p": st.floats(0, 1), "frequency_penalty": st.floats(-2, 2), "presence_penalty": st.floats(-2, 2),
            "logit_bias": st.dictionaries(words, st.floats(-9, 9), max_size=2), "seed": st.integers(),
            "stop": st.lists(words, min_size=1, max_size=3), "n": st.integers(1, 9), "user": words, "extras": extras,
        },
    ),
)  # fmt: skip


def tokens(texts: list[str]) -> dict[str, Any]:
    at, content = 0, list[Any]()
    for text in texts:
        own = None if text.startswith("bytes:") else list(text.encode())
        content.append({"token": text, "logprob": -0.5, "bytes": own, "top_logprobs": [], "text_offset": at})
        at += len(text)
    return {"content": content}


logprobs = st.none() | st.lists(words, min_size=1, max_size=3).map(tokens)
choices = st.builds(
    lambda text, reason, told, own: ([Text(text)], reason, told, own),
    words, st.sampled_from(["stop", "length", "content_filter"]), logprobs, extras,
)  # fmt: skip
responses = st.builds(
    lambda found, usage, more: ChatResponse(
        id="cmpl-1", model="m", created=5, usage=usage, extras=more,
        choices=[Choice(p, reason, i, None, told, own) for i, (p, reason, told, own) in enumerate(found)],
    ),
    st.lists(choices, min_size=1, max_size=3),
    st.builds(Usage, figures, figures, st.none() | figures, st.none() | figures, st.none() | figures, extras),
    extras,
)  # fmt: skip


@bounded
@given(requests)
def test_a_request_comes_back_as_it_was(request: ChatRequest) -> None:
    losses = Losses()
    wire = json.encode(DIALECT.encode_request(request, losses, Quirks()))
    assert DIALECT.decode_request(json.decode(wire)) == request
    assert losses == []


@bounded
@given(responses)
def test_an_answer_comes_back_as_it_was(response: ChatResponse) -> None:
    losses = Losses()
    wire = json.encode(DIALECT.encode_response(response, losses))
    assert DIALECT.decode_response(json.decode(wire)) == response
    assert losses == []


@bounded
@given(responses, st.integers(1, 64))
def test_a_stream_comes_back_as_it_was_however_it_is_cut(response: ChatResponse, size: int) -> None:
    losses = Losses()
    encoder = DIALECT.stream_encoder(ChatRequest(model="m", messages=[], include_usage=True), losses)
    wire = b"".join(encoder.encode(event) for event in unfold(response))
    decoder = DIALECT.stream_decoder()
    events: list[Event] = [event for at in range(0, len(wire), size) for event in decoder.feed(wire[at : at + size])]
    assert fold(events + decoder.close()) == response
    assert losses == []


@bounded
@given(st.binary(max_size=200), st.sampled_from(sorted(CORPUS.glob("streams/*.sse"))), st.integers(0, 4000))
def test_no_bytes_make_the_decoder_raise(noise: bytes, path: Path, at: int) -> None:
    wire = path.read_bytes()
    decoder = DIALECT.stream_decoder()
    decoder.feed(wire[:at] + noise + wire[at:])
    decoder.close()
    assert decoder.feed(wire) == []


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | words,
    lambda below: st.lists(below, max_size=3) | st.dictionaries(words, below, max_size=3),
    max_leaves=6,
)
members = st.sampled_from(["text", "index", "logprobs", "finish_reason", "tokens", "token_logprobs", "x"])
odd_choices = st.lists(st.dictionaries(members, json_values, max_size=5) | json_values, max_size=2)


@bounded
@given(odd_choices, json_values)
def test_odd_answers_are_understood_or_refused(choices: list[Any], usage: Any) -> None:
    try:
        decoded = DIALECT.decode_response({"id": "i", "choices": choices, "usage": usage})
    except (BadAnswer, UpstreamRefused):
        return
    DIALECT.encode_response(decoded, Losses())


@bounded
@given(odd_choices, json_values)
def test_odd_chunks_are_understood(choices: list[Any], usage: Any) -> None:
    decoder, encoder = DIALECT.stream_decoder(), DIALECT.stream_encoder(ChatRequest(model="m", messages=[]), Losses())
    wire = json.encode({"id": "i", "choices": choices, "usage": usage})
    for event in [*decoder.feed(frame(wire) * 2), *decoder.close()]:
        assert isinstance(event, Event)
        if not isinstance(event, Failure):
            encoder.encode(event)


@bounded
@given(st.dictionaries(st.sampled_from(["prompt", "max_tokens", "logprobs", "echo", "stop", "n"]), json_values))
def test_odd_requests_are_understood_or_refused(wire: dict[str, Any]) -> None:
    try:
        request = DIALECT.decode_request({"model": "m", **wire})
    except CallerError:
        return
    DIALECT.encode_request(request, Losses(), Quirks())
