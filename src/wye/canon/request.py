"""A chat request, whichever dialect it came in. A setting that two dialects share is a member here; one that only a
single dialect has lives in its extras."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from wye.canon.extras import Extras
from wye.canon.parts import CacheMark, Part
from wye.canon.tools import Tool, ToolChoice

Role = Literal["system", "developer", "user", "assistant"]


class Message(msgspec.Struct):
    """`system` and `developer` messages stand where the caller put them; a dialect that lifts them out does so."""

    role: Role
    parts: list[Part]
    name: str | None = None
    extras: Extras | None = None


class OutputFormat(msgspec.Struct):
    """The form the answer must have. `json_schema` needs `schema`."""

    type: Literal["text", "json_object", "json_schema"]
    schema: dict[str, Any] | None = None
    name: str | None = None
    description: str | None = None
    strict: bool | None = None
    extras: Extras | None = None


class Reasoning(msgspec.Struct):
    """How much to think, and how much of it to show."""

    mode: Literal["enabled", "adaptive", "disabled"] | None = None
    effort: str | None = None
    """`none`, `minimal`, `low`, `medium`, `high`, `xhigh`, `max`."""
    budget_tokens: int | None = None
    display: str | None = None
    """`omitted`, `summarized`; for OpenAI's summaries `auto`, `concise`, `detailed`."""
    extras: Extras | None = None


class ChatRequest(msgspec.Struct, kw_only=True):
    model: str
    messages: list[Message]
    stream: bool = False
    include_usage: bool | None = None
    """OpenAI's stream_options.include_usage; other dialects always report usage in a stream."""

    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    logit_bias: dict[str, float] | None = None
    seed: int | None = None
    stop: list[str] | None = None
    n: int | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None

    tools: list[Tool] | None = None
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    output: OutputFormat | None = None
    verbosity: str | None = None
    reasoning: Reasoning | None = None
    cache: CacheMark | None = None
    """A mark on the whole request: cache as much of its beginning as you can."""

    user: str | None = None
    """The caller's label for its own user, for abuse detection."""
    metadata: dict[str, Any] | None = None
    service_tier: str | None = None
    store: bool | None = None
    prompt_cache_key: str | None = None
    betas: list[str] | None = None
    """Previews of Anthropic's API that the caller takes part in, as its header `anthropic-beta` names them."""
    extras: Extras | None = None
