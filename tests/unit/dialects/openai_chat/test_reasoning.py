from __future__ import annotations

from typing import Any

import pytest

from wye.canon.loss import Losses
from wye.canon.parts import Part, Text, Thinking
from wye.canon.request import ChatRequest, Message
from wye.dialects.dialect import Quirks
from wye.dialects.openai_chat import DIALECT

NAME = "openai_chat"


def message(**members: Any) -> dict[str, Any]:
    return {"model": "gpt", "messages": [members]}


@pytest.mark.parametrize(
    ("members", "thoughts"),
    [
        ({"reasoning": "a"}, [Thinking("a")]),
        ({"reasoning_content": "a", "reasoning": "a"}, [Thinking("a")]),
        ({"reasoning_content": ""}, []),
        (
            {
                "reasoning_content": "a",
                "reasoning_details": [{"type": "reasoning.text", "text": "a", "signature": "s"}],
            },
            [Thinking("a", "s")],
        ),
        (
            # A client that kept every piece of a stream sends the announcement too.
            {
                "reasoning_details": [
                    {"type": "reasoning.text", "id": "r"},
                    {"type": "reasoning.text", "text": "a", "id": "r"},
                ]
            },
            [Thinking("a", id="r")],
        ),
        (
            {
                "reasoning_details": [
                    {"type": "reasoning.encrypted", "data": None},
                    {"type": "reasoning.summary", "summary": "b"},
                ]
            },
            [Thinking(redacted=""), Thinking("b", extras={NAME: {"type": "reasoning.summary"}})],
        ),
        ({"reasoning_details": [{"type": "reasoning.text", "text": "a", "signature": 7, "id": 7}]}, [Thinking("a")]),
        (
            # The same in the shape of a server that tells the text only once.
            {"reasoning": "a", "reasoning_details": [{"type": "reasoning.text", "signature": "s", "index": 0}]},
            [Thinking("a", "s")],
        ),
        (
            {"reasoning": "a", "reasoning_details": [{"type": "reasoning.encrypted", "data": "x"}]},
            [Thinking("a"), Thinking(redacted="x")],
        ),
    ],
)
def test_reasoning_has_many_names(members: dict[str, Any], thoughts: list[Thinking]) -> None:
    decoded = DIALECT.decode_request(message(role="assistant", content="x", **members))
    assert decoded.messages[0].parts == [*thoughts, Text("x")]
    assert decoded.messages[0].extras is None


CLAUDE, GPT = {"format": "anthropic-claude-v1"}, {"format": "openai-responses-v1"}


@pytest.mark.parametrize(
    ("details", "thought"),
    [
        ([{"type": "reasoning.text", "text": "a", "signature": "s", "index": 0, **CLAUDE}],
         Thinking("a", "s", origin="anthropic")),
        ([{"type": "reasoning.encrypted", "data": "x", "index": 0, **CLAUDE}],
         Thinking(redacted="x", origin="anthropic")),
        ([{"type": "reasoning.summary", "summary": "a", "index": 0, **GPT},
          {"type": "reasoning.encrypted", "data": "x", "id": "rs_1", "index": 0, **GPT}],
         Thinking("a", redacted="x", id="rs_1", origin="openai")),
        ([{"type": "reasoning.text", "text": "a", "index": 0, "id": "rs_1", **GPT}],
         Thinking("a", id="rs_1", origin="openai", extras={NAME: {"type": "reasoning.text"}})),
    ],
)  # fmt: skip
def test_the_format_of_a_detail_tells_whose_it_is(details: list[dict[str, Any]], thought: Thinking) -> None:
    wire = message(role="assistant", content="x", reasoning_details=details)
    decoded = DIALECT.decode_request(wire)
    assert decoded.messages[0].parts[0] == thought
    losses = Losses()
    assert DIALECT.encode_request(decoded, losses, Quirks())["messages"][0]["reasoning_details"] == details
    assert losses == []


