"""What a route and a caller say about keeping answers."""

from __future__ import annotations

from typing import Literal

import msgspec

from wye.kernel.errors import BadRequest
from wye.kernel.json import JsonError, JsonObject, Raw, as_object, decode, encode

Status = Literal["hit", "join", "miss", "bypass"]

_KNOWN = ("no-cache", "no-store", "ttl")


class CachePolicy:
    """A route's: how long answers are kept, whether callers with different keys share them, and what came of it."""

    __slots__ = ("counts", "shared", "ttl_s")

    def __init__(self, ttl_s: float, shared: bool = False) -> None:
        self.ttl_s = ttl_s
        self.shared = shared
        self.counts: dict[Status, int] = {"hit": 0, "join": 0, "miss": 0, "bypass": 0}


class CacheControl(msgspec.Struct, frozen=True):
    """A caller's."""

    read: bool = True
    store: bool = True
    ttl_s: float | None = None


def take_control(members: dict[str, Raw]) -> CacheControl | None:
    """Take `cache: {"no-cache": bool, "no-store": bool, "ttl": seconds}` out of a body's members, from the top level or
    from `extra_body`; None when there is none. Raises BadRequest."""
    found = members.pop("cache", None)
    where = "cache"
    if "extra_body" in members:
        extra = as_object(_value(members["extra_body"], "extra_body"))
        if extra is not None and "cache" in extra:
            inner = extra.pop("cache")
            if found is None:
                found, where = Raw(encode(inner)), "extra_body.cache"
            if extra:
                members["extra_body"] = Raw(encode(extra))
            else:
                del members["extra_body"]
    if found is None:
        return None
    said = _value(found, where)
    if said is None:
        return None
    control = as_object(said)
    if control is None:
        raise BadRequest(f"{where} must be an object with {', '.join(_KNOWN)}", param=where)
    return _read(control, where)


def _read(said: JsonObject, where: str) -> CacheControl:
    for name in said:
        if name not in _KNOWN:
            raise BadRequest(f"{where}.{name} is unknown: there are {', '.join(_KNOWN)}", param=f"{where}.{name}")
    ttl_s = said.get("ttl")
    if ttl_s is not None and (isinstance(ttl_s, bool) or not isinstance(ttl_s, int | float) or ttl_s <= 0):
        raise BadRequest(f"{where}.ttl must be a number of seconds above 0", param=f"{where}.ttl")
    return CacheControl(
        read=not _flag(said, "no-cache", where),
        store=not _flag(said, "no-store", where),
        ttl_s=None if ttl_s is None else float(ttl_s),
    )


def _flag(said: JsonObject, name: str, where: str) -> bool:
    value = said.get(name)
    if value is not None and not isinstance(value, bool):
        raise BadRequest(f"{where}.{name} must be true or false", param=f"{where}.{name}")
    return bool(value)


def _value(raw: Raw, where: str) -> object:
    try:
        return decode(raw)
    except JsonError as error:
        raise BadRequest(f"{where} is not valid JSON: {error}", param=where, code="invalid_json") from None
