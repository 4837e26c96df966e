"""What must hold for every value in every family: it comes back as it was, and nothing in it is lost without a word."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.unit.dialects.bedrock_invoke.wire import as_sse, encode, request
from wye.canon.events import Event, Finish, TextDelta
from wye.canon.extras import FORM
from wye.canon.fold import fold, unfold
from wye.canon.loss import Losses
from wye.canon.parts import Base64, CacheMark, Image, Part, Text, Thinking, ToolCall, ToolResult
from wye.canon.request import ChatRequest, Message
from wye.canon.response import ChatResponse, Choice, FinishReason
from wye.canon.tools import FunctionTool, ToolChoice
from wye.canon.usage import Usage
from wye.dialects.dialect import Dialect
from wye.dialects.registry import DIALECTS
from wye.kernel import json

bounded = settings(max_examples=60, deadline=None, derandomize=True)


def families(*names: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("dialect", [DIALECTS[f"bedrock_{name}"] for name in names], ids=names)


PROMPTED = families("titan", "llama", "mistral_prompt", "cohere_prompt")
STREAMED = families(
    *("claude", "titan", "nova", "llama", "mistral", "mistral_prompt", "cohere", "cohere_prompt", "ai21", "writer"),
    "openai",
)
IMAGED = families("claude", "nova", "mistral", "openai")
CALLED = families("claude", "nova", "mistral", "cohere", "writer", "openai")

words = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
said = st.text('ab ü😀.\n\t"\\<>', min_size=1, max_size=12)
"""Texts without what could pass for the marks of a template."""
figures = st.integers(0, 10**9)
objects = st.dictionaries(
    words, st.none() | st.booleans() | st.integers(-(10**15), 10**15) | words | st.lists(words, max_size=2), max_size=3
)


def formless(value: ChatRequest) -> ChatRequest:
    """Without the prompt as it was written."""
    extras = {
        name: {member: kept for member, kept in members.items() if member != FORM}
        for name, members in (value.extras or {}).items()
    }
    return replace(value, extras={name: members for name, members in extras.items() if members} or None)


# Prompts


LIMITS = {"max_tokens": st.integers(0, 10**6), "temperature": st.floats(0, 2), "top_p": st.floats(0, 1)}
conversations = st.builds(
    lambda system, turns, last: [
        *([Message("system", [Text(system)])] if system else []),
        *(Message(role, [Text(text)]) for role, text in turns),
        Message("user", [Text(last)]),
    ],
    st.none() | said,
    st.lists(st.tuples(said, said), max_size=3).map(
        lambda turns: [turn for asked, told in turns for turn in (("user", asked), ("assistant", told))]
    ),
    said,
)


@PROMPTED
@bounded
@given(conversations, st.fixed_dictionaries({}, optional=LIMITS))
def test_a_conversation_comes_back_from_its_prompt(
    dialect: Dialect, messages: list[Message], members: dict[str, Any]
) -> None:
    if dialect.name == "bedrock_mistral_prompt":
        messages = [message for message in messages if message.role != "system"]  # which have no place of their own
    asked = request(*messages, **members)
    body, losses = encode(dialect, asked)
    assert formless(dialect.decode_request(json.decode(json.encode(body)))) == asked
    assert losses == {}


MARKS = ["User:", "Bot:", "Chatbot:", "\n", " ", "<s>", "</s>", "[INST]", "[/INST]", "<<SYS>>\n", "\n<</SYS>>\n\n",
         "<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<|header_start|>",
         "<|header_end|>", "<|eot|>", "user", "assistant", "system", "a", "b"]  # fmt: skip


@PROMPTED
@bounded
@given(st.lists(st.sampled_from(MARKS), max_size=12).map("".join), st.none() | words)
def test_any_prompt_is_said_again_byte_for_byte(dialect: Dialect, prompt: str, unknown: str | None) -> None:
    member = "inputText" if dialect.name == "bedrock_titan" else "prompt"
    body = {member: prompt} | ({} if unknown is None else {"x_unknown": unknown})
    assert encode(dialect, dialect.decode_request(body)) == (body, {})


# Messages


images = st.builds(
    lambda data, kind: Image(Base64(data, kind)), st.just("iVBORw0KGgo="), st.sampled_from(["image/png", "image/jpeg"])
)
thoughts = st.builds(Thinking, words, words)
marks = st.none() | st.builds(CacheMark, st.sampled_from([None, "5m", "1h"]))
tools = st.builds(
    lambda names, text: [
        FunctionTool(name, text, {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]})
        for name in names
    ],
    st.lists(words, min_size=1, max_size=3, unique=True),
    words,
)


@st.composite
def called(draw: st.DrawFn) -> list[Message]:
    """Calls, their results, and what is asked then."""
    given_ = draw(st.lists(st.tuples(words, objects, words), min_size=1, max_size=3))
    calls: list[Part] = [
        ToolCall(f"call_{i}", name, json.encode_text(value)) for i, (name, value, _) in enumerate(given_)
    ]
    results: list[Part] = [ToolResult(f"call_{i}", [Text(text)]) for i, (_, _, text) in enumerate(given_)]
    asked, told = draw(words), draw(st.none() | words)
    begun: list[Part] = [] if told is None else [Text(told)]
    return [Message("user", [Text(asked)]), Message("assistant", [*begun, *calls]), Message("user", results)]


@CALLED
@bounded
@given(called(), tools)
def test_calls_and_results_come_back_as_they_were(
    dialect: Dialect, messages: list[Message], offered: list[FunctionTool]
) -> None:
    asked = request(*messages, tools=offered, max_tokens=9)
    body, losses = encode(dialect, asked)
    assert dialect.decode_request({**json.decode(json.encode(body)), "model": ""}) == unformed(dialect, asked)
    assert losses == {}


def unformed(dialect: Dialect, asked: ChatRequest) -> ChatRequest:
    """Command R keeps a tool's parameters as they are beside the schema that they amount to."""
    if dialect.name != "bedrock_cohere" or asked.tools is None:
        return asked
    definitions = {"a": {"type": "str", "required": True}}
    kept = {dialect.name: {FORM: {"parameter_definitions": definitions}}}
    return replace(asked, tools=[replace(tool, extras=kept) for tool in asked.tools])


