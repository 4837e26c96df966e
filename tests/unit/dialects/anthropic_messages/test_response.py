from __future__ import annotations

from typing import Any

import pytest

from wye.canon.loss import Losses
from wye.canon.parts import Audio, Citation, Opaque, Part, Refusal, Text, Thinking, ToolCall
from wye.canon.response import ChatResponse, Choice, FinishReason
from wye.canon.seal import seal
from wye.canon.usage import Usage
from wye.dialects.anthropic_messages import DIALECT, decode_count_response
from wye.kernel.errors import BadAnswer, UpstreamRefused

NO_USAGE = {"input_tokens": 0, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 0}


def encode(*parts: Part, reason: FinishReason | None = "stop", **members: Any) -> tuple[dict[str, Any], dict[str, str]]:
    """The body of an answer, and the severity of each loss by its field."""
    losses = Losses()
    choice = Choice(list(parts), reason, **members.pop("choice", {}))
    body = DIALECT.encode_response(ChatResponse(id="id-1", model="m", choices=[choice], **members), losses)
    return body, {loss.field: loss.severity for loss in losses}


@pytest.mark.parametrize("body", [{}, {"id": "x"}, {"content": 7}, {"content": [7]}, {"content": {"type": "text"}}])
def test_what_is_no_message_is_a_bad_answer(body: dict[str, Any]) -> None:
    with pytest.raises(BadAnswer):
        DIALECT.decode_response(body)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        ({"type": "overloaded_error", "message": "Full"}, 529),
        ({"type": "rate_limit_error", "message": "Full"}, 429),
        ({"type": "mystery", "message": "Full"}, 502),
        ("Full", 502),
    ],
)
def test_an_error_in_the_place_of_an_answer_is_raised_as_what_it_is(error: Any, status: int) -> None:
    for decode in (DIALECT.decode_response, decode_count_response):
        with pytest.raises(UpstreamRefused) as caught:
            decode({"type": "error", "error": error})
        assert (caught.value.status, caught.value.message) == (status, "Full")


def test_an_error_without_words_gets_some() -> None:
    with pytest.raises(UpstreamRefused, match="without a message"):
        DIALECT.decode_response({"type": "error", "error": {"type": "api_error", "message": None}})


def test_a_bare_answer_is_completed() -> None:
    answer = DIALECT.decode_response({"content": "Hello"})
    assert answer.id.startswith("msg_")
    assert answer.choices == [Choice([Text("Hello")])]
    assert (answer.model, answer.usage, answer.extras) == ("", None, None)


def test_members_of_the_wrong_type_go_through_as_they_are() -> None:
    body = {
        "id": 7,
        "type": "message",
        "role": "narrator",
        "model": None,
        "content": [],
        "stop_reason": 3,
        "stop_sequence": None,
        "stop_details": None,
        "usage": {"input_tokens": "many", "output_tokens": True, "cache_read_input_tokens": 2},
    }
    answer = DIALECT.decode_response(body)
    assert answer.usage is not None
    assert (answer.usage.input_tokens, answer.usage.output_tokens, answer.usage.cached_tokens) == (None, None, 2)
    said = DIALECT.encode_response(answer, Losses())
    assert {**said, "usage": None} == {**body, "model": "", "usage": None}
    assert said["usage"] == {**body["usage"], "cache_creation_input_tokens": 0}


def test_a_usage_that_is_no_object_goes_through() -> None:
    answer = DIALECT.decode_response({"content": [], "usage": 7})
    assert answer.usage is None
    assert DIALECT.encode_response(answer, Losses())["usage"] == 7


def test_the_total_input_holds_what_the_cache_gave_and_took() -> None:
    wire = {"input_tokens": 5, "cache_read_input_tokens": 20, "cache_creation_input_tokens": 100, "output_tokens": 3}
    assert DIALECT.decode_usage(wire) == Usage(125, 3, cached_tokens=20, cache_write_tokens=100)


@pytest.mark.parametrize(
    ("usage", "said"),
    [
        (None, NO_USAGE),
        (Usage(10, 5), {**NO_USAGE, "input_tokens": 10, "output_tokens": 5}),
        (Usage(10, 5, cached_tokens=4, reasoning_tokens=2),
         {**NO_USAGE, "input_tokens": 6, "cache_read_input_tokens": 4, "output_tokens": 5,
          "output_tokens_details": {"thinking_tokens": 2}}),
        (Usage(3, 5, cached_tokens=4), {**NO_USAGE, "cache_read_input_tokens": 4, "output_tokens": 5}),
    ],
)  # fmt: skip
def test_figures_that_nobody_knows_are_zero(usage: Usage | None, said: dict[str, Any]) -> None:
    body, losses = encode(Text("x"), usage=usage)
    assert body["usage"] == said
    assert losses == {}


@pytest.mark.parametrize(
    ("tier", "said", "losses"),
    [("default", "standard", {}), ("priority", "priority", {}), ("flex", None, {"service_tier": "info"})],
)
def test_the_tier_stands_in_the_usage(tier: str, said: str | None, losses: dict[str, str]) -> None:
    body, lost = encode(Text("x"), service_tier=tier)
    assert body["usage"].get("service_tier") == said
    assert lost == losses


CALL = ToolCall("c", "f", "{}")


