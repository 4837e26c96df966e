"""`file_search` of the Responses API over Wye's own vector stores, for models that are asked elsewhere."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from openai import BadRequestError, NotFoundError, OpenAI

from tests import wire
from tests.vendors import chat_body, claude_body, claude_stream, response_body
from wye.testing.fake import FakeAnswer, FakeRequest, FakeUpstream, event_stream, json_body
from wye.testing.server import WyeServer

Said = dict[str, Any]

WYE = "The Wye flows to Chepstow."
ANSWER = f"{WYE} [1]"


def chat_says(request: Said, *, text: str = "", calls: list[tuple[str, str]] | None = None) -> FakeAnswer:
    """An answer of OpenAI Chat: a text, or calls of functions by name and arguments."""
    made = [
        {"index": i, "id": f"call_{i}", "type": "function", "function": {"name": name, "arguments": arguments}}
        for i, (name, arguments) in enumerate(calls or [])
    ]
    reason = "tool_calls" if made else "stop"
    if not request.get("stream"):
        return json_body(chat_body({"role": "assistant", "content": text or None, "tool_calls": made or None}, reason))
    halves = [text[:7], text[7:]] if text else []
    pieces = [wire.OPENAI_ROLE, *(wire.openai_chunk({"content": half}) for half in halves)]
    pieces += [wire.openai_chunk({"tool_calls": [call]}) for call in made]
    return event_stream([*pieces, wire.openai_chunk({}, reason), wire.OPENAI_USAGE_CHUNK, wire.DONE])


def searching(request: FakeRequest) -> FakeAnswer:
    """A model that searches once, then answers from what it was told."""
    body = request.json()
    if any(message["role"] == "tool" for message in body["messages"]) or not body.get("tools"):
        return chat_says(body, text=ANSWER)
    return chat_says(body, calls=[("file_search", '{"queries": ["Where does the Wye flow?"]}')])


class Asked:
    """A server, what is kept in it, and the upstream that answers for its models."""

    def __init__(self, server: WyeServer, upstream: FakeUpstream) -> None:
        self.server = server
        self.upstream = upstream
        self.openai = OpenAI(base_url=f"{server.url}/v1", api_key="x", max_retries=0)
        file = self.openai.files.create(file=("wye.md", WYE.encode()), purpose="assistants")
        self.file_id = file.id
        self.store = self.openai.vector_stores.create(name="rivers").id
        self.openai.vector_stores.files.create_and_poll(
            file.id, vector_store_id=self.store, attributes={"river": "wye"}, poll_interval_ms=20
        )

    def tool(self, **more: Any) -> Any:
        return {"type": "file_search", "vector_store_ids": [self.store], **more}

    def ask(self, **more: Any) -> Any:
        asked: Any = {"model": "chat", "input": "Where does it flow?", "tools": [self.tool()], **more}
        return self.openai.responses.create(**asked)

    def heard(self) -> list[Said]:
        """What the upstream was asked since the last time."""
        heard = [request.json() for request in self.upstream.requests]
        self.upstream.requests.clear()
        return heard


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    home = str(tmp_path_factory.mktemp("home"))
    with FakeUpstream(searching) as upstream:
        chat = {"provider": "openai", "model": "up", "api": "chat"}
        routes = {
            "chat": {"deployments": [chat]},
            "claude": {"deployments": [{"provider": "anthropic", "model": "up"}]},
            "native": {"deployments": [{"provider": "openai", "model": "up"}]},
            "two": {
                "deployments": [{"provider": "openai", "model": name} for name in ("a", "b")],
                "strategy": "priority",
                "retries": 0,
            },
            "titan": {"deployments": [{"provider": "openai", "model": "up", "api": "completions"}]},
            "panel": {"orchestration": {"mode": "critique", "models": ["chat", "claude"]}},
        }
        providers = {
            "openai": {"base_url": f"{upstream.url}/v1", "api_key": "sk"},
            "anthropic": {"base_url": upstream.url, "api_key": "sk"},
        }
        config = {"local": {"enabled": False}, "home": home, "routes": routes, "providers": providers}
        with WyeServer(config) as server:
            yield Asked(server, upstream)


@pytest.fixture
def asked(served: Asked) -> Asked:
    served.upstream.script = searching
    served.heard()
    return served


def test_a_model_searches_and_its_answer_is_cited(asked: Asked) -> None:
    response = asked.ask()
    search, message = response.output
    assert (search.type, search.status, search.queries) == (
        "file_search_call",
        "completed",
        ["Where does the Wye flow?"],
    )
    assert search.results is None
    assert response.output_text == ANSWER
    (citation,) = message.content[0].annotations
    assert (citation.type, citation.file_id, citation.filename) == ("file_citation", asked.file_id, "wye.md")
    assert citation.index == ANSWER.index("[1]")
    assert citation.quote == WYE
    assert (response.status, response.usage.input_tokens) == ("completed", 2 * wire.OPENAI_USAGE["prompt_tokens"])
    assert response.tools[0].vector_store_ids == [asked.store]
    first, second = asked.heard()
    (tool,) = first["tools"]
    assert tool["function"]["name"] == "file_search"
    assert first["messages"][-1]["content"] == "Where does it flow?"
    assert second["messages"][-2]["tool_calls"][0]["function"]["name"] == "file_search"
    result = second["messages"][-1]["content"]
    assert result.startswith("Passages of the user's files:\n\n[1] (wye.md)\nThe Wye flows to Chepstow.\n\nPut")


def test_it_is_streamed_with_its_events(asked: Asked) -> None:
    events = list(asked.ask(stream=True, include=["file_search_call.results"]))
    kinds = [event.type.removeprefix("response.") for event in events if not event.type.endswith("text.delta")]
    assert kinds == [
        "created",
        "in_progress",
        "output_item.added",
        "file_search_call.in_progress",
        "file_search_call.searching",
        "file_search_call.completed",
        "output_item.done",
        "output_item.added",
        "content_part.added",
        "output_text.annotation.added",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    places = {event.output_index for event in events if event.type.startswith("response.file_search_call")}
    assert places == {0}
    (cited,) = [event for event in events if event.type == "response.output_text.annotation.added"]
    assert cited.annotation.file_id == asked.file_id
    whole = events[-1].response
    assert whole.output_text == "".join(e.delta for e in events if e.type == "response.output_text.delta") == ANSWER
    (result,) = whole.output[0].results
    assert (result.file_id, result.filename, result.text) == (asked.file_id, "wye.md", WYE)
    assert result.attributes == {"river": "wye"}
    assert 0 < result.score <= 1
    assert whole.output[0].id == events[2].item.id


@pytest.mark.parametrize("stream", [False, True])
def test_claude_searches_too(asked: Asked, stream: bool) -> None:
    call = {"type": "tool_use", "id": "toolu_1", "name": "file_search", "input": {"queries": ["Wye flow"]}}

    def claude(request: FakeRequest) -> FakeAnswer:
        over = b'"tool_result"' in request.body
        content, reason = ([{"type": "text", "text": ANSWER}], "end_turn") if over else ([call], "tool_use")
        return event_stream(claude_stream(content, reason)) if stream else json_body(claude_body(content, reason))

    asked.upstream.script = claude
    found = asked.ask(model="claude", stream=stream)
    response = list(found)[-1].response if stream else found
    assert [item.type for item in response.output] == ["file_search_call", "message"]
    assert response.output[1].content[0].annotations[0].file_id == asked.file_id


def test_a_conversation_goes_on(asked: Asked) -> None:
    first = asked.ask()
    asked.heard()
    second = asked.ask(previous_response_id=first.id, input="And then?")
    assert [item.type for item in second.output] == ["file_search_call", "message"]
    roles = [(message["role"], message["content"]) for message in asked.heard()[0]["messages"]]
    assert roles == [("user", "Where does it flow?"), ("assistant", ANSWER), ("user", "And then?")]


@pytest.mark.parametrize(
    "forced",
    [
        {"tool_choice": {"type": "file_search"}},
        {"tool_choice": "required"},
        {"model": "titan"},
    ],
    ids=["this tool", "any tool", "no tools"],
)
def test_where_no_call_can_be_waited_for_it_is_searched_first(asked: Asked, forced: Said) -> None:
    asked.upstream.script = lambda request: chat_says(request.json(), text=ANSWER)
    if forced.get("model") == "titan":
        choice = {"index": 0, "text": ANSWER, "logprobs": None, "finish_reason": "stop"}
        asked.upstream.script = lambda _: json_body(
            {"id": "c", "object": "text_completion", "created": 1, "model": "up", "choices": [choice]}
        )
    response = asked.ask(**forced)
    assert [item.type for item in response.output] == ["file_search_call", "message"]
    assert response.output[0].queries == ["Where does it flow?"]
    assert response.output[1].content[0].annotations[0].file_id == asked.file_id
    (request,) = asked.heard()
    said = request["prompt"] if "prompt" in request else request["messages"][-1]["content"]
    assert "[1] (wye.md)\nThe Wye flows to Chepstow." in said
    assert "Question: Where does it flow?" in said
    assert "tool_choice" not in request


def test_what_the_passages_do_not_say_is_not_cited(asked: Asked) -> None:
    asked.upstream.script = lambda request: chat_says(request.json(), text="Bananas are yellow [1]. Or [7]?")
    response = asked.ask(tool_choice="required")
    assert response.output[1].content[0].annotations == []


def test_a_model_that_never_ends_searching_is_ended(asked: Asked) -> None:
    asked.upstream.script = lambda r: chat_says(
        r.json(), calls=[("file_search", "not JSON"), *[("file_search", "{}")] * 5]
    )
    response = asked.ask()
    requests = asked.heard()
    assert (len(requests), requests[-1]["tool_choice"]) == (5, "none")
    assert "tool_choice" not in requests[0]
    assert {item.type for item in response.output} == {"file_search_call"}
    assert len(response.output) == 4 * 4
    assert response.output[0].queries == ["Where does it flow?"]
    assert "Too many searches" in requests[1]["messages"][-1]["content"]
    assert response.status == "completed"


def test_calls_of_the_callers_own_are_the_callers(asked: Asked) -> None:
    own = [{"type": "function", "name": name, "parameters": {"type": "object"}} for name in ("look", "file_search")]
    asked.upstream.script = lambda r: chat_says(
        r.json(), calls=[("wye_file_search", '{"query": "Wye"}'), ("file_search", "{}")]
    )
    response = asked.ask(tools=[asked.tool(), *own])
    assert [item.type for item in response.output] == ["function_call", "file_search_call"]
    assert response.output[0].name == "file_search"
    (request,) = asked.heard()
    assert [tool["function"]["name"] for tool in request["tools"]] == ["look", "file_search", "wye_file_search"]


def test_a_filter_and_a_number_bound_what_is_found(asked: Asked) -> None:
    none = asked.tool(filters={"type": "eq", "key": "river", "value": "severn"}, max_num_results=1)
    asked.ask(tools=[none])
    assert asked.heard()[1]["messages"][-1]["content"] == "No passage was found."


@pytest.mark.parametrize("river", ["wye", "gwy"])
def test_a_file_of_two_stores_is_found_by_what_either_says_of_it(asked: Asked, river: str) -> None:
    other = asked.openai.vector_stores.create().id
    asked.openai.vector_stores.files.create(other, file_id=asked.file_id, attributes={"river": "gwy"})
    tool = asked.tool(filters={"type": "eq", "key": "river", "value": river})
    found = asked.ask(
        tools=[{**tool, "vector_store_ids": [asked.store, other]}], include=["file_search_call.results"]
    ).output[0]
    assert [(result.file_id, result.attributes) for result in found.results] == [(asked.file_id, {"river": river})]


@pytest.mark.parametrize("stream", [False, True])
def test_stores_of_an_upstream_go_through_untouched(asked: Asked, stream: bool) -> None:
    theirs = {"id": "fs_1", "type": "file_search_call", "status": "completed", "queries": ["x"], "results": None}
    told = {"type": "response.completed", "sequence_number": 0, "response": response_body([theirs])}
    frames = [b"event: response.completed\ndata: %b\n\n" % json.dumps(told).encode()]
    asked.upstream.script = lambda _: event_stream(frames) if stream else json_body(response_body([theirs]))
    tools = [{"type": "file_search", "vector_store_ids": ["vs_theirs"], "max_num_results": 3}]
    found = asked.ask(model="native", tools=tools, stream=stream)
    response = list(found)[-1].response if stream else found
    assert response.output[0].id == "fs_1"
    assert asked.heard()[0]["tools"] == tools


def said_natively(text: str) -> FakeAnswer:
    content = [{"type": "output_text", "text": text, "annotations": []}]
    message = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": content}
    return json_body(response_body([message]))


def test_who_keeps_the_conversation_is_asked_after_the_search(asked: Asked) -> None:
    down = FakeAnswer([b"{}"], 500)
    asked.upstream.script = lambda request: down if request.json()["model"] == "a" else said_natively("Hi")
    first = asked.ask(model="two", tools=[])
    asked.upstream.script = lambda _: said_natively(ANSWER)
    asked.heard()
    second = asked.ask(model="two", previous_response_id=first.id, tool_choice="required")
    assert [item.type for item in second.output] == ["file_search_call", "message"]
    heard = [(request["model"], request["previous_response_id"]) for request in asked.heard()]
    assert heard == [("b", first.id)]


def test_our_stores_are_ours_for_such_an_upstream_too(asked: Asked) -> None:
    asked.upstream.script = lambda _: said_natively(ANSWER)
    response = asked.ask(model="native", tool_choice={"type": "file_search"}, include=["file_search_call.results"])
    assert [item.type for item in response.output] == ["file_search_call", "message"]
    (request,) = asked.heard()
    assert {"tools", "tool_choice", "include"}.isdisjoint(request)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"tools": [{"type": "file_search", "vector_store_ids": ["vs_0"]}]}, "Vector store 'vs_0' not found"),
        ({"tools": [{"type": "file_search", "vector_store_ids": ["rivers"]}]}, "Vector store 'rivers' not found"),
    ],
)
def test_a_store_that_is_not_there_is_not_found(asked: Asked, more: Said, said: str) -> None:
    for stream in (False, True):
        with pytest.raises(NotFoundError, match=said):
            asked.ask(stream=stream, **more)
    assert asked.heard() == []


@pytest.mark.parametrize(
    ("tool", "said"),
    [
        ({"vector_store_ids": []}, "must name 1 to 20"),
        ({"vector_store_ids": [1]}, r"vector_store_ids\[0\] must be a string"),
        ({"max_num_results": 0}, "max_num_results must be"),
        ({"filters": {"type": "and", "filters": []}}, "file_search.filters.filters"),
        ({"ranking_options": {"score_threshold": -1}}, "score_threshold"),
    ],
)
def test_a_tool_that_cannot_be_run_is_refused(asked: Asked, tool: Said, said: str) -> None:
    with pytest.raises(BadRequestError, match=said):
        asked.ask(tools=[asked.tool(**tool)])
    assert asked.heard() == []


def test_anybody_elses_store_is_not_found(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asked.server.app.pipeline.auth, "principal", lambda headers: "you")
    with pytest.raises(NotFoundError, match=f"Vector store '{asked.store}' not found"):
        asked.ask()
    assert asked.heard() == []


@pytest.mark.parametrize(("depth", "said"), [(200, "8 levels"), (10_000, "nested too deeply")])
def test_filters_without_end_are_refused(asked: Asked, depth: int, said: str) -> None:
    filters = '{"type":"and","filters":[' * depth + "1" + "]}" * depth
    tool = f'{{"type":"file_search","vector_store_ids":["{asked.store}"],"filters":{filters}}}'
    body = f'{{"model":"chat","input":"?","tools":[{tool}]}}'.encode()
    status, _, answer = wire.call(asked.server.url, "/v1/responses", body)
    assert (status, said in json.loads(answer)["error"]["message"]) == (400, True), answer


def test_another_tool_of_that_name_is_another_tool(asked: Asked) -> None:
    asked.upstream.script = lambda request: chat_says(request.json(), text=ANSWER)
    own = {"type": "function", "name": "file_search", "parameters": {"type": "object"}}
    assert [item.type for item in asked.ask(tools=[own]).output] == ["message"]
    body = b'{"model":"chat","input":"?","tools":[{"type":"file_search","x":"\xff"}]}'
    status, _, said = wire.call(asked.server.url, "/v1/responses", body)
    assert (status, json.loads(said)["error"]["code"]) == (400, "invalid_json")


def test_there_is_one_such_tool_for_one_model(asked: Asked) -> None:
    with pytest.raises(BadRequestError, match="once"):
        asked.ask(tools=[asked.tool(), asked.tool()])
    with pytest.raises(BadRequestError, match="several models"):
        asked.ask(model="panel")
    with pytest.raises(NotFoundError):
        asked.ask(tools=[asked.tool(vector_store_ids=[asked.store, "vs_0"])], model="native")


def test_where_nothing_was_ever_kept_nothing_is_opened(asked: Asked, tmp_path: Any) -> None:
    providers = {"openai": {"base_url": f"{asked.upstream.url}/v1", "api_key": "sk"}}
    asked.upstream.script = lambda _: json_body(response_body([]))
    with WyeServer({"local": {"enabled": False}, "home": str(tmp_path), "providers": providers}) as server:
        body = {"model": "openai/up", "input": "Hi", "tools": [{"type": "file_search", "vector_store_ids": ["vs_1"]}]}
        status, _, said = wire.call(server.url, "/v1/responses", body)
        assert status == 200, said
    assert list(tmp_path.iterdir()) == []


def test_it_is_made_in_the_background(asked: Asked) -> None:
    queued = asked.ask(background=True)
    assert queued.status == "queued"
    wire.until(lambda: asked.openai.responses.retrieve(queued.id).status == "completed")
    done = asked.openai.responses.retrieve(queued.id)
    assert [item.type for item in done.output] == ["file_search_call", "message"]
    assert json.loads(done.model_dump_json())["output"][1]["content"][0]["annotations"]


@pytest.mark.parametrize("stream", [False, True])
def test_a_session_keeps_what_was_answered(asked: Asked, stream: bool) -> None:
    session = json.loads(wire.call(asked.server.url, "/v1/sessions", b"", "POST")[2])["id"]
    list(asked.ask(stream=stream, extra_body={"session_id": session}))

    def said() -> list[str]:
        shown = json.loads(wire.call(asked.server.url, f"/v1/sessions/{session}")[2])
        return [message["content"] for message in shown["messages"]]

    wire.until(lambda: said() == ["Where does it flow?", ANSWER])
    asked.heard()
    asked.ask(input="And then?", extra_body={"session_id": session})
    contents = [message["content"] for message in asked.heard()[0]["messages"]]
    assert contents == ["Where does it flow?", ANSWER, "And then?"]


def test_what_is_strict_loses_nothing(asked: Asked) -> None:
    response = asked.ask(extra_headers={"x-wye-strict": "true"}, include=["file_search_call.results"])
    assert [item.type for item in response.output] == ["file_search_call", "message"]
    again = asked.ask(extra_headers={"x-wye-strict": "true"}, previous_response_id=response.id, input="And?")
    assert again.status == "completed"
