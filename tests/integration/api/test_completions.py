"""The route of OpenAI's older API, which continues a text, as OpenAI's own client calls it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from tests import wire
from wye.testing.fake import FakeAnswer, FakeRequest, FakeUpstream, event_stream, json_body
from wye.testing.server import WyeServer

HEAD = {"id": "cmpl-9", "object": "text_completion", "created": 1790000000, "model": "base-1"}
USAGE = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}


def choice(text: str, finish: str | None = "stop", index: int = 0) -> dict[str, Any]:
    return {"text": text, "index": index, "logprobs": None, "finish_reason": finish}


def frame(*choices: dict[str, Any], **members: Any) -> bytes:
    return b"data: " + json.dumps({**HEAD, "choices": choices, **members}).encode() + b"\n\n"


def answer(request: FakeRequest) -> FakeAnswer:
    """An upstream that has both APIs; a chat model says "Hello there"."""
    body = request.json()
    if request.path.endswith("/chat/completions"):
        return event_stream(wire.OPENAI_STREAM) if body.get("stream") else json_body(wire.OPENAI_BODY)
    if body.get("stream"):
        return event_stream([frame(choice(" the", None)), frame(choice(" Rhine")), frame(usage=USAGE), wire.DONE])
    several = body["prompt"] if isinstance(body["prompt"], list) else [body["prompt"]]
    return json_body({**HEAD, "choices": [choice(" the Rhine", index=i) for i in range(len(several))], "usage": USAGE})


@pytest.fixture(scope="module")
def upstream() -> Iterator[FakeUpstream]:
    with FakeUpstream(answer) as upstream:
        yield upstream


@pytest.fixture(scope="module")
def server(upstream: FakeUpstream) -> Iterator[WyeServer]:
    providers = {
        "own": {"kind": "vllm", "base_url": f"{upstream.url}/v1"},
        "vendor": {"kind": "openai", "base_url": f"{upstream.url}/v1", "api_key": "k"},
    }
    deployments = {"base": {"provider": "own", "model": "base"}, "gpt": {"provider": "vendor", "model": "gpt-4o"}}
    routes = {
        f"{how}-{name}": {"deployments": [deployment], **more}
        for name, deployment in deployments.items()
        for how, more in (("kept", {"cache": {}}), ("continued", {"continue_after_cut": True}))
    }
    with WyeServer({"local": {"enabled": False}, "providers": providers, "routes": routes}) as server:
        yield server


@pytest.fixture
def client(server: WyeServer) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key="k", max_retries=0)


@pytest.mark.parametrize("path", ["/v1/completions", "/completions"])
def test_a_text_is_continued(path: str, server: WyeServer, upstream: FakeUpstream) -> None:
    client = openai.OpenAI(base_url=server.url + path.removesuffix("/completions"), api_key="k", max_retries=0)
    completion = client.completions.create(model="own/base", prompt="The river is")
    assert completion.choices[0].text == " the Rhine"
    assert completion.usage is not None
    assert completion.usage.total_tokens == 7
    asked = upstream.requests[-1]
    assert (asked.path, asked.json()) == ("/v1/completions", {"model": "base", "prompt": "The river is"})


@pytest.mark.parametrize("prompt", [["a", "b"], [[1, 2], [3]]])
def test_several_prompts_and_token_ids_go_to_who_understands_them(
    prompt: Any, client: openai.OpenAI, upstream: FakeUpstream
) -> None:
    completion = client.completions.create(model="own/base", prompt=prompt)
    assert [item.index for item in completion.choices] == [0, 1]
    assert upstream.requests[-1].json()["prompt"] == prompt


@pytest.mark.parametrize("how", ["kept", "continued"])
def test_what_cannot_be_kept_or_continued_is_answered_all_the_same(
    how: str, client: openai.OpenAI, upstream: FakeUpstream
) -> None:
    answers = client.completions.with_raw_response.create(model=f"{how}-base", prompt=[[1, 2], [3]])
    assert answers.headers.get("x-wye-cache") == ("bypass" if how == "kept" else None)
    streamed = client.completions.create(model=f"{how}-base", prompt=[[1, 2], [3]], stream=True)
    assert "".join(chunk.choices[0].text for chunk in streamed if chunk.choices) == " the Rhine"
    assert upstream.requests[-1].json()["prompt"] == [[1, 2], [3]]
    assert len(client.completions.create(model=f"{how}-gpt", prompt=["a", "b"]).choices) == 2


def test_a_model_for_conversations_is_asked_once_for_each_prompt(client: openai.OpenAI, upstream: FakeUpstream) -> None:
    before = len(upstream.requests)
    prompts = [f"{i}:" for i in range(20)]
    completion = client.completions.create(model="vendor/gpt-4o", prompt=prompts, echo=True, suffix=".")
    assert [(item.index, item.text) for item in completion.choices] == [
        (i, f"{prompt}Hello there") for i, prompt in enumerate(prompts)
    ]
    assert completion.usage is not None
    assert completion.usage.prompt_tokens == 20 * wire.OPENAI_USAGE["prompt_tokens"]
    assert sorted(request.json()["messages"][0]["content"] for request in upstream.requests[before:]) == sorted(prompts)
    for options, words in (
        ({"prompt": [[1, 2], [3]]}, "token ids"),
        ({"prompt": ["a", "b"], "stream": True}, "holds 2 texts, and this model streams one"),
        ({"prompt": ["a"] * 129}, "129 texts, and one request at most 128"),
    ):
        with pytest.raises(openai.BadRequestError, match=words) as caught:
            client.completions.create(model="vendor/gpt-4o", **options)  # pyright: ignore
        assert caught.value.param == "prompt"


def test_one_prompt_that_fails_fails_the_request(server: WyeServer, upstream: FakeUpstream) -> None:
    upstream.queue.append(json_body({"error": {"message": "Too long", "type": "invalid_request_error"}}, 400))
    body = {"model": "vendor/gpt-4o", "prompt": ["a", "b", "c"], "suffix": "."}
    status, _, answer = wire.call(server.url, "/v1/completions", body)
    assert (status, json.loads(answer)["error"]["message"]) == (400, "Too long")
    status, headers, _ = wire.call(server.url, "/v1/completions", body)
    assert status == 200
    assert headers["x-wye-loss"].startswith("suffix, system_fingerprint")


@pytest.mark.parametrize("counted", [False, True])
def test_a_text_is_continued_piece_by_piece(counted: bool, client: openai.OpenAI) -> None:
    options: Any = {"include_usage": True} if counted else openai.omit
    chunks = list(client.completions.create(model="own/base", prompt="R:", stream=True, stream_options=options))
    assert "".join(item.text for chunk in chunks for item in chunk.choices) == " the Rhine"
    assert [chunk.usage.total_tokens for chunk in chunks if chunk.usage] == [7] * counted


def test_a_model_for_conversations_is_asked_in_its_own_words(client: openai.OpenAI, upstream: FakeUpstream) -> None:
    completion = client.completions.create(model="vendor/gpt-4o", prompt="Say it:", echo=True, max_tokens=9)
    assert completion.object == "text_completion"
    assert (completion.choices[0].text, completion.choices[0].finish_reason) == ("Say it:Hello there", "stop")
    assert upstream.requests[-1].json() == {
        "model": "gpt-4o",
        "messages": [{"role": "user", "content": "Say it:"}],
        "max_completion_tokens": 9,
    }
    chunks = list(client.completions.create(model="vendor/gpt-4o", prompt="Say it:", echo=True, stream=True))
    assert "".join(item.text for chunk in chunks for item in chunk.choices) == "Say it:Hello there"
    assert chunks[-1].choices[0].finish_reason == "stop"


def test_a_model_that_only_continues_texts_answers_one_text_of_a_conversation(
    client: openai.OpenAI, upstream: FakeUpstream
) -> None:
    answer = client.chat.completions.create(
        model="vendor/gpt-3.5-turbo-instruct", messages=[{"role": "user", "content": "The river is"}]
    )
    assert answer.choices[0].message.content == " the Rhine"
    assert upstream.requests[-1].path == "/v1/completions"
    with pytest.raises(openai.BadRequestError, match=r"messages\[0\]"):
        client.chat.completions.create(
            model="vendor/gpt-3.5-turbo-instruct",
            messages=[{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}],
        )


def test_an_answer_in_this_format_can_be_asked_for(server: WyeServer) -> None:
    status, _, body = wire.call(
        server.url, "/v1/chat/completions?target_format=completions", wire.ask(model="vendor/gpt-4o")
    )
    assert status == 200
    assert json.loads(body)["choices"][0]["text"] == "Hello there"


def test_a_mistake_is_named(client: openai.OpenAI) -> None:
    with pytest.raises(openai.UnprocessableEntityError, match="prompt is required") as caught:
        client.completions.create(model="vendor/gpt-4o", prompt=None)
    assert caught.value.param == "prompt"
