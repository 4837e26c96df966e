"""Two turns through a client of another dialect: what a model left comes back to it byte for byte."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletionChunk

from wye.canon.events import Event
from wye.canon.fold import fold, unfold
from wye.canon.loss import Losses
from wye.canon.parts import Text
from wye.canon.request import ChatRequest
from wye.canon.response import ChatResponse
from wye.dialects.dialect import Dialect, Quirks
from wye.dialects.registry import DIALECTS
from wye.kernel import json
from wye.kernel.sse import SseDecoder

GOLDEN = Path(__file__).parent
OPENAI, ANTHROPIC = DIALECTS["openai_chat"], DIALECTS["anthropic_messages"]
RESPONSES = DIALECTS["openai_responses"]


def load(path: Path) -> dict[str, Any]:
    return json.decode(path.read_bytes())


def translated(one: Dialect, other: Dialect, wire: dict[str, Any]) -> tuple[dict[str, Any], Losses]:
    losses = Losses()
    return other.encode_request(one.decode_request(wire), losses, Quirks()), losses


def streamed(dialect: Dialect, events: list[Event]) -> bytes:
    encoder = dialect.stream_encoder(ChatRequest(model="m", messages=[], include_usage=True), Losses())
    return b"".join(encoder.encode(event) for event in events)


def events_of(dialect: Dialect, wire: bytes) -> list[Event]:
    decoder = dialect.stream_decoder()
    return decoder.feed(wire) + decoder.close()


def told_at_once(answer: ChatResponse) -> dict[str, Any]:
    return OPENAI.encode_response(answer, Losses())["choices"][0]["message"]


def chunks(answer: ChatResponse) -> list[bytes]:
    return [item.data for item in SseDecoder().feed(streamed(OPENAI, unfold(answer)))[:-1]]


def put_together_by_the_sdk(answer: ChatResponse) -> dict[str, Any]:
    state = ChatCompletionStreamState()
    for data in chunks(answer):
        state.handle_chunk(ChatCompletionChunk.model_validate_json(data))
    return state.get_final_completion().choices[0].message.to_dict()


def pieces_kept(answer: ChatResponse) -> dict[str, Any]:
    """As a client does that joins texts and collects all else."""
    message: dict[str, Any] = {}
    for delta in (choice["delta"] for data in chunks(answer) for choice in json.decode(data)["choices"]):
        for name, value in delta.items():
            if isinstance(value, list) and name != "tool_calls":
                message[name] = message.get(name, []) + value
            elif isinstance(value, str):
                message[name] = message.get(name, "") + value
    return {**message, "role": "assistant", "tool_calls": told_at_once(answer).get("tool_calls")}


def only_details_kept(answer: ChatResponse) -> dict[str, Any]:
    """As a client does that knows `reasoning_details`, and not `reasoning_content`."""
    message = put_together_by_the_sdk(answer)
    message.pop("reasoning_content", None)
    return message


CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
CLIENTS = [told_at_once, put_together_by_the_sdk, pieces_kept, only_details_kept]

THOUGHTFUL = [
    {"type": "thinking", "thinking": 'First, \u00fc \u2028 "quoted".', "signature": "EqQBCkYIBxgCKkDx+/=="},
    {"type": "redacted_thinking", "data": "EmwKAhgBEgy3va3pzix/LafPsn4="},
    {"type": "thinking", "thinking": "", "signature": "only/signed=="},
    {"type": "text", "text": "I look."},
    {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Basel"}},
    {"type": "tool_use", "id": "toolu_2", "name": "weather", "input": {}},
]


@pytest.mark.parametrize("client", CLIENTS)
def test_thoughts_come_back_to_their_vendor_byte_for_byte(client: Callable[[ChatResponse], dict[str, Any]]) -> None:
    body = load(GOLDEN / "anthropic_messages" / "responses" / "thinking.json") | {"content": THOUGHTFUL}
    turns: list[dict[str, Any]] = [{"role": "user", "content": "Weather?"}]
    expected: list[Any] = [{"role": "user", "content": "Weather?"}]
    for turn in range(2):
        answer = ANTHROPIC.decode_response(body)
        # Through Anthropic's own stream, as the answer of a model comes.
        answer = fold(events_of(ANTHROPIC, streamed(ANTHROPIC, unfold(answer))))
        turns.append(client(answer))
        turns += [{"role": "tool", "tool_call_id": f"toolu_{i}", "content": f"{turn}"} for i in (1, 2)]
        expected.append({"role": "assistant", "content": THOUGHTFUL})
        results = [{"type": "tool_result", "tool_use_id": f"toolu_{i}", "content": f"{turn}"} for i in (1, 2)]
        expected.append({"role": "user", "content": results})
    said, losses = translated(OPENAI, ANTHROPIC, {"model": "claude", "messages": turns})
    assert said["messages"] == expected
    assert [loss for loss in losses if loss.severity == "warning"] == []


@pytest.mark.parametrize("client", CLIENTS)
def test_thoughts_of_a_gateway_come_back_to_it(client: Callable[[ChatResponse], dict[str, Any]]) -> None:
    body = load(GOLDEN / "openai_chat" / "responses" / "signed_reasoning.json")
    message = client(fold(events_of(OPENAI, streamed(OPENAI, unfold(OPENAI.decode_response(body))))))
    said, losses = translated(OPENAI, OPENAI, {"model": "m", "messages": [message]})
    assert said["messages"][0]["reasoning_details"] == body["choices"][0]["message"]["reasoning_details"]
    assert losses == []


@pytest.mark.parametrize("stream", [False, True])
def test_citations_survive_the_way_there_and_back(stream: bool) -> None:
    answer = ANTHROPIC.decode_response(load(GOLDEN / "anthropic_messages" / "responses" / "cited_search.json"))
    if stream:
        again = fold(events_of(OPENAI, streamed(OPENAI, unfold(answer))))
    else:
        again = OPENAI.decode_response(OPENAI.encode_response(answer, Losses()))
    cited, rest = [part for part in answer.choices[0].parts if isinstance(part, Text)]
    (joined,) = [part for part in again.choices[0].parts if isinstance(part, Text)]
    assert joined.text == cited.text + rest.text
    assert joined.citations == [
        replace(citation, extras=None, text_start=0, text_end=len(cited.text)) for citation in cited.citations
    ]
    assert len(joined.citations) == 2


def test_cache_marks_of_an_openai_shaped_client_reach_anthropic() -> None:
    mark = {"type": "ephemeral", "ttl": "1h"}
    text = {"type": "text", "text": "Long.", "cache_control": mark}
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}, "cache_control": mark}
    image = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}, "cache_control": mark}
    wire = {
        "model": "claude",
        "messages": [
            {"role": "system", "content": [text]},
            {"role": "user", "content": "Plain.", "cache_control": mark},
            {"role": "assistant", "tool_calls": [CALL]},
            {"role": "tool", "tool_call_id": "c", "content": "22", "cache_control": mark},
            {"role": "user", "content": [image]},
        ],
        "tools": [tool],
        "cache_control": mark,
    }
    said, losses = translated(OPENAI, ANTHROPIC, wire)
    marked = [
        said,
        said["system"][0],
        said["tools"][0],
        said["messages"][0]["content"][0],
        *said["messages"][2]["content"],
    ]
    assert [element["cache_control"] for element in marked] == [mark] * 6
    assert losses == []


def test_a_tool_result_of_several_parts_keeps_them() -> None:
    parts = [{"type": "text", "text": "22"}, {"type": "text", "text": "degrees"}]
    wire = {
        "model": "m",
        "messages": [
            {"role": "user", "content": "Weather?"},
            {"role": "assistant", "content": None, "tool_calls": [CALL]},
            {"role": "tool", "tool_call_id": "c", "content": parts},
        ],
    }
    said, losses = translated(OPENAI, ANTHROPIC, wire)
    assert said["messages"][2]["content"] == [{"type": "tool_result", "tool_use_id": "c", "content": parts}]
    assert translated(ANTHROPIC, OPENAI, said)[0]["messages"] == wire["messages"]
    assert losses == []


def output_told_at_once(answer: ChatResponse) -> list[dict[str, Any]]:
    return RESPONSES.encode_response(answer, Losses())["output"]


def output_of_the_last_event(answer: ChatResponse) -> list[dict[str, Any]]:
    frames = SseDecoder().feed(streamed(RESPONSES, unfold(answer)))
    return json.decode(frames[-2].data)["response"]["output"]


def items_as_they_ended(answer: ChatResponse) -> list[dict[str, Any]]:
    events = [json.decode(frame.data) for frame in SseDecoder().feed(streamed(RESPONSES, unfold(answer)))[:-1]]
    return [event["item"] for event in events if event["type"] == "response.output_item.done"]


@pytest.mark.parametrize("client", [output_told_at_once, output_of_the_last_event, items_as_they_ended])
def test_thoughts_and_searches_of_anthropic_come_back_through_a_responses_client(
    client: Callable[[ChatResponse], list[dict[str, Any]]],
) -> None:
    search = [
        {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "Basel"}},
        {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": [{"type": "web_search_result"}]},
    ]
    content = [*THOUGHTFUL[:3], *search, *THOUGHTFUL[3:]]
    body = load(GOLDEN / "anthropic_messages" / "responses" / "thinking.json") | {"content": content}
    items: list[dict[str, Any]] = [{"role": "user", "content": "Weather?"}]
    expected: list[Any] = [{"role": "user", "content": "Weather?"}]
    for turn in range(2):
        answer = fold(events_of(ANTHROPIC, streamed(ANTHROPIC, unfold(ANTHROPIC.decode_response(body)))))
        items += client(answer)
        items += [{"type": "function_call_output", "call_id": f"toolu_{i}", "output": f"{turn}"} for i in (1, 2)]
        expected.append({"role": "assistant", "content": content})
        results = [{"type": "tool_result", "tool_use_id": f"toolu_{i}", "content": f"{turn}"} for i in (1, 2)]
        expected.append({"role": "user", "content": results})
    wire = {"model": "claude", "input": items, "store": False, "include": ["reasoning.encrypted_content"]}
    said, losses = translated(RESPONSES, ANTHROPIC, wire)
    assert said["messages"] == expected
    assert [loss for loss in losses if loss.severity == "warning"] == []


OUTPUT = [
    {"id": "rs_1", "type": "reasoning", "summary": [{"type": "summary_text", "text": t} for t in ("First.", "Then.")],
     "encrypted_content": "gAAAAABo_x-Z=="},
    {"id": "ws_1", "type": "web_search_call", "status": "completed", "action": {"type": "search", "query": "Basel"}},
    {"id": "rs_2", "type": "reasoning", "summary": [], "encrypted_content": "gBBB"},
    {"id": "fc_1", "type": "function_call", "status": "completed", "call_id": "call_1", "name": "weather",
     "arguments": '{"city":"Basel"}'},
]  # fmt: skip


def content_told_at_once(answer: ChatResponse) -> list[dict[str, Any]]:
    return ANTHROPIC.encode_response(answer, Losses())["content"]


def content_put_together(answer: ChatResponse) -> list[dict[str, Any]]:
    """As Anthropic's SDK does: each block grows by its deltas."""
    blocks: list[dict[str, Any]] = []
    for frame in SseDecoder().feed(streamed(ANTHROPIC, unfold(answer))):
        event = json.decode(frame.data)
        delta = event.get("delta", {})
        match event["type"], delta.get("type"):
            case "content_block_start", _:
                blocks.append({**event["content_block"]})
            case "content_block_delta", "thinking_delta":
                blocks[-1]["thinking"] += delta["thinking"]
            case "content_block_delta", "signature_delta":
                blocks[-1]["signature"] = delta["signature"]
            case "content_block_delta", "input_json_delta":
                blocks[-1]["input"] = json.decode(delta["partial_json"])
            case _:
                pass
    return blocks


