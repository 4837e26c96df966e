"""Events of other dialects as a stream of Responses: what has no word there is named as lost, never garbled."""

from __future__ import annotations

from typing import Any

import pytest

from tests import wire
from wye.canon.events import (
    ArgumentsDelta,
    Aside,
    CitationDelta,
    End,
    Event,
    Finish,
    OpaqueDelta,
    PartEnd,
    PartStart,
    Ping,
    RefusalDelta,
    SignatureDelta,
    Start,
    TextDelta,
    ThinkingDelta,
    UsageReport,
)
from wye.canon.loss import Losses
from wye.canon.parts import Base64, Citation, Image, Opaque, Part, Refusal, Text, Thinking, ToolCall
from wye.canon.request import ChatRequest
from wye.canon.response import ChatResponse, Choice
from wye.canon.seal import unseal
from wye.canon.usage import Usage
from wye.dialects.openai_responses import DIALECT

START, FINISH, END = Start("resp_1", "m", 5), Finish("stop"), End()


def said(*events: Event) -> tuple[list[dict[str, Any]], list[str]]:
    """The stream's events, and the fields that were lost."""
    losses = Losses()
    encoder = DIALECT.stream_encoder(ChatRequest(model="m", messages=[]), losses)
    stream = b"".join(encoder.encode(event) for event in events)
    return [item for item in wire.data_frames(stream) if item != "[DONE]"], [loss.field for loss in losses]


def kinds(events: list[dict[str, Any]]) -> list[str]:
    return [event["type"].removeprefix("response.") for event in events]


