"""The openai client's Responses API against the model in the box: shapes are asserted, not content."""

from __future__ import annotations

from typing import Any

import openai
import pytest
from pydantic import BaseModel

from tests.e2e.conftest import MODEL, Served

pytestmark = [pytest.mark.requires_model, pytest.mark.xdist_group("e2e")]

ASK = "Count from 1 to 5."
WEATHER: Any = {
    "type": "function",
    "name": "get_weather",
    "description": "The weather in a city",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string", "maxLength": 20}},
        "required": ["city"],
        "additionalProperties": False,
    },
    "strict": True,
}


@pytest.fixture(scope="module")
def gpt(served: Served) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{served.url}/v1", api_key="unused", max_retries=0, timeout=60)


def test_it_answers_and_goes_on(gpt: openai.OpenAI) -> None:
    first = gpt.responses.create(model=MODEL, input=ASK, instructions="Be brief.", max_output_tokens=16)
    assert first.output_text
    assert first.usage is not None
    second = gpt.responses.create(
        model=MODEL, input="And on?", previous_response_id=first.id, max_output_tokens=16, store=False
    )
    assert second.usage is not None
    assert second.usage.input_tokens > first.usage.input_tokens
    assert gpt.responses.retrieve(first.id).output_text == first.output_text
    assert gpt.responses.input_items.list(first.id).data
    gpt.responses.delete(first.id)
    with pytest.raises(openai.NotFoundError):
        gpt.responses.retrieve(first.id)


def test_it_streams(gpt: openai.OpenAI) -> None:
    with gpt.responses.stream(model=MODEL, input="Say hello.", temperature=0, max_output_tokens=300) as stream:
        events = list(stream)
        final = stream.get_final_response()
    assert [event.sequence_number for event in events] == list(range(len(events)))
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert text == final.output_text
    assert events[0].type == "response.created"
    assert events[-1].type == "response.completed"


def test_a_forced_tool_is_called_and_its_result_taken(gpt: openai.OpenAI) -> None:
    first = gpt.responses.create(
        model=MODEL, input="Weather in Rome?", tools=[WEATHER], tool_choice="required", max_output_tokens=60
    )
    call = next(item for item in first.output if item.type == "function_call")
    assert call.name == "get_weather"
    result: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}
    second = gpt.responses.create(
        model=MODEL, input=[result], previous_response_id=first.id, tools=[WEATHER], max_output_tokens=16
    )
    assert second.status in ("completed", "incomplete")


class Answer(BaseModel):
    number: int


def test_structured_output_is_parsed(gpt: openai.OpenAI) -> None:
    parsed = gpt.responses.parse(model=MODEL, input="One plus one?", text_format=Answer, max_output_tokens=40)
    assert isinstance(parsed.output_parsed, Answer)
