from __future__ import annotations

from typing import Any

import pytest

from wye.canon.loss import Losses
from wye.canon.parts import Text, Thinking
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
    ],
)
def test_reasoning_has_many_names(members: dict[str, Any], thoughts: list[Thinking]) -> None:
    decoded = DIALECT.decode_request(message(role="assistant", content="x", **members))
    assert decoded.messages[0].parts == [*thoughts, Text("x")]
    assert decoded.messages[0].extras is None


@pytest.mark.parametrize("details", ["x", [7], [{"type": "reasoning.dance"}]])
def test_reasoning_that_is_not_understood_stays_whole(details: Any) -> None:
    wire = message(role="assistant", content="x", reasoning_details=details)
    losses = Losses()
    assert DIALECT.encode_request(DIALECT.decode_request(wire), losses, Quirks()) == wire
    assert losses == []
