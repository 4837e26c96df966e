"""Writes docs/fidelity.md: what of each dialect is carried in each other one, and why not where it is not.

To be run as `python -m scripts.fidelity`. `--check` writes nothing and fails when the page is not what it would write.
`--mutate` takes each member of each dialect off the wire instead (a minute or two), and tells which are not missed.
"""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from tests.fidelity import matrix, mutations
from tests.fidelity.corpus import Kind
from tests.fidelity.errors import TYPES, Types
from tests.fidelity.facts import FEATURES
from tests.fidelity.redundant import REDUNDANT, row_of
from tests.fidelity.turns import FEATURES as FEATURES_BACK
from tests.fidelity.turns import REPLAY
from wye.dialects.registry import DIALECTS

TARGET = Path(__file__).parent.parent / "docs" / "fidelity.md"

INTRO = """# Fidelity

What you say in one dialect reaches a model that speaks another whole, or you are told what does not. Everything that
the corpus says in each dialect, in requests, answers and streams, is said in each other one, read there, and compared:

| | |
|---|---|
| ● | **carried**: the other side reads the same, value for value; signatures and encrypted reasoning byte for byte |
| ◐ | **in part**: some of it is carried, all of the rest reported or refused |
| ○ | **reported**: named in `X-Wye-Loss` (some of it may be refused); in strict mode an error, if it may matter |
| ✕ | **refused**: an error that names the content, since the answer would be about something else |
| · | nothing to say: the first dialect has no words for it |

There is no sign for what gets lost silently: every cell is a test, which fails on it. `make fidelity` writes this page;
the tests are in `tests/fidelity`. They are tested too: `make fidelity ARGS=--mutate` takes each member of each dialect
off the wire, and one of them must fail. Dialects of Bedrock's InvokeModel are named by their model family.

"""

EACH = """## Each dialect in each other

A cell has the signs of the request, the whole answer and the stream, as far as these tell of the feature.

"""

TURNS = """## Over two turns

What a model thought and called is told to a client of another dialect, which sends the conversation on: what of it is
back at its model, byte for byte. Rows are the upstream's dialect, columns the client's; signs are of thoughts (with
their signatures and encrypted parts) and of calls.

"""

ERRORS = """## Errors

An error keeps its status and its words in every dialect, and within a stream its words. Its type is the vendor's:

"""

WHY = """## Why

A loss of `info` is bookkeeping, which cannot change the answer; a `warning` may. Members that only one dialect has (the
last row of the tables) are reported by their names.

"""

KIND_TITLES: dict[Kind, str] = {"requests": "Requests", "responses": "Whole answers", "streams": "Streams"}
SIGNS = {"carried": "●", "partly": "◐", "lost": "○", "refused": "✕", None: "·"}
KIN = {
    "bedrock_claude": "anthropic_messages",
    "bedrock_mistral": "openai_chat",
    "bedrock_ai21": "openai_chat",
    "bedrock_writer": "openai_chat",
    "bedrock_openai": "openai_chat",
}
"""Whose words a family of Bedrock's speaks."""


def short(dialect: str) -> str:
    return "gpt_oss" if dialect == "bedrock_openai" else dialect.partition("_")[2]


