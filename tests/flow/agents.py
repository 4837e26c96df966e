"""Coding agents as a gateway meets them: what their clients send, and what they keep of an answer for the next turn."""

from __future__ import annotations

import base64
import json
from typing import Any, ClassVar, Protocol

from botocore.eventstream import EventStreamBuffer

from tests.wire import data_frames

Said = dict[str, Any]

NAMES = ("read_file", "run", "edit", "write", "search", "list", "fetch", "notebook", "todo", "ask_user", "task", "plan")
OUTPUT = "2 passed \u2028 in 0.1 s"
FAILED = "No such file: src/b.py"
GRAMMAR = {"type": "grammar", "syntax": "lark", "definition": 'start: "*** Begin Patch" LF hunk+'}
LONG = "You write code. " * 400


def schema(name: str) -> Said:
    properties: Said = {"path": {"type": "string", "description": f"What to {name}"}, "limit": {"type": "integer"}}
    if name == "run":
        properties = {"command": {"type": "string"}}
    return {"type": "object", "properties": properties, "required": [], "additionalProperties": False}


class Agent(Protocol):
    headers: ClassVar[dict[str, str]]

    def path(self, stream: bool) -> str: ...

    def ask(self, stream: bool) -> Said:
        """The next request, with all that was said before."""
        ...

    def hear(self, answer: bytes, stream: bool) -> str:
        """Keep an answer, and the outcome of every tool that it calls; its text."""
        ...


class MessagesAgent:
    """On the Messages API: thinking, cache marks, betas, tools of which some load later, an account in `user_id`."""

    headers: ClassVar[dict[str, str]] = {
        "anthropic-version": "2023-06-01",
        "anthropic-beta": "coding-20250219,interleaved-thinking-2025-05-14,context-management-2025-06-27,"
        "prompt-caching-scope-2026-01-05,effort-2025-11-24",
        "x-app": "cli",
        "authorization": "Bearer sk-client",
    }

    def __init__(self) -> None:
        hour = {"type": "ephemeral", "ttl": "1h"}
        self.mark: Said = {"type": "ephemeral"}
        self.body: Said = {
            "model": "m",
            "max_tokens": 32000,
            "system": [
                {"type": "text", "text": "x-billing: version=3; entrypoint=cli"},
                {"type": "text", "text": "You are a coding agent.", "cache_control": hour},
                {"type": "text", "text": LONG, "cache_control": hour},
            ],
            "tools": [
                {"name": name, "description": f"Can {name}.", "input_schema": schema(name)}
                | ({"defer_loading": True} if name in ("notebook", "fetch") else {})
                | ({"cache_control": self.mark} if name == NAMES[-1] else {})
                for name in NAMES
            ],
            "thinking": {"type": "enabled", "budget_tokens": 31999},
            "output_config": {"effort": "high"},
            "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
            "metadata": {"user_id": '{"device_id":"d1","account_uuid":"","session_id":"s1"}'},
        }
        reminder = {"type": "text", "text": "<system-reminder>\nToday is Friday.\n</system-reminder>"}
        task = {"type": "text", "text": "Fix the test.", "cache_control": self.mark}
        self.messages: list[Said] = [{"role": "user", "content": [reminder, task]}]

    def path(self, stream: bool) -> str:
        return "/v1/messages?beta=true"

    def ask(self, stream: bool) -> Said:
        return {**self.body, "messages": self.messages, **({"stream": True} if stream else {})}

    def events(self, answer: bytes) -> list[Said]:
        return data_frames(answer)

    def hear(self, answer: bytes, stream: bool) -> str:
        content = self.collect(self.events(answer)) if stream else json.loads(answer)["content"]
        self.messages.append({"role": "assistant", "content": content})
        results: list[Said] = [
            {"type": "tool_result", "tool_use_id": block["id"], "content": [{"type": "text", "text": OUTPUT}]}
            for block in content
            if block["type"] == "tool_use"
        ]
        if results:
            results[0] |= {"content": FAILED, "is_error": True}
            results[-1]["cache_control"] = self.mark
            self.messages.append({"role": "user", "content": results})
        return "".join(block["text"] for block in content if block["type"] == "text")

    def collect(self, events: list[Said]) -> list[Said]:
        """As Anthropic's SDK does: each block grows by its deltas."""
        blocks: list[Said] = []
        given: dict[int, str] = {}
        for event in events:
            delta = event.get("delta", {})
            match event["type"], delta.get("type"):
                case "content_block_start", _:
                    blocks.append({**event["content_block"]})
                case "content_block_delta", "thinking_delta":
                    blocks[event["index"]]["thinking"] += delta["thinking"]
                case "content_block_delta", "text_delta":
                    blocks[event["index"]]["text"] += delta["text"]
                case "content_block_delta", "signature_delta":
                    blocks[event["index"]]["signature"] = delta["signature"]
                case "content_block_delta", "input_json_delta":
                    given[event["index"]] = given.get(event["index"], "") + delta["partial_json"]
                case "content_block_stop", _ if given.get(event["index"]):
                    blocks[event["index"]]["input"] = json.loads(given[event["index"]])
                case _:
                    pass
        return blocks


