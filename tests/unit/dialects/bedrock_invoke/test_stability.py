"""Image models: no chat, but a prompt and pictures can be said of them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.dialects.bedrock_invoke.wire import as_sse, encode, request
from wye.canon.loss import Losses
from wye.canon.parts import Base64, Image, Part, Text, Thinking, ToolCall, Url
from wye.canon.request import Message, OutputFormat
from wye.canon.response import ChatResponse, Choice
from wye.canon.tools import FunctionTool
from wye.canon.usage import Usage
from wye.dialects.bedrock_invoke.stability import DIALECT
from wye.kernel.errors import BadAnswer, BadRequest

PIXEL = Image(Base64("AA=="))
FOREIGN = {"openai_chat": {"new": 1}}


def test_a_prompt_and_an_image_are_the_user_s_message() -> None:
    body = {"prompt": "A vine", "image": "AA==", "seed": 7, "strength": 0.5, "mode": "image-to-image"}
    value = DIALECT.decode_request({**body, "model": "m"})
    assert value.model == "m"
    assert value.messages == [Message("user", [PIXEL, Text("A vine")])]
    assert encode(DIALECT, value) == (body, {})
    assert DIALECT.decode_request({"prompt": "A vine"}).messages == [Message("user", [Text("A vine")])]


def test_a_conversation_of_the_user_alone_is_a_prompt() -> None:
    messages = [
        Message("system", [Text("Be."), Text("Be so.")]),
        Message("user", [Text("Vines"), Thinking("hm")], name="ann", extras=FOREIGN),
    ]
    body, losses = encode(DIALECT, request(*messages, seed=7, temperature=0.5))
    assert body == {"prompt": "Be.\nBe so.\nVines", "seed": 7}
    assert losses == {
        "temperature": "warning",
        "messages[1].name": "warning",
        "messages[1].new": "warning",
        "messages[1].content[1]": "warning",
    }


@pytest.mark.parametrize(
    ("messages", "members", "param"),
    [
        ([Message("user", [Image(Url("https://x/a.png"))])], {}, "messages[0].content[0]"),
        ([Message("user", [PIXEL, Text("a"), PIXEL])], {}, "messages[0].content[2]"),
        ([Message("user", [Text("a")]), Message("assistant", [Text("b")])], {}, "messages[1]"),
        ([Message("user", [ToolCall("c", "f")])], {}, "messages[0].content[0]"),
        ([], {"tools": [FunctionTool("f")]}, "tools"),
        ([], {"output": OutputFormat("json_object")}, "output"),
    ],
)
def test_what_it_cannot_do_is_refused(messages: list[Message], members: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        encode(DIALECT, request(*messages, **members))
    assert (caught.value.param, caught.value.code) == (param, "unsupported_content")


def test_it_cannot_stream() -> None:
    for attempt in (
        lambda: DIALECT.decode_request({"prompt": "a", "stream": True}),
        lambda: encode(DIALECT, request(stream=True)),
        DIALECT.stream_decoder,
        lambda: DIALECT.stream_encoder(request(), Losses()),
        lambda: as_sse(DIALECT).stream_encoder(request(), Losses()),
    ):
        with pytest.raises(BadRequest) as caught:
            attempt()
        assert (caught.value.param, caught.value.code) == ("stream", "unsupported_stream")


@pytest.mark.parametrize("body", [{}, {"images": "AA=="}, {"artifacts": []}])
def test_what_is_no_answer_is_a_bad_answer(body: dict[str, Any]) -> None:
    with pytest.raises(BadAnswer):
        DIALECT.decode_response(body)


@pytest.mark.parametrize(
    ("body", "parts", "reason"),
    [
        ({"images": ["AA==", "BB=="], "finish_reasons": [None, None], "seeds": [1, 2]},
         [PIXEL, Image(Base64("BB=="))], "stop"),
        ({"images": [], "finish_reasons": ["Filter reason: prompt"], "seeds": []}, [], "content_filter"),
        ({"images": ["AA=="], "finish_reasons": [None, None], "seeds": []}, [PIXEL], "stop"),
    ],
)  # fmt: skip
def test_pictures_come_out_as_they_came_in(body: dict[str, Any], parts: list[Part], reason: str) -> None:
    answer = DIALECT.decode_response(body)
    assert answer.choices == [Choice(parts, reason)]  # type: ignore[arg-type]
    losses = Losses()
    assert DIALECT.encode_response(answer, losses) == body
    assert losses == []


def test_an_image_that_is_none_is_not_one() -> None:
    assert DIALECT.decode_response({"images": ["AA==", 5]}).choices[0].parts == [PIXEL]


def test_what_pictures_cannot_say_is_named() -> None:
    parts: list[Part] = [
        Text("Here it is, the picture of vines"),
        Image(Base64("AA=="), extras=FOREIGN),
        Image(Url("https://x/a.png")),
        Thinking("hm"),
    ]
    told: Any = {"stop_sequence": "END", "logprobs": {"content": []}, "extras": FOREIGN}
    choices = [Choice(parts, "content_filter", **told), Choice([PIXEL], "stop", 1)]
    losses = Losses()
    body = DIALECT.encode_response(ChatResponse(id="x", model="", choices=choices, usage=Usage(1, 1)), losses)
    assert body == {"seeds": [], "finish_reasons": ["Filter reason: output image"], "images": ["AA=="]}
    assert {(loss.field, loss.severity) for loss in losses} == {
        ("choices[1]", "warning"),
        ("content[0]", "warning"),
        ("content[1].new", "info"),
        ("content[2]", "warning"),
        ("content[3]", "info"),
        ("logprobs", "info"),
        ("choices[0].stop_sequence", "info"),
        ("choices[0].new", "info"),
    }


@pytest.mark.parametrize("reason", ["length", "tool_calls", "error"])
def test_an_end_without_a_word_is_named(reason: Any) -> None:
    losses = Losses()
    DIALECT.encode_response(ChatResponse(id="x", model="", choices=[Choice([PIXEL], reason)]), losses)
    assert [(loss.field, loss.severity) for loss in losses] == [("choices[0].finish_reason", "warning")]
