"""In which dialect a body is written that may be in any, and what the names of dialects mean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wye.dialects.dialect import Dialect
from wye.dialects.registry import DIALECTS
from wye.kernel.errors import BadRequest
from wye.kernel.json import JsonError, Raw, as_list, as_object, decode

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
_TELLING = _CLAUDE_MEMBERS | {"anthropic_version", "inputText", "tools", "tool_choice"}


def named(name: str) -> Dialect:
    """Raises BadRequest with the names that there are."""
    found = DIALECTS.get(ALIASES.get(name, name))
    if found is None:
        known = ", ".join(sorted({*DIALECTS, *ALIASES}))
        raise BadRequest(f"'{name[:100]}' is no format that Wye knows; known are {known}", param="target_format")
    return found


def detect(members: Mapping[str, Any]) -> Dialect:
    """The dialect of a request's body, by its top-level members (decoded or Raw): the first that matches.

    `anthropic_version`, or `messages` and `max_tokens` with a mark of Claude's: Claude. `inputText`: Titan.
    `messages`, or at least a `model`: OpenAI's chat. Raises BadRequest for anything else.
    """
    if not members.keys() & _TELLING:
        if "messages" in members or "model" in members:
            return DIALECTS["openai_chat"]
    elif "anthropic_version" in members:
        return DIALECTS["bedrock_claude"]
    elif "messages" in members:
        claude = "max_tokens" in members and _has_mark_of_claude(members)
        return DIALECTS["anthropic_messages" if claude else "openai_chat"]
    elif "inputText" in members:
        return DIALECTS["bedrock_titan"]
    elif "model" in members:
        return DIALECTS["openai_chat"]  # which says what is missing
    raise BadRequest(
        "The body is in no format that Wye recognises: it needs `messages` (OpenAI or Claude) or `inputText` (Titan)",
        param="messages",
    )


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
