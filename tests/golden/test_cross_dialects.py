"""One dialect in, the other out: what the corpus says is said again, or the loss of it has a name."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from anthropic.types import Message as AnthropicMessage
from anthropic.types import RawMessageStreamEvent
from msgspec.structs import replace
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter, ValidationError

from wye.canon.events import Event
from wye.canon.fold import fold
from wye.canon.loss import Losses
from wye.canon.parts import Refusal, Text, Thinking, ToolCall
from wye.canon.request import ChatRequest
from wye.canon.response import ChatResponse
from wye.canon.seal import unseal
from wye.canon.usage import Usage
from wye.dialects.dialect import Dialect, Quirks
from wye.dialects.registry import DIALECTS
from wye.kernel import clock, ids, json
from wye.kernel.errors import BadRequest, UpstreamRefused, WyeError
from wye.kernel.sse import SseDecoder

GOLDEN = Path(__file__).parent
OPENAI, ANTHROPIC = DIALECTS["openai_chat"], DIALECTS["anthropic_messages"]
RESPONSES = DIALECTS["openai_responses"]
SPOKEN = (OPENAI, RESPONSES, ANTHROPIC)
PAIRS = [(one, other) for one in SPOKEN for other in SPOKEN if one is not other]
"""Member by member; every other pair is looked at by its facts, in tests/fidelity."""

CONTENT_WITHOUT_WORDS = {
    ("openai_chat", "anthropic_messages", "audio_in_history"): "messages[1].content[0]",
    ("openai_chat", "anthropic_messages", "parts"): "messages[1].content[3]",
    ("openai_chat", "anthropic_messages", "unknown_members_everywhere"): "messages[0].content[2]",
    ("openai_chat", "openai_responses", "audio_in_history"): "messages[1].content[0]",
    ("openai_responses", "anthropic_messages", "parts"): "messages[0].content[8]",
    ("openai_responses", "anthropic_messages", "unknown_members_everywhere"): "messages[0].content[1]",
    ("openai_responses", "openai_chat", "assistant_with_an_image"): "messages[1].content",
    ("openai_responses", "openai_chat", "built_in_items"): "messages[1].content",
    ("openai_responses", "openai_chat", "output_without_a_call"): "messages[1].content",
    ("openai_responses", "openai_chat", "parts"): "messages[0].content[3]",
    ("openai_responses", "openai_chat", "unknown_members_everywhere"): "messages[0].content[3]",
    ("anthropic_messages", "openai_chat", "documents"): "messages[0].content[2]",
    ("anthropic_messages", "openai_chat", "images"): "messages[0].content[2]",
    ("anthropic_messages", "openai_responses", "documents"): "messages[0].content[4]",
}
"""Requests that the other dialect cannot say: audio, a document by its URL or with images in it, an image by its id,
a message of which nothing is left."""


INPUT_ELSEWHERE = {"conversation", "prompt", "state_without_input"}
"""Requests whose input OpenAI keeps: nothing is left to say where another dialect comes out, and that is reported."""

OTHER_REASONS = {
    # Anthropic's answers tell of a refusal only by the reason; neither it nor chat has a word for an error.
    ("openai_chat", "anthropic_messages", "refusal"): "content_filter",
    ("openai_responses", "anthropic_messages", "refusal"): "content_filter",
    ("openai_responses", "anthropic_messages", "text_and_refusal"): "content_filter",
    ("openai_chat", "anthropic_messages", "error_reason"): "length",
    ("openai_responses", "anthropic_messages", "cancelled"): "length",
    ("openai_responses", "openai_chat", "cancelled"): "length",
    # Of calls only those that are understood end a response.
    ("openai_chat", "openai_responses", "calls_not_understood"): "stop",
}

SAID_AS_A_FAILURE = {("openai_chat", "openai_responses", "error_reason")}
"""Where an answer that an error ended is one that failed."""

NEW_TO_THE_SDK = {
    ("anthropic_messages", "openai_chat", "cited_search"): {("choices", 0, "message", "annotations", 1)},
    ("anthropic_messages", "openai_chat", "unfinished"): {("choices", 0, "finish_reason")},
    ("openai_responses", "openai_chat", "cited_files"): {("choices", 0, "message", "annotations", i) for i in (0, 1)},
    ("openai_responses", "openai_chat", "cited_page"): {("choices", 0, "message", "annotations", i) for i in (0, 1)},
    ("openai_responses", "openai_chat", "queued"): {("choices", 0, "finish_reason")},
}
"""Where an answer is none to OpenAI's types: a citation of no URL, an answer that is not finished."""