class BedrockAgent(MessagesAgent):
    """The same agent where it is told to use Bedrock: betas in the body, the model in the path."""

    headers: ClassVar[dict[str, str]] = {"authorization": "Bearer bedrock-api-key-1"}

    def __init__(self) -> None:
        super().__init__()
        betas = MessagesAgent.headers["anthropic-beta"].split(",")
        del self.body["model"]
        self.body |= {"anthropic_version": "bedrock-2023-05-31", "anthropic_beta": betas}

    def path(self, stream: bool) -> str:
        return "/model/m/invoke-with-response-stream" if stream else "/model/m/invoke"

    def ask(self, stream: bool) -> Said:
        return super().ask(stream=False)

    def events(self, answer: bytes) -> list[Said]:
        buffer = EventStreamBuffer()
        buffer.add_data(answer)
        return [json.loads(base64.b64decode(json.loads(message.payload)["bytes"])) for message in buffer]


class ResponsesAgent:
    """On the Responses API: nothing kept at the server, so all items come back, encrypted reasoning among them."""

    headers: ClassVar[dict[str, str]] = {
        "authorization": "Bearer sk-client",
        "originator": "agent_cli",
        "session_id": "s1",
    }

    def __init__(self) -> None:
        function = {"type": "function", "strict": False}
        inner = [
            {**function, "name": name, "description": f"Can {name}.", "parameters": schema(name)}
            for name in ("search", "fetch")
        ]
        self.body: Said = {
            "model": "m",
            "tools": [
                *(
                    {**function, "name": name, "description": f"Can {name}.", "parameters": schema(name)}
                    for name in NAMES[:4]
                ),
                {"type": "custom", "name": "apply_patch", "description": "Edits files.", "format": GRAMMAR},
                {"type": "namespace", "name": "mcp__docs", "description": "Documents.", "tools": inner},
                {"type": "web_search", "external_web_access": False},
                {"type": "tool_search", "execution": "client", "description": "Finds tools.", "parameters": {}},
            ],
            "tool_choice": "auto",
            "parallel_tool_calls": True,
            "reasoning": {"effort": "medium", "summary": "auto"},
            "store": False,
            "include": ["reasoning.encrypted_content"],
            "prompt_cache_key": "0197c3f0-0000-7000-8000-000000000001",
            "text": {"verbosity": "low"},
            "client_metadata": {"installation_id": "i1"},
        }
        self.items: list[Said] = [
            self.message("developer", LONG, "msg_0197c3f0-0000-7000-8000-000000000002"),
            self.message("user", "<environment_context>\n  <cwd>/src</cwd>\n</environment_context>"),
            self.message("user", "Fix the test."),
        ]

    def message(self, role: str, text: str, identity: str | None = None) -> Said:
        said = {"type": "message", "role": role, "content": [{"type": "input_text", "text": text}]}
        return said | ({"id": identity} if identity else {})

    def path(self, stream: bool) -> str:
        return "/v1/responses"

    def ask(self, stream: bool) -> Said:
        return {**self.body, "input": self.items, "stream": stream}

    def hear(self, answer: bytes, stream: bool) -> str:
        if stream:
            events = [event for event in data_frames(answer) if event != "[DONE]"]
            items = [event["item"] for event in events if event["type"] == "response.output_item.done"]
        else:
            items = json.loads(answer)["output"]
        for item in items:
            self.items.append({name: value for name, value in item.items() if name != "status"})
            if item["type"] == "reasoning":
                self.items[-1].setdefault("content", None)
        for i, call in enumerate(item for item in items if item["type"].endswith("_call")):
            self.items.append(
                {
                    "type": f"{call['type']}_output",
                    "id": f"fco_0197c3f0-0000-7000-8000-00000000010{i}",
                    "call_id": call["call_id"],
                    "output": OUTPUT if i else [{"type": "input_text", "text": FAILED}],
                }
            )
        contents = [content for item in items if item["type"] == "message" for content in item["content"]]
        return "".join(content["text"] for content in contents)
