"""botocore as the judge: its model of the service must accept what Wye sends, and its parsers read what Wye answers."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Any

import pytest
from botocore.eventstream import EventStream
from botocore.exceptions import EventStreamError
from botocore.loaders import Loader
from botocore.model import ListShape, MapShape, ServiceModel, Shape, StructureShape
from botocore.parsers import EventStreamJSONParser, RestJSONParser
from botocore.validate import ParamValidator

from wye.canon.events import Failure, PartStart, Start, TextDelta
from wye.canon.fold import unfold
from wye.canon.loss import Losses
from wye.canon.parts import (
    Audio,
    Base64,
    CacheMark,
    Citation,
    Document,
    Image,
    Opaque,
    PlainText,
    Refusal,
    SearchResult,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Url,
)
from wye.canon.request import ChatRequest, Message, OutputFormat, Reasoning
from wye.canon.response import ChatResponse, Choice
from wye.canon.tools import FunctionTool, ToolChoice
from wye.canon.usage import Usage
from wye.dialects.bedrock_converse import DIALECT, encode_count_request
from wye.dialects.dialect import Quirks
from wye.kernel import json
from wye.kernel.errors import BadRequest, ClockExpired, Forbidden, LimitExceeded, NotFound, Overloaded, WyeError

CORPUS = Path(__file__).parents[3] / "golden" / "bedrock_converse"
SERVICE = ServiceModel(Loader().load_service_model("bedrock-runtime", "service-2"), "bedrock-runtime")
CONVERSE, STREAM = SERVICE.operation_model("Converse"), SERVICE.operation_model("ConverseStream")
CLAUDE = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
PNG = "iVBORw0KGgo="

NEW_TO_THE_SDK = {
    "cache_points",
    "documents",
    "images",
    "settings",
    "unknown_members_everywhere",
    "citations_in_history",
    "guarded",
    "search_results",
}
"""Requests of the corpus with members and blocks that botocore does not know."""


def given(value: Any, shape: Shape | None) -> Any:
    """A body as the parameters that botocore makes it from: bytes for base64."""
    if isinstance(shape, StructureShape) and isinstance(value, dict) and not shape.is_document_type:
        return {name: given(member, shape.members.get(name)) for name, member in value.items()}
    if isinstance(shape, ListShape) and isinstance(value, list):
        return [given(item, shape.member) for item in value]
    if isinstance(shape, MapShape) and isinstance(value, dict):
        return {name: given(member, shape.value) for name, member in value.items()}
    if shape is not None and shape.type_name == "blob":
        return base64.b64decode(value)
    return value


def problems(body: dict[str, Any], operation: Any = CONVERSE) -> str:
    shape = operation.input_shape
    return ParamValidator().validate({"modelId": "m", **given(body, shape)}, shape).generate_report()


def beyond(value: Any, shape: Shape | None, at: str = "") -> list[str]:
    """What the service refuses though botocore sends it: words that are none of an enum's, texts of another form."""
    if isinstance(shape, StructureShape):
        members = {} if shape.is_document_type else value
        return [line for name, inner in members.items() for line in beyond(inner, shape.members[name], f"{at}.{name}")]
    if isinstance(shape, ListShape):
        return [line for item in value for line in beyond(item, shape.member, f"{at}[]")]
    if isinstance(shape, MapShape):
        return [line for item in value.values() for line in beyond(item, shape.value, f"{at}[]")]
    assert shape is not None
    words = getattr(shape, "enum", ())
    wrong = words and value not in words
    pattern, longest = shape.metadata.get("pattern"), shape.metadata.get("max")
    wrong = wrong or (pattern and not re.fullmatch(pattern, value))
    wrong = wrong or (longest and (len(value) if isinstance(value, str) else value) > longest)
    return [f"{at}: {value!r}"] if wrong else []


def parsed(body: dict[str, Any], status: int = 200, headers: dict[str, str] | None = None) -> dict[str, Any]:
    http = {"status_code": status, "headers": headers or {}, "body": json.encode(body)}
    return RestJSONParser().parse(http, CONVERSE.output_shape)