@IMAGED
@bounded
@given(st.lists(st.builds(Text, words) | images, min_size=2, max_size=4), st.booleans())
def test_texts_and_images_come_back_in_their_order(dialect: Dialect, parts: list[Part], stream: bool) -> None:
    asked = request(Message("user", parts), max_tokens=9)
    body, losses = encode(dialect, asked)
    assert dialect.decode_request(json.decode(json.encode(body))) == asked
    assert losses == {}


@bounded
@given(st.lists(st.builds(Text, words, cache=marks) | thoughts, min_size=1, max_size=4), tools, marks)
def test_nova_s_marks_and_thoughts_come_back(parts: list[Part], offered: list[FunctionTool], mark: Any) -> None:
    nova = DIALECTS["bedrock_nova"]
    offered = [replace(tool, cache=mark) for tool in offered]
    messages = [Message("user", [Text("Hi")]), Message("assistant", parts), Message("user", [Text("So")])]
    asked = request(*messages, tools=offered, tool_choice=ToolChoice("required"), top_k=5, stop=["END"])
    body, losses = encode(nova, asked)
    assert nova.decode_request(json.decode(json.encode(body))) == asked
    assert losses == {}


# Answers


REASONS: dict[str, list[FinishReason]] = {
    "bedrock_claude": ["stop", "length"],
    "bedrock_titan": ["stop", "length", "content_filter"],
    "bedrock_nova": ["stop", "length", "content_filter"],
    "bedrock_cohere": ["stop", "length", "content_filter", "error"],
    "bedrock_cohere_prompt": ["stop", "length", "content_filter", "error"],
}
"""Those that a family has words for; the others have the first two."""