def output(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return events[-1]["response"]["output"]


def test_a_second_choice_is_lost_and_says_nothing() -> None:
    events, lost = said(
        START,
        PartStart(0, Text("")),
        TextDelta(0, "a"),
        PartStart(0, Text(""), choice=1),
        TextDelta(0, "b", choice=1),
        PartEnd(0, choice=1),
        PartEnd(0),
        FINISH,
        Finish("length", choice=1),
        END,
    )
    assert lost == ["choices[1]"]
    assert [event["delta"] for event in events if event["type"].endswith(".delta")] == ["a"]
    assert events[-1]["type"] == "response.completed"


def test_a_part_that_answers_cannot_have_is_lost_with_its_deltas() -> None:
    picture = PartStart(0, Image(Base64("aGk=", "image/png")))
    events, lost = said(START, picture, OpaqueDelta(0, "openai_chat", {}), PartEnd(0), FINISH, END)
    assert lost == ["output[0]"]
    assert output(events) == []


@pytest.mark.parametrize(
    ("part", "delta"),
    [
        (Text(""), SignatureDelta(0, "s")),
        (Text(""), ArgumentsDelta(0, "{}")),
        (Thinking(), TextDelta(0, "a")),
        (Opaque("openai_responses", {"type": "hologram"}), ArgumentsDelta(0, "{}")),
        (ToolCall("c", "f", "{}"), CitationDelta(0, Citation("url", url="u"))),
    ],
)
def test_a_delta_of_another_kind_than_its_part_changes_nothing(part: Part, delta: Event) -> None:
    with_it, _ = said(START, PartStart(0, part), delta, PartEnd(0), FINISH, END)
    without, _ = said(START, PartStart(0, part), PartEnd(0), FINISH, END)
    assert _without_ids(with_it) == _without_ids(without)


def _without_ids(value: Any) -> Any:
    """Those of items are made anew each time."""
    if isinstance(value, dict):
        return {name: _without_ids(item) for name, item in value.items() if name not in ("id", "item_id")}
    return [_without_ids(item) for item in value] if isinstance(value, list) else value


def test_probabilities_of_a_refusal_are_lost() -> None:
    told = {"refusal": [{"token": "No", "logprob": -0.1, "bytes": None, "top_logprobs": []}]}
    events, lost = said(START, PartStart(0, Refusal("")), RefusalDelta(0, "No", logprobs=told), PartEnd(0), FINISH, END)
    assert lost == ["logprobs.refusal"]
    assert output(events)[0]["content"] == [{"type": "refusal", "refusal": "No"}]


def test_citations_come_where_they_belong() -> None:
    events, lost = said(
        START,
        PartStart(0, Text("")),
        TextDelta(0, "See here"),
        CitationDelta(0, Citation("url", url="https://a.example", title="A")),
        PartEnd(0),
        FINISH,
        END,
    )
    assert lost == []
    assert "output_text.annotation.added" in kinds(events)
    (annotation,) = output(events)[0]["content"][0]["annotations"]
    assert (annotation["type"], annotation["url"]) == ("url_citation", "https://a.example")


def test_a_signature_in_pieces_is_sealed_whole() -> None:
    events, _ = said(
        START,
        PartStart(0, Thinking(origin="anthropic")),
        ThinkingDelta(0, "Hm"),
        SignatureDelta(0, "c2ln"),
        SignatureDelta(0, "bmVk"),
        PartEnd(0),
        FINISH,
        END,
    )
    (item,) = output(events)
    thought = unseal(item["encrypted_content"])
    assert thought is not None
    assert (thought.signature, thought.origin) == ("c2lnbmVk", "anthropic")


def test_a_call_that_the_provider_runs_keeps_its_arguments() -> None:
    call = ToolCall("srv_1", "web_search", "", kind="server")
    events, _ = said(
        START, PartStart(0, call), ArgumentsDelta(0, '{"q":'), ArgumentsDelta(0, '"x"}'), PartEnd(0), FINISH, END
    )
    whole, _ = said(
        START, PartStart(0, ToolCall("srv_1", "web_search", '{"q":"x"}', kind="server")), PartEnd(0), FINISH, END
    )
    assert _without_ids(output(events)) == _without_ids(output(whole))


def test_pieces_of_what_only_another_dialect_understands_are_lost_by_name() -> None:
    block = Opaque("anthropic_messages", {"type": "hologram"})
    events, lost = said(
        START, PartStart(0, block), OpaqueDelta(0, "anthropic_messages", {"more": 1}), PartEnd(0), FINISH, END
    )
    assert lost[-1:] == ["output[0]"]
    assert "hologram" not in kinds(events)


def test_a_piece_of_its_own_without_a_type_says_nothing() -> None:
    item = Opaque("openai_responses", {"type": "web_search_call", "id": "ws_1", "status": "completed"})
    with_it, _ = said(START, PartStart(0, item), OpaqueDelta(0, "openai_responses", {"x": 1}), PartEnd(0), FINISH, END)
    without, _ = said(START, PartStart(0, item), PartEnd(0), FINISH, END)
    assert with_it == without


def test_figures_and_asides_come_with_the_end() -> None:
    events, lost = said(
        START,
        Ping(),
        Aside({"openai_responses": {"x_unknown": 1}}),
        UsageReport(Usage(3, None)),
        UsageReport(Usage(None, 4)),
        FINISH,
        END,
    )
    assert lost == []
    response = events[-1]["response"]
    assert (response["x_unknown"], response["usage"]["input_tokens"], response["usage"]["output_tokens"]) == (1, 3, 4)


def test_an_aside_before_the_beginning_is_no_mistake() -> None:
    losses = Losses()
    encoder = DIALECT.stream_encoder(ChatRequest(model="m", messages=[]), losses)
    assert encoder.encode(Aside({"openai_responses": {"x": 1}})) == b""


def test_a_text_that_goes_on_while_a_call_begins_ends_its_message_with_its_own_end() -> None:
    events, lost = said(
        START,
        PartStart(0, Text("")),
        TextDelta(0, "a"),
        PartStart(1, ToolCall("c", "f", "")),
        TextDelta(0, "b"),
        PartEnd(0),
        PartEnd(1),
        FINISH,
        END,
    )
    assert lost == []
    message, call = output(events)
    assert (message["content"][0]["text"], call["type"]) == ("ab", "function_call")
    assert kinds(events).index("output_text.done") < kinds(events).index("completed")


@pytest.mark.parametrize(("given", "kept"), [("chatcmpl-9", False), ("", False), ("resp_9", True)])
def test_the_answer_of_another_dialect_has_an_id_of_this_one(given: str, kept: bool) -> None:
    events, _ = said(Start(given, "m", 5), FINISH, END)
    (identity,) = {event["response"]["id"] for event in events}
    assert identity.startswith("resp_")
    assert (identity == given) is kept


@pytest.mark.parametrize(
    ("part", "prefix"),
    [
        (Text("a"), "msg_"),
        (ToolCall("toolu_1", "f", "{}"), "fc_"),
        (ToolCall("toolu_1", "f", "a", "custom"), "ctc_"),
        (Thinking("a", "EqQB", id="reasoning-text-1", origin="anthropic"), "rs_"),
        (Opaque("anthropic_messages", {"type": "x", "id": "srvtoolu_1"}), "rs_"),
    ],
)
def test_the_items_of_another_dialect_have_ids_of_this_one(part: Part, prefix: str) -> None:
    events, _ = said(START, PartStart(0, part), PartEnd(0), FINISH, END)
    (identity,) = {event["item"]["id"] for event in events if "item" in event}
    assert identity.startswith(prefix)
    assert output(events)[0]["id"] == identity
    assert {event["item_id"] for event in events if "item_id" in event} <= {identity}
    choice = Choice([part], "stop")
    body = DIALECT.encode_response(ChatResponse(id="resp_1", model="m", choices=[choice]), Losses())
    assert body["output"][0]["id"].startswith(prefix)
