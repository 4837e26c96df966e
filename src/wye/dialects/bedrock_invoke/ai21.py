"""AI21's Jamba. https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-jamba.html

The shapes of Jurassic, which went before it, are understood as well.
https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-jurassic2.html
"""

from __future__ import annotations

from typing import Any

from wye.dialects.bedrock_invoke.openai_shape import Shape, openai_family
from wye.kernel.errors import BadAnswer
from wye.kernel.json import JsonObject, as_list, as_object

_JURASSIC = {
    "maxTokens": "max_tokens",
    "topP": "top_p",
    "stopSequences": "stop",
    "numResults": "n",
}
_REASONS = {"endoftext": "stop", "stop": "stop", "length": "length"}


def _read_request(body: JsonObject) -> JsonObject:
    if "prompt" not in body or "messages" in body:
        return body
    said = {_JURASSIC.get(name, name): value for name, value in body.items() if name != "prompt"}
    return {**said, "messages": [{"role": "user", "content": body["prompt"]}]}


def _read_answer(body: JsonObject) -> JsonObject:
    completions = as_list(body.get("completions"))
    if completions is None:
        return body
    said = {name: value for name, value in body.items() if name != "completions"}
    # Its ids are numbers, and its prompt comes back with every token.
    said["id"] = str(body.get("id", ""))
    return {**said, "choices": [_read_completion(item, i) for i, item in enumerate(completions)]}


def _read_completion(value: Any, index: int) -> JsonObject:
    completion = as_object(value) or {}
    data, ended = as_object(completion.get("data")) or {}, as_object(completion.get("finishReason")) or {}
    text, reason = data.get("text"), ended.get("reason")
    if not isinstance(text, str):
        raise BadAnswer(f"The upstream's answer holds no text in completions[{index}]")
    said = _REASONS.get(reason, reason) if isinstance(reason, str) else None
    return {"index": index, "message": {"role": "assistant", "content": text}, "finish_reason": said}


DIALECT = openai_family(
    Shape(
        name="bedrock_ai21",
        settings=("max_tokens", "temperature", "top_p", "stop", "n", "frequency_penalty", "presence_penalty"),
        tools=False,
        images=False,
        read_request=_read_request,
        read_answer=_read_answer,
    )
)