NO_CHUNK_TO_THE_SDK = {("openai_responses", "openai_chat", "custom_tool")}
"""OpenAI's types of chat streams know no custom tools, which its whole answers have."""


WITHOUT_A_TRACE = {
    "created": "Anthropic's answers are dated by the HTTP header",
    "choices.*.index": "only the first choice is said, the others are named as lost",
    "choices.*.message.reasoning_content": "the details say the same",
    "choices.*.message.reasoning_details.*.index": "their order tells it",
    "messages.*.reasoning_content": "the details say the same",
    "messages.*.reasoning_details.*.index": "their order tells it",
    "choices.*.message.annotations.*.citation.start_index": "the loss is named text_start",
    "choices.*.message.annotations.*.citation.end_index": "the loss is named text_start",
    "choices.*.message.annotations.*.url_citation.start_index": "the loss is named text_start",
    "choices.*.message.annotations.*.url_citation.end_index": "the loss is named text_start",
}
"""Members that need not come out, each with its reason."""

SAID_BEFORE = {
    "openai_responses": {
        *(
            "background",
            "instructions",
            "max_output_tokens",
            "metadata.a",
            "parallel_tool_calls",
            "previous_response_id",
        ),
        *("reasoning.effort", "reasoning.summary", "store", "temperature", "text.format.name", "text.format.strict"),
        *("text.format.type", "text.verbosity", "tool_choice", "tools.*.name", "tools.*.parameters.type"),
        *("tools.*.strict", "tools.*.type", "top_logprobs", "top_p", "truncation"),
    }
}
"""What answers repeat of their request."""

TOLD_BY_ANOTHER_NAME = {
    "openai_responses": {
        "created_at": "Anthropic's answers are dated by the HTTP header",
        "output.*.content.*.annotations.*.start_index": "the loss is named text_start",
        "output.*.content.*.annotations.*.end_index": "the loss is named text_start",
        "tool_choice.tools.*.type": "the loss is named tool_choice.tools",
        "tools.*.name": "the loss of a namespace is named by its tools",
        "tools.*.description": "the loss of a namespace is named by its tools",
    },
    "openai_chat": {
        f"messages.*.reasoning_details.*.{name}": "the thoughts that OpenAI's models did not write are lost by place"
        for name in ("format", "signature", "text")
    },
    "anthropic_messages": {},
}


def cases(folder: str) -> list[Any]:
    return [
        pytest.param(one, other, path, id=f"{path.stem}: {one.name} to {other.name}")
        for one, other in PAIRS
        for path in sorted((GOLDEN / one.name / folder).iterdir())
    ]


def load(path: Path) -> dict[str, Any]:
    return json.decode(path.read_bytes())


def translated(one: Dialect, other: Dialect, wire: dict[str, Any]) -> tuple[dict[str, Any], Losses]:
    losses = Losses()
    return other.encode_request(one.decode_request(wire), losses, Quirks()), losses


def answered(one: Dialect, other: Dialect, body: dict[str, Any]) -> tuple[dict[str, Any], Losses]:
    losses = Losses()
    return other.encode_response(one.decode_response(body), losses), losses


def streamed(dialect: Dialect, events: list[Event]) -> bytes:
    encoder = dialect.stream_encoder(ChatRequest(model="m", messages=[], include_usage=True), Losses())
    return b"".join(encoder.encode(event) for event in events)


def events_of(dialect: Dialect, wire: bytes) -> list[Event]:
    decoder = dialect.stream_decoder()
    return decoder.feed(wire) + decoder.close()


def meaning(answer: ChatResponse) -> Any:
    """What both dialects can say of a first choice. Anthropic's has a refusal as text, and arguments as an object."""
    choice = answer.choices[0]
    usage = answer.usage or Usage()
    parts = [opened(part) for part in choice.parts]
    return (
        "".join(part.text for part in parts if isinstance(part, Text | Refusal)),
        [(part.text, part.signature, part.redacted) for part in parts if isinstance(part, Thinking)],
        [(part.id, part.name, arguments(part)) for part in parts if is_call(part)],
        answer.id,
        answer.model,
        [figure or 0 for figure in (usage.input_tokens, usage.output_tokens, usage.cached_tokens)],
        usage.reasoning_tokens or 0,
    )


