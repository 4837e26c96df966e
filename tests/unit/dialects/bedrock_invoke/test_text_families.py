"""The families that only continue a text: what is said, what is named as lost, what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.dialects.bedrock_invoke.wire import as_sse, chunks, decoded, encode, request
from wye.canon.events import (
    Aside,
    CitationDelta,
    End,
    Event,
    Failure,
    Finish,
    OpaqueDelta,
    PartEnd,
    PartStart,
    Ping,
    RefusalDelta,
    Start,
    TextDelta,
    UsageReport,
)
from wye.canon.fold import fold, unfold
from wye.canon.loss import Losses
from wye.canon.parts import (
    Audio,
    Base64,
    CacheMark,
    Citation,
    Document,
    Image,
    Opaque,
    Part,
    PlainText,
    Refusal,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Url,
)
from wye.canon.request import Message, OutputFormat, Reasoning
from wye.canon.response import ChatResponse, Choice
from wye.canon.tools import FunctionTool, ToolChoice
from wye.canon.usage import Usage
from wye.dialects.bedrock_invoke.cohere_prompt import DIALECT as COMMAND
from wye.dialects.bedrock_invoke.llama import DIALECT as LLAMA
from wye.dialects.bedrock_invoke.mistral_prompt import DIALECT as MISTRAL
from wye.dialects.bedrock_invoke.titan import DIALECT as TITAN
from wye.dialects.dialect import Dialect
from wye.kernel import json, sse
from wye.kernel.errors import BadAnswer, BadRequest, LimitExceeded, StreamCut, UpstreamRefused

FAMILIES = [TITAN, LLAMA, MISTRAL, COMMAND]
ALL = pytest.mark.parametrize("dialect", FAMILIES, ids=lambda dialect: dialect.name)
FOREIGN = {"anthropic_messages": {"new": 1}}


SETTINGS = {
    "max_tokens": 9,
    "temperature": 0.5,
    "top_p": 0.9,
    "top_k": 5,
    "stop": ["END"],
    "frequency_penalty": 0.1,
    "presence_penalty": 0.1,
    "logit_bias": {"1": 2.0},
    "seed": 7,
    "n": 2,
    "logprobs": True,
    "top_logprobs": 2,
    "verbosity": "low",
    "reasoning": Reasoning(effort="low"),
    "cache": CacheMark(),
    "user": "u",
    "metadata": {"a": "b"},
    "service_tier": "priority",
    "store": True,
    "prompt_cache_key": "k",
}
BOOKKEEPING = {"cache", "user", "metadata", "service_tier", "store", "prompt_cache_key"}


@pytest.mark.parametrize(
    ("dialect", "said"),
    [
        (TITAN, {"textGenerationConfig": {"maxTokenCount": 9, "temperature": 0.5, "topP": 0.9,
                                          "stopSequences": ["END"]}}),
        (LLAMA, {"max_gen_len": 9, "temperature": 0.5, "top_p": 0.9}),
        (MISTRAL, {"max_tokens": 9, "temperature": 0.5, "top_p": 0.9, "top_k": 5, "stop": ["END"]}),
        (COMMAND, {"max_tokens": 9, "temperature": 0.5, "p": 0.9, "k": 5, "stop_sequences": ["END"],
                   "num_generations": 2, "logit_bias": {"1": 2.0}}),
    ],
)  # fmt: skip
def test_every_setting_is_said_or_named_as_lost(dialect: Dialect, said: dict[str, Any]) -> None:
    body, losses = encode(dialect, request(**SETTINGS))
    prompt = "inputText" if dialect is TITAN else "prompt"
    assert {name: value for name, value in body.items() if name != prompt} == said
    again = dialect.decode_request(body)
    carried = {name for name, value in SETTINGS.items() if getattr(again, name) == value}
    losses["cache"] = losses.pop("cache_control")
    assert losses.keys() | carried == SETTINGS.keys()
    assert not losses.keys() & carried
    assert {name for name, severity in losses.items() if severity == "info"} == BOOKKEEPING


@ALL
def test_settings_that_ask_for_nothing_are_no_loss(dialect: Dialect) -> None:
    _, losses = encode(dialect, request(n=1, logprobs=False, reasoning=Reasoning("disabled")))
    assert losses == {"reasoning": "info"}
    _, losses = encode(dialect, request(reasoning=Reasoning(effort="none"), tool_choice=ToolChoice("auto")))
    assert losses == {"reasoning": "info", "tool_choice": "info"}
    _, losses = encode(dialect, request(parallel_tool_calls=True, output=OutputFormat("text", extras=FOREIGN)))
    assert losses == {"parallel_tool_calls": "info", "output.new": "warning"}


@ALL
@pytest.mark.parametrize(
    ("members", "at"),
    [
        ({"tools": [FunctionTool("f")]}, "tools"),
        ({"output": OutputFormat("json_object")}, "output"),
        ({"output": OutputFormat("json_schema", {})}, "output"),
    ],
)
def test_tools_and_formats_are_refused(dialect: Dialect, members: dict[str, Any], at: str) -> None:
    with pytest.raises(BadRequest) as caught:
        encode(dialect, request(**members))
    assert (caught.value.param, caught.value.code) == (at, "unsupported_content")
    assert dialect.name in caught.value.message


@ALL
@pytest.mark.parametrize(
    "part",
    [
        Image(Url("https://x/a.png")),
        Audio("AA=="),
        Document(PlainText("x")),
        ToolCall("c", "f"),
        ToolResult("c", [Text("x")]),
    ],
)
def test_content_that_is_no_text_is_refused(dialect: Dialect, part: Part) -> None:
    with pytest.raises(BadRequest) as caught:
        encode(dialect, request(Message("user", [Text("a"), part])))
    assert (caught.value.param, caught.value.code) == ("messages[0].content[1]", "unsupported_content")


@ALL
def test_what_text_cannot_carry_is_named_as_lost(dialect: Dialect) -> None:
    parts: list[Part] = [
        Text("a", [Citation("url")], CacheMark(), FOREIGN),
        Thinking("hm", "sig"),
        Opaque("openai_responses", {"type": "web_search_call"}),
        Refusal("b"),
    ]
    messages = [
        Message("user", [Text("Hi")], name="ann", extras=FOREIGN),
        Message("assistant", parts),
        Message("user", [Text("So")]),
    ]
    body, losses = encode(dialect, request(*messages, extras={"openai_chat": {"new": 1}}))
    assert "a\nb" in (body.get("prompt") or body["inputText"])
    assert losses == {
        "new": "warning",
        "messages[0].name": "warning",
        "messages[0].new": "warning",
        "messages[1].content[0].new": "warning",
        "messages[1].content[0].citations": "info",
        "messages[1].content[0].cache_control": "info",
        "messages[1].content[1]": "warning",
        "messages[1].content[2]": "warning",
        "messages[1].content[3].refusal": "info",
    }


@pytest.mark.parametrize(
    ("dialect", "text"),
    [
        (TITAN, "a\nBot: b"),
        (LLAMA, "a<|eot_id|>b"),
        (MISTRAL, "a [/INST] b"),
        (COMMAND, "a\nChatbot: b"),
    ],
)
def test_text_that_could_pass_for_a_turn_is_named(dialect: Dialect, text: str) -> None:
    _, losses = encode(dialect, request(Message("user", [Text(text)])))
    assert losses == {"messages[0].content": "warning"}


@pytest.mark.parametrize(
    ("dialect", "first", "later"),
    [
        (TITAN, {}, "warning"),
        (LLAMA, {}, None),
        (MISTRAL, {"messages[0].role": "info"}, "warning"),
        (COMMAND, {}, "warning"),
    ],
)
def test_the_system_s_words_are_moved_only_with_a_word(dialect: Dialect, first: Any, later: str | None) -> None:
    system, user = Message("developer", [Text("Be.")]), Message("user", [Text("Hi")])
    assert encode(dialect, request(system, user))[1] == first
    losses = encode(dialect, request(user, system, user))[1]
    assert losses == ({"messages[1].role": later} if later else {})


@ALL
def test_a_prompt_is_said_again_only_for_the_same_conversation(dialect: Dialect) -> None:
    member = "inputText" if dialect is TITAN else "prompt"
    value = dialect.decode_request({member: "Just a prompt.\n", "model": "m", "stream": True})
    assert (value.model, value.stream, value.messages) == ("m", True, [Message("user", [Text("Just a prompt.\n")])])
    assert encode(dialect, value)[0][member] == "Just a prompt.\n"
    value.messages = [Message("system", [Text("Be.")]), *value.messages]
    said = encode(dialect, value)[0][member]
    assert said != "Just a prompt.\n"
    assert "Be." in said


@ALL
def test_a_request_that_is_none_is_refused_by_name(dialect: Dialect) -> None:
    member = "inputText" if dialect is TITAN else "prompt"
    for body in ({}, {member: 1}):
        with pytest.raises(BadRequest) as caught:
            dialect.decode_request(body)
        assert caught.value.param == member


@pytest.mark.parametrize(
    ("model", "mark"),
    [
        ("meta.llama2-70b-chat-v1", "[INST]"),
        ("us.meta.llama3-3-70b-instruct-v1:0", "<|eot_id|>"),
        ("us.meta.llama4-maverick-17b-instruct-v1:0", "<|eot|>"),
        ("my-own", "<|eot_id|>"),
    ],
)
def test_each_generation_of_llama_has_its_template(model: str, mark: str) -> None:
    assert mark in encode(LLAMA, request(model=model))[0]["prompt"]


def test_llama_sees_images_that_are_in_place() -> None:
    image = Image(Base64("iVBORw0KGgo=", "image/png"), "high", CacheMark(), FOREIGN)
    body, losses = encode(LLAMA, request(Message("user", [Text("Look:"), image, Text("Well?")])))
    assert "Look:\n<|image|>Well?" in body["prompt"]
    assert body["images"] == ["iVBORw0KGgo="]
    at = "messages[0].content[1]"
    assert losses == {f"{at}.detail": "warning", f"{at}.cache_control": "info", f"{at}.new": "warning"}
    for model in ("meta.llama3-2-90b-instruct-v1:0", "us.meta.llama4-scout-17b-instruct-v1:0"):
        assert "images" in encode(LLAMA, request(Message("user", [image]), model=model))[0]
    with pytest.raises(BadRequest, match="llama3-1-8b does not see"):
        encode(LLAMA, request(Message("user", [image]), model="meta.llama3-1-8b"))


def test_a_prompt_of_the_assistant_alone_may_have_images() -> None:
    prompt = "<|start_header_id|>assistant<|end_header_id|>\n\nIt is"
    value = LLAMA.decode_request({"prompt": prompt, "images": ["AA=="]})
    assert value.messages == [Message("assistant", [Image(Base64("AA==")), Text("It is")])]
    assert encode(LLAMA, value)[0] == {"prompt": prompt, "images": ["AA=="]}


# Answers


ANSWER = ChatResponse(
    id="x",
    model="m",
    choices=[
        Choice(
            [Text("a", [Citation("url")]), Thinking("hm"), ToolCall("c", "f"), Refusal("b")],
            "stop",
            stop_sequence="END",
            logprobs={"content": []},
            extras=FOREIGN,
        )
    ],
    usage=Usage(3, 2),
    extras={"openai_chat": {"system_fingerprint": "fp", "new": 1}},
)


@ALL
def test_an_answer_loses_nothing_without_a_word(dialect: Dialect) -> None:
    losses = Losses()
    again = dialect.decode_response(dialect.encode_response(ANSWER, losses))
    assert again.choices[0].parts == [Text("ab")]
    assert again.choices[0].finish_reason == "stop"
    named = {loss.field for loss in losses}
    assert named == {
        "logprobs",
        "choices[0].stop_sequence",
        "choices[0].new",
        "content[0].citations",
        "content[1]",
        "content[2]",
        "content[3].refusal",
        "system_fingerprint",
        "new",
    }


@ALL
@pytest.mark.parametrize("reason", ["stop", "length", "content_filter", "error", "tool_calls", None])
def test_every_reason_has_a_word_or_is_named(dialect: Dialect, reason: Any) -> None:
    losses = Losses()
    body = dialect.encode_response(ChatResponse(id="x", model="", choices=[Choice([Text("a")], reason)]), losses)
    said = dialect.decode_response(body).choices[0].finish_reason
    instead = {"error": "length", "content_filter": "stop", "tool_calls": "stop"}
    assert said == (instead[reason] if losses else reason)
    assert [loss.severity for loss in losses] in ([], ["warning"])


@ALL
@pytest.mark.parametrize("body", [{}, {"results": []}, {"outputs": []}, {"generations": 1}, {"generation": 3}])
def test_what_is_no_answer_is_a_bad_answer(dialect: Dialect, body: dict[str, Any]) -> None:
    with pytest.raises(BadAnswer):
        dialect.decode_response(body)


@ALL
def test_an_answer_of_odd_types_is_read_leniently(dialect: Dialect) -> None:
    body = {
        TITAN.name: {
            "results": [{"outputText": 1, "completionReason": 2, "tokenCount": True}],
            "inputTextTokenCount": "x",
        },
        LLAMA.name: {"generation": "", "stop_reason": ["?"], "prompt_token_count": "x"},
        MISTRAL.name: {"outputs": ["?"]},
        COMMAND.name: {"generations": [{"text": None}], "id": 5},
    }[dialect.name]
    answer = dialect.decode_response(body)
    assert answer.choices[0].parts == []
    assert answer.usage is None


@ALL
def test_a_first_choice_is_said_the_others_too_or_named(dialect: Dialect) -> None:
    choices = [Choice([Text("a")], "stop"), Choice([Text("b")], "length", 1)]
    answer = ChatResponse(id="x", model="", choices=choices, usage=Usage(3, 2))
    losses = Losses()
    again = dialect.decode_response(dialect.encode_response(answer, losses))
    assert [choice.parts for choice in again.choices] == [[Text("a")], [Text("b")]][: 1 if dialect is LLAMA else 2]
    assert [loss.field for loss in losses] == (["choices[1]"] if dialect is LLAMA else [])
    losses = Losses()
    told = fold(decoded(dialect, *chunks(dialect, unfold(answer), losses)))
    assert [choice.parts for choice in told.choices] == [[Text("a")], [Text("b")]][: 1 if losses else 2]
    assert [loss.field for loss in losses] == (["choices[1]"] if dialect in (LLAMA, MISTRAL) else [])
    assert told.usage == Usage(3, 2)


def test_no_choice_is_an_empty_answer() -> None:
    empty = ChatResponse(id="x", model="", choices=[])
    assert LLAMA.encode_response(empty, Losses())["generation"] == ""
    assert TITAN.encode_response(empty, Losses())["results"] == []


# Streams


@ALL
def test_a_stream_loses_nothing_without_a_word(dialect: Dialect) -> None:
    events: list[Event] = [
        Start("x", "m", usage=Usage(3), extras={"openai_chat": {"system_fingerprint": "fp"}}),
        PartStart(0, Thinking()),
        PartEnd(0),
        PartStart(1, Text("a")),
        TextDelta(1, "b", logprobs={"content": []}, extras=FOREIGN),
        CitationDelta(1, Citation("url")),
        OpaqueDelta(1, "openai_responses", {}),
        PartEnd(1),
        PartStart(2, Refusal("")),
        RefusalDelta(2, "c"),
        PartEnd(2),
        Ping(),
        Aside({dialect.name: {"own": 1}, "openai_chat": {"aside": 1}}),
        Finish("stop", stop_sequence="END"),
        UsageReport(Usage(3, 2), {"openai_chat": {"report": 1}}),
        UsageReport(Usage(output_tokens=5)),
        End(),
    ]
    losses = Losses()
    said = chunks(dialect, events, losses)
    told = fold(decoded(dialect, *said))
    assert told.choices[0].parts == [Text("abc")]
    assert told.usage == Usage(3, 5)
    assert said[-1]["own"] == 1
    assert {loss.field for loss in losses} == {
        "system_fingerprint",
        "content[0]",
        "content[1].new",
        "logprobs",
        "content[1].citations",
        "content[1]",
        "content[2].refusal",
        "aside",
        "report",
        "choices[0].stop_sequence",
    }


@ALL
def test_a_stream_without_figures_has_no_metrics(dialect: Dialect) -> None:
    said = chunks(dialect, [Start("x", ""), Finish("length"), End()])
    assert len(said) == 1
    assert "amazon-bedrock-invocationMetrics" not in said[0]
    told = fold(decoded(dialect, *said))
    assert told.choices == [Choice([], "length")]


@ALL
def test_an_error_ends_a_stream_and_is_understood(dialect: Dialect) -> None:
    encoder = as_sse(dialect).stream_encoder(request(), Losses())
    wire = encoder.encode(Failure(LimitExceeded("Slow down")))
    assert wire.startswith(b"event: error\ndata: ")
    decoder = as_sse(dialect).stream_decoder()
    (failure,) = decoder.feed(wire)
    assert isinstance(failure, Failure)
    assert isinstance(failure.error, UpstreamRefused)
    assert (failure.error.status, failure.error.kind, failure.error.message) == (
        429,
        "ThrottlingException",
        "Slow down",
    )
    assert decoder.feed(wire) == decoder.close() == []


@ALL
@pytest.mark.parametrize("wire", [b"data: {\n\n", b"data: [1]\n\n", b'data: {"new":1}\n\n'])
def test_a_chunk_that_makes_no_sense_is_one_failure(dialect: Dialect, wire: bytes) -> None:
    decoder = as_sse(dialect).stream_decoder()
    failures = decoder.feed(wire + wire)
    assert isinstance(failures[-1], Failure)
    assert isinstance(failures[-1].error, BadAnswer)
    assert decoder.feed(wire) == decoder.close() == []


@ALL
def test_a_stream_that_breaks_off_does_not_look_complete(dialect: Dialect) -> None:
    said = chunks(dialect, [Start("x", ""), PartStart(0, Text("")), TextDelta(0, "a"), Finish("stop"), End()])
    *events, failure = decoded(dialect, *said[:-1])
    assert isinstance(events[-1], TextDelta)
    assert isinstance(failure, Failure)
    assert isinstance(failure.error, StreamCut)
    assert [type(event) for event in decoded(dialect)] == [Failure]
    # A last frame that its sender did not end counts when it is whole.
    decoder = as_sse(dialect).stream_decoder()
    wire = b"".join(sse.frame(json.encode(chunk)) for chunk in said)
    events = decoder.feed(wire[:-1]) + decoder.close()
    assert isinstance(events[-1], End)
    decoder = as_sse(dialect).stream_decoder()
    failure = (decoder.feed(wire[:-9]) + decoder.close())[-1]
    assert isinstance(failure, Failure)


@ALL
def test_what_comes_after_the_reason_is_no_content(dialect: Dialect) -> None:
    said = chunks(dialect, [Start("x", ""), PartStart(0, Text("")), TextDelta(0, "a"), Finish("stop"), End()])
    assert fold(decoded(dialect, *said, said[0])).choices[0].parts == [Text("a")]


def test_an_end_without_a_number_ends_every_choice_of_command() -> None:
    pieces = [{"text": "a", "index": 0}, {"text": "b", "index": 1}, {"is_finished": True}]
    told = fold(decoded(COMMAND, *pieces))
    assert [(choice.parts, choice.finish_reason) for choice in told.choices] == [
        ([Text("a")], "stop"),
        ([Text("b")], "stop"),
    ]
    assert fold(decoded(COMMAND, {"is_finished": True})).choices == [Choice([], "stop")]