def test_a_detail_that_a_client_added_up_is_one_thought() -> None:
    detail = {"type": "reasoning.encrypted", "text": "", "summary": "a", "data": "x", "id": "rs_1", "index": 0, **GPT}
    decoded = DIALECT.decode_request(message(role="assistant", content="x", reasoning_details=[detail]))
    assert decoded.messages[0].parts[0] == Thinking("a", redacted="x", id="rs_1", origin="openai")


def text(index: int, **members: str) -> dict[str, Any]:
    return {"type": "reasoning.text", "index": index, **members}


@pytest.mark.parametrize(
    ("details", "thoughts"),
    [
        ([text(0, text="a"), text(0, text="b"), text(0, signature="s")], [Thinking("ab", "s")]),
        ([text(0, id="r"), text(0, text="a", id="r")], [Thinking("a", id="r")]),
        (
            [text(0, text="a", format="f"), text(0, text="b", x="y", format="f")],
            [Thinking("ab", extras={NAME: {"format": "f", "x": "y"}})],
        ),
        ([text(0, text="a"), text(1, text="b")], [Thinking("a"), Thinking("b")]),
        (
            # A signature ends a thought, whatever its number.
            [text(0, text="a", signature="s"), text(0, text="b", signature="t")],
            [Thinking("a", "s"), Thinking("b", "t")],
        ),
        (
            [
                text(0, text="a"),
                {"type": "reasoning.encrypted", "data": "x", "index": 0},
                {"type": "reasoning.encrypted", "data": "y", "index": 0},
                text(0, text="b"),
            ],
            [Thinking("a"), Thinking(redacted="x"), Thinking(redacted="y"), Thinking("b")],
        ),
    ],
)
def test_pieces_that_a_client_kept_from_a_stream_are_joined(
    details: list[dict[str, Any]], thoughts: list[Thinking]
) -> None:
    decoded = DIALECT.decode_request(message(role="assistant", content="x", reasoning_details=details))
    assert decoded.messages[0].parts == [*thoughts, Text("x")]


@pytest.mark.parametrize("details", ["x", [7], [{"type": "reasoning.dance"}]])
def test_reasoning_that_is_not_understood_stays_whole(details: Any) -> None:
    wire = message(role="assistant", content="x", reasoning_details=details)
    losses = Losses()
    assert DIALECT.encode_request(DIALECT.decode_request(wire), losses, Quirks()) == wire
    assert losses == []


def said_back(quirks: Quirks, *parts: Part) -> tuple[list[dict[str, Any]], list[str]]:
    losses = Losses()
    turns = [Message("user", [Text("Hi")]), Message("assistant", list(parts))]
    body = DIALECT.encode_request(ChatRequest(model="m", messages=turns), losses, quirks)
    return body["messages"][1:], [loss.field for loss in losses]


@pytest.mark.parametrize(
    ("member", "details", "said", "lost"),
    [
        ("reasoning_content", True, {"reasoning_content", "reasoning_details"}, set()),
        ("reasoning", True, {"reasoning", "reasoning_details"}, set()),
        ("reasoning", False, {"reasoning"}, {"reasoning_details"}),
        ("", False, set(), {"reasoning_content", "reasoning_details"}),
    ],
)
def test_an_upstream_gets_back_what_it_takes_of_earlier_reasoning(
    member: str, details: bool, said: set[str], lost: set[str]
) -> None:
    quirks = Quirks(reasoning_member=member, reasoning_details=details)
    (answer,), losses = said_back(quirks, Thinking("a", "s", origin="anthropic"), Text("b"))
    assert answer.keys() == {"role", "content"} | said
    assert {field.rpartition(".")[2] for field in losses} == lost
    # A message of nothing else is left out where nothing of it is taken.
    alone, _ = said_back(quirks, Thinking("a", "s", origin="anthropic"))
    assert [message.keys() - {"role", "content"} for message in alone] == ([said] if said else [])
