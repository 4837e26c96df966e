"""Real traffic, where it lies beside the repository, said in every dialect and read there again: each fact of it is
carried, reported as lost, or refused, as in the corpus.

Streams are cut into pieces of four sizes, shared out so that any two dialects meet at all four. That a recording means
the same however it is cut is looked at in tests/golden.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

import pytest

from tests.fidelity import translation
from tests.fidelity.corpus import NO_STREAMS, as_sse
from tests.fidelity.translation import Outcome
from wye.canon.events import Event, Failure
from wye.canon.request import ChatRequest
from wye.dialects.bedrock_converse.count import invoke_body
from wye.dialects.bedrock_invoke.families import family_of
from wye.dialects.dialect import Dialect
from wye.dialects.registry import DIALECTS
from wye.kernel import json
from wye.kernel.errors import UpstreamRefused

pytestmark = pytest.mark.xdist_group("fidelity_recordings")  # one process: what is recorded is decoded only once
SIZES = (1, 7, 64, 1 << 20)
LONG = 600
"""Events of a stream that is said in one piece, lest it take long."""
OPERATIONS = ("_stream", "_retrieve", "_compact", "_count_tokens", "_input_tokens")
"""What an API does beside answering, as the recordings name it."""
CAPTURED = {
    "/chat/completions": "openai_chat",
    "/v1/completions": "openai_completions",
    "/responses": "openai_responses",
    "/responses/compact": "openai_responses",
    "/responses/input_tokens": "openai_responses",
    "/messages": "anthropic_messages",
    "/messages/count_tokens": "anthropic_messages_count_tokens",
    "/converse": "bedrock_converse",
    "/converse-stream": "bedrock_converse",
    "/count-tokens": "bedrock_count_tokens",
    "/invoke": "bedrock_invoke",
    "/invoke-with-response-stream": "bedrock_invoke",
}
REFUSED_BY_ALL = {
    "openai_chat/envoy__chat-bad-request__0": "it allows no token",
    "openai_chat/envoy__chat-no-messages__0": "nobody speaks",
}
"""Requests that the recorded servers refused too."""


class Asked(NamedTuple):
    name: str
    dialect: Dialect
    request: ChatRequest


class Answered(NamedTuple):
    name: str
    dialect: Dialect
    status: int
    body: bytes


class Traffic(NamedTuple):
    requests: list[Asked]
    answers: list[Answered]
    streams: list[tuple[str, Dialect, list[Event]]]
    errors: list[Answered]


def understood(api: str, model: str, body: dict[str, Any]) -> tuple[Dialect, ChatRequest]:
    """What a client asked. Raises KeyError for what is no conversation."""
    if api == "bedrock_count_tokens":
        given = invoke_body(body)
        if given is None:
            one = DIALECTS["bedrock_converse"]
            assert one.decode_count is not None
            return one, one.decode_count(body)
        api, body = "bedrock_invoke", json.decode(given)
    one = dialect_of(api, model, body)
    decode = one.decode_count if api.endswith("_tokens") else one.decode_request
    assert decode is not None
    return one, decode({"model": model or "m", **body})


def dialect_of(api: str, model: str, body: dict[str, Any]) -> Dialect:
    if api == "bedrock_invoke":
        if "embed" in model:
            raise KeyError(model)
        return family_of(model, body)
    for operation in OPERATIONS:
        api = api.removesuffix(operation)
    return DIALECTS[api]


def captured(folder: Path) -> Iterator[Asked]:
    for path in sorted(folder.glob("*/*.json")):
        sent = json.decode(path.read_bytes())
        where, body = sent["path"].partition("?")[0], sent["body"]
        api = next((api for end, api in CAPTURED.items() if where.endswith(end)), None)
        if api is not None and sent["method"] == "POST" and sent["status"] == 200:
            model = unquote(where.partition("/model/")[2].rpartition("/")[0])
            try:
                yield Asked(f"{path.parent.name}/{path.stem}", *understood(api, model, body))
            except KeyError:
                continue  # for vectors


def cut(dialect: Dialect, wire: bytes, size: int) -> list[Event]:
    decoder = dialect.stream_decoder()
    events = [event for start in range(0, len(wire), size) for event in decoder.feed(wire[start : start + size])]
    return events + decoder.close()


@pytest.fixture(scope="module")
def traffic(recordings: Path, captures: Path) -> Traffic:
    found = Traffic([*captured(captures)], [], [], [])
    for entry in json.decode((recordings / "index.json").read_bytes())["entries"]:
        name, api, model = entry["id"], entry["api"], entry["model"] or ""
        asked = json.decode((recordings / entry["request_file"]).read_bytes()) if entry["request_file"] else {}
        try:
            if asked and name not in REFUSED_BY_ALL:
                found.requests.append(Asked(name, *understood(api, model, asked)))
            if api == "bedrock_count_tokens" and entry["status"] == 200:
                continue
            one = DIALECTS["bedrock_converse"] if api == "bedrock_count_tokens" else dialect_of(api, model, asked)
        except KeyError:
            continue  # vectors
        answer = Answered(name, one, entry["status"], (recordings / entry["response_file"]).read_bytes())
        if entry["status"] >= 400:
            found.errors.append(answer)
        elif entry["format"] != "json":
            size = SIZES[len(found.streams) % len(SIZES)]
            found.streams.append((name, one, cut(one, answer.body, size)))
        elif not api.endswith(("_tokens", "_compact")):
            found.answers.append(answer)
    return found


def silent(found: dict[str, list[Outcome]]) -> dict[str, Any]:
    """What got lost without a word, by recording."""
    lost: dict[str, Any] = defaultdict(list)
    for name, outcomes in found.items():
        for outcome in outcomes:
            if outcome.state == "silent":
                lost[name].append((outcome.fact.at, outcome.fact.value))
    return lost


def test_there_is_traffic_of_every_kind(traffic: Traffic) -> None:
    spoken = {"openai_chat", "openai_responses", "anthropic_messages", "bedrock_converse"}
    invoked = {"bedrock_claude", "bedrock_nova", "bedrock_openai"}
    assert {one.name for _, one, _ in traffic.requests} == {*spoken, *invoked, "openai_completions"}
    assert {one.name for _, one, *_ in traffic.answers} == {*spoken, "bedrock_claude"}
    assert {one.name for _, one, _ in traffic.streams} == spoken
    assert {one.name for _, one, *_ in traffic.errors} == spoken - {"anthropic_messages"}
    assert len(traffic.requests) > 600
    assert len(traffic.answers) > 400
    assert len(traffic.streams) > 90


@pytest.mark.parametrize("other", DIALECTS.values(), ids=lambda other: other.name)
def test_requests(traffic: Traffic, other: Dialect) -> None:
    found = {name: translation.asked_in(one, other, request) for name, one, request in traffic.requests}
    assert silent(found) == {}


@pytest.mark.parametrize("other", DIALECTS.values(), ids=lambda other: other.name)
def test_answers(traffic: Traffic, other: Dialect) -> None:
    found = {name: translation.answer(one, other, json.decode(body)) for name, one, _, body in traffic.answers}
    assert silent(found) == {}


@pytest.mark.parametrize("other", DIALECTS.values(), ids=lambda other: other.name)
def test_streams(traffic: Traffic, other: Dialect) -> None:
    met: dict[str, int] = defaultdict(lambda: list(DIALECTS).index(other.name))
    found: dict[str, list[Outcome]] = {}
    for name, one, events in traffic.streams:
        met[one.name] += 1
        if not isinstance(events[-1], Failure):
            size = SIZES[met[one.name] % len(SIZES)] if len(events) < LONG else SIZES[-1]
            found[name] = translation.streamed_in(other, events, size)
    assert silent(found) == {}


@pytest.mark.parametrize("other", DIALECTS.values(), ids=lambda other: other.name)
def test_errors(traffic: Traffic, other: Dialect) -> None:
    for name, one, status, body in traffic.errors:
        error = one.decode_error(status, {}, body)
        said = json.encode(other.encode_error(error, "req_1"))
        headers = dict(other.error_headers(error)) if other.error_headers else {}
        again = other.decode_error(error.status, headers, said)
        assert (again.message, again.status) == (error.message, error.status), name
    for name, _, events in traffic.streams if other.name not in NO_STREAMS else ():
        if isinstance(failure := events[-1], Failure):
            again = cut(as_sse(other), as_sse(other).encode_stream_error(failure.error, "req_1"), 7)[-1]
            assert isinstance(again, Failure), name
            assert isinstance(again.error, UpstreamRefused), name
            assert again.error.message == failure.error.message, name
