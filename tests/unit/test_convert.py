"""The translation as a library: every pair of dialects, whole and streamed, its losses and its errors."""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

import wye
from wye.canon.fold import fold, unfold
from wye.canon.loss import Losses
from wye.canon.parts import Text, ToolCall
from wye.canon.request import ChatRequest, Message
from wye.canon.response import ChatResponse, Choice
from wye.canon.usage import Usage
from wye.dialects.detect import ALIASES
from wye.dialects.dialect import Quirks
from wye.dialects.registry import DIALECTS
from wye.kernel import clock, ids, json
from wye.kernel.errors import BadRequest

CHAT: dict[str, Any] = {
    "model": "m",
    "max_tokens": 9,
    "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What grows?"}],
}
IN_IMAGES = {"bedrock_stability"}
"""Dialects that answer in pictures: no text comes out of them, and none goes in."""
SPOKEN = sorted(DIALECTS.keys() - IN_IMAGES)
PAIRS = [(one, other) for one in SPOKEN for other in SPOKEN]
CHUNK_SIZES = [1, 7, 64, 10**6]


def request_in(dialect: str, system: bool = False) -> dict[str, Any]:
    """A small request as its codec says it."""
    asked = [Message("system", [Text("Be brief.")])] * system + [Message("user", [Text("What grows?")])]
    request = ChatRequest(model="m", max_tokens=9, messages=asked)
    return json.decode(json.encode(DIALECTS[dialect].encode_request(request, Losses(), Quirks())))


def answer() -> ChatResponse:
    return ChatResponse(
        id="a1",
        model="up",
        created=1790000000,
        choices=[Choice([Text("Vines, mostly.")], "stop")],
        usage=Usage(input_tokens=5, output_tokens=4),
    )


def answer_in(dialect: str) -> dict[str, Any]:
    return json.decode(json.encode(DIALECTS[dialect].encode_response(answer(), Losses())))


def stream_in(dialect: str) -> bytes:
    asked = ChatRequest(model="m", messages=[], stream=True, include_usage=True)
    encoder = DIALECTS[dialect].stream_encoder(asked, Losses())
    return b"".join(encoder.encode(event) for event in unfold(answer()))


def cut(data: bytes, size: int) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


def texts(dialect: str, body: dict[str, Any]) -> list[str]:
    response = DIALECTS[dialect].decode_response(body)
    return [part.text for part in response.choices[0].parts if isinstance(part, Text)]


def folded(dialect: str, stream: bytes) -> ChatResponse:
    decoder = DIALECTS[dialect].stream_decoder()
    return fold([*decoder.feed(stream), *decoder.close()])


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_a_request_is_said_in_every_other_dialect(one: str, other: str) -> None:
    system = "openai_completions" not in (one, other)  # which has no room for one
    body = request_in(one, system)
    before = copy.deepcopy(body)
    asked = wye.convert_request(body, to=other, from_=one, model="m", stream=True)
    assert body == before
    assert (asked.dialect, asked.source, asked.model, asked.stream) == (other, one, "m", True)
    assert json.decode(json.encode(asked.body)) == asked.body
    said = json.encode_text(asked.body)
    assert "What grows?" in said
    assert ("Be brief." in said) is system
    if not DIALECTS[other].model_in_path:
        assert asked.body["model"] == "m"
        assert asked.body["stream"] is True
    assert all(loss.field and loss.reason for loss in asked.losses)


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_an_answer_is_said_in_every_other_dialect(one: str, other: str) -> None:
    body = answer_in(one)
    before = copy.deepcopy(body)
    said = wye.convert_response(body, to=other, from_=one, request={**request_in(other), "model": "asked"})
    assert body == before
    assert said.dialect == other
    assert texts(other, said.body) == ["Vines, mostly."]
    assert json.decode(json.encode(said.body)) == said.body
    if "model" in said.body:
        assert said.body["model"] == (body.get("model") or "asked")