@st.composite
def answers(draw: st.DrawFn) -> tuple[list[str], int, Usage]:
    pieces = draw(st.lists(words, min_size=1, max_size=5))
    return pieces, draw(st.integers(0, 3)), Usage(draw(figures), draw(figures))


def answer(dialect: Dialect, pieces: list[str], choice: int, usage: Usage) -> ChatResponse:
    reasons = REASONS.get(dialect.name, ["stop", "length"])
    choices = [Choice([Text("".join(pieces))], reasons[choice % len(reasons)])]
    return ChatResponse(id="answer-1", model="m", created=5, choices=choices, usage=usage)


def meaning(told: ChatResponse) -> Any:
    """The rest is told in headers, or not at all."""
    (choice,) = told.choices
    return choice.parts, choice.finish_reason


def figures_of(usage: Usage | None) -> Any:
    return None if usage is None else (usage.input_tokens, usage.output_tokens)


@STREAMED
@bounded
@given(answers())
def test_an_answer_comes_back_as_it_was(dialect: Dialect, given_: Any) -> None:
    told = answer(dialect, *given_)
    losses = Losses()
    again = dialect.decode_response(json.decode(json.encode(dialect.encode_response(told, losses))))
    assert meaning(again) == meaning(told)
    if again.usage is not None:
        assert figures_of(again.usage) == figures_of(told.usage)
    assert losses == []


@STREAMED
@bounded
@given(answers(), st.integers(1, 64), st.booleans())
def test_a_stream_comes_back_as_it_was_however_it_is_cut(
    dialect: Dialect, given_: Any, size: int, framed: bool
) -> None:
    told = answer(dialect, *given_)
    spoken = dialect if framed else as_sse(dialect)
    events: list[Event] = []
    for event in unfold(told):
        pieces = given_[0] if isinstance(event, TextDelta) else ()
        events += [TextDelta(0, piece) for piece in pieces] or [event]
    losses = Losses()
    encoder = spoken.stream_encoder(request(), losses)
    wire = b"".join(encoder.encode(event) for event in events)
    decoder = spoken.stream_decoder()
    heard = [event for at in range(0, len(wire), size) for event in decoder.feed(wire[at : at + size])]
    heard += decoder.close()
    again = fold(heard)
    assert meaning(again) == meaning(told)
    assert figures_of(again.usage) == figures_of(told.usage)
    assert sum(isinstance(event, Finish) for event in heard) == 1
    assert losses == []


@STREAMED
@bounded
@given(st.binary(max_size=120), answers(), st.integers(0, 3000), st.booleans())
def test_no_bytes_make_a_decoder_raise(dialect: Dialect, noise: bytes, given_: Any, at: int, framed: bool) -> None:
    spoken = dialect if framed else as_sse(dialect)
    encoder = spoken.stream_encoder(request(), Losses())
    wire = b"".join(encoder.encode(event) for event in unfold(answer(dialect, *given_)))
    decoder = spoken.stream_decoder()
    decoder.feed(wire[:at] + noise + wire[at:])
    decoder.close()
    assert decoder.feed(wire) == decoder.close() == []


@bounded
@given(st.lists(words, max_size=3), st.none() | st.integers(0, 10), st.booleans())
def test_pictures_come_back_as_they_were(pictures: list[str], seed: int | None, filtered: bool) -> None:
    stability = DIALECTS["bedrock_stability"]
    asked = request(Message("user", [Text("A vine")]), seed=seed)
    assert formless(stability.decode_request(encode(stability, asked)[0])) == asked
    parts: list[Part] = [Image(Base64(picture)) for picture in pictures]
    told = ChatResponse(id="x", model="", choices=[Choice(parts, "content_filter" if filtered else "stop")])
    losses = Losses()
    again = stability.decode_response(stability.encode_response(told, losses))
    assert meaning(again) == meaning(told)
    assert losses == []
