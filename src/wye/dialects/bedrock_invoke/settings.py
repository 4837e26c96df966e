"""What of a request a family has no word for: named as lost where the answer is only less well steered, refused where
it would be about something else."""

from __future__ import annotations

from collections.abc import Collection

from wye.canon.extras import own_extras
from wye.canon.loss import Losses, cannot_say
from wye.canon.request import ChatRequest
from wye.kernel.json import JsonObject

_STEERING = (
    "max_tokens",
    "temperature",
    "top_p",
    "top_k",
    "frequency_penalty",
    "presence_penalty",
    "logit_bias",
    "seed",
    "stop",
    "top_logprobs",
    "verbosity",
)
_BOOKKEEPING = ("user", "metadata", "service_tier", "store", "prompt_cache_key")


def report_unsaid(request: ChatRequest, said: Collection[str], name: str, losses: Losses) -> None:
    """Name each setting that is asked for and not among those `said`; tools and output formats are not settings."""
    for member in _STEERING:
        if member not in said and getattr(request, member) is not None:
            losses.add(member, f"{name} has no such setting")
    if request.n is not None and request.n > 1 and "n" not in said:
        losses.add("n", f"{name} gives one answer")
    if request.logprobs and "logprobs" not in said:
        losses.add("logprobs", f"{name} does not tell probabilities")
    reasoning = request.reasoning
    if reasoning is not None and "reasoning" not in said:
        thinks = reasoning.mode != "disabled" and reasoning.effort != "none"
        losses.add("reasoning", f"{name} has no such setting", "warning" if thinks else "info")
    if request.cache is not None:
        losses.add("cache_control", f"{name} has no cache marks", "info")
    if request.betas:
        losses.add("anthropic_beta", f"{name} has no previews of Anthropic's API", "info")
    for member in _BOOKKEEPING:
        if member not in said and getattr(request, member) is not None:
            losses.add(member, f"{name} has no such member", "info")


def refuse_tools(request: ChatRequest, name: str, losses: Losses) -> None:
    """Raises BadRequest for tools, and for any form of the answer but text."""
    if request.tools:
        raise cannot_say(name, "a tool", "tools")
    refuse_formats(request, name, losses)
    if request.tool_choice is not None:
        losses.add("tool_choice", "there are no tools to choose from", "info")
    if request.parallel_tool_calls is not None:
        losses.add("parallel_tool_calls", "there is no tool to call", "info")


def refuse_formats(request: ChatRequest, name: str, losses: Losses) -> None:
    if request.output is not None and request.output.type != "text":
        raise cannot_say(name, f"an output format of type {request.output.type!r}", "output")
    if request.output is not None:
        own_extras(request.output.extras, name, losses, "output")


def set_members(body: JsonObject, request: ChatRequest, names: dict[str, str]) -> None:
    """Put the settings that the request has into the body, each under the family's own name for it."""
    for member, own in names.items():
        value = getattr(request, member)
        if value is not None:
            body[own] = value