class Wire:
    """The bytes of a stream, as urllib3 would give them."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def stream(self) -> list[bytes]:
        return [self.data[i : i + 50] for i in range(0, len(self.data), 50)]


def streamed(events: list[Any]) -> list[dict[str, Any]]:
    encoder = DIALECT.stream_encoder(ChatRequest(model="", messages=[]), Losses())
    wire = Wire(b"".join(map(encoder.encode, events)))
    shape = STREAM.get_event_stream_output()
    return list(EventStream(wire, shape, EventStreamJSONParser(), "ConverseStream"))


FOREIGN_REQUESTS = {
    "everything": ChatRequest(
        model=CLAUDE,
        messages=[
            Message("system", [Text("Be brief.", cache=CacheMark("1h"))]),
            Message("developer", [Text("No jokes.")]),
            Message(
                "user",
                [
                    Text("Look"),
                    Image(Base64(PNG, "image/jpg")),
                    Image(Base64("/9j/")),
                    Image(Url("s3://bucket/a.png")),
                    Document(Base64("JVBERi0=", "application/pdf"), "quarter_2.report.pdf", citations=True),
                    Document(PlainText("plain")),
                    Document(Base64("eA==", "text/x-python")),
                    SearchResult("kb://1", "One", [Text("a")], citations=True, cache=CacheMark()),
                    Audio("AAAA", "mp3"),
                ],
            ),
            Message(
                "assistant",
                [
                    Thinking("Hm.", "sig", origin="anthropic"),
                    Thinking(redacted="EmwKAhgB"),
                    Text("So.", [Citation("page", "q", "t", document=0, start=1, end=2)]),
                    ToolCall("call|1/with spaces" + "x" * 70, "f", '{"a":1}'),
                ],
            ),
            Message("user", [ToolResult("call|1/with spaces" + "x" * 70, [Text("r"), Image(Base64(PNG))], False)]),
        ],
        max_tokens=9,
        temperature=1.7,
        top_p=0.5,
        top_k=3,
        stop=["x"],
        tools=[FunctionTool("f", "", cache=CacheMark()), FunctionTool("g", "d", {"type": "object"}, strict=True)],
        tool_choice=ToolChoice("named", "f"),
        reasoning=Reasoning("enabled", "high", 1024),
        output=OutputFormat("json_schema", {"type": "object"}, "n", "d"),
        cache=CacheMark(),
        metadata={"team": "harbour"},
        service_tier="priority",
    ),
    "no tools any more": ChatRequest(
        model=CLAUDE,
        messages=[
            Message("user", [Text("a")]),
            Message("assistant", [ToolCall("c", "f", "")]),
            Message("user", [ToolResult("c", [])]),
        ],
    ),
}


@pytest.mark.parametrize("name", FOREIGN_REQUESTS)
def test_what_other_dialects_ask_is_a_request_to_botocore(name: str) -> None:
    body = DIALECT.encode_request(FOREIGN_REQUESTS[name], Losses(), Quirks())
    assert problems(body) == problems(body, STREAM) == ""
    assert beyond(given(body, CONVERSE.input_shape), CONVERSE.input_shape) == []
    counted = encode_count_request(FOREIGN_REQUESTS[name], Losses(), Quirks())
    assert problems(counted, SERVICE.operation_model("CountTokens")) == ""


@pytest.mark.parametrize("name", sorted({path.stem for path in CORPUS.glob("requests/*.json")} - NEW_TO_THE_SDK))
def test_the_corpus_is_what_botocore_means_by_a_request(name: str) -> None:
    wire = json.decode((CORPUS / "requests" / f"{name}.json").read_bytes())["wire"]
    assert problems(DIALECT.encode_request(DIALECT.decode_request(wire), Losses(), Quirks())) == ""


@pytest.mark.parametrize("name", sorted(NEW_TO_THE_SDK))
def test_botocore_refuses_of_the_corpus_only_what_it_does_not_know(name: str) -> None:
    wire = json.decode((CORPUS / "requests" / f"{name}.json").read_bytes())["wire"]
    said = problems(DIALECT.encode_request(DIALECT.decode_request(wire), Losses(), Quirks()))
    assert said
    for line in said.splitlines():
        assert line.startswith(
            ("Unknown parameter", "Invalid number of parameters", "Missing required", "Invalid type")
        ), line


FOREIGN = {
    "bare": ChatResponse(id="", model="m", choices=[Choice([Text("Hi")])]),
    "nothing": ChatResponse(id="x", model="m", choices=[]),
    "calls": ChatResponse(
        id="chatcmpl-1",
        model="m",
        created=1,
        choices=[
            Choice(
                [
                    Text("I look."),
                    ToolCall("c1", "f", '{"a":1}'),
                    ToolCall("c2", "g"),
                    ToolCall("c3", "h", "x", "custom"),
                ],
                "tool_calls",
            )
        ],
        usage=Usage(10, 5, cached_tokens=4, cache_write_tokens=1, reasoning_tokens=1),
        service_tier="default",
    ),
    "thinking": ChatResponse(
        id="x",
        model="m",
        choices=[
            Choice(
                [
                    Thinking("Hm."),
                    Thinking("So.", "sig"),
                    Thinking(redacted="EmwKAhgB", origin="anthropic"),
                    Thinking("Secret.", redacted="gAAAA", id="rs_1", origin="openai"),
                    Opaque("anthropic_messages", {"type": "web_search_tool_result", "content": []}),
                    Text("Yes."),
                ],
                "length",
            )
        ],
    ),
    "refusal": ChatResponse(id="x", model="m", choices=[Choice([Refusal("No.")], "content_filter")]),
    "cited": ChatResponse(
        id="x",
        model="m",
        choices=[Choice([Text("Rain.", [Citation("url", title="T", url="https://x"), Citation("char", "q")])], "stop")],
    ),
    "stop sequence": ChatResponse(id="x", model="m", choices=[Choice([Text("1")], "stop", stop_sequence="2")]),
    "error": ChatResponse(id="x", model="m", choices=[Choice([Text("1")], "error")]),
}


def put_together(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The content of a stream, as a client collects it."""
    blocks: dict[int, dict[str, Any]] = {}
    for event in events:
        if "contentBlockStart" in event:
            start = event["contentBlockStart"]
            blocks[start["contentBlockIndex"]] = {"toolUse": {**start["start"]["toolUse"], "input": ""}}
        elif "contentBlockDelta" in event:
            at, delta = event["contentBlockDelta"]["contentBlockIndex"], event["contentBlockDelta"]["delta"]
            match delta:
                case {"text": text}:
                    block = blocks.setdefault(at, {"text": ""})
                    block["text"] += text
                case {"toolUse": {"input": text}}:
                    blocks[at]["toolUse"]["input"] += text
                case {"reasoningContent": {"redactedContent": _}}:
                    blocks[at] = delta
                case {"reasoningContent": piece}:
                    block = blocks.setdefault(at, {"reasoningContent": {"reasoningText": {"text": ""}}})
                    thought = block["reasoningContent"]["reasoningText"]
                    thought |= {name: thought.get(name, "") + text for name, text in piece.items()}
                case {"citation": citation}:
                    blocks[at].setdefault("citations", []).append(citation)
    for block in blocks.values():
        if "toolUse" in block:
            block["toolUse"]["input"] = json.decode(block["toolUse"]["input"] or "{}")
    content = [blocks[at] for at in sorted(blocks)]
    return [
        {"citationsContent": {"content": [{"text": block["text"]}], "citations": block["citations"]}}
        if "citations" in block
        else block
        for block in content
    ]


