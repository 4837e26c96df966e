"""Requests to OpenAI's chat, ready to be sent: each call makes a new one."""

from __future__ import annotations

from typing import Any

from wye.kernel.json import JsonObject

SAMPLE_MESSAGES: list[JsonObject] = [
    {"role": "system", "content": "You are a helpful assistant."},
    {"role": "user", "content": "What is 2+2?"},
]
SAMPLE_TOOLS: list[JsonObject] = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "The weather at a place.",
            "parameters": {
                "type": "object",
                "properties": {
                    "location": {"type": "string", "description": "City and country"},
                    "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
                },
                "required": ["location"],
            },
        },
    }
]


class ChatRequestFactory:
    """`model` is asked unless a call names another; further members go into the body as they are."""

    def __init__(self, model: str = "gpt-4o-mini") -> None:
        self.model = model

    def simple(self, content: str = "What is 2+2?", **members: Any) -> JsonObject:
        messages = [{"role": "user", "content": content}]
        return {"model": self.model, "messages": messages, "max_tokens": 100, "temperature": 0, **members}

    def with_system(
        self, content: str = "What is 2+2?", system: str = "You are a helpful assistant.", **members: Any
    ) -> JsonObject:
        request = self.simple(content, **members)
        request["messages"].insert(0, {"role": "system", "content": system})
        return request

    def streaming(self, content: str = "Count from 1 to 5", **members: Any) -> JsonObject:
        return self.simple(content, stream=True, **members)

    def orchestrated(self, content: str = "What is 2+2?", mode: str = "critique", **members: Any) -> JsonObject:
        """For several models together: `single`, `critique`, `debate`, `ensemble` or `pipeline`."""
        return self.simple(content, orchestration_mode=mode, **members)

    def code_task(self, content: str = "Write a Python function that adds two numbers.", **members: Any) -> JsonObject:
        return self.simple(content, task_type="code", **{"max_tokens": 500, **members})
