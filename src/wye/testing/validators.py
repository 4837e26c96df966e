"""What the vendors' answers must look like: each method raises AssertionError that names what is wrong.

https://platform.openai.com/docs/api-reference · https://docs.anthropic.com/en/api/messages
https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from wye.kernel.json import JsonError, JsonObject, as_object, decode, type_name
from wye.testing.shapes import faults_of

REASONS = {"stop", "length", "tool_calls", "content_filter", "function_call"}
STOPS = {
    "end_turn",
    "max_tokens",
    "stop_sequence",
    "tool_use",
    "pause_turn",
    "refusal",
    "model_context_window_exceeded",
}
_CONVERSE_STOPS = {
    "end_turn",
    "tool_use",
    "max_tokens",
    "stop_sequence",
    "guardrail_intervened",
    "content_filtered",
    "malformed_model_output",
    "malformed_tool_use",
    "model_context_window_exceeded",
}
_TITAN_REASONS = {
    "FINISH",
    "FINISHED",
    "LENGTH",
    "STOP_CRITERIA_MET",
    "CONTENT_FILTERED",
    "RAG_QUERY_WHEN_RAG_DISABLED",
}

USAGE: JsonObject = {
    "prompt_tokens": int,
    "completion_tokens": int,
    "total_tokens": int,
    "prompt_tokens_details?": {"cached_tokens?": int},
    "completion_tokens_details?": {"reasoning_tokens?": int},
}
_CALL = {"id": str, "type": {"function"}, "function": {"name": str, "arguments": str}}
_CUSTOM_CALL = {"id": str, "type": {"custom"}, "custom": {"name": str, "input": str}}
COMPLETION: JsonObject = {
    "id": str,
    "object": {"chat.completion"},
    "created": int,
    "model": str,
    "choices": [
        {
            "index": int,
            "message": {
                "role": {"assistant"},
                "content?": str,
                "refusal?": str,
                "tool_calls?": [(_CALL, _CUSTOM_CALL)],
            },
            "finish_reason": REASONS,
        }
    ],
    "usage?": USAGE,
}
CHUNK: JsonObject = {
    "id": str,
    "object": {"chat.completion.chunk"},
    "created": int,
    "model": str,
    "choices": [
        {
            "index": int,
            "delta": {
                "role?": {"assistant"},
                "content?": str,
                "tool_calls?": [{"index": int, "id?": str, "function?": {"name?": str, "arguments?": str}}],
            },
            "finish_reason?": REASONS,
        }
    ],
    "usage?": USAGE,
}
_ANTHROPIC_USAGE: JsonObject = {
    "input_tokens": int,
    "output_tokens": int,
    "cache_creation_input_tokens?": int,
    "cache_read_input_tokens?": int,
}
MESSAGE: JsonObject = {
    "id": str,
    "type": {"message"},
    "role": {"assistant"},
    "model": str,
    "content": [{"type": str}],
    "stop_reason": STOPS,
    "stop_sequence?": str,
    "usage": _ANTHROPIC_USAGE,
}
_BLOCKS: dict[str, JsonObject] = {
    "text": {"text": str},
    "thinking": {"thinking": str, "signature": str},
    "redacted_thinking": {"data": str},
    "tool_use": {"id": str, "name": str, "input": dict},
}
RESPONSE: JsonObject = {
    "id": str,
    "object": {"response"},
    "created_at": (int, float),
    "model": str,
    "status": {"completed", "incomplete", "failed", "in_progress", "queued", "cancelled"},
    "output": [{"type": str}],
    "usage?": {
        "input_tokens": int,
        "input_tokens_details": {"cached_tokens": int},
        "output_tokens": int,
        "output_tokens_details": {"reasoning_tokens": int},
        "total_tokens": int,
    },
}
_ITEMS: dict[str, JsonObject] = {
    "message": {
        "id": str,
        "role": {"assistant"},
        "status": {"completed", "incomplete", "in_progress"},
        "content": [
            ({"type": {"output_text"}, "text": str, "annotations": list}, {"type": {"refusal"}, "refusal": str})
        ],
    },
    "function_call": {"id": str, "call_id": str, "name": str, "arguments": str},
    "reasoning": {"id": str, "summary": [{"type": {"summary_text"}, "text": str}], "encrypted_content?": str},
}
TITAN: JsonObject = {
    "inputTextTokenCount": int,
    "results": [{"tokenCount": int, "outputText": str, "completionReason": _TITAN_REASONS}],
}
CONVERSE: JsonObject = {
    "output": {"message": {"role": {"assistant"}, "content": [dict]}},
    "stopReason": _CONVERSE_STOPS,
    "usage": {"inputTokens": int, "outputTokens": int, "totalTokens": int},
    "metrics": {"latencyMs": int},
}
_ORCHESTRATION: dict[str, JsonObject] = {
    "single": {},
    "critique": {"rounds": int},
    "debate": {"agreement_score": float},
    "ensemble": {"agreement_score": float, "disagreements": list},
    "pipeline": {"completed_steps": int, "total_steps": int},
}
EMBEDDINGS: JsonObject = {
    "object": {"list"},
    "model": str,
    "data": [{"object": {"embedding"}, "index": int, "embedding": ([float], str)}],
    "usage": {"prompt_tokens": int, "total_tokens": int},
}


class ResponseValidator:
    """Bodies may be decoded JSON, or what a vendor's client made of it. Each method gives the body back, decoded."""

    def validate_completion(self, body: Any) -> JsonObject:
        """An answer of OpenAI's chat."""
        answer = _checked(body, COMPLETION, "a chat completion")
        for i, choice in enumerate(answer["choices"]):
            message, at = choice["message"], f"choices[{i}]"
            calls: list[Any] = message.get("tool_calls") or []
            _demand(choice["index"] == i, f"{at}.index must be {i}, and is {choice['index']}")
            said = message.get("content") if message.get("content") is not None else message.get("refusal")
            _demand(bool(calls) or said is not None, f"{at}.message has neither content nor tool_calls")
            _demand(
                not calls or choice["finish_reason"] != "stop", f"{at}.finish_reason is stop, and there are tool_calls"
            )
            _demand(
                bool(calls) or choice["finish_reason"] != "tool_calls",
                f"{at}.finish_reason is tool_calls, and there are none",
            )
            for j, call in enumerate(calls):
                if call["type"] == "function":
                    _demand_json(call["function"]["arguments"], f"{at}.message.tool_calls[{j}].function.arguments")
        _demand(bool(answer["choices"]), "choices is empty")
        if answer.get("usage") is not None:
            self.validate_usage(answer["usage"])
        return answer

    def validate_usage(self, usage: Any) -> JsonObject:
        """The `usage` of OpenAI's chat (or a body that holds it): figures that add up."""
        members = _plain(usage)
        if "usage" in members:
            members = _plain(members["usage"])
        found = _checked(members, USAGE, "usage")
        asked, said, total = (found[name] for name in ("prompt_tokens", "completion_tokens", "total_tokens"))
        _demand(min(asked, said) >= 0, "usage has a figure below 0")
        _demand(asked + said == total, f"usage.total_tokens must be {asked} + {said}, and is {total}")
        return found

    def validate_orchestration(self, body: Any) -> JsonObject:
        """An answer of several models: a completion with `orchestration`, and what its mode tells there."""
        answer = _checked(body, {"orchestration": dict}, "an orchestrated answer")
        shape = {"mode": set(_ORCHESTRATION), "models_used": [str], "total_inference_time_ms": float}
        told = _checked(answer["orchestration"], shape, "orchestration")
        _checked(told, _ORCHESTRATION[told["mode"]], f"the orchestration of mode {told['mode']}")
        for name in ("agreement_score", "confidence"):
            if isinstance(told.get(name), int | float):
                _demand(0 <= told[name] <= 1, f"orchestration.{name} must be within 0 and 1, and is {told[name]}")
        _demand(bool(told["models_used"]), "orchestration.models_used is empty")
        return answer

    def validate_streaming_chunk(self, chunk: Any) -> JsonObject:
        """One chunk of OpenAI's chat, streamed."""
        return _checked(chunk, CHUNK, "a chunk of a chat completion")

    def validate_message(self, body: Any) -> JsonObject:
        """An answer of Anthropic's Messages."""
        answer = _checked(body, MESSAGE, "an Anthropic message")
        for i, block in enumerate(answer["content"]):
            _all_right(faults_of(block, _BLOCKS.get(block["type"], {}), f"content[{i}]"), "an Anthropic message")
        calls = [block for block in answer["content"] if block["type"] == "tool_use"]
        _demand(
            bool(calls) or answer["stop_reason"] != "tool_use", "stop_reason is tool_use, and there is no such block"
        )
        return answer

    def validate_response(self, body: Any) -> JsonObject:
        """An answer of OpenAI's Responses."""
        answer = _checked(body, RESPONSE, "a response")
        for i, item in enumerate(answer["output"]):
            _all_right(faults_of(item, _ITEMS.get(item["type"], {}), f"output[{i}]"), "a response")
            if item["type"] == "function_call":
                _demand_json(item["arguments"], f"output[{i}].arguments")
        if answer["status"] == "completed":
            _demand(answer.get("usage") is not None, "usage is missing")
        return answer

    def validate_titan(self, body: Any) -> JsonObject:
        """An answer of Amazon Titan's InvokeModel."""
        answer = _checked(body, TITAN, "an answer of Titan's")
        _demand(bool(answer["results"]), "results is empty")
        return answer

    def validate_converse(self, body: Any) -> JsonObject:
        """An answer of Bedrock's Converse."""
        answer = _checked(body, CONVERSE, "an answer of Converse")
        usage = answer["usage"]
        cached = usage.get("cacheReadInputTokens", 0) + usage.get("cacheWriteInputTokens", 0)
        total = usage["inputTokens"] + usage["outputTokens"] + cached
        _demand(usage["totalTokens"] == total, f"usage.totalTokens must be {total}, and is {usage['totalTokens']}")
        return answer

    def validate_embeddings(self, body: Any) -> JsonObject:
        """An answer of OpenAI's embeddings."""
        answer = _checked(body, EMBEDDINGS, "an answer with embeddings")
        indexes = [item["index"] for item in answer["data"]]
        _demand(indexes == list(range(len(indexes))), f"data must be in the order of their index, and is {indexes}")
        return answer

    # Streams

    def validate_stream(self, chunks: Iterable[Any]) -> str:
        """A whole stream of OpenAI's chat, with or without its "[DONE]"; gives its text back."""
        found = [chunk for chunk in chunks if chunk != "[DONE]"]
        decoded = [self.validate_streaming_chunk(chunk) for chunk in found]
        _demand(bool(decoded), "the stream is empty")
        _one_id(chunk["id"] for chunk in decoded)
        choices = [choice for chunk in decoded for choice in chunk["choices"]]
        _demand(bool(choices) and choices[0]["delta"].get("role") == "assistant", "the first chunk must tell the role")
        reasons = [choice["finish_reason"] for choice in choices if choice.get("finish_reason")]
        _demand(len(reasons) == len({choice["index"] for choice in choices}), "each choice must have one finish_reason")
        arguments: dict[tuple[int, int], str] = {}
        for choice in choices:
            for call in choice["delta"].get("tool_calls") or ():
                at = choice["index"], call["index"]
                _demand(at in arguments or bool(call.get("id")), "the first piece of a tool call must have its id")
                function: JsonObject = call.get("function") or {}
                arguments[at] = arguments.get(at, "") + (function.get("arguments") or "")
        _demand(bool(arguments) or "tool_calls" not in reasons, "finish_reason is tool_calls, and there are none")
        for joined in arguments.values():
            _demand_json(joined, "the arguments of a tool call, joined,")
        return "".join(choice["delta"].get("content") or "" for choice in choices)

    def validate_message_events(self, events: Iterable[Any]) -> str:
        """A whole stream of Anthropic's Messages; gives its text back."""
        found = [event for event in map(_plain, events) if event.get("type") != "ping"]
        kinds = [event.get("type") for event in found]
        _demand(bool(kinds) and kinds[0] == "message_start", "the first event must be message_start")
        _demand(kinds[-1] == "message_stop", "the last event must be message_stop")
        _demand(kinds.count("message_delta") >= 1, "message_delta is missing")
        start = _checked(found[0], {"message": {"id": str, "usage": {"input_tokens": int}}}, "message_start")
        _demand(start["message"].get("content") == [], "message_start.message.content must be empty")
        text, open_at, next_at = "", None, 0
        pieces: list[str] = []
        for event in found[1:-1]:
            match event.get("type"):
                case "content_block_start":
                    _checked(event, {"index": int, "content_block": {"type": str}}, "content_block_start")
                    _demand(open_at is None, "a content block starts within another")
                    _demand(
                        event["index"] == next_at, f"the index of a block must be {next_at}, and is {event['index']}"
                    )
                    open_at, next_at, pieces = event["index"], next_at + 1, []
                case "content_block_delta":
                    _checked(event, {"index": int, "delta": {"type": str}}, "content_block_delta")
                    _demand(event["index"] == open_at, "a delta is of a block that is not open")
                    text += event["delta"].get("text", "")
                    pieces.append(event["delta"].get("partial_json", ""))
                case "content_block_stop":
                    _demand(event.get("index") == open_at, "a block stops that is not open")
                    if "".join(pieces):
                        _demand_json("".join(pieces), "the input of a tool call, joined,")
                    open_at = None
                case "message_delta":
                    shape = {"delta": {"stop_reason?": STOPS}, "usage": {"output_tokens": int}}
                    _checked(event, shape, "message_delta")
                case kind:
                    _demand(kind != "error", f"the stream ends in an error: {event.get('error')}")
        _demand(open_at is None, "a content block is never stopped")
        return text

    def validate_response_events(self, events: Iterable[Any]) -> str:
        """A whole stream of OpenAI's Responses, with or without its "[DONE]"; gives its text back."""
        found = [_checked(e, {"type": str, "sequence_number": int}, "an event") for e in events if e != "[DONE]"]
        kinds = [event["type"] for event in found]
        _demand(bool(kinds) and kinds[0] == "response.created", "the first event must be response.created")
        _demand(kinds[-1] in ("response.completed", "response.incomplete"), f"the last event is {kinds[-1]}")
        numbers = [event["sequence_number"] for event in found]
        _demand(numbers == list(range(len(numbers))), "sequence_number must count the events from 0")
        _one_id(event["response"]["id"] for event in found if as_object(event.get("response")))
        for kind in ("output_item", "content_part"):
            added, done = kinds.count(f"response.{kind}.added"), kinds.count(f"response.{kind}.done")
            _demand(added == done, f"{added} response.{kind}.added and {done} response.{kind}.done")
        final = self.validate_response(found[-1]["response"])
        text = "".join(event["delta"] for event in found if event["type"] == "response.output_text.delta")
        said = "".join(
            part.get("text", "") for item in final["output"] if item["type"] == "message" for part in item["content"]
        )
        _demand(text == said, "the deltas, joined, are not the text of the last event")
        return text

    def validate_converse_events(self, events: Iterable[Any]) -> str:
        """A whole stream of Bedrock's Converse, as boto3 gives it; gives its text back."""
        found = [next(iter(event.items())) for event in map(_plain, events)]
        kinds = [kind for kind, _ in found]
        _demand(bool(kinds) and kinds[0] == "messageStart", "the first event must be messageStart")
        _demand("messageStop" in kinds, "messageStop is missing")
        _demand(kinds[-1] == "metadata", "the last event must be metadata")
        usage = {"usage": {"inputTokens": int, "outputTokens": int, "totalTokens": int}}
        _checked(found[-1][1], usage, "metadata")
        return "".join(members["delta"].get("text", "") for kind, members in found if kind == "contentBlockDelta")


