"""Reading a JSON object so that no member is forgotten.

A codec takes each member it knows, once, with the type it expects; `rest()` is what it did not take. A wrong type is a
BadRequest that names the path, so every dialect gives the same, exact error for the same mistake.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

from wye.kernel.errors import BadRequest
from wye.kernel.json import JsonObject, type_name

T = TypeVar("T")


class Fields:
    """The members of one JSON object that nobody has taken yet. A member that is null counts as absent."""

    __slots__ = ("_left", "path")

    def __init__(self, value: Any, path: str = "") -> None:
        if not isinstance(value, dict):
            raise BadRequest(f"{path or 'The request body'} must be an object, not {type_name(value)}", param=path)
        self._left: JsonObject = dict(value)  # pyright: ignore[reportUnknownArgumentType]
        self.path = path

    def at(self, key: str) -> str:
        """The path of a member, as errors name it."""
        return f"{self.path}.{key}" if self.path else key

    def has(self, key: str) -> bool:
        return self._left.get(key) is not None

    def any(self, key: str) -> Any:
        """The member, whatever it is; None when absent."""
        return self._left.pop(key, None)

    def _typed(self, key: str, kinds: type | tuple[type, ...], wanted: str) -> Any:
        value = self._left.pop(key, None)
        if value is None:
            return None
        if not isinstance(value, kinds) or (isinstance(value, bool) and kinds is not bool):
            raise BadRequest(f"{self.at(key)} must be {wanted}, not {type_name(value)}", param=self.at(key))
        return value

    def str(self, key: str) -> str | None:
        return self._typed(key, str, "a string")

    def bool(self, key: str) -> bool | None:
        return self._typed(key, bool, "a boolean")

    def int(self, key: str) -> int | None:
        value = self._typed(key, (int, float), "an integer")
        if isinstance(value, float):
            if not value.is_integer():
                raise BadRequest(f"{self.at(key)} must be an integer, not {value}", param=self.at(key))
            return int(value)
        return value

    def number(self, key: str) -> float | int | None:
        return self._typed(key, (int, float), "a number")

    def list(self, key: str) -> list[Any] | None:
        return self._typed(key, list, "an array")

    def dict(self, key: str) -> JsonObject | None:
        return self._typed(key, dict, "an object")

    def strings(self, key: str) -> list[str] | None:
        """An array of strings; a single string stands for an array of one."""
        value = self._left.get(key)
        if isinstance(value, str):
            del self._left[key]
            return [value]
        found = self.list(key)
        for i, item in enumerate(found or ()):
            if not isinstance(item, str):
                raise BadRequest(
                    f"{self.at(key)}[{i}] must be a string, not {type_name(item)}", param=f"{self.at(key)}[{i}]"
                )
        return found

    def fields(self, key: str) -> Fields | None:
        """The member as an object to be read in turn."""
        value = self._left.pop(key, None)
        return None if value is None else Fields(value, self.at(key))

    def each(self, key: str) -> Iterator[Fields]:
        """The objects of an array member; none when it is absent."""
        for i, item in enumerate(self.list(key) or ()):
            yield Fields(item, f"{self.at(key)}[{i}]")

    def required_str(self, key: str) -> str:
        value = self.str(key)
        if value is None:
            raise BadRequest(f"{self.at(key)} is required", param=self.at(key))
        return value

    def one_of(self, key: str, allowed: tuple[str, ...]) -> str | None:
        value = self.str(key)
        if value is not None and value not in allowed:
            raise BadRequest(
                f"{self.at(key)} must be one of {', '.join(map(repr, allowed))}, not {value!r}", param=self.at(key)
            )
        return value

    def rest(self) -> JsonObject:
        """What nobody took, nulls included: they belong to the sender."""
        return self._left


def take(members: JsonObject, name: str, kind: type[T]) -> T | None:
    """Remove and return a member of that type, where reading is lenient: one of another type stays, as an extra."""
    value = members.get(name)
    if value is None:
        members.pop(name, None)
    elif isinstance(value, kind) and not isinstance(value, bool):
        del members[name]
        return value
    return None
