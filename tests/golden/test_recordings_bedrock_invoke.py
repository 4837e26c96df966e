"""Real traffic in InvokeModel's families, where it lies beside the repository: nothing of it gets lost on the way.

Of InvokeModel itself little is recorded. Its largest families speak what is: Claude's is Anthropic's format, Nova's
chunks are Converse's events, and bedrock_openai is OpenAI's. So their traffic is put in its frames here.
"""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from wye.canon.events import End, Event, Failure
from wye.canon.fold import fold, unfold
from wye.canon.loss import Losses
from wye.canon.parts import Text, Thinking, ToolCall
from wye.canon.request import ChatRequest
from wye.canon.response import ChatResponse
from wye.dialects.bedrock_invoke.claude import VERSION
from wye.dialects.bedrock_invoke.families import family_of
from wye.dialects.bedrock_invoke.metrics import MEMBER, encode_metrics
from wye.dialects.dialect import Dialect, Quirks
from wye.dialects.registry import DIALECTS
from wye.kernel import eventstream, json, sse

SHARED = Path(__file__).parents[3] / "shared"
RECORDINGS = SHARED / "recordings"
CAPTURES = SHARED / "captures"
CLAUDE, NOVA, OPENAI = (DIALECTS[f"bedrock_{family}"] for family in ("claude", "nova", "openai"))
SPOKEN_BY = {
    "anthropic_messages": CLAUDE,
    "openai_chat": OPENAI,
    "bedrock_converse_stream": NOVA,
    "bedrock_converse": None,
    "openai_responses": None,
}
"""The APIs that are recorded, and the family that speaks as each does."""
QUIRKS = Quirks(max_tokens_key="max_completion_tokens")
MOST_BYTES = {1: 8_000, 7: 30_000}
"""Of a stream that is cut into pieces of a size, lest it take long."""
WITHOUT_A_REASON = {"openai_chat/llm__test_tools_streaming_variant_a__0"}
"""Only its [DONE] tells that it is complete, which AWS's frames do not have."""


@pytest.fixture(scope="module")
def recordings() -> list[dict[str, Any]]:
    if not RECORDINGS.is_dir():
        pytest.skip("there are no recordings beside the repository")
    entries = json.decode((RECORDINGS / "index.json").read_bytes())["entries"]
    return [entry for entry in entries if entry["status"] == 200]


@pytest.fixture(scope="module")
def requests() -> list[tuple[str, str, dict[str, Any]]]:
    """What clients sent to InvokeModel: where from, for which model, and the body."""
    if not RECORDINGS.is_dir():
        pytest.skip("there are no recordings beside the repository")
    entries = json.decode((RECORDINGS / "index.json").read_bytes())["entries"]
    invoked = [entry for entry in entries if entry["api"] == "bedrock_invoke"]
    found = [(entry["id"], entry["model"], read(entry["request_file"])) for entry in invoked]
    for path in sorted(CAPTURES.glob("*/*.json")):
        capture = json.decode(path.read_bytes())
        _, _, asked = capture["path"].partition("/model/")
        model, _, operation = asked.partition("/")
        if operation.startswith("invoke") and capture["status"] == 200:
            found.append((f"{path.parent.name}/{path.name}", unquote(model), capture["body"]))
    return [(name, model, body) for name, model, body in found if "embed" not in model]


def read(file: str) -> dict[str, Any]:
    return json.decode((RECORDINGS / file).read_bytes())


def chunks(entry: dict[str, Any]) -> list[bytes]:
    """A recorded stream's frames as the chunks of the family that speaks so. The last holds metrics, as Bedrock's."""
    wire = (RECORDINGS / entry["response_file"]).read_bytes()
    if entry["format"] == "eventstream":
        said = [{sent.text(":event-type"): json.decode(sent.payload)} for sent in eventstream.parse(wire)]
    else:
        decoder = sse.SseDecoder()
        frames = decoder.feed(wire) + decoder.close()
        said = [json.decode(found.data) for found in frames if found.data != b"[DONE]"]
    usage = fold(events_of(DIALECTS[entry["api"].removesuffix("_stream")], wire, len(wire))).usage
    if usage is not None:
        said[-1] = {**said[-1], MEMBER: {**encode_metrics(usage), "invocationLatency": 9, "firstByteLatency": 1}}
    return [json.encode(chunk) for chunk in said]


def framed(chunks: list[bytes], framing: str) -> bytes:
    if framing == "as_sse":
        return b"".join(sse.frame(chunk) for chunk in chunks)
    payloads = [b'{"bytes":"%b","p":"abcdefg"}' % b64encode(chunk) for chunk in chunks]
    return b"".join(eventstream.message("chunk", payload) for payload in payloads)