@pytest.mark.parametrize("client", [content_told_at_once, content_put_together])
@pytest.mark.parametrize("stream", [False, True])
def test_reasoning_and_searches_of_openai_come_back_through_a_messages_client(
    client: Callable[[ChatResponse], list[dict[str, Any]]], stream: bool
) -> None:
    body = load(GOLDEN / "openai_responses" / "responses" / "text.json") | {"output": OUTPUT}
    answer = RESPONSES.decode_response(body)
    if stream:
        answer = fold(events_of(RESPONSES, streamed(RESPONSES, unfold(answer))))
    content = client(answer)
    assert [block["type"] for block in content] == ["thinking", "redacted_thinking", "redacted_thinking", "tool_use"]
    messages = [
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "content": content},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "call_1", "content": "22"}]},
    ]
    said, losses = translated(ANTHROPIC, RESPONSES, {"model": "gpt", "max_tokens": 9, "messages": messages})
    call = {name: value for name, value in OUTPUT[3].items() if name not in ("id", "status")}
    assert said["input"][1:] == [
        *OUTPUT[:3],
        call,
        {"type": "function_call_output", "call_id": "call_1", "output": "22"},
    ]
    assert [loss for loss in losses if loss.severity == "warning"] == []


@pytest.mark.parametrize("client", CLIENTS)
def test_reasoning_of_openai_comes_back_through_a_chat_client(client: Callable[[ChatResponse], dict[str, Any]]) -> None:
    thoughts = [{**OUTPUT[0], "summary": OUTPUT[0]["summary"][:1]}, OUTPUT[2]]
    body = load(GOLDEN / "openai_responses" / "responses" / "text.json") | {"output": [*thoughts, OUTPUT[3]]}
    answer = fold(events_of(RESPONSES, streamed(RESPONSES, unfold(RESPONSES.decode_response(body)))))
    turns = [client(answer), {"role": "tool", "tool_call_id": "call_1", "content": "22"}]
    said, _ = translated(OPENAI, RESPONSES, {"model": "gpt", "messages": turns})
    assert said["input"][:2] == thoughts


def test_reasoning_of_one_vendor_is_not_shown_to_anothers_model() -> None:
    body = load(GOLDEN / "anthropic_messages" / "responses" / "thinking.json") | {"content": THOUGHTFUL}
    items = output_told_at_once(ANTHROPIC.decode_response(body))
    said, losses = translated(RESPONSES, RESPONSES, {"model": "gpt", "input": items})
    assert [item["type"] for item in said["input"]] == ["message", "function_call", "function_call"]
    assert [loss.field for loss in losses] == [f"messages[0].content[{i}]" for i in range(3)]