@pytest.mark.parametrize(
    ("parts", "reason", "sequence", "said"),
    [
        ([Text("x")], "stop", None, "end_turn"),
        ([Text("x")], "stop", "END", "stop_sequence"),
        ([Text("x")], "length", None, "max_tokens"),
        ([CALL], "tool_calls", None, "tool_use"),
        ([Text("x"), CALL], "stop", None, "tool_use"),
        ([ToolCall("c", "f", "{}", "server", extras={"anthropic_messages": {"type": "mcp_tool_use"}})], "stop", None,
         "end_turn"),
        ([Refusal("No.")], "stop", None, "refusal"),
        ([Refusal("No.")], "content_filter", None, "refusal"),
        ([Text("x")], "error", None, "max_tokens"),
        ([Text("x")], None, None, None),
    ],
)  # fmt: skip
def test_every_reason_is_said_in_a_word_that_clients_know(
    parts: list[Part], reason: FinishReason | None, sequence: str | None, said: str | None
) -> None:
    body, losses = encode(*parts, reason=reason, choice={"stop_sequence": sequence})
    assert (body["stop_reason"], body["stop_sequence"]) == (said, sequence)
    assert losses == ({"finish_reason": "warning"} if reason == "error" else {})


@pytest.mark.parametrize(
    ("wire", "reason"),
    [("pause_turn", "stop"), ("compaction", "stop"), ("model_context_window_exceeded", "length"), ("new", "stop"),
     ("refusal", "content_filter"), ("tool_use", "tool_calls"), ("stop_sequence", "stop")],
)  # fmt: skip
def test_a_reason_is_understood_and_comes_back_as_it_was(wire: str, reason: str) -> None:
    answer = DIALECT.decode_response({"content": [], "stop_reason": wire})
    assert answer.choices[0].finish_reason == reason
    assert DIALECT.encode_response(answer, Losses())["stop_reason"] == wire


@pytest.mark.parametrize(
    ("part", "said", "losses"),
    [
        (Refusal("No."), [{"type": "text", "text": "No."}], {}),
        (Thinking("Hm."), [{"type": "thinking", "thinking": "Hm.", "signature": ""}], {}),
        (Thinking(redacted="x="), [{"type": "redacted_thinking", "data": "x="}], {}),
        (ToolCall("c", "f", '{"a":'), [{"type": "tool_use", "id": "c", "name": "f", "input": {"_raw": '{"a":'}}],
         {"content[0].arguments": "warning"}),
        (ToolCall("c", "f", "3"), [{"type": "tool_use", "id": "c", "name": "f", "input": {"_raw": "3"}}],
         {"content[0].arguments": "warning"}),
        (Audio("AAAA", id="audio_1"), [], {"content[0]": "warning"}),
        (Opaque("openai_responses", {"type": "x"}),
         [{"type": "redacted_thinking", "data": seal(Opaque("openai_responses", {"type": "x"}))}],
         {"content[0]": "info"}),
        (Thinking("Hm.", redacted="gAAA", id="rs_1", origin="openai"),
         [{"type": "thinking", "thinking": "Hm.",
           "signature": seal(Thinking(redacted="gAAA", id="rs_1", origin="openai"))}], {}),
        (Thinking(redacted="gAAA", id="rs_1", origin="openai"),
         [{"type": "redacted_thinking", "data": seal(Thinking(redacted="gAAA", id="rs_1", origin="openai"))}], {}),
        (ToolCall("c", "search", "{}", "server"), [], {"content[0]": "warning"}),
        (Text("x", [Citation("url", title="T", url="https://x", text_start=0, text_end=1)]),
         [{"type": "text", "text": "x", "citations": [
             {"type": "web_search_result_location", "cited_text": "", "url": "https://x", "title": "T",
              "encrypted_index": ""}]}],
         {"content[0].citations[0].text_start": "info"}),
        (Text("x", [Citation("char")]),
         [{"type": "text", "text": "x", "citations": [
             {"type": "char_location", "cited_text": "", "document_index": 0, "document_title": None,
              "start_char_index": 0, "end_char_index": 0}]}], {}),
        (Text("x", [Citation("search_result", url="https://x", source="s", title="T", document=1, start=2, end=3)]),
         [{"type": "text", "text": "x", "citations": [
             {"type": "search_result_location", "cited_text": "", "source": "s", "title": "T",
              "search_result_index": 1, "start_block_index": 2, "end_block_index": 3}]}],
         {"content[0].citations[0].url": "info"}),
    ],
)  # fmt: skip
def test_parts_of_other_dialects_are_said_or_reported(
    part: Part, said: list[dict[str, Any]], losses: dict[str, str]
) -> None:
    body, lost = encode(part, reason="length")
    assert body["content"] == said
    assert lost == losses


def test_only_the_first_choice_is_said() -> None:
    losses = Losses()
    choices = [Choice([Text("a")], "stop", logprobs={"content": []}), Choice([Text("b")], "stop", 1)]
    body = DIALECT.encode_response(ChatResponse(id="", model="m", choices=choices), losses)
    assert body["content"] == [{"type": "text", "text": "a"}]
    assert body["id"].startswith("msg_")
    assert {loss.field: loss.severity for loss in losses} == {"choices[1]": "warning", "logprobs": "info"}


def test_an_answer_without_choices_is_an_empty_message() -> None:
    body = DIALECT.encode_response(ChatResponse(id="x", model="m", choices=[]), Losses())
    assert (body["content"], body["stop_reason"]) == ([], None)


def test_members_of_another_dialect_are_reported() -> None:
    _, losses = encode(Text("x"), extras={"openai_chat": {"system_fingerprint": "fp", "object": "chat.completion"}})
    assert losses == {"system_fingerprint": "info", "object": "info"}


def test_token_counts() -> None:
    assert DIALECT.encode_count is not None
    assert decode_count_response(DIALECT.encode_count(42)) == 42
    with pytest.raises(BadAnswer):
        decode_count_response({"tokens": 42})
