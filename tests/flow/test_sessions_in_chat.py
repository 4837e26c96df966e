"""`session_id` on a chat request: what was said before reaches the model, in every dialect, and the turn is kept."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import wire
from tests.flow import streams
from tests.flow.streams import CALLERS, TEXT, WHOLE, question, stream
from tests.flow.test_attached_files import ASKS, TURNS, text_of
from wye.gateway.policy import remembered
from wye.testing.fake import FakeAnswer, FakeRequest, FakeUpstream, json_body
from wye.testing.server import WyeServer

Said = list[tuple[str, str]]


def answer(request: FakeRequest) -> FakeAnswer:
    kind = {"/v1/chat/completions": "chat", "/v1/responses": "responses", "/v1/messages": "messages"}.get(
        request.path, "converse"
    )
    if request.json().get("stream") or request.path.endswith("-stream"):
        return stream(kind, [*WHOLE[kind]])
    return json_body(wire.OPENAI_BODY)


@pytest.fixture(scope="module")
def upstream() -> Iterator[FakeUpstream]:
    with FakeUpstream(answer) as fake:
        yield fake


@pytest.fixture(scope="module")
def server(upstream: FakeUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WyeServer]:
    providers = {kind: streams.provider(kind, upstream) for kind in CALLERS}
    routes: dict[str, Any] = {kind: {"deployments": [streams.deployment(kind, kind)]} for kind in CALLERS}
    routes["small"] = {"deployments": [{"provider": "chat", "model": "up", "api": "chat", "context_length": 200}]}
    routes["cached"] = {**routes["chat"], "cache": {"ttl_s": 60}}
    home = str(tmp_path_factory.mktemp("home"))
    config = {"local": {"enabled": False}, "home": home, "providers": providers, "routes": routes}
    with WyeServer(config) as server:
        yield server


@pytest.fixture
def session(server: WyeServer) -> str:
    return json.loads(wire.call(server.url, "/v1/sessions", {})[2])["id"]


def said_in(server: WyeServer, session: str) -> Said:
    kept = json.loads(wire.call(server.url, f"/v1/sessions/{session}")[2])["messages"]
    return [(message["role"], message["content"]) for message in kept]


def say(server: WyeServer, session: str, *turns: dict[str, Any], **more: Any) -> tuple[int, Any]:
    body = {"model": "chat", "messages": list(turns), "session_id": session, **more}
    status, _, said = wire.call(server.url, "/v1/chat/completions", body)
    return status, said if more.get("stream") else json.loads(said)


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


@pytest.mark.parametrize("ask", [ask for ask in ASKS if ask != "openai_completions"])
def test_in_every_dialect_a_turn_is_kept_and_brought_back(
    ask: str, server: WyeServer, upstream: FakeUpstream, session: str
) -> None:
    path, body = ASKS[ask]
    for number in (1, 2):
        status, _, said = wire.call(server.url, path, {**body, "session_id": session})
        assert status == 200, said
        assert said_in(server, session) == [("user", "How many?"), ("assistant", TEXT)] * number
    heard = upstream.requests[-1].json()
    assert "session_id" not in heard
    if "messages" in heard:
        assert [message["role"] for message in heard["messages"]] == ["user", "assistant", "user"]
        assert heard["messages"][1]["content"] == TEXT
    assert TEXT in json.dumps(heard)
    assert text_of(heard).endswith("How many?")


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("model", CALLERS)
def test_a_stream_is_kept_as_its_caller_heard_it(caller: str, model: str, server: WyeServer, session: str) -> None:
    path, body = question(caller)
    path, body = (path.replace("/m/", f"/{model}/"), body) if caller == "converse" else (path, {**body, "model": model})
    headers = {"x-wye-session": session}
    for _ in range(2):
        assert wire.call(server.url, path, body, headers=headers)[0] == 200
    assert [role for role, _ in said_in(server, session)] == ["user", "assistant"] * 2
    assert {text for role, text in said_in(server, session) if role == "assistant"} == {TEXT}


def test_an_answer_without_end_is_given_and_not_kept(
    server: WyeServer, session: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remembered, "_HEARD_BYTES", 400)
    status, said = say(server, session, *TURNS, stream=True)
    assert (status, wire.data_frames(said)[-1], said_in(server, session)) == (200, "[DONE]", [])


def test_several_models_answer_in_a_session_too(server: WyeServer, upstream: FakeUpstream, session: str) -> None:
    for _ in range(2):
        more = {"orchestration_mode": "single", "model": "chat"}
        assert say(server, session, *TURNS, **more)[0] == 200
    assert said_in(server, session) == [("user", "How many?"), ("assistant", TEXT)] * 2
    assert len(upstream.requests[-1].json()["messages"]) >= 3


def test_instructions_come_first_and_are_not_kept(server: WyeServer, upstream: FakeUpstream, session: str) -> None:
    instruction = {"role": "system", "content": "Be kind."}
    wire.call(server.url, f"/v1/sessions/{session}/messages", {"messages": [user("Hi"), instruction]})
    say(server, session, {"role": "system", "content": "Be brief."}, user("And now?"))
    heard = [(message["role"], message["content"]) for message in upstream.requests[-1].json()["messages"]]
    assert heard == [("system", "Be brief."), ("system", "Be kind."), ("user", "Hi"), ("user", "And now?")]
    assert ("system", "Be brief.") not in said_in(server, session)


def test_what_the_request_says_beside_goes_through_as_it_came(
    server: WyeServer, upstream: FakeUpstream, session: str
) -> None:
    say(server, session, *TURNS, odd={"kept": [1.50]})
    heard = upstream.requests[-1].json()
    assert {**heard, "messages": 0, "model": 0} == {"model": 0, "messages": 0, "odd": {"kept": [1.5]}}


def test_a_turn_ends_with_a_text(server: WyeServer, upstream: FakeUpstream, session: str) -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    message = {**wire.OPENAI_BODY["choices"][0]["message"], "content": "I look.", "tool_calls": [call]}
    choice = {**wire.OPENAI_BODY["choices"][0], "message": message, "finish_reason": "tool_calls"}
    cut = stream("chat", [wire.OPENAI_ROLE, wire.OPENAI_TEXT[0]], end="cut")
    try:
        upstream.script = lambda _: json_body({**wire.OPENAI_BODY, "choices": [choice]})
        assert say(server, session, user("Look"))[0] == 200
        upstream.script = lambda _: cut
        assert b"error" in say(server, session, user("Look there"), stream=True)[1]
        upstream.script = lambda _: json_body({"error": {"message": "no"}}, 400)
        assert say(server, session, user("Look here"))[0] == 400
        assert said_in(server, session) == []
    finally:
        upstream.script = answer
    whole = [user("Look"), {"role": "assistant", "tool_calls": [call]}, {"role": "tool", "tool_call_id": "c"}]
    assert say(server, session, *whole[:2], {**whole[2], "content": "3"})[0] == 200
    assert said_in(server, session) == [("user", "Look"), ("assistant", TEXT)]


def test_no_more_is_brought_back_than_the_model_can_hold(
    server: WyeServer, upstream: FakeUpstream, session: str
) -> None:
    turns = [user("a" * 250), {"role": "assistant", "content": "b" * 150}, user("c" * 50)]
    wire.call(server.url, f"/v1/sessions/{session}/messages", {"messages": turns})
    say(server, session, user("And?"), model="small")
    heard = upstream.requests[-1].json()["messages"]
    assert [message["content"] for message in heard] == ["c" * 50, "And?"]
    say(server, session, user("And?"))
    assert len(upstream.requests[-1].json()["messages"]) == 6


def test_a_kept_answer_is_kept_in_the_session_too(server: WyeServer, upstream: FakeUpstream) -> None:
    for _ in range(2):
        session = json.loads(wire.call(server.url, "/v1/sessions", {})[2])["id"]
        for streamed in (True, False):
            assert say(server, session, user("Again?"), model="cached", stream=streamed)[0] == 200
        assert said_in(server, session) == [("user", "Again?"), ("assistant", TEXT)] * 2
    assert sum(b"Again?" in request.body for request in upstream.requests) == 2


def test_a_format_without_turns_says_so(server: WyeServer, session: str) -> None:
    path, body = ASKS["openai_completions"]
    assert wire.call(server.url, path, {**body, "session_id": session})[0] == 200
    status, _, said = wire.call(server.url, path, {**body, "session_id": session})
    error = json.loads(said)["error"]
    assert (status, error["param"]) == (400, "session_id")
    assert error["message"].startswith("What was said in the session cannot be said in this format: ")


def test_what_another_says_or_nobody_knows_is_not_found(server: WyeServer, session: str) -> None:
    for name in ("sess-none", "../x", "x" * 300):
        status, said = say(server, name, *TURNS)
        assert (status, said["error"]["code"], said["error"]["param"]) == (404, "session_not_found", "session_id")
    status, _, said = wire.call(server.url, "/v1/messages", {**ASKS["anthropic_messages"][1], "session_id": "no"})
    assert (status, json.loads(said)["error"]["type"]) == (404, "not_found_error")


@pytest.mark.parametrize("more", [{"session_id": 7}, {"session_id": ""}, {"session_id": ["a"]}])
def test_what_is_no_id_is_refused(server: WyeServer, more: dict[str, Any]) -> None:
    status, said = say(server, "x", *TURNS, **more)
    assert (status, said["error"]["param"]) == (400, "session_id")


@pytest.mark.parametrize("other", [{"background": True}, {"previous_response_id": "resp_1"}])
def test_two_ways_to_go_on_are_refused(server: WyeServer, session: str, other: dict[str, Any]) -> None:
    body = {"model": "responses", "input": "Hi", "session_id": session, **other}
    status, _, said = wire.call(server.url, "/v1/responses", body)
    assert (status, "cannot be used together" in json.loads(said)["error"]["message"]) == (400, True)


def test_none_is_as_if_it_were_not_said(server: WyeServer, upstream: FakeUpstream) -> None:
    status, _, _ = wire.call(
        server.url, "/v1/chat/completions", {"model": "chat", "messages": TURNS, "session_id": None}
    )
    assert (status, "session_id" in upstream.requests[-1].json()) == (200, False)


def test_a_turn_that_cannot_be_kept_is_answered_all_the_same(
    upstream: FakeUpstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from wye.drivers.sql.sessions import SqlSessions
    from wye.ports.store import StoreAway

    async def away(*_: Any, **__: Any) -> None:
        raise StoreAway("gone")

    routes = {"chat": {"deployments": [{"provider": "chat", "model": "up", "api": "chat"}]}}
    providers = {"chat": streams.provider("chat", upstream)}
    config = {"local": {"enabled": False}, "home": str(tmp_path), "providers": providers, "routes": routes}
    with WyeServer(config) as server:
        session = json.loads(wire.call(server.url, "/v1/sessions", {})[2])["id"]
        monkeypatch.setattr(SqlSessions, "say", away)
        assert say(server, session, *TURNS)[0] == 200
        assert f"a turn of {session} is lost: gone" in caplog.text
        monkeypatch.setattr(SqlSessions, "get", away)
        status, said = say(server, session, *TURNS)
        assert (status, said["error"]["code"]) == (503, "store_away")