def _plain(body: Any) -> JsonObject:
    """Decoded JSON; of an object of a vendor's client, what it holds."""
    dump: Callable[..., Any] | None = getattr(body, "model_dump", None)
    if dump is not None:
        body = dump(mode="json", exclude_unset=True, warnings=False)
    if isinstance(body, str | bytes):
        try:
            body = decode(body)
        except JsonError as error:
            raise AssertionError(f"it is not JSON: {error}") from None
    members = as_object(body)
    if members is None:
        raise AssertionError(f"it must be an object, and is {type_name(body)}")
    return members


def _checked(body: Any, shape: JsonObject, what: str) -> JsonObject:
    members = _plain(body)
    _all_right(faults_of(members, shape), what)
    return members


def _all_right(faults: list[str], what: str) -> None:
    if faults:
        raise AssertionError(f"This is not {what}: " + "; ".join(faults))


def _demand(condition: bool, fault: str) -> None:
    if not condition:
        raise AssertionError(fault)


def _demand_json(text: str, what: str) -> None:
    try:
        decode(text or "{}")
    except JsonError as error:
        raise AssertionError(f"{what} must be JSON, and is {text[:80]!r}: {error}") from None


def _one_id(ids: Iterable[str]) -> None:
    found = sorted(set(ids))
    _demand(len(found) == 1, f"all of a stream must have one id, and it has {', '.join(found)}")
