"""Previews of Anthropic's API: in a header there, in the body on Bedrock, named as lost elsewhere."""

from __future__ import annotations

from typing import Any

import pytest

from wye.canon.loss import Losses
from wye.canon.parts import Text
from wye.canon.request import ChatRequest, Message
from wye.dialects.anthropic_messages import DIALECT as MESSAGES
from wye.dialects.dialect import Quirks
from wye.dialects.registry import DIALECTS

BETA = "interleaved-thinking-2025-05-14"


def asked(**members: Any) -> ChatRequest:
    return ChatRequest(model="anthropic.claude", messages=[Message("user", [Text("Hi")])], **members)


@pytest.mark.parametrize("name", DIALECTS)
def test_every_body_says_them_or_names_them_as_lost(name: str) -> None:
    losses = Losses()
    body = DIALECTS[name].encode_request(asked(betas=[BETA]), losses, Quirks())
    betas = body.get("additionalModelRequestFields", body).get("anthropic_beta")
    assert (betas, [(loss.field, loss.severity) for loss in losses]) in (
        ([BETA], []),
        (None, [("anthropic_beta", "info")]),
    )
    assert DIALECTS[name].encode_request(asked(), losses, Quirks()) == {
        member: value
        for member, value in body.items()
        if member not in ("anthropic_beta", "additionalModelRequestFields")
    }


@pytest.mark.parametrize(
    ("said", "before", "betas"),
    [
        (b"a-1, b-2,,c", None, ["a-1", "b-2", "c"]),
        (b"b-2,a-1,b-2", ["a-1"], ["a-1", "b-2"]),
        (b" , ", None, None),
        (None, ["a-1"], ["a-1"]),
    ],
)
def test_a_header_names_them(said: bytes | None, before: list[str] | None, betas: list[str] | None) -> None:
    assert MESSAGES.headers is not None
    headers = {} if said is None else {b"anthropic-beta": said}
    assert MESSAGES.headers.decode_request(asked(betas=before), headers).betas == betas


def test_they_are_sent_in_a_header() -> None:
    assert MESSAGES.headers is not None
    losses = Losses()
    assert MESSAGES.headers.encode_request(asked(), losses) == (asked(), {})
    left, headers = MESSAGES.headers.encode_request(asked(betas=["a-1", "b-2", "c,d", "\u00e9\r\nx: y"]), losses)
    assert (left, headers) == (asked(), {b"anthropic-beta": b"a-1,b-2"})
    assert [loss.field for loss in losses] == ["anthropic_beta"] * 2
