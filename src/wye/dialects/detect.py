"""In which dialect a body is written that may be in any, and what the names of dialects mean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wye.dialects.bedrock_invoke.families import family_of
from wye.dialects.dialect import Dialect
from wye.dialects.registry import DIALECTS
from wye.kernel.errors import BadRequest
from wye.kernel.json import JsonError, JsonObject, Raw, as_list, as_object, decode

ALIASES = {
    "openai": "openai_chat",
    "chat": "openai_chat",
    "responses": "openai_responses",
    "completions": "openai_completions",
    "anthropic": "anthropic_messages",
    "claude": "anthropic_messages",
    "converse": "bedrock_converse",
    "bedrock": "bedrock_converse",
}
"""Words that callers use for a dialect beside its name."""

_CLAUDE_MEMBERS = frozenset({"system", "top_k", "stop_sequences"})
_CLAUDE_CHOICES = ("auto", "any", "tool")
_MARKED = _CLAUDE_MEMBERS | {"tools", "tool_choice"}
"""Where a mark of Claude's can be."""

_CLAUDE_BLOCKS = (
    "document",
    "image",
    "redacted_thinking",
    "search_result",
    "server_tool_use",
    "thinking",
    "tool_result",
    "tool_use",
)
_CLAUDE_SETTINGS = frozenset({"context_management", "mcp_servers", "output_config", "output_format"})
_CONVERSE_MEMBERS = frozenset(
    {"additionalModelRequestFields", "guardrailConfig", "inferenceConfig", "promptVariables", "toolConfig"}
)
_NOVA_SETTINGS = frozenset({"max_new_tokens", "reasoningConfig", "topK"})
"""Of `inferenceConfig`, where Converse has only what all models share."""
_RESPONSES_MEMBERS = frozenset({"conversation", "input", "previous_response_id"})


def named(name: str, param: str = "target_format") -> Dialect:
    """Raises BadRequest with the names that there are; `param` is where the name was given."""
    found = DIALECTS.get(ALIASES.get(name, name))
    if found is None:
        known = ", ".join(sorted({*DIALECTS, *ALIASES}))
        raise BadRequest(f"'{name[:100]}' is no format that Wye knows; known are {known}", param=param)
    return found


def detect(members: Mapping[str, Any]) -> Dialect:
    """The dialect of a request's body, by its top-level members (decoded or Raw): the first that matches.

    `anthropic_version`, or `messages` and `max_tokens` with a mark of Claude's: Claude. `inputText`: Titan.
    `messages`, or at least a `model`: OpenAI's chat. Raises BadRequest for anything else.
    """
    if "anthropic_version" in members:
        return DIALECTS["bedrock_claude"]
    if "messages" in members:
        marked = "max_tokens" in members and not _MARKED.isdisjoint(members) and _has_mark_of_claude(members)
        return DIALECTS["anthropic_messages" if marked else "openai_chat"]
    if "inputText" in members:
        return DIALECTS["bedrock_titan"]
    if "model" in members:
        return DIALECTS["openai_chat"]  # which says what is missing
    raise BadRequest(
        "The body is in no format that Wye recognises: it needs `messages` (OpenAI or Claude) or `inputText` (Titan)",
        param="messages",
    )


def detect_any(body: JsonObject) -> Dialect:
    """The dialect of a request's body, which may be in any that Wye knows. Raises BadRequest when its form does not
    tell: a `prompt` alone may be for models of several families.

    What OpenAI's Chat and Claude's format have in common counts as OpenAI's, as do the families of Bedrock that took
    OpenAI's format; what Converse and Nova have in common counts as Converse.
    """
    if "anthropic_version" in body:
        return DIALECTS["bedrock_claude"]
    if "messages" in body:
        return DIALECTS[_of_conversation(body)]
    if not _RESPONSES_MEMBERS.isdisjoint(body) or isinstance(body.get("prompt"), dict):
        return DIALECTS["openai_responses"]
    if "prompt" in body and "model" in body:
        return DIALECTS["openai_completions"]
    try:
        return family_of("", body)
    except BadRequest:
        raise BadRequest(
            "The body is in no format that Wye recognises: it needs `messages` or `input`, or what only one family of "
            "Bedrock's models has (`inputText`, `max_gen_len`, `message`); else name its format",
            param="from_",
        ) from None


def _of_conversation(body: JsonObject) -> str:
    blocks = [block for message in as_list(body["messages"]) or () for block in _blocks(message)]
    if "schemaVersion" in body:
        return "bedrock_nova"
    untyped = any("type" not in block for block in (*blocks, *_objects(body.get("system"))))
    if untyped or not _CONVERSE_MEMBERS.isdisjoint(body):
        nova = not _NOVA_SETTINGS.isdisjoint(as_object(body.get("inferenceConfig")) or {})
        return "bedrock_nova" if nova else "bedrock_converse"
    if any(block.get("type") in _CLAUDE_BLOCKS for block in blocks):
        return "anthropic_messages"
    marked = not _CLAUDE_SETTINGS.isdisjoint(body) or _has_mark_of_claude(body)
    return "anthropic_messages" if marked and "max_tokens" in body else "openai_chat"


def _blocks(message: Any) -> list[JsonObject]:
    return _objects((as_object(message) or {}).get("content"))


def _objects(value: Any) -> list[JsonObject]:
    return [item for item in as_list(value) or () if isinstance(item, dict)]


def _has_mark_of_claude(members: Mapping[str, Any]) -> bool:
    if members.keys() & _CLAUDE_MEMBERS:
        return True
    choice = as_object(_value(members.get("tool_choice")))
    if choice is not None and choice.get("type") in _CLAUDE_CHOICES:
        return True
    tools = as_list(_value(members.get("tools"))) or []
    return any("input_schema" in (as_object(tool) or {}) for tool in tools)


def _value(member: Any) -> Any:
    if not isinstance(member, Raw):
        return member
    try:
        return decode(member)
    except JsonError:
        return None  # whoever decodes the body says what is wrong