@pytest.mark.parametrize("size", CHUNK_SIZES)
@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_a_stream_is_said_in_every_other_dialect(one: str, other: str, size: int) -> None:
    stream = wye.convert_stream(cut(stream_in(one), size), to=other, from_=one)
    said = list(stream)
    assert all(said)
    again = folded(other, b"".join(said))
    assert [part.text for part in again.choices[0].parts if isinstance(part, Text)] == ["Vines, mostly."]
    assert again.choices[0].finish_reason == "stop"
    assert stream.error is None
    assert stream.dialect == other
    assert stream.content_type == DIALECTS[other].framing.content_type.decode()
    assert list(stream) == []


@pytest.fixture
def _one_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Times and new ids do not tell two streams apart."""
    monkeypatch.setattr(clock, "wall_s", lambda: 1_790_000_000.0)
    monkeypatch.setattr(clock, "monotonic_s", lambda: 5.0)
    monkeypatch.setattr(ids, "_drawn", [])
    monkeypatch.setattr(ids._source, "randbytes", bytes)


@pytest.mark.usefixtures("_one_moment")
@pytest.mark.parametrize("size", CHUNK_SIZES)
@pytest.mark.parametrize("other", SPOKEN)
async def test_an_asynchronous_stream_says_the_same(other: str, size: int) -> None:
    data, request = stream_in("anthropic_messages"), {"model": "m", **request_in(other)}
    same = wye.convert_stream(cut(data, size), to=other, from_="claude", request=request)
    stream = wye.convert_stream(later(cut(data, size)), to=other, from_="claude", request=request)
    assert [piece async for piece in stream] == list(same) != []
    assert [piece async for piece in stream] == []
    assert stream.losses == same.losses
    assert stream.error is None


async def later(chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


@pytest.mark.parametrize("body", [CHAT, json.encode(CHAT), bytearray(json.encode(CHAT)), json.encode_text(CHAT)])
def test_a_body_is_a_dict_its_bytes_or_its_text(body: Any) -> None:
    assert wye.detect(body) == "openai_chat"
    asked = wye.convert_request(body, to="claude")
    assert asked.body == {
        "model": "m",
        "max_tokens": 9,
        "system": "Be brief.",
        "messages": [{"role": "user", "content": "What grows?"}],
    }
    assert asked.losses == []
    assert asked.source == "openai_chat"
    assert asked.stream is False


NAMING = ("openai_chat", "openai_responses", "openai_completions", "anthropic_messages")


@pytest.mark.parametrize("one", ["bedrock_converse", "bedrock_titan", "bedrock_cohere"])
@pytest.mark.parametrize("other", NAMING)
def test_a_stream_that_names_no_model_is_said_with_the_one_asked_for(one: str, other: str) -> None:
    request = {**request_in(other), "model": "asked"}
    said = b"".join(wye.convert_stream([stream_in(one)], to=other, from_=one, request=request))
    assert folded(other, said).model == "asked"


@pytest.mark.usefixtures("_one_moment")
@pytest.mark.parametrize("one", SPOKEN)
def test_the_same_dialect_says_the_same(one: str) -> None:
    asked = request_in(one, system=one != "openai_completions")
    assert wye.convert_request(asked, to=one, from_=one, model="m").body == asked
    assert wye.convert_response(answer_in(one), to=one, from_=one).body == answer_in(one)


def test_what_cannot_be_carried_is_told_and_refused_when_strict() -> None:
    body = {**CHAT, "seed": 7, "user": "u"}
    asked = wye.convert_request(body, to="anthropic")
    assert [(loss.field, loss.severity) for loss in asked.losses] == [("seed", "warning")]
    with pytest.raises(wye.LossRefused, match="seed cannot be carried") as caught:
        wye.convert_request(body, to="anthropic", strict=True)
    assert caught.value.param == "seed"
    assert wye.convert_request(CHAT, to="anthropic", strict=True).losses == []


def test_an_answer_that_loses_something_is_refused_when_strict() -> None:
    body = answer_in("openai_chat")
    body["choices"].append({**body["choices"][0], "index": 1})
    assert [loss.field for loss in wye.convert_response(body, to="claude", from_="chat").losses] == ["choices[1]"]
    with pytest.raises(wye.LossRefused, match="choices"):
        wye.convert_response(body, to="claude", from_="chat", strict=True)
    assert wye.convert_response(answer_in("openai_chat"), to="claude", from_="chat", strict=True).losses == []


def chunk(**members: Any) -> bytes:
    head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "up", "choices": []}
    return b"data: %b\n\n" % json.encode({**head, **members})


def delta(text: str, choice: int = 0) -> dict[str, Any]:
    return {"index": choice, "delta": {"content": text}, "finish_reason": None}


LOSSY = [chunk(choices=[delta("Vin")]), chunk(choices=[delta("es"), delta("Ivy", 1)]), chunk(choices=[delta(".")])]


def test_losses_of_a_stream_fill_in_as_it_is_read() -> None:
    stream = wye.convert_stream(LOSSY, to="claude", from_="chat")
    assert stream.losses == []
    assert b"Vin" in next(stream)
    assert stream.losses == []
    assert b"es" in next(stream)
    assert [loss.field for loss in stream.losses] == ["choices[1]"]


def test_a_stream_that_loses_something_ends_there_when_strict() -> None:
    stream = wye.convert_stream(LOSSY, to="claude", from_="chat", strict=True)
    assert b"Vin" in next(stream)
    with pytest.raises(wye.LossRefused, match="choices"):
        next(stream)
    assert list(stream) == []


def test_a_stream_for_a_caller_who_did_not_ask_for_usage() -> None:
    data = stream_in("anthropic_messages")
    asked = b"".join(wye.convert_stream([data], to="chat", from_="claude", request=CHAT))
    assert b"usage" not in asked
    anybody = b"".join(wye.convert_stream([data], to="chat", from_="claude"))
    assert b'"prompt_tokens":5' in anybody


def test_a_stream_of_bedrock_as_server_sent_events() -> None:
    data = [stream_in("openai_chat")]
    own = wye.convert_stream(data, to="converse", from_="chat")
    assert own.content_type == "application/vnd.amazon.eventstream"
    assert b"".join(own)[:2] == b"\0\0"
    events = wye.convert_stream(data, to="converse", from_="chat", sse=True)
    assert events.content_type.startswith("text/event-stream")
    assert b"".join(events).startswith(b"event: messageStart\n")
    assert wye.convert_stream(data, to="claude", from_="chat", sse=True).content_type.startswith("text/event-stream")


@pytest.mark.parametrize("size", CHUNK_SIZES)
@pytest.mark.parametrize("one", sorted(name for name in SPOKEN if DIALECTS[name].as_sse))
def test_a_stream_of_bedrock_is_read_in_either_framing(one: str, size: int) -> None:
    events = b"".join(wye.convert_stream([b"", stream_in(one)], to=one, from_=one, sse=True))
    stream = wye.convert_stream(cut(events, size), to="chat", from_=one)
    said = b"".join(stream)
    assert b"Vines" in said
    assert said.endswith(b"data: [DONE]\n\n")
    assert stream.error is None


@pytest.mark.parametrize("size", CHUNK_SIZES)
@pytest.mark.parametrize(
    ("end", "error"),
    [
        (b"", wye.StreamCut),
        (b"data: {broken\n\n", wye.BadAnswer),
        (b'data: {"error": {"message": "too many", "code": "rate_limit_exceeded"}}\n\n', wye.UpstreamRefused),
    ],
    ids=["cut", "no JSON", "refused"],
)
@pytest.mark.parametrize("other", SPOKEN)
def test_an_answer_that_breaks_off_never_looks_complete(
    other: str, end: bytes, error: type[wye.WyeError], size: int
) -> None:
    data = chunk(choices=[delta("Vines")]) + end
    stream = wye.convert_stream(cut(data + b"data: [DONE]\n\n" * bool(end), size), to=other, from_="chat")
    said = b"".join(stream)
    assert isinstance(stream.error, error)
    with pytest.raises(wye.UpstreamError):
        folded(other, said)


async def test_an_asynchronous_answer_that_breaks_off_says_so_too() -> None:
    stream = wye.convert_stream(later(iter([chunk(choices=[delta("Vines")])])), to="claude", from_="chat")
    said = b"".join([piece async for piece in stream])
    assert b"event: error" in said
    assert isinstance(stream.error, wye.StreamCut)


def test_what_the_source_of_a_stream_raises_goes_through() -> None:
    def failing() -> Iterator[bytes]:
        yield chunk(choices=[delta("Vines")])
        raise ConnectionResetError

    stream = wye.convert_stream(failing(), to="claude", from_="chat")
    assert b"Vines" in next(stream)
    with pytest.raises(ConnectionResetError):
        next(stream)


@pytest.mark.parametrize("piece", ["data: {}", 7, None, [b"x"]])
def test_a_stream_is_of_bytes(piece: Any) -> None:
    with pytest.raises(wye.BadRequest, match="chunks of bytes") as caught:
        list(wye.convert_stream(iter([piece, b"never"]), to="claude", from_="chat"))
    assert caught.value.param == "chunks"


circle: dict[str, Any] = {}
circle["messages"] = circle


NO_OBJECTS: dict[str, Any] = {
    "no bytes": b"",
    "cut": b"{",
    "an array": b"[]",
    "no UTF-8": b"\xff{}",
    "no text": "",
    "null": "null",
    "half a surrogate": "\ud800",
    "half a surrogate in JSON": '"\\ud800"',
    "too deep": b"[" * 100_000,
    "an object of Python's": {"messages": object()},
    "half a surrogate in a dict": {"messages": "\ud800"},
    "a circle": circle,
    "a key that is no text": {("a",): 1},
    "nothing": None,
    "a number": 7,
    "a list": [CHAT],
}


@pytest.mark.parametrize("body", NO_OBJECTS.values(), ids=NO_OBJECTS)
def test_what_is_no_json_object(body: Any) -> None:
    for convert in (
        lambda: wye.detect(body),
        lambda: wye.convert_request(body, to="claude"),
        lambda: wye.convert_request(body, to="claude", from_="openai"),
        lambda: wye.convert_response({}, to="claude", from_="chat", request=body or b""),
        lambda: wye.convert_stream([], to="claude", from_="chat", request=body or b""),
    ):
        with pytest.raises(wye.BadRequest) as caught:
            convert()
        assert caught.value.code == "invalid_json"
    with pytest.raises(wye.BadAnswer):
        wye.convert_response(body, to="claude", from_="chat")


@pytest.mark.parametrize(
    ("body", "more", "error", "param"),
    [
        (CHAT, {"to": "morse"}, wye.BadRequest, "to"),
        (CHAT, {"to": "claude", "from_": "morse"}, wye.BadRequest, "from_"),
        ({"prompt": "Hi"}, {"to": "claude"}, wye.BadRequest, "from_"),
        ({"messages": []}, {"to": "claude", "model": "m"}, wye.Unprocessable, "messages"),
        ({**CHAT, "messages": [{"role": 7}]}, {"to": "claude"}, wye.CallerError, "messages[0].role"),
        ({"inputText": "Hi"}, {"to": "chat"}, wye.BadRequest, "model"),
        ({**CHAT, "n": "two"}, {"to": "claude"}, wye.BadRequest, "n"),
    ],
)
def test_mistakes_of_a_request_are_named(
    body: dict[str, Any], more: dict[str, Any], error: type[wye.WyeError], param: str
) -> None:
    with pytest.raises(error) as caught:
        wye.convert_request(body, **more)
    assert caught.value.param == param


def test_mistakes_of_an_answer_are_its_own() -> None:
    with pytest.raises(wye.BadAnswer):
        wye.convert_response({"choices": 7}, to="claude", from_="chat")
    with pytest.raises(wye.UpstreamRefused, match="too many"):
        wye.convert_response({"error": {"message": "too many"}}, to="claude", from_="chat")
    for names in ({"to": "morse", "from_": "chat"}, {"to": "chat", "from_": "morse"}):
        with pytest.raises(wye.BadRequest, match="morse"):
            wye.convert_response(answer_in("openai_chat"), **names)
        with pytest.raises(wye.BadRequest, match="morse"):
            wye.convert_stream([], **names)


def test_an_answer_repeats_what_its_dialect_repeats_of_a_request() -> None:
    asked = {"model": "m", "input": "Hi", "instructions": "Be brief.", "temperature": 0.5}
    said = wye.convert_response(answer_in("bedrock_titan"), to="responses", from_="bedrock_titan", request=asked)
    assert (said.body["instructions"], said.body["temperature"], said.body["model"]) == ("Be brief.", 0.5, "m")


def test_what_a_dialect_says_in_headers() -> None:
    asked = wye.convert_request({**CHAT, "service_tier": "priority"}, to="bedrock_claude")
    assert asked.headers == {"x-amzn-bedrock-service-tier": "priority"}
    assert asked.losses == []
    assert wye.convert_request({**CHAT, "service_tier": "priority"}, to="responses").headers == {}


COUNTED = {"X-Amzn-Bedrock-Input-Token-Count": "7", "X-Amzn-Bedrock-Output-Token-Count": "2"}
IN_HEADERS = {**COUNTED, "x-amzn-bedrock-service-tier": "flex", "Date": "\u2603"}


def test_what_an_answer_says_in_headers() -> None:
    body = {"outputs": [{"text": "Hi", "stop_reason": "stop"}]}
    said = wye.convert_response(body, to="chat", from_="bedrock_mistral_prompt", headers=IN_HEADERS)
    assert said.body["usage"]["total_tokens"] == 9
    assert said.body["service_tier"] == "flex"
    assert "usage" not in wye.convert_response(body, to="chat", from_="bedrock_mistral_prompt").body
    # Anthropic's answers say all in their bodies.
    whole = wye.convert_response(answer_in("anthropic_messages"), to="chat", from_="claude", headers=IN_HEADERS)
    assert whole == wye.convert_response(answer_in("anthropic_messages"), to="chat", from_="claude")


def test_what_a_body_counts_goes_before_its_headers() -> None:
    body = answer_in("bedrock_titan")
    said = wye.convert_response(body, to="chat", from_="bedrock_titan", headers={**COUNTED})
    assert said.body["usage"] == wye.convert_response(body, to="chat", from_="bedrock_titan").body["usage"]


def test_what_a_stream_says_in_headers() -> None:
    chunks = [b'data: {"outputs":[{"text":"Hi","stop_reason":"stop"}]}\n\n']
    stream = wye.convert_stream(chunks, to="chat", from_="bedrock_mistral_prompt", headers=IN_HEADERS)
    told = folded("openai_chat", b"".join(stream))
    assert (told.service_tier, told.usage) == ("flex", Usage(7, 2))


@pytest.mark.parametrize("to", [name for name in DIALECTS if DIALECTS[name].headers])
def test_what_an_answer_tells_beside_its_body_comes_back(to: str) -> None:
    body = {**answer_in("openai_chat"), "service_tier": "flex"}
    said = wye.convert_response(body, to=to, from_="chat")
    again = wye.convert_response(said.body, to="chat", from_=to, headers=said.headers)
    if DIALECTS[to].model_in_path:
        assert said.headers["x-amzn-bedrock-service-tier"] == again.body["service_tier"] == "flex"
        assert "latency" not in "".join(said.headers)
    else:
        assert said.headers == {}
    assert again.body["usage"]["total_tokens"] == body["usage"]["total_tokens"]


def test_what_a_stream_tells_beside_itself_is_known_once_it_has_begun() -> None:
    chunks = [
        b'data: {"id":"c","model":"m","service_tier":"flex","choices":[{"index":0,"delta":{"content":"Hi"}}]}\n\n'
    ]
    stream = wye.convert_stream(chunks, to="bedrock_titan", from_="chat")
    assert stream.headers == {}
    next(stream)
    assert stream.headers["x-amzn-bedrock-service-tier"] == "flex"
    assert not any(loss.field == "service_tier" for loss in stream.losses)


def test_what_a_caller_says_in_headers() -> None:
    asked = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 9, "messages": CHAT["messages"]}
    given = {"X-Amzn-Bedrock-Trace": "ENABLED", "X-Amzn-Bedrock-Service-Tier": "flex"}
    said = wye.convert_request(asked, to="converse", headers=given).body
    assert (said["guardrailConfig"], said["serviceTier"]) == ({"trace": "enabled"}, {"type": "flex"})
    # OpenAI's requests say all in their bodies.
    assert wye.convert_request(CHAT, to="claude", headers=given) == wye.convert_request(CHAT, to="claude")


def test_an_upstreams_quirks_are_kept() -> None:
    asked = wye.convert_request(
        {"model": "c", "max_tokens": 9, "system": "s", "messages": [{"role": "user", "content": "Hi"}]},
        to="chat",
        model="o9",
        quirks=wye.Quirks(max_tokens_key="max_completion_tokens", developer_role=True),
    )
    assert asked.source == "anthropic_messages"
    assert asked.body["max_completion_tokens"] == 9
    assert asked.body["model"] == "o9"


def test_the_page_of_the_library_names_every_dialect() -> None:
    page = (Path(__file__).parents[2] / "docs" / "library.md").read_text()
    assert [name for name in (*DIALECTS, *ALIASES) if f"`{name}`" not in page] == []


def test_the_package_offers_what_it_names() -> None:
    assert all(getattr(wye, name) is not None for name in wye.__all__)
    with pytest.raises(AttributeError, match="nothing"):
        _ = wye.nothing


PATCH: dict[str, Any] = {
    "model": "m",
    "input": "Fix it",
    "tools": [{"type": "custom", "name": "patch", "format": {"type": "text"}}],
    "stream": True,
}


@pytest.mark.parametrize("native", [True, False])
def test_tools_of_free_text_are_functions_where_there_are_only_functions(native: bool) -> None:
    chat = wye.convert_request(PATCH, to="openai_chat", quirks=None if native else Quirks()).body
    assert chat["tools"][0]["type"] == ("custom" if native else "function")
    claude = wye.convert_request(PATCH, to="anthropic")
    assert [tool["input_schema"]["required"] for tool in claude.body["tools"]] == [["input"]]
    assert "tools[0]" not in [loss.field for loss in claude.losses]


def test_calls_of_such_tools_are_texts_again() -> None:
    block = {"type": "tool_use", "id": "t1", "name": "patch", "input": {"input": "*** a"}}
    reply = {"id": "1", "type": "message", "role": "assistant", "model": "c", "content": [block],
             "stop_reason": "tool_use", "usage": {"input_tokens": 1, "output_tokens": 1}}  # fmt: skip
    whole = wye.convert_response(reply, to="responses", from_="anthropic", request=PATCH).body
    events = unfold(DIALECTS["anthropic_messages"].decode_response(reply))
    encoder = DIALECTS["anthropic_messages"].stream_encoder(ChatRequest(model="m", messages=[]), Losses())
    stream = b"".join(encoder.encode(event) for event in events)
    said = b"".join(wye.convert_stream([stream], to="responses", from_="anthropic", request=PATCH))
    (call,) = folded("openai_responses", said).choices[0].parts
    assert isinstance(call, ToolCall)
    assert (call.kind, call.name, call.arguments) == ("custom", "patch", "*** a")
    assert [(item["type"], item["input"]) for item in whole["output"]] == [("custom_tool_call", "*** a")]


def test_what_a_vendor_keeps_is_no_ones_else_to_answer() -> None:
    body = {**CHAT, "messages": CHAT["messages"][1:], "thread": {"type": "create"}}
    assert wye.convert_request(body, to="anthropic", from_="anthropic").body["thread"] == {"type": "create"}
    with pytest.raises(BadRequest) as refused:
        wye.convert_request(body, to="openai", from_="anthropic")
    assert refused.value.code == "thread_unsupported_request"
