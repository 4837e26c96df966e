"""One text for all requests that mean the same: the key of a cache."""

from __future__ import annotations

import hashlib
from typing import Any, cast

import msgspec

from wye.canon.extras import FORM, Extras
from wye.canon.request import ChatRequest

_TRANSPORT = ("model", "stream", "include_usage", "user", "metadata", "store", "prompt_cache_key")
"""Members that say how a call is made, or for whom, and not what is asked. The model is the caller's name for a route,
which the key holds already."""
_encoder = msgspec.json.Encoder(order="sorted")


def digest(request: ChatRequest) -> str:
    """SHA-256, as 64 hexadecimal digits, of everything in a request that may change its answer.

    Requests in different dialects that say the same have the same digest.
    """
    said = _meaning(request)
    for name in _TRANSPORT:
        said.pop(name, None)
    return hashlib.sha256(_encoder.encode(said)).hexdigest()


def _meaning(value: Any) -> Any:
    """Structs without what is not set and without what only tells the form; free JSON, such as a schema, whole."""
    if isinstance(value, msgspec.Struct):
        said: dict[str, Any] = {"": type(value).__name__}
        for name in value.__struct_fields__:
            member = getattr(value, name)
            if name == "extras" and member is not None:
                member = _without_form(member)
            if member is not None:
                said[name] = _meaning(member)
        return said
    if isinstance(value, list):
        return [_meaning(item) for item in cast(list[Any], value)]
    return value


def _without_form(extras: Extras) -> Extras | None:
    kept = {dialect: {name: item for name, item in own.items() if name != FORM} for dialect, own in extras.items()}
    return {dialect: own for dialect, own in kept.items() if own} or None
