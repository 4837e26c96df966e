"""The vendors' own clients against the model in the box. Its answers are poor: shapes are asserted, not content."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from typing import Any

import anthropic
import openai
import pytest
from pydantic import BaseModel

from tests import wire
from tests.e2e.conftest import MODEL, Served

pytestmark = [pytest.mark.requires_model, pytest.mark.xdist_group("e2e")]

ASK: list[Any] = [{"role": "user", "content": "Count from 1 to 5."}]
WEATHER_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"type": "string", "maxLength": 20}},
    "required": ["city"],
    "additionalProperties": False,
}
TOOL: Any = {
    "type": "function",
    "function": {"name": "get_weather", "description": "The weather in a city", "parameters": WEATHER_SCHEMA},
}
CLAUDE_TOOL: Any = {"name": "get_weather", "description": "The weather in a city", "input_schema": WEATHER_SCHEMA}


@pytest.fixture(scope="module")
def gpt(served: Served) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{served.url}/v1", api_key="unused", max_retries=0, timeout=60)


@pytest.fixture(scope="module")
def claude(served: Served) -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=served.url, api_key="unused", max_retries=0, timeout=60)


def test_openai_answers(gpt: openai.OpenAI) -> None:
    answer = gpt.chat.completions.create(model=MODEL, messages=ASK, max_tokens=20)
    assert answer.choices[0].message.content
    assert answer.choices[0].finish_reason in ("stop", "length")
    assert answer.usage is not None
    assert answer.usage.prompt_tokens > 10
    assert 1 <= answer.usage.completion_tokens <= 20


def test_openai_streams(gpt: openai.OpenAI) -> None:
    chunks = list(
        gpt.chat.completions.create(
            model=MODEL, messages=ASK, max_tokens=20, stream=True, stream_options={"include_usage": True}
        )
    )
    assert len({chunk.id for chunk in chunks}) == 1
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert [c.choices[0].finish_reason for c in chunks if c.choices and c.choices[0].finish_reason]
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens > 0


def test_openais_stream_helper_ends_with_the_whole_answer(gpt: openai.OpenAI) -> None:
    with gpt.chat.completions.stream(model=MODEL, messages=ASK, max_tokens=200, stop=["."]) as stream:
        text = "".join(event.delta for event in stream if event.type == "content.delta")
        assert stream.get_final_completion().choices[0].message.content == text


def test_anthropic_answers(claude: anthropic.Anthropic) -> None:
    message = claude.messages.create(model=MODEL, messages=ASK, max_tokens=20, system="Be brief.")
    assert message.content[0].type == "text"
    assert message.content[0].text
    assert message.stop_reason in ("end_turn", "max_tokens")
    assert message.usage.input_tokens + (message.usage.cache_read_input_tokens or 0) > 10
    assert 1 <= message.usage.output_tokens <= 20


def test_anthropic_streams(claude: anthropic.Anthropic) -> None:
    with claude.messages.stream(model=MODEL, messages=ASK, max_tokens=20) as stream:
        text = "".join(stream.text_stream)
        message = stream.get_final_message()
    assert text
    assert message.content[0].type == "text"
    assert message.content[0].text == text
    assert message.usage.output_tokens > 0
    assert message.stop_reason in ("end_turn", "max_tokens")


def test_anthropic_counts_tokens_as_the_model_does(claude: anthropic.Anthropic, gpt: openai.OpenAI) -> None:
    counted = claude.messages.count_tokens(model=MODEL, messages=ASK).input_tokens
    answer = gpt.chat.completions.create(model=MODEL, messages=ASK, max_tokens=1)
    assert answer.usage is not None
    assert counted == answer.usage.prompt_tokens


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "get_weather"}}])
def test_a_forced_tool_is_called(gpt: openai.OpenAI, choice: Any) -> None:
    asked: list[Any] = [{"role": "user", "content": "What is the weather in Paris?"}]
    answer = gpt.chat.completions.create(
        model=MODEL, messages=asked, tools=[TOOL], tool_choice=choice, max_tokens=100, temperature=0
    )
    choice_ = answer.choices[0]
    assert choice_.finish_reason == "tool_calls"
    assert choice_.message.tool_calls
    call = choice_.message.tool_calls[0]
    assert call.type == "function"
    assert call.function.name == "get_weather"
    assert isinstance(json.loads(call.function.arguments)["city"], str)
    turn: list[Any] = [
        *asked,
        choice_.message.model_dump(exclude_none=True),
        {"role": "tool", "tool_call_id": call.id, "content": "Sunny, 20 degrees"},
    ]
    assert gpt.chat.completions.create(model=MODEL, messages=turn, tools=[TOOL], max_tokens=10).choices


def test_a_forced_tool_streams_its_arguments(gpt: openai.OpenAI) -> None:
    with gpt.chat.completions.stream(
        model=MODEL, messages=ASK, tools=[TOOL], tool_choice="required", max_tokens=100, temperature=0
    ) as stream:
        events = list(stream)
        final = stream.get_final_completion()
    assert sum(event.type == "tool_calls.function.arguments.delta" for event in events) > 1
    calls = final.choices[0].message.tool_calls
    assert calls
    assert json.loads(calls[0].function.arguments)["city"] is not None


def test_anthropics_forced_tool_is_called(claude: anthropic.Anthropic) -> None:
    for choice in ({"type": "any"}, {"type": "tool", "name": "get_weather"}):
        with claude.messages.stream(
            model=MODEL,
            messages=ASK,
            tools=[CLAUDE_TOOL],
            tool_choice=choice,  # type: ignore[arg-type]
            max_tokens=100,
            extra_body={"temperature": 0},
        ) as stream:
            message = stream.get_final_message()
        assert message.stop_reason == "tool_use"
        assert message.content[0].type == "tool_use"
        assert isinstance(message.content[0].input["city"], str)  # type: ignore[index]


class Person(BaseModel):
    name: str
    age: int


def test_a_json_schema_is_kept(gpt: openai.OpenAI) -> None:
    form: Any = {
        "type": "json_schema",
        "json_schema": {
            "name": "person",
            "schema": {
                "type": "object",
                "properties": {"name": {"type": "string", "maxLength": 10}, "age": {"type": "integer", "maximum": 99}},
                "required": ["name", "age"],
                "additionalProperties": False,
            },
        },
    }
    asked: list[Any] = [{"role": "user", "content": "Make up a person."}]
    answer = gpt.chat.completions.create(
        model=MODEL, messages=asked, response_format=form, max_tokens=100, temperature=0
    )
    Person.model_validate_json(answer.choices[0].message.content or "")
    plain = gpt.chat.completions.create(
        model=MODEL, messages=asked, response_format={"type": "json_object"}, max_tokens=200, temperature=0
    )
    if plain.choices[0].finish_reason == "stop":
        assert isinstance(json.loads(plain.choices[0].message.content or ""), dict)


def test_several_choices_log_probabilities_and_stops(gpt: openai.OpenAI) -> None:
    answer = gpt.chat.completions.create(
        model=MODEL, messages=ASK, max_tokens=5, n=2, logprobs=True, top_logprobs=2, seed=1
    )
    assert [choice.index for choice in answer.choices] == [0, 1]
    assert answer.choices[0].logprobs is not None
    assert answer.choices[0].logprobs.content
    assert len(answer.choices[0].logprobs.content[0].top_logprobs) == 2
    stopped = gpt.chat.completions.create(model=MODEL, messages=ASK, max_tokens=30, stop=["3"], temperature=0)
    assert "3" not in (stopped.choices[0].message.content or "")


async def test_ten_at_a_time_are_all_answered(served: Served) -> None:
    client = openai.AsyncOpenAI(base_url=f"{served.url}/v1", api_key="unused", max_retries=0, timeout=100)

    async def ask(stream: bool) -> str:
        if not stream:
            answer = await client.chat.completions.create(model=MODEL, messages=ASK, max_tokens=20)
            return answer.choices[0].message.content or ""
        chunks = await client.chat.completions.create(model=MODEL, messages=ASK, max_tokens=20, stream=True)
        return "".join([chunk.choices[0].delta.content or "" async for chunk in chunks if chunk.choices])

    answers = await asyncio.gather(*(ask(stream=i % 2 == 0) for i in range(10)))
    assert all(answers)
    await client.close()


def test_too_long_a_context_is_a_400_with_the_numbers(gpt: openai.OpenAI, claude: anthropic.Anthropic) -> None:
    long: list[Any] = [{"role": "user", "content": "hello world " * 3000}]
    with pytest.raises(openai.BadRequestError) as raised:
        gpt.chat.completions.create(model=MODEL, messages=long)
    assert raised.value.code == "context_length_exceeded"
    assert "2048" in raised.value.message
    assert raised.value.body["n_ctx"] == 2048  # type: ignore[index]
    with pytest.raises(anthropic.BadRequestError, match="2048"):
        claude.messages.create(model=MODEL, messages=long, max_tokens=5)


@pytest.mark.parametrize(
    ("member", "value"),
    [("grammar", 'root ::= "a"'), ("n_predict", 5), ("id_slot", 0), ("json_schema", {"type": "object"})],
)
def test_the_engines_own_settings_never_reach_it(served: Served, member: str, value: Any) -> None:
    nested = {"type": "json_object", "grammar": "(" * 10_000, "schema": {}}
    for more in ({member: value}, {"response_format": nested, member: value}):
        status, headers, _ = wire.call(
            served.url, "/v1/chat/completions", {**wire.ask(model=MODEL), "max_tokens": 3, **more}
        )
        assert status == 200
        assert member in headers["x-wye-loss"]


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "objekt"}, "objekt"),
        ({"$ref": "https://example.com/x"}, "within the schema"),
        ({"type": "string", "maxLength": 10**9}, "maxLength"),
    ],
)
def test_a_schema_that_cannot_be_kept_is_refused(served: Served, schema: dict[str, Any], words: str) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    status, _, body = wire.call(served.url, "/v1/chat/completions", {**wire.ask(model=MODEL), "response_format": form})
    assert status == 400
    assert words in json.loads(body)["error"]["message"]


def test_images_are_refused_with_their_path(gpt: openai.OpenAI) -> None:
    image: Any = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    with pytest.raises(openai.BadRequestError) as raised:
        gpt.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": [image]}])
    assert raised.value.param == "messages[0].content[0]"


def test_killing_the_engine_in_an_answer_is_a_clean_error_and_the_next_call_works(
    served: Served, gpt: openai.OpenAI
) -> None:
    pid = served.engine_pid()
    stream = gpt.chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": "Tell a long story."}], max_tokens=1500, stream=True
    )
    for _ in range(5):
        next(stream)
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(openai.APIError) as raised:
        list(stream)
    assert raised.value.message
    began = time.monotonic()
    assert gpt.chat.completions.create(model=MODEL, messages=ASK, max_tokens=5).choices
    assert time.monotonic() - began < 30
    assert served.engine_pid() != pid
