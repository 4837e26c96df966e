"""Tokens as OpenAI's chat and text completions report them: the input first, with what is part of each figure.

https://platform.openai.com/docs/api-reference/chat/object
"""

from __future__ import annotations

from wye.canon.extras import extras_of, joined, own_extras
from wye.canon.loss import Losses
from wye.canon.usage import Usage
from wye.kernel.fields import take
from wye.kernel.json import JsonObject, as_object


def decode_usage(usage: JsonObject, dialect: str) -> Usage:
    """Figures of the wrong type count as unknown; what else stands there is kept under the dialect's name."""
    left = dict(usage)
    read, written, thought = None, None, None
    details = as_object(left.get("prompt_tokens_details"))
    if details is not None:
        details = dict(details)
        read, written = take(details, "cached_tokens", int), take(details, "cache_write_tokens", int)
        left["prompt_tokens_details"] = details
    spent = as_object(left.get("completion_tokens_details"))
    if spent is not None:
        spent = dict(spent)
        thought = take(spent, "reasoning_tokens", int)
        left["completion_tokens_details"] = spent
    asked, answered = take(left, "prompt_tokens", int), take(left, "completion_tokens", int)
    if left.get("total_tokens") == (asked or 0) + (answered or 0):
        del left["total_tokens"]
    for name in ("prompt_tokens_details", "completion_tokens_details"):
        if not left.get(name):
            left.pop(name, None)
    return Usage(asked, answered, read, written, thought, extras_of(dialect, left))


def encode_usage(usage: Usage, losses: Losses, dialect: str) -> JsonObject:
    own = dict(own_extras(usage.extras, dialect, losses, "usage", "info"))
    asked: JsonObject = {}
    if usage.cached_tokens is not None:
        asked["cached_tokens"] = usage.cached_tokens
    if usage.cache_write_tokens is not None:
        asked["cache_write_tokens"] = usage.cache_write_tokens
    asked = joined(asked, own, "prompt_tokens_details")
    spent: JsonObject = {} if usage.reasoning_tokens is None else {"reasoning_tokens": usage.reasoning_tokens}
    spent = joined(spent, own, "completion_tokens_details")
    said: JsonObject = {
        "prompt_tokens": usage.input_tokens or 0,
        "completion_tokens": usage.output_tokens or 0,
        "total_tokens": usage.total_tokens,
    }
    if asked:
        said["prompt_tokens_details"] = asked
    if spent:
        said["completion_tokens_details"] = spent
    return {**said, **own}
