"""Which documents to search, by what their owner says of them: conditions on attributes.

https://platform.openai.com/docs/guides/retrieval#attribute-filtering
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any, Literal

import msgspec

from wye.kernel.errors import BadRequest
from wye.kernel.fields import Fields
from wye.kernel.json import as_list
from wye.ports.store import Attributes

_MAX_DEPTH = 8
_MAX_CONDITIONS = 100
_MAX_VALUES = 1000
Scalar = str | int | float | bool

_ORDERS: dict[str, Callable[[Any, Any], bool]] = {
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}


class Comparison(msgspec.Struct, frozen=True):
    type: str
    """`eq`, `ne`, `gt`, `gte`, `lt`, `lte`, `in` or `nin`."""
    key: str
    value: Any
    """With `in` and `nin` the set of what `_told_apart` makes of each: a store holds many files."""

    def fits(self, attributes: Attributes) -> bool:
        """What is not there, or of another type, equals nothing and comes before and after nothing."""
        held = attributes.get(self.key)
        match self.type:
            case "eq" | "ne":
                return (_told_apart(held) == _told_apart(self.value)) == (self.type == "eq")
            case "in" | "nin":
                return (_told_apart(held) in self.value) == (self.type == "in")
            case _:
                return _comparable(held, self.value) and _ORDERS[self.type](held, self.value)


class Compound(msgspec.Struct, frozen=True):
    type: Literal["and", "or"]
    filters: Sequence[Filter]

    def fits(self, attributes: Attributes) -> bool:
        return (all if self.type == "and" else any)(one.fits(attributes) for one in self.filters)


Filter = Comparison | Compound


def decode_filter(value: Any, path: str) -> Filter:
    """Raises BadRequest, also for one that is too deep or too long."""
    return _Decoder().decode(value, path, 1)


class _Decoder:
    def __init__(self) -> None:
        self._left = _MAX_CONDITIONS

    def decode(self, value: Any, path: str, depth: int) -> Filter:
        fields = Fields(value, path)
        self._left -= 1
        if depth > _MAX_DEPTH:
            raise BadRequest(f"{path[:100]} is nested more than {_MAX_DEPTH} levels deep", param="filters")
        if self._left < 0:
            raise BadRequest(f"filters may hold at most {_MAX_CONDITIONS} conditions", param="filters")
        kind = fields.required_str("type")
        if kind in ("and", "or"):
            inner = fields.list("filters")
            if not inner:
                raise BadRequest(f"{fields.at('filters')} must be an array of filters", param=fields.at("filters"))
            parts = [self.decode(one, f"{path}.filters[{i}]", depth + 1) for i, one in enumerate(inner)]
            return Compound("and" if kind == "and" else "or", parts)
        key, wanted = fields.required_str("key"), fields.any("value")
        many = kind in ("in", "nin")
        values = as_list(wanted) if many else [wanted]
        if kind not in ("eq", "ne", "in", "nin", *_ORDERS):
            known = ", ".join(("eq", "ne", *_ORDERS, "in", "nin", "and", "or"))
            raise BadRequest(f"{fields.at('type')} must be one of {known}, not {kind[:50]!r}", param=fields.at("type"))
        if values is None or len(values) > _MAX_VALUES or not all(isinstance(one, Scalar) for one in values):
            what = f"an array of at most {_MAX_VALUES} strings and numbers" if many else "a string, number or boolean"
            raise BadRequest(f"{fields.at('value')} must be {what} with {kind!r}", param=fields.at("value"))
        return Comparison(kind, key, frozenset(map(_told_apart, values)) if many else wanted)


def _told_apart(value: Scalar | None) -> tuple[bool, Scalar | None]:
    """To Python True is 1."""
    return isinstance(value, bool), value


def _comparable(held: Scalar | None, value: Scalar) -> bool:
    if isinstance(held, bool) or isinstance(value, bool):
        return False
    return isinstance(held, str) == isinstance(value, str) and held is not None