def table(head: Iterable[str], rows: Iterable[Iterable[str]], align: str = ":-:") -> str:
    head = list(head)
    lines = [head, ["---", *[align] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def sign(ones: Iterable[str], other: str, kind: Kind, feature: str) -> str:
    """What becomes of a feature of any of the first dialects, in the other."""
    found = {matrix.cell(one, other, kind, feature) for one in ones} - {None}
    if "silent" in found:
        raise SystemExit(f"{feature} is lost silently on the way to {other}: see tests/fidelity/test_matrix.py")
    if len(found) > 1:
        return SIGNS["partly" if found & {"carried", "partly"} else "lost"]
    return SIGNS[found.pop() if found else None]


def kinds_of(feature: str) -> list[Kind]:
    """In what it is told at all."""
    return [kind for kind in matrix.KINDS if any(matrix.cell(one, one, kind, feature) for one in DIALECTS)]


def overview(kind: Kind) -> str:
    """From any other dialect, into each."""
    rows = [
        [title, *(sign([one for one in DIALECTS if one != to], to, kind, feature) for to in DIALECTS)]
        for feature, title in FEATURES.items()
        if kind in kinds_of(feature)
    ]
    return table(["said in", *map(short, DIALECTS)], rows)


def from_one(one: str) -> str:
    """One dialect into each other: request, whole answer, stream."""
    others = [name for name in DIALECTS if name != one]
    rows: list[list[str]] = []
    for feature, title in FEATURES.items():
        cells = ["".join(sign([one], other, kind, feature) for kind in kinds_of(feature)) for other in others]
        if set("".join(cells)) != {"·"}:
            rows.append([title, *cells])
    return table(["said in", *map(short, others)], rows)


def turns() -> str:
    def there_and_back(upstream: str, client: str) -> str:
        found = [matrix.verdict(matrix.come_back(upstream, client), feature) for feature in FEATURES_BACK]
        return "".join(SIGNS[state] for state in found)

    rows = [[short(one), *(there_and_back(one, client) for client in REPLAY)] for one in REPLAY]
    return table(["model of", *map(short, REPLAY)], rows)


def errors() -> str:
    statuses: dict[Types, list[str]] = defaultdict(list)
    for status, types in TYPES.items():
        statuses[types].append(str(status))
    rows = [[", ".join(found), *(f"`{word}`" for word in types)] for types, found in statuses.items()]
    return table(["status", "OpenAI", "Anthropic", "AWS"], rows, "---")


def reasons() -> str:
    """Each reason once, with the dialects that it holds for."""
    found: dict[tuple[str, str, str], set[str]] = defaultdict(set)
    for other in DIALECTS:
        for one in DIALECTS:
            for kind in matrix.KINDS:
                for _, (fact, _, reason, severity) in matrix.told(one, other, kind):
                    if reason and fact.feature != "unknown":
                        whole = WHOLE.search(reason) is not None
                        feature = ("streams" if "stream" in reason else "text") if whole else fact.feature
                        found[feature, plain(reason, other), severity or "refused"].add(other)
    order = list(FEATURES)
    rows: list[list[str]] = []
    for feature, why, how in sorted(found, key=lambda key: (order.index(key[0]), *key[1:])):
        where = ", ".join(short(name) for name in DIALECTS if name in found[feature, why, how])
        rows.append([FEATURES[feature], why, how, where])
    return table(["feature", "why", "how serious", "in"], rows, "---")


WHOLE = re.compile(r"conversation|message of|more than one message|message at least|at least one message|cannot stream")
"""Refusals of whole messages, whatever they hold."""


def plain(reason: str, dialect: str) -> str:
    """Without the names and places of one case."""
    reason = re.sub(r"^[\w.\[\]]+: ", "", reason)
    reason = re.sub(r"has no tool .*", "has no such tool", reason)
    reason = re.sub(r"(?<!\w)'[^']*'|\"[^\"]*\"", "…", reason)
    for name in (dialect, KIN.get(dialect, dialect)):
        reason = re.sub(rf"^{name}\b", "it", reason).replace(f"a model that speaks {name}", "its models")
        reason = reason.replace(f"A model that speaks {name}", "its models").replace(f" in {name}", " in it")
    return reason.replace("|", "\\|")


def page() -> str:
    parts = [INTRO]
    for kind in matrix.KINDS:
        parts += [f"## {KIND_TITLES[kind]}\n\n", overview(kind), "\n"]
    parts.append(EACH)
    for one in DIALECTS:
        parts += [f"### {one}\n\n", from_one(one), "\n"]
    return "".join([*parts, TURNS, turns(), "\n", ERRORS, errors(), "\n", WHY, reasons()])


def mutate() -> int:
    """Which members no fact needs; 1 when any of them has no reason for that, or a reason stands for none."""
    unused, wrong, taken, spared = set(REDUNDANT), 0, 0, 0
    for dialect in DIALECTS:
        for kind in matrix.KINDS:
            found = mutations.survivors(dialect, kind)
            unexplained = [member for member in found if row_of(f"{dialect} {kind} {member}") is None]
            unused -= {row_of(f"{dialect} {kind} {member}") for member in found}
            taken, spared = taken + len(mutations.members(dialect, kind)), spared + len(found)
            wrong += len(unexplained)
            print(f"{dialect} {kind}: {len(mutations.members(dialect, kind))} members, {len(found)} of them redundant")
            for member in unexplained:
                print(f"  not missed, and no reason given: {member}")
    print(f"{taken} members taken off the wire: {taken - spared} missed, {spared} redundant, {wrong} unexplained")
    for row in sorted(unused):
        print(f"a reason for nothing: {row}")
    return 1 if wrong or unused else 0


def main() -> int:
    if "--mutate" in sys.argv:
        return mutate()
    fresh = page()
    if "--check" in sys.argv:
        same = TARGET.exists() and TARGET.read_text() == fresh
        print("docs/fidelity.md is as the tests find it" if same else "docs/fidelity.md is old: run `make fidelity`")
        return 0 if same else 1
    TARGET.write_text(fresh)
    print(f"wrote docs/{TARGET.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
