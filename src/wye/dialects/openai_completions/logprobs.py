"""Probabilities of tokens: arrays side by side here, an object for each token in the canonical form.

https://platform.openai.com/docs/api-reference/completions/object
"""

from __future__ import annotations

from typing import Any

from wye.canon.loss import Losses
from wye.canon.response import Logprobs
from wye.dialects.openai_completions.name import NAME
from wye.kernel.json import JsonObject, as_list, as_object

_ARRAYS = frozenset({"tokens", "token_logprobs", "top_logprobs", "text_offset"})
_OF_A_TOKEN = frozenset({"token", "logprob", "bytes", "top_logprobs", "text_offset"})


def take_logprobs(choice: JsonObject) -> Logprobs | None:
    """Remove the logprobs, also when they say nothing; those that are not understood stay there.

    A token's place in the text (`text_offset`) stays with it: no other dialect tells it, and none objects to it.
    """
    value = choice.get("logprobs")
    members = as_object(value) or {}
    if not value or (members and not any(members.values())):
        choice.pop("logprobs", None)
        return None
    if members.keys() == {"content"} and as_list(members["content"]):
        decoded = members  # as llama.cpp's server says them: in chat's shape
    elif (tokens := _tokens(members)) is not None:
        decoded: Logprobs = {"content": tokens}
    else:
        return None
    del choice["logprobs"]
    return decoded


def _tokens(members: JsonObject) -> list[JsonObject] | None:
    """A token each; None when the arrays do not fit together."""
    texts, probabilities = as_list(members.get("tokens")), as_list(members.get("token_logprobs"))
    if texts is None or probabilities is None or not members.keys() <= _ARRAYS:
        return None
    alternatives = _array(members, "top_logprobs", len(texts))
    offsets = _array(members, "text_offset", len(texts))
    if alternatives is None or offsets is None or len(probabilities) != len(texts):
        return None
    tokens: list[JsonObject] = []
    for text, probability, others, offset in zip(texts, probabilities, alternatives, offsets, strict=True):
        if not isinstance(text, str) or not isinstance(offset, int | None):
            return None
        token = _token(text, probability)
        token["top_logprobs"] = [_token(other, likely) for other, likely in (as_object(others) or {}).items()]
        if offset is not None:
            token["text_offset"] = offset
        tokens.append(token)
    return tokens


def _array(members: JsonObject, name: str, length: int) -> list[Any] | None:
    """The array, or as many nulls where it is left out; None for one of another length."""
    value = members.get(name)
    array = [None] * length if value is None else as_list(value)
    return array if array is not None and len(array) == length else None


def _token(text: str, probability: Any) -> JsonObject:
    # A piece of a character is written as `bytes:\xe2\x80`.
    return {"token": text, "logprob": probability, "bytes": None if text[:6] == "bytes:" else list(text.encode())}


def encode_logprobs(logprobs: Logprobs, losses: Losses, path: str, offset: int = 0) -> JsonObject:
    """`offset` is where the text of the first token begins, should the token itself not tell."""
    if logprobs.get("refusal"):
        losses.add(f"{path}.logprobs.refusal", f"{NAME} does not tell a refusal from any other text", "info")
    said: dict[str, list[Any]] = {"tokens": [], "token_logprobs": [], "top_logprobs": [], "text_offset": []}
    for value in [*(as_list(logprobs.get("content")) or ()), *(as_list(logprobs.get("refusal")) or ())]:
        token = as_object(value) or {}
        if not token.keys() <= _OF_A_TOKEN:
            losses.add(f"{path}.logprobs", f"{NAME} tells less of each token", "info")
        known = token.get("text_offset")
        offset = known if isinstance(known, int) else offset
        text = str(token.get("token", ""))
        said["tokens"].append(text)
        said["token_logprobs"].append(token.get("logprob"))
        said["top_logprobs"].append(_alternatives(token, losses, path))
        said["text_offset"].append(offset)
        offset += len(text)
    return {**said, "top_logprobs": said["top_logprobs"] if any(said["top_logprobs"]) else None}


def _alternatives(token: JsonObject, losses: Losses, path: str) -> JsonObject | None:
    found: JsonObject = {}
    for value in as_list(token.get("top_logprobs")) or ():
        other = as_object(value) or {}
        if found.setdefault(str(other.get("token", "")), other.get("logprob")) != other.get("logprob"):
            losses.add(f"{path}.logprobs", f"{NAME} tells tokens apart by their text only", "info")
    return found or None
