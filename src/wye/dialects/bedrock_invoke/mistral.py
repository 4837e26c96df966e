"""Mistral's chat models. https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-mistral-chat-completion.html

Those that only continue a prompt speak `mistral_prompt`.
"""

from __future__ import annotations

from typing import Any

from wye.dialects.bedrock_invoke.openai_shape import Shape, openai_family
from wye.kernel.json import JsonObject, as_list, as_object


def _read_request(body: JsonObject) -> JsonObject:
    return {**body, "tool_choice": "required"} if body.get("tool_choice") == "any" else body


def _write_request(body: JsonObject) -> JsonObject:
    return {**body, "tool_choice": "any"} if body.get("tool_choice") == "required" else body


def _read_answer(body: JsonObject) -> JsonObject:
    """Why an answer ended is in `stop_reason`, and with newer models in `finish_reason`, or in both."""

    def read(value: Any) -> Any:
        choice = as_object(value)
        if choice is None or "stop_reason" not in choice:
            return value
        left = {**choice, "finish_reason": choice.get("finish_reason") or choice["stop_reason"]}
        del left["stop_reason"]
        return left

    return _with_choices(body, read)


def _write_answer(body: JsonObject) -> JsonObject:
    def write(choice: Any) -> Any:
        said = {"message" if name == "delta" else name: member for name, member in choice.items()}
        return {**said, "stop_reason": choice.get("finish_reason")}

    return _with_choices(body, write)


def _with_choices(body: JsonObject, change: Any) -> JsonObject:
    choices = as_list(body.get("choices"))
    return body if choices is None else {**body, "choices": [change(choice) for choice in choices]}


DIALECT = openai_family(
    Shape(
        name="bedrock_mistral",
        settings=("max_tokens", "temperature", "top_p", "stop"),
        names_a_tool=False,
        read_request=_read_request,
        write_request=_write_request,
        read_answer=_read_answer,
        write_answer=_write_answer,
        read_chunk=_read_answer,
        write_chunk=_write_answer,
    )
)