def opened(part: Any) -> Any:
    """What another vendor's model left, as it will be when the client sends it back."""
    if not isinstance(part, Thinking):
        return part
    found = unseal(part.signature or part.redacted or "")
    return replace(found, text=part.text) if isinstance(found, Thinking) else found or part


def is_call(part: Any) -> bool:
    return isinstance(part, ToolCall) and part.kind != "server"


def arguments(call: Any) -> Any:
    if call.kind == "custom":
        return call.arguments
    try:
        value = json.decode(call.arguments or "{}")
    except json.JsonError:
        return call.arguments  # cut off
    for member in ("input", "_raw"):
        if isinstance(value, dict) and value.keys() == {member}:
            return value[member]
    return value


def read_by_the_sdk(dialect: Dialect, wire: bytes) -> None:
    frames = [item.data for item in SseDecoder().feed(wire)]
    if dialect is OPENAI:
        assert frames.pop() == b"[DONE]"
        for data in frames:
            ChatCompletionChunk.model_validate_json(data)
        return
    if dialect is RESPONSES:
        assert frames.pop() == b"[DONE]"
        told: TypeAdapter[ResponseStreamEvent] = TypeAdapter(ResponseStreamEvent)
        for data in frames:
            told.validate_json(data)
        return
    event: TypeAdapter[RawMessageStreamEvent] = TypeAdapter(RawMessageStreamEvent)
    for data in frames:
        event.validate_json(data)


@pytest.mark.parametrize(("one", "other", "path"), cases("requests"))
def test_a_request_is_said_or_refused_by_name(one: Dialect, other: Dialect, path: Path) -> None:
    wire = load(path)["wire"]
    unsayable = CONTENT_WITHOUT_WORDS.get((one.name, other.name, path.stem))
    if unsayable is not None:
        with pytest.raises(BadRequest) as caught:
            translated(one, other, wire)
        assert (caught.value.param, caught.value.code) == (unsayable, "unsupported_content")
        return
    said, losses = translated(one, other, wire)
    assert all(loss.field and loss.reason for loss in losses)
    if path.stem in INPUT_ELSEWHERE:
        assert {loss.field for loss in losses} & {"previous_response_id", "conversation", "prompt"}
        return
    again, _ = translated(other, one, said)
    assert one.decode_request(again).model == wire["model"]


ANSWERS = {"openai_chat": ChatCompletion, "openai_responses": Response, "anthropic_messages": AnthropicMessage}


@pytest.mark.parametrize(("one", "other", "path"), cases("responses"))
def test_an_answer_means_the_same(one: Dialect, other: Dialect, path: Path) -> None:
    answer = one.decode_response(load(path))
    said = other.encode_response(answer, Losses())
    if (one.name, other.name, path.stem) in SAID_AS_A_FAILURE:
        with pytest.raises(UpstreamRefused):
            other.decode_response(said)
        return
    again = other.decode_response(said)
    assert meaning(again) == meaning(answer)
    reason = OTHER_REASONS.get((one.name, other.name, path.stem), answer.choices[0].finish_reason)
    assert again.choices[0].finish_reason == reason
    try:
        ANSWERS[other.name].model_validate(said)
        unknown: set[Any] = set()
    except ValidationError as error:
        unknown = {tuple(item["loc"][:5]) for item in error.errors()}
    assert unknown == NEW_TO_THE_SDK.get((one.name, other.name, path.stem), set())


@pytest.mark.parametrize(("one", "other", "path"), cases("streams"))
def test_a_stream_means_the_same(one: Dialect, other: Dialect, path: Path) -> None:
    events = events_of(one, path.read_bytes())
    wire = streamed(other, events)
    if (one.name, other.name, path.stem) not in NO_CHUNK_TO_THE_SDK:
        read_by_the_sdk(other, wire)
    again, answer = fold(events_of(other, wire)), fold(events)
    if other.name == "openai_responses":
        assert again.id.startswith("resp_"), "clients know answers by that"
        again.id = answer.id
    assert meaning(again) == meaning(answer)
    reason = OTHER_REASONS.get((one.name, other.name, path.stem), answer.choices[0].finish_reason)
    assert again.choices[0].finish_reason == reason


