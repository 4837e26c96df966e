from __future__ import annotations

from typing import Any

import pytest

from wye.canon.extras import FORM
from wye.canon.loss import Losses
from wye.canon.parts import Citation, Image, Opaque, Part, Refusal, Text, Thinking, ToolCall, Url
from wye.canon.request import ChatRequest, Message
from wye.canon.response import ChatResponse, Choice
from wye.canon.seal import seal, unseal
from wye.canon.tools import FunctionTool
from wye.canon.usage import Usage
from wye.dialects.openai_responses import DIALECT
from wye.kernel.errors import BadAnswer, UpstreamRefused

NAME, ANTHROPIC = "openai_responses", "anthropic_messages"


def encode(*parts: Part, **members: Any) -> tuple[dict[str, Any], dict[str, str]]:
    losses = Losses()
    choice = Choice(list(parts), **members.pop("choice", {"finish_reason": "stop"}))
    body = DIALECT.encode_response(ChatResponse(id="resp_1", model="m", choices=[choice], **members), losses)
    return body, {loss.field: loss.severity for loss in losses}


def without_ids(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Items without the ids that are made for what came without one."""
    return [{name: value for name, value in item.items() if name != "id"} for item in items]


# Decoding


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"error": {"code": "rate_limit_exceeded", "message": "Slow down"}, "status": "failed"}, 429),
        ({"error": {"code": "server_error", "message": "Oh"}}, 500),
        ({"error": {"type": "invalid_request_error", "message": "No"}}, 400),
        ({"error": {"status": 418, "message": "Tea"}}, 418),
        ({"error": {"message": "No"}}, 502),
        ({"error": "No"}, 502),
    ],
)
def test_an_error_in_the_place_of_an_answer_has_the_status_it_should_have_had(body: Any, status: int) -> None:
    with pytest.raises(UpstreamRefused) as caught:
        DIALECT.decode_response(body)
    assert caught.value.status == status


@pytest.mark.parametrize("body", [{}, {"output": None}, {"output": "x"}, {"output": [7]}])
def test_what_is_no_answer_is_said_to_be_none(body: dict[str, Any]) -> None:
    with pytest.raises(BadAnswer):
        DIALECT.decode_response(body)


def test_members_of_the_wrong_type_stay_whole() -> None:
    body = {"id": 7, "model": 7, "created_at": "now", "service_tier": 7, "usage": 7, "output": [], "object": "x"}
    answer = DIALECT.decode_response(body)
    assert answer.id.startswith("resp_")
    assert (answer.model, answer.created, answer.usage) == ("", None, None)
    said = DIALECT.encode_response(answer, Losses())
    assert {name: said[name] for name in body} == body


def test_a_time_with_a_point_is_a_time() -> None:
    assert DIALECT.decode_response({"output": [], "created_at": 5.0}).created == 5


@pytest.mark.parametrize(
    ("annotation", "citation"),
    [
        ({"type": "url_citation", "url": "u"}, Citation("url", url="u")),
        ({"type": "file_citation", "file_id": "f", "index": 3},
         Citation("file", file_id="f", extras={NAME: {"index": 3}})),
        ({"type": "url_citation", "kind": "page"}, Citation("page")),
        ({"type": "file_path", "file_id": "f"}, None),
        ({"type": "url_citation", "kind": "dream"}, None),
        ({"type": "url_citation", "url": 7}, None),
        (7, None),
    ],
)  # fmt: skip
def test_a_citation_is_understood_or_stays_as_it_is(annotation: Any, citation: Citation | None) -> None:
    content = [{"type": "output_text", "text": "x", "annotations": [annotation]}]
    answer = DIALECT.decode_response({"output": [{"type": "message", "content": content}]})
    (part,) = answer.choices[0].parts
    assert isinstance(part, Text)
    assert part.citations == ([citation] if citation is not None else [])
    if citation is None:
        said = DIALECT.encode_response(answer, Losses())
        assert said["output"][0]["content"][0]["annotations"] == [annotation]


@pytest.mark.parametrize(
    ("usage", "figures"),
    [
        ({}, Usage()),
        ({"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}, Usage(3, 4)),
        ({"input_tokens": 3, "total_tokens": 9}, Usage(3, extras={NAME: {"total_tokens": 9}})),
        ({"input_tokens": "3"}, Usage(extras={NAME: {"input_tokens": "3"}})),
        ({"input_tokens_details": 7}, Usage(extras={NAME: {"input_tokens_details": 7}})),
        ({"output_tokens_details": {"reasoning_tokens": 2, "x": 1}},
         Usage(reasoning_tokens=2, extras={NAME: {"output_tokens_details": {"x": 1}}})),
    ],
)  # fmt: skip
def test_figures_are_taken_where_they_are_figures(usage: dict[str, Any], figures: Usage) -> None:
    assert DIALECT.decode_usage(usage) == figures


def test_a_seal_in_an_answer_is_not_opened() -> None:
    sealed = seal(Thinking(signature="EqQB", origin="anthropic"))
    item = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": sealed}
    answer = DIALECT.decode_response({"output": [item]})
    assert answer.choices[0].parts == [Thinking(redacted=sealed, id="rs_1", origin="openai")]


# Encoding


def test_an_answer_that_says_nothing_of_its_request_has_what_every_answer_has() -> None:
    body, losses = encode(Text("Hi"), created=5)
    assert body == {
        "id": "resp_1", "object": "response", "created_at": 5, "status": "completed", "incomplete_details": None,
        "model": "m", "output": body["output"], "service_tier": None, "usage": None, "background": False, "error": None,
        "instructions": None, "max_output_tokens": None, "max_tool_calls": None, "metadata": {},
        "parallel_tool_calls": True, "previous_response_id": None, "prompt_cache_key": None,
        "reasoning": {"effort": None, "summary": None}, "safety_identifier": None, "store": True, "temperature": None,
        "text": {"format": {"type": "text"}}, "tool_choice": "auto", "tools": [], "top_logprobs": 0, "top_p": None,
        "truncation": "disabled", "user": None,
    }  # fmt: skip
    assert losses == {}


@pytest.mark.parametrize(
    ("choice", "said", "losses"),
    [
        ({"finish_reason": "stop"}, ("completed", None, None), {}),
        ({"finish_reason": "tool_calls"}, ("completed", None, None), {"finish_reason": "warning"}),
        ({"finish_reason": "length"}, ("incomplete", {"reason": "max_output_tokens"}, None), {}),
        ({"finish_reason": "content_filter"}, ("incomplete", {"reason": "content_filter"}, None), {}),
        ({"finish_reason": "error"},
         ("failed", None, {"code": "server_error", "message": "The model stopped with an error"}), {}),
        ({"finish_reason": None}, ("in_progress", None, None), {}),
        ({"finish_reason": "stop", "stop_sequence": "END"}, ("completed", None, None), {"stop_sequence": "info"}),
        ({"finish_reason": "stop", "extras": {ANTHROPIC: {"stop_reason": "pause_turn"}}}, ("completed", None, None),
         {"stop_reason": "info"}),
    ],
)  # fmt: skip
def test_every_reason_is_said_as_a_status(choice: Any, said: tuple[Any, ...], losses: dict[str, str]) -> None:
    body, lost = encode(Text("x"), choice=choice)
    assert (body["status"], body["incomplete_details"], body["error"]) == said
    assert body["output"][0]["status"] == ("completed" if said[0] == "completed" else "incomplete")
    assert lost == losses


MESSAGE = {"type": "message", "role": "assistant", "status": "completed"}
EMPTY = {"annotations": [], "logprobs": []}


@pytest.mark.parametrize(
    ("parts", "items", "losses"),
    [
        ([Text("a"), Refusal("b")],
         [{**MESSAGE, "content": [{**EMPTY, "type": "output_text", "text": "a"}, {"type": "refusal", "refusal": "b"}]}],
         {}),
        ([Text("a"), ToolCall("c", "f", "{}"), Text("b")],
         [{**MESSAGE, "content": [{**EMPTY, "type": "output_text", "text": "a"}]},
          {"type": "function_call", "status": "completed", "call_id": "c", "name": "f", "arguments": "{}"},
          {**MESSAGE, "content": [{**EMPTY, "type": "output_text", "text": "b"}]}], {}),
        ([ToolCall("c", "f", "x", "custom")],
         [{"type": "custom_tool_call", "status": "completed", "call_id": "c", "name": "f", "input": "x"}], {}),
        ([Thinking("Hm.", origin="openai")],
         [{"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}]}], {}),
        ([Thinking("Hm.")],
         [{"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}],
           "encrypted_content": seal(Thinking())}], {}),
        ([Thinking("Hm.", origin="anthropic")],
         [{"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}],
           "encrypted_content": seal(Thinking(origin="anthropic"))}], {}),
        ([Thinking("Hm.", "EqQB", origin="anthropic")],
         [{"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}],
           "encrypted_content": seal(Thinking("", "EqQB", origin="anthropic"))}], {}),
        ([Thinking(redacted="x", extras={NAME: {"y": 1}})],
         [{"type": "reasoning", "summary": [], "y": 1,
           "encrypted_content": seal(Thinking(redacted="x", extras={NAME: {"y": 1}}))}], {}),
        ([Opaque(ANTHROPIC, {"type": "x"})],
         [{"type": "reasoning", "summary": [], "encrypted_content": seal(Opaque(ANTHROPIC, {"type": "x"}))}],
         {"output[0]": "info"}),
        ([ToolCall("s", "search", "{}", "server")],
         [{"type": "reasoning", "summary": [], "encrypted_content": seal(ToolCall("s", "search", "{}", "server"))}],
         {"output[0]": "info"}),
        ([Image(Url("u")), Text("a")], [{**MESSAGE, "content": [{**EMPTY, "type": "output_text", "text": "a"}]}],
         {"output[0]": "warning"}),
        ([Text("a", extras={ANTHROPIC: {"x": 1}})],
         [{**MESSAGE, "content": [{**EMPTY, "type": "output_text", "text": "a"}]}],
         {"output[0].content[0].x": "info"}),
    ],
)  # fmt: skip
def test_parts_of_other_dialects_are_items_of_their_own(
    parts: list[Part], items: list[dict[str, Any]], losses: dict[str, str]
) -> None:
    body, lost = encode(*parts)
    assert without_ids(body["output"]) == items
    assert len({item["id"] for item in body["output"]}) == len(items)
    assert lost == losses


def test_what_is_sealed_can_be_opened() -> None:
    body, _ = encode(Opaque(ANTHROPIC, {"type": "x"}))
    assert unseal(body["output"][0]["encrypted_content"]) == Opaque(ANTHROPIC, {"type": "x"})


@pytest.mark.parametrize(
    ("citation", "annotation"),
    [
        (Citation("url", title="T", url="u", text_start=1, text_end=2),
         {"type": "url_citation", "start_index": 1, "end_index": 2, "title": "T", "url": "u"}),
        (Citation("url"), {"type": "url_citation", "start_index": 0, "end_index": 4, "title": "", "url": ""}),
        (Citation("search_result", "q", "T", source="s", document=2),
         {"type": "url_citation", "start_index": 0, "end_index": 4, "title": "T", "url": "s", "source": "s",
          "quote": "q",
          "document": 2, "kind": "search_result"}),
        (Citation("page", "q", "T", document=1, start=7, end=8),
         {"type": "file_citation", "file_id": "", "filename": "T", "index": 1, "document": 1, "quote": "q", "start": 7,
          "end": 8, "kind": "page"}),
        (Citation("container_file", file_id="f"),
         {"type": "container_file_citation", "container_id": "", "file_id": "f", "filename": "", "start_index": 0,
          "end_index": 4}),
    ],
)  # fmt: skip
def test_every_citation_is_an_annotation_that_clients_know(citation: Citation, annotation: dict[str, Any]) -> None:
    body, losses = encode(Text("text", [citation]))
    assert body["output"][0]["content"][0]["annotations"] == [annotation]
    assert losses == {}


def token(text: str, **members: Any) -> dict[str, Any]:
    return {"token": text, "logprob": -1.0, "bytes": [1], "top_logprobs": [], **members}


def test_each_text_has_the_probabilities_of_its_own_tokens() -> None:
    bare = {"token": "c", "logprob": -1.0, "bytes": None, "top_logprobs": [{"token": "d", "logprob": -2.0}]}
    logprobs = {"content": [token("a"), token("b"), bare, token("!")], "refusal": [token("x")]}
    body, losses = encode(
        Text("ab"), ToolCall("c", "f", "{}"), Text("c"), choice={"finish_reason": "stop", "logprobs": logprobs}
    )
    first, _, second = body["output"]
    assert first["content"][0]["logprobs"] == [token("a"), token("b")]
    other = {"token": "d", "logprob": -2.0, "bytes": []}
    assert second["content"][0]["logprobs"] == [{**bare, "bytes": [], "top_logprobs": [other]}, token("!")]
    assert losses == {"logprobs.refusal": "info"}


@pytest.mark.parametrize("after", [[], [Text("b")], [ToolCall("c", "f", "{}")], [Refusal("no")]])
def test_probabilities_that_go_beyond_the_texts_stay_with_the_last(after: list[Part]) -> None:
    told = [token("a"), token("b"), token("<call>")]
    body, lost = encode(Text("a"), *after, choice={"finish_reason": "stop", "logprobs": {"content": told}})
    shown = [content.get("logprobs", []) for item in body["output"] for content in item.get("content", ())]
    assert ([entry["token"] for entries in shown for entry in entries], lost) == (["a", "b", "<call>"], {})


def test_probabilities_beside_no_text_are_a_loss() -> None:
    told = {"content": [token("<call>")]}
    _, lost = encode(ToolCall("c", "f", "{}"), choice={"finish_reason": "tool_calls", "logprobs": told})
    assert lost == {"logprobs.content": "info"}


def test_what_is_no_token_stays_as_it_is() -> None:
    logprobs: Any = {"content": [7, token("a")]}
    body, _ = encode(Text("a"), choice={"finish_reason": "stop", "logprobs": logprobs})
    assert body["output"][0]["content"][0]["logprobs"] == [7, token("a")]


@pytest.mark.parametrize(
    ("tier", "said"), [("default", "default"), ("standard", "default"), ("flex", "flex"), (None, None)]
)
def test_the_tier_is_said_in_openais_words(tier: str | None, said: str | None) -> None:
    assert encode(Text("x"), service_tier=tier)[0]["service_tier"] == said


def test_figures_that_nobody_knows_are_zero() -> None:
    body, _ = encode(Text("x"), usage=Usage(3, 4))
    assert body["usage"] == {
        "input_tokens": 3,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": 4,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 7,
    }


def test_only_the_first_choice_is_said() -> None:
    losses = Losses()
    choices = [Choice([Text("a")], "stop"), Choice([Text("b")], "stop", 1)]
    body = DIALECT.encode_response(ChatResponse(id="", model="m", choices=choices), losses)
    assert [item["content"][0]["text"] for item in body["output"]] == ["a"]
    assert body["id"].startswith("resp_")
    assert [loss.field for loss in losses] == ["choices[1]"]
    assert DIALECT.encode_response(ChatResponse(id="x", model="m", choices=[]), Losses())["output"] == []


# What an answer repeats of its request

ASKED: dict[str, Any] = {
    "model": "gpt",
    "instructions": "Be kind.",
    "input": [{"role": "user", "content": "Long" * 100}],
    "temperature": 0.5,
    "max_output_tokens": 9,
    "metadata": {"a": "b"},
    "reasoning": {"effort": "low"},
    "text": {"verbosity": "low"},
    "tools": [
        {"type": "namespace", "name": "maps", "description": "Maps.", "tools": [
            {"type": "function", "name": "route", "parameters": {}, "strict": True}]},
        {"type": "function", "name": "route", "parameters": {}, "strict": True},
    ],
    "tool_choice": "required",
    "previous_response_id": "resp_0",
    "truncation": "auto",
    "client_metadata": {"not": "repeated"},
}  # fmt: skip


def test_the_answer_of_another_dialect_repeats_its_request() -> None:
    request = DIALECT.decode_request(ASKED)
    call = ToolCall("c", "maps__route", "{}")
    answer = ChatResponse(id="msg_1", model="claude", choices=[Choice([call, Text("x")], "tool_calls")],
                          extras={ANTHROPIC: {"x": 1}})  # fmt: skip
    assert DIALECT.echo is not None
    said = DIALECT.encode_response(DIALECT.echo(request, answer), Losses())
    repeated = [name for name in ASKED if name not in ("model", "input", "client_metadata")]
    assert {name: said[name] for name in repeated} == {name: ASKED[name] for name in repeated}
    assert "client_metadata" not in said
    assert said["truncation"] == "auto"
    assert (said["output"][0]["namespace"], said["output"][0]["name"]) == ("maps", "route")
    assert said["id"].startswith("resp_")
    assert call.extras is None, "the answer may be kept by a cache"
    assert answer.extras == {ANTHROPIC: {"x": 1}}


def test_an_answer_of_its_own_dialect_has_said_it_itself() -> None:
    answer = ChatResponse(id="resp_1", model="m", choices=[], extras={NAME: {FORM: {"temperature": 0.1}}})
    assert DIALECT.echo is not None
    assert DIALECT.echo(DIALECT.decode_request(ASKED), answer) is answer


def test_a_request_of_another_dialect_can_be_repeated_too() -> None:
    request = ChatRequest(model="m", messages=[Message("user", [Text("Hi")])], tools=[FunctionTool("f")], top_k=3)
    answer = ChatResponse(id="x", model="m", choices=[Choice([ToolCall("c", "f")], "tool_calls")])
    assert DIALECT.echo is not None
    said = DIALECT.encode_response(DIALECT.echo(request, answer), Losses())
    assert said["tools"][0]["name"] == "f"
    assert "namespace" not in said["output"][0]
