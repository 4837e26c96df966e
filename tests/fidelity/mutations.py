"""What the matrix would not see: members that a codec could forget to say, or to read, without turning any cell red.

A member that is taken off the wire, wherever it stands, is one that its dialect's encoder never wrote, or that its
decoder never read. Some fact of some case must then be lost silently, or the other side refuse to understand.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

from tests.fidelity import corpus, translation
from tests.fidelity.corpus import Kind
from tests.fidelity.translation import Change, Wire, as_said
from wye.dialects.registry import DIALECTS
from wye.kernel.errors import WyeError

SAY = {"requests": translation.request, "responses": translation.answer, "streams": translation.stream}
Path = tuple[Any, ...]
"""Names, and "*" for each element of an array: `("body", "messages", "*", "role")`."""


class Said(NamedTuple):
    """A case in which a member is said: of which dialect, the how many-eth."""

    one: str
    number: int


@cache
def members(dialect: str, kind: Kind) -> dict[Path, list[Said]]:
    """Every member that anything is said in, with the cases that say it; the dialect's own come first."""
    found: dict[Path, list[Said]] = defaultdict(list)
    for one in sorted(DIALECTS, key=lambda name: name != dialect):
        for number, case in enumerate(corpus.cases(one, kind)):
            seen: set[Path] = set()

            def note(wire: Wire, seen: set[Path] = seen) -> Wire:
                seen.update(path for path in _paths(wire) if len(path) > 1)
                return wire

            SAY[kind](DIALECTS[one], DIALECTS[dialect], case.wire, note)
            for path in seen:
                found[path].append(Said(one, number))
    return found


def _paths(value: Any, at: Path = ()) -> Iterator[Path]:
    for name, below in value.items() if isinstance(value, dict) else ():
        yield (*at, name)
        yield from _paths(below, (*at, name))
    for below in value if isinstance(value, list) else ():
        yield from _paths(below, (*at, "*"))


def without(path: Path) -> Change:
    """The change that takes a member off the wire."""

    def off(value: Any, left: Path) -> None:
        name, *further = left
        if name == "*":
            for below in value if isinstance(value, list) else ():
                off(below, (*further,))
        elif isinstance(value, dict) and name in value:
            if further:
                off(value[name], (*further,))
            else:
                del value[name]

    def change(wire: Wire) -> Wire:
        off(wire, path)
        return wire

    return change


def is_missed(dialect: str, kind: Kind, path: Path) -> bool:
    """Whether any case loses a fact without the member, or is refused."""
    change = without(path)
    for one, number in members(dialect, kind)[path]:
        wire = corpus.cases(one, kind)[number].wire
        try:
            states = [outcome.state for outcome in SAY[kind](DIALECTS[one], DIALECTS[dialect], wire, change)]
        except WyeError:
            return True
        if "silent" in states or len(states) - states.count("refused") < _understood(one, dialect, kind, number):
            return True
    return False


@cache
def _understood(one: str, dialect: str, kind: Kind, number: int) -> int:
    """How many facts of a case are carried or reported."""
    wire = corpus.cases(one, kind)[number].wire
    return sum(outcome.state != "refused" for outcome in SAY[kind](DIALECTS[one], DIALECTS[dialect], wire, as_said))


def name_of(path: Path) -> str:
    """`body.messages.*.role`."""
    return ".".join(step.decode() if isinstance(step, bytes) else step for step in path)


def survivors(dialect: str, kind: Kind) -> list[str]:
    return sorted(name_of(path) for path in members(dialect, kind) if not is_missed(dialect, kind, path))
