"""Going on from an earlier answer by its id."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from tests import wire
from tests.flow.conftest import Start
from wye.testing.fake import FakeAnswer, json_body
from wye.testing.fake_provider import FakeProvider

PATH = "/v1/responses"
NATIVE: dict[str, Any] = {
    "id": "resp_native1",
    "object": "response",
    "created_at": 1790000000,
    "status": "completed",
    "model": "gpt-x",
    "output": [
        {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "Hello there", "annotations": []}],
        }
    ],
    "usage": {"input_tokens": 11, "output_tokens": 3, "total_tokens": 14},
}


def ask(url: str, **members: Any) -> tuple[int, Any]:
    status, _, body = wire.call(url, PATH, {"model": "m", **members})
    return status, json.loads(body)


def said(upstream: FakeProvider) -> list[tuple[str, str]]:
    return [(message["role"], message["content"]) for message in upstream.requests[-1].json()["messages"]]


@pytest.mark.parametrize("stream", [False, True])
def test_a_conversation_goes_on_at_an_upstream_that_keeps_nothing(
    stream: bool, start: Start, upstream: FakeProvider
) -> None:
    upstream.when(say="Hello there")
    url = start(("vllm", upstream)).url

    def answer(**members: Any) -> Any:
        if not stream:
            return ask(url, **members)[1]
        frames = wire.data_frames(wire.call(url, PATH, {"model": "m", "stream": True, **members})[2])
        answers = [frame["response"] for frame in frames[:-1] if "response" in frame]
        assert [answer["previous_response_id"] for answer in answers] == [members.get("previous_response_id")] * 3
        return answers[-1]

    first = answer(input="Hi", instructions="Be kind")
    second = answer(input="And?", previous_response_id=first["id"])
    assert second["previous_response_id"] == first["id"] != second["id"]
    assert said(upstream) == [("user", "Hi"), ("assistant", "Hello there"), ("user", "And?")]
    third = [{"role": "user", "content": "And then?"}]
    assert ask(url, input=third, previous_response_id=second["id"])[0] == 200
    assert [text for _, text in said(upstream)][2:] == ["And?", "Hello there", "And then?"]


def test_a_kept_answer_is_shown_listed_and_forgotten(start: Start, upstream: FakeProvider) -> None:
    url = start(("vllm", upstream)).url
    answer = ask(url, input="Hi")[1]
    path = f"{PATH}/{answer['id']}"
    assert json.loads(wire.call(url, path)[2]) == answer
    listed = json.loads(wire.call(url, f"{path}/input_items?order=asc&limit=1")[2])
    assert [item["content"][0]["text"] for item in listed["data"]] == ["Hi"]
    assert wire.call(url, f"{path}/input_items?limit=0")[0] == 400
    assert wire.call(url, f"{path}/input_items?limit=x")[0] == 400
    assert wire.call(url, f"{path}/input_items?order=up")[0] == 400
    assert wire.call(url, f"{path}/cancel", b"")[0] == 400
    assert json.loads(wire.call(url, path, method="DELETE")[2])["deleted"] is True
    assert [wire.call(url, path, method=method)[0] for method in ("GET", "DELETE")] == [404, 404]
    status, error = ask(url, input="And?", previous_response_id=answer["id"])
    assert (status, error["error"]["code"]) == (404, "previous_response_not_found")
    assert len(upstream.requests) == 1


def test_an_answer_that_is_not_to_be_stored_is_not(start: Start, upstream: FakeProvider) -> None:
    url = start(("vllm", upstream)).url
    answer = ask(url, input="Hi", store=False)[1]
    assert wire.call(url, f"{PATH}/{answer['id']}")[0] == 404


def test_an_upstream_that_keeps_answers_is_asked_with_the_id_alone(
    start: Start, upstream: FakeProvider, second: FakeProvider
) -> None:
    upstream.queue.extend([json_body({"error": {"message": "busy"}}, 503), json_body({"error": {}}, 503)])
    second.queue.extend([json_body(NATIVE), json_body({**NATIVE, "id": "resp_native2"}), json_body({})])
    url = start(("openai", upstream), ("openai", second)).url
    first = ask(url, input="Hi")[1]
    assert first["id"] == "resp_native1"
    assert ask(url, input="And?", previous_response_id="resp_native1")[0] == 200
    assert second.requests[-1].json() == {"model": "up-openai", "input": "And?", "previous_response_id": "resp_native1"}
    assert len(upstream.requests) == 1, "another upstream does not know that answer"
    assert wire.call(url, f"{PATH}/resp_native1", method="DELETE")[0] == 200
    assert (second.requests[-1].method, second.requests[-1].path) == ("DELETE", "/v1/responses/resp_native1")


def test_an_answer_of_an_upstream_that_is_not_asked_any_longer_is_a_conflict(
    start: Start, upstream: FakeProvider, second: FakeProvider
) -> None:
    upstream.queue.append(json_body(NATIVE))
    routes = {
        "m": {"deployments": [{"provider": "openai0", "model": "up-openai"}]},
        "other": {"deployments": [{"provider": "openai1", "model": "up-openai"}]},
    }
    url = start(("openai", upstream), ("openai", second), routes=routes).url
    assert ask(url, input="Hi")[0] == 200
    status, error = ask(url, model="other", input="And?", previous_response_id="resp_native1")
    assert (status, error["error"]["param"]) == (409, "previous_response_id")
    assert "openai0/up-openai" in error["error"]["message"]
    assert second.requests == []


def test_an_answer_that_cannot_be_forgotten_upstream_is_still_there(start: Start, upstream: FakeProvider) -> None:
    upstream.queue.extend([json_body(NATIVE), json_body({"error": {"message": "not now"}}, 500)])
    url = start(("openai", upstream)).url
    ask(url, input="Hi")
    status, _, body = wire.call(url, f"{PATH}/resp_native1", method="DELETE")
    assert (status, b"not now" in body) == (500, True)
    assert wire.call(url, f"{PATH}/resp_native1")[0] == 200


QUEUED = {**NATIVE, "status": "queued", "background": True, "output": []}


def test_an_answer_that_its_upstream_makes_in_the_background_is_asked_for_there(
    start: Start, upstream: FakeProvider
) -> None:
    done = {**NATIVE, "background": True}
    upstream.queue.extend(map(json_body, [QUEUED, {**QUEUED, "status": "in_progress"}, done]))
    url = start(("openai", upstream)).url
    assert ask(url, input="Hi", background=True)[1]["status"] == "queued"
    shown = [json.loads(wire.call(url, f"{PATH}/{NATIVE['id']}")[2]) for _ in range(3)]
    assert [answer["status"] for answer in shown] == ["in_progress", "completed", "completed"]
    assert shown[-1] == done
    assert [(heard.method, heard.path) for heard in upstream.requests] == [
        ("POST", "/v1/responses"),
        ("GET", f"/v1/responses/{NATIVE['id']}"),
        ("GET", f"/v1/responses/{NATIVE['id']}"),
    ]


def test_an_answer_in_the_background_is_cancelled_at_its_upstream(start: Start, upstream: FakeProvider) -> None:
    upstream.queue.extend(map(json_body, [QUEUED, {**QUEUED, "status": "cancelled"}]))
    url = start(("openai", upstream)).url
    ask(url, input="Hi", background=True)
    path = f"{PATH}/{NATIVE['id']}"
    for _ in range(2):
        status, _, body = wire.call(url, f"{path}/cancel", b"")
        assert (status, json.loads(body)["status"]) == (200, "cancelled")
    assert json.loads(wire.call(url, path)[2])["status"] == "cancelled"
    assert [heard.path for heard in upstream.requests[1:]] == [f"{path}/cancel"]


@pytest.mark.parametrize(
    ("answer", "status"), [(json_body({"error": {"message": "busy"}}, 503), 503), (json_body([]), 502)]
)
def test_an_upstream_that_cannot_say_how_far_it_is_is_no_end_of_the_answer(
    answer: Any, status: int, start: Start, upstream: FakeProvider
) -> None:
    upstream.queue.extend([json_body(QUEUED), answer, json_body(NATIVE)])
    url = start(("openai", upstream)).url
    ask(url, input="Hi", background=True)
    path = f"{PATH}/{NATIVE['id']}"
    assert wire.call(url, path)[0] == status
    assert json.loads(wire.call(url, path)[2]) == NATIVE


def looked_up(url: str, name: str) -> tuple[dict[str, Any], dict[str, str]]:
    """An answer once it is no longer under way."""
    deadline_s = time.monotonic() + 60
    while True:
        status, headers, body = wire.call(url, f"{PATH}/{name}")
        answer = json.loads(body)
        assert status == 200, answer
        if answer["status"] not in ("queued", "in_progress") or time.monotonic() > deadline_s:
            return answer, headers
        time.sleep(0.01)


def test_an_upstream_that_knows_no_background_makes_an_answer_while_nobody_waits(
    start: Start, upstream: FakeProvider
) -> None:
    upstream.when(say="Hello there")
    url = start(("vllm", upstream)).url
    first = ask(url, input="Hi")[1]
    asked: dict[str, Any] = {"background": True, "previous_response_id": first["id"], "truncation": "auto"}
    status, queued = ask(url, input="And?", temperature=0.5, **asked)
    assert (status, queued["status"], queued["output"]) == (200, "queued", [])
    answer, headers = looked_up(url, queued["id"])
    assert answer["output"][0]["content"][0]["text"] == "Hello there"
    known = ("id", "created_at", "background", "previous_response_id", "temperature")
    assert {name: answer[name] for name in known} == {name: queued[name] for name in known}
    assert (answer["background"], answer["previous_response_id"]) == (True, first["id"])
    assert headers["x-wye-loss"].startswith("truncation, ")
    assert said(upstream)[-1] == ("user", "And?")
    assert json.loads(wire.call(url, f"{PATH}/{queued['id']}/cancel", b"")[2]) == answer
    third = ask(url, input="More", previous_response_id=queued["id"])[1]
    assert third["previous_response_id"] == queued["id"]
    assert [text for _, text in said(upstream)] == ["Hi", "Hello there", "And?", "Hello there", "More"]


def test_an_answer_in_the_background_that_fails_says_why(start: Start, upstream: FakeProvider) -> None:
    upstream.queue.append(json_body({"error": {"message": "No such model", "code": "model_not_found"}}, 404))
    url = start(("vllm", upstream)).url
    queued = ask(url, input="Hi", background=True)[1]
    answer, _ = looked_up(url, queued["id"])
    assert (answer["status"], answer["error"]["message"]) == ("failed", "No such model")
    assert json.loads(wire.call(url, "/stats")[2])["running"] == 0


def test_an_answer_in_the_background_can_be_cancelled_or_forgotten(start: Start, upstream: FakeProvider) -> None:
    upstream.queue.extend([FakeAnswer([], head=False, end="hang")] * 2)
    url = start(("vllm", upstream)).url
    queued = ask(url, input="Hi", background=True)[1]
    status, error = ask(url, input="And?", previous_response_id=queued["id"])
    assert (status, error["error"]["param"]) == (409, "previous_response_id")
    status, _, body = wire.call(url, f"{PATH}/{queued['id']}/cancel", b"")
    assert (status, json.loads(body)) == (200, {**queued, "status": "cancelled"})
    assert looked_up(url, queued["id"])[0]["status"] == "cancelled"
    queued = ask(url, input="Hi", background=True)[1]
    assert wire.call(url, f"{PATH}/{queued['id']}", method="DELETE")[0] == 200
    assert wire.call(url, f"{PATH}/{queued['id']}")[0] == 404


@pytest.mark.parametrize(
    ("members", "param"),
    [({"store": False}, "store"), ({"conversation": "conv_1"}, "conversation"), ({"input": 7}, "input")],
)
def test_an_answer_that_cannot_be_made_in_the_background_is_refused_at_once(
    members: dict[str, Any], param: str, start: Start, upstream: FakeProvider
) -> None:
    url = start(("vllm", upstream)).url
    status, error = ask(url, **{"input": "Hi", "background": True, **members})
    assert (status, error["error"]["param"]) == (400, param)
    assert upstream.requests == []


def test_an_unknown_answer_is_left_to_an_upstream_that_may_know_it(start: Start, upstream: FakeProvider) -> None:
    upstream.queue.append(json_body({**NATIVE, "id": "resp_9"}))
    url = start(("openai", upstream)).url
    assert ask(url, input="And?", previous_response_id="resp_of_before")[0] == 200
    assert upstream.requests[-1].json()["previous_response_id"] == "resp_of_before"


def test_an_earlier_answer_is_counted_with_the_input(start: Start, upstream: FakeProvider) -> None:
    url = start(("vllm", upstream)).url
    counting = f"{PATH}/input_tokens"
    first = ask(url, input="Hi" * 400)[1]
    status, headers, body = wire.call(url, counting, {"model": "m", "input": "And?"})
    assert (status, headers["x-wye-loss"]) == (200, "input_tokens")
    alone = json.loads(body)
    assert alone["object"] == "response.input_tokens"
    asked = {"model": "m", "input": "And?", "previous_response_id": first["id"]}
    assert json.loads(wire.call(url, counting, asked)[2])["input_tokens"] > alone["input_tokens"] + 190
    for member, value in (("previous_response_id", "resp_unknown"), ("conversation", "conv_1")):
        status, _, body = wire.call(url, counting, {**asked, member: value})
        assert (status, json.loads(body)["error"]["param"]) in ((404, member), (400, member))


def test_an_upstream_that_keeps_answers_counts_them_by_their_id(start: Start, upstream: FakeProvider) -> None:
    upstream.queue.extend([json_body(NATIVE), json_body({"object": "response.input_tokens", "input_tokens": 77})])
    url = start(("openai", upstream)).url
    ask(url, input="Hi")
    asked = {"model": "m", "input": "And?", "previous_response_id": NATIVE["id"], "temperature": 0.5}
    status, headers, body = wire.call(url, f"{PATH}/input_tokens", asked)
    assert (status, json.loads(body)) == (200, {"object": "response.input_tokens", "input_tokens": 77})
    assert "x-wye-loss" not in headers
    assert upstream.requests[-1].path == "/v1/responses/input_tokens"
    assert upstream.requests[-1].json() == {
        "model": "up-openai",
        "input": "And?",
        "previous_response_id": NATIVE["id"],
    }