def leaves(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all texts, numbers and truths in a body."""
    if isinstance(value, dict | list):
        for key, below in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(below, (*at, key))
    elif value not in (None, ""):
        yield at


def changed(body: dict[str, Any], at: tuple[Any, ...], *, remove: bool = False) -> dict[str, Any]:
    body = copy.deepcopy(body)
    holder: Any = body
    for key in at[:-1]:
        holder = holder[key]
    value = holder[at[-1]]
    if remove:
        del holder[at[-1]]
    elif isinstance(value, str):
        holder[at[-1]] = value + "x"
    else:
        holder[at[-1]] = (not value) if isinstance(value, bool) else value + 1
    return body


def dotted(at: tuple[Any, ...]) -> str:
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in at).removeprefix(".")


@pytest.fixture(autouse=True)
def _one_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time stands still: an answer without a time gets the present one, which must not tell two answers apart; nor must
    the ids that are made for what has none."""
    monkeypatch.setattr(clock, "wall_s", lambda: 1_790_000_000.0)
    monkeypatch.setattr(ids, "_drawn", [])
    monkeypatch.setattr(ids._source, "randbytes", bytes)


def unaccounted(body: dict[str, Any], told: Callable[[dict[str, Any]], tuple[Any, Losses]]) -> set[str]:
    """The members that can be changed without a change of what is said, and whose loss has no name either."""

    def outcome(at: tuple[Any, ...], *, remove: bool = False) -> tuple[Any, Any]:
        try:
            return told(changed(body, at, remove=remove))
        except WyeError:
            return None, None

    said, losses = told(body)
    fields = [loss.field for loss in losses]
    named = set(fields) | {field.rpartition(".")[2] for field in fields}

    def silent(at: tuple[Any, ...]) -> bool:
        if outcome(at) != (said, losses):
            return False
        for depth in range(len(at), 0, -1):
            if at[depth - 1] in named or dotted(at[:depth]) in named:
                return False
            without, losses_without = outcome(at[:depth], remove=True)
            if without == said and [loss.field for loss in losses_without] != fields:
                return False  # what holds it is reported as lost
            if without is not None and without != said:
                return True  # what holds it is said, but not this
        return True

    return {dotted(tuple("*" if isinstance(key, int) else key for key in at)) for at in leaves(body) if silent(at)}


def sayable(one: Dialect, other: Dialect, wire: dict[str, Any]) -> dict[str, Any]:
    """Without the content that the other dialect has no words for."""
    while True:
        try:
            translated(one, other, wire)
        except BadRequest as error:
            if one is RESPONSES:
                return sayable_items(other, wire)
            at = tuple(int(key) if key.isdigit() else key for key in re.findall(r"\w+", error.param or ""))
            whole = any(leaf[: len(at)] == at for leaf in leaves(wire))
            # A part that has no place of its own on the wire goes with its message.
            wire = changed(wire, at if whole else at[:2], remove=True)
        else:
            return wire


def sayable_items(other: Dialect, wire: dict[str, Any]) -> dict[str, Any]:
    """Without the items, and parts of items, that alone the other dialect has no words for."""

    def is_sayable(item: dict[str, Any]) -> bool:
        try:
            translated(RESPONSES, other, {**wire, "input": [item]})
        except BadRequest:
            return False
        return True

    items: list[dict[str, Any]] = []
    for item in wire["input"]:
        parts = next((name for name in ("content", "output") if isinstance(item.get(name), list)), None)
        left = item
        if parts is not None and not is_sayable(item):
            left = {**item, parts: [part for part in item[parts] if is_sayable({**item, parts: [part]})]}
        items += [left] if is_sayable(left) else []
    return {**wire, "input": items}


@pytest.mark.parametrize(("one", "other", "path"), cases("requests"))
def test_every_member_of_a_request_is_said_or_named_as_lost(one: Dialect, other: Dialect, path: Path) -> None:
    wire = sayable(one, other, load(path)["wire"])
    found = unaccounted(wire, lambda body: translated(one, other, body)) - WITHOUT_A_TRACE.keys()
    found -= TOLD_BY_ANOTHER_NAME[one.name].keys()
    if path.stem == "tool_choice_allowed":
        # A tool that may not be called is not sent; the loss is named tool_choice.allowed.
        assert all(member.startswith("tools.*.") for member in found)
    else:
        assert found == set()


@pytest.mark.parametrize(("one", "other", "path"), cases("responses"))
def test_every_member_of_an_answer_is_said_or_named_as_lost(one: Dialect, other: Dialect, path: Path) -> None:
    found = unaccounted(load(path), lambda body: answered(one, other, body)) - WITHOUT_A_TRACE.keys()
    assert found - TOLD_BY_ANOTHER_NAME[one.name].keys() <= SAID_BEFORE.get(one.name, set())