@pytest.mark.parametrize("name", FOREIGN)
def test_answers_of_other_dialects_are_messages_to_botocore(name: str) -> None:
    body = DIALECT.encode_response(FOREIGN[name], Losses())
    message = parsed(body)
    shape = CONVERSE.output_shape
    assert ParamValidator().validate(given(body, shape), shape).generate_report() == ""
    events = streamed(unfold(FOREIGN[name]))
    assert put_together(events) == message["output"]["message"]["content"]
    kinds = [next(iter(event)) for event in events]
    assert (kinds[0], kinds[-2:]) == ("messageStart", ["messageStop", "metadata"])
    assert events[-2]["messageStop"]["stopReason"] == message["stopReason"]
    assert events[-1]["metadata"]["usage"] == message["usage"]


@pytest.mark.parametrize("name", sorted({path.stem for path in CORPUS.glob("streams/*.sse")} - {"unknown_members"}))
def test_the_corpus_is_what_botocore_means_by_a_stream(name: str) -> None:
    answer = DIALECT.decode_response(json.decode((CORPUS / "responses" / f"{name}.json").read_bytes()))
    events = streamed(unfold(answer))
    assert events[-1]["metadata"]["metrics"] == {"latencyMs": 321}


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (BadRequest("Bad"), "ValidationException"),
        (Forbidden("No"), "AccessDeniedException"),
        (NotFound("Where"), "ResourceNotFoundException"),
        (LimitExceeded("Slow down"), "ThrottlingException"),
        (Overloaded("Full"), "ServiceUnavailableException"),
    ],
)
def test_errors_are_read_by_botocore_as_what_they_are(error: WyeError, code: str) -> None:
    assert DIALECT.error_headers is not None
    headers = {name.decode(): value.decode() for name, value in DIALECT.error_headers(error)}
    answer = parsed(DIALECT.encode_error(error, "req-1"), error.status, headers)
    assert answer["Error"] == {"Message": error.message, "Code": code}


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Overloaded("Full"), "serviceUnavailableException"),
        (LimitExceeded("Slow"), "throttlingException"),
        (BadRequest("Bad"), "validationException"),
        (ClockExpired("gap_s", 5), "modelStreamErrorException"),
    ],
)
def test_an_error_after_the_beginning_is_raised_by_botocore(error: WyeError, code: str) -> None:
    with pytest.raises(EventStreamError, match=error.message[:4]) as caught:
        streamed([Start("i", "m"), PartStart(0, Text("")), TextDelta(0, "a"), Failure(error)])
    assert caught.value.response["Error"]["Code"] == code
    assert code in STREAM.get_event_stream_output().members