def events_of(dialect: Dialect, wire: bytes, size: int) -> list[Event]:
    decoder = dialect.stream_decoder()
    events = [event for start in range(0, len(wire), size) for event in decoder.feed(wire[start : start + size])]
    return events + decoder.close()


def encoded(dialect: Dialect, events: list[Event]) -> bytes:
    losses = Losses()
    encoder = dialect.stream_encoder(ChatRequest(model="", messages=[]), losses)
    wire = b"".join(encoder.encode(event) for event in events)
    assert losses == []
    return wire


def plain(value: Any) -> Any:
    """Without what says nothing (nulls), and lone texts as strings."""
    if isinstance(value, list):
        return [plain(item) for item in value]
    if not isinstance(value, dict):
        return value
    members = {name: plain(member) for name, member in value.items() if member is not None}
    match members.get("content"):
        case [{"type": "text", "text": str(text), **more}] if not more:
            members["content"] = text
    return members


def told(answer: ChatResponse) -> Any:
    """What every dialect tells of an answer."""
    usage, (choice,) = answer.usage, answer.choices
    text = "".join(part.text for part in choice.parts if isinstance(part, Text | Thinking))
    calls = [(part.id, part.name, part.arguments) for part in choice.parts if isinstance(part, ToolCall)]
    return text, calls, choice.finish_reason, usage and (usage.input_tokens, usage.output_tokens)


def meaning(dialect: Dialect, answer: ChatResponse) -> dict[str, Any]:
    """The answer as a body, without an id that had to be made."""
    return {name: value for name, value in dialect.encode_response(answer, Losses()).items() if name != "id"}


def test_real_requests_tell_their_family_and_come_out_as_they_came_in(
    requests: list[tuple[str, str, dict[str, Any]]],
) -> None:
    seen: set[str] = set()
    for name, model, body in requests:
        dialect = family_of(model, body)
        seen.add(dialect.name)
        losses = Losses()
        said = dialect.encode_request(dialect.decode_request(body), losses, QUIRKS)
        assert plain(said) == plain(body), name
        assert losses == [], name
    assert seen == {"bedrock_claude", "bedrock_nova", "bedrock_openai"}


def test_real_answers_come_out_as_they_came_in(recordings: list[dict[str, Any]]) -> None:
    for entry in recordings:
        if entry["api"] == "bedrock_invoke" and "embed" not in entry["model"]:
            body = read(entry["response_file"])
            losses = Losses()
            answer = CLAUDE.decode_response(body)
            assert plain(CLAUDE.encode_response(answer, losses)) == plain(body)
            for dialect in (CLAUDE, CLAUDE.as_sse or CLAUDE):
                again = fold(events_of(dialect, encoded(dialect, unfold(answer)), 1 << 20))
                assert plain(CLAUDE.encode_response(again, losses)) == plain(body)
            assert losses == []


def test_requests_of_anthropic_s_api_say_the_same_to_claude_on_bedrock(recordings: list[dict[str, Any]]) -> None:
    messages = DIALECTS["anthropic_messages"]
    for entry in recordings:
        if entry["api"] == "anthropic_messages" and entry["request_file"]:
            body = read(entry["request_file"])
            said = messages.encode_request(messages.decode_request(body), Losses(), Quirks())
            expected = {"anthropic_version": VERSION, **said}
            for name in ("model", "stream", "service_tier"):
                expected.pop(name, None)
            given = {**body, "anthropic_version": VERSION}
            assert CLAUDE.encode_request(CLAUDE.decode_request(given), Losses(), Quirks()) == expected, entry["id"]


@pytest.mark.parametrize("size", [1, 7, 64, 1 << 20])
@pytest.mark.parametrize("framing", ["native", "as_sse"])
def test_real_streams_in_its_frames_hold_the_same_answer_however_they_are_cut(
    recordings: list[dict[str, Any]], framing: str, size: int
) -> None:
    for entry in recordings:
        dialect = SPOKEN_BY.get(entry["api"])
        if dialect is None or entry["format"] == "json" or entry["bytes"] > MOST_BYTES.get(size, entry["bytes"]):
            continue
        spoken = dialect if framing == "native" or dialect.as_sse is None else dialect.as_sse
        wire = framed(chunks(entry), framing)
        events = events_of(spoken, wire, size)
        if entry["id"] in WITHOUT_A_REASON:
            assert isinstance(events[-1], Failure), entry["id"]
            continue
        assert isinstance(events[-1], End), entry["id"]
        whole = (RECORDINGS / entry["response_file"]).read_bytes()
        original = fold(events_of(DIALECTS[entry["api"].removesuffix("_stream")], whole, len(whole)))
        answer = fold(events)
        assert told(answer) == told(original), entry["id"]
        again = fold(events_of(spoken, encoded(spoken, events), size))
        assert meaning(dialect, again) == meaning(dialect, answer), entry["id"]
