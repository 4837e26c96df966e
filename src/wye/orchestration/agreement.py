"""How far answers agree: by their words alone, so that the same answers always give the same figure.

Two texts agree by Dice's coefficient over their distinct words, 2 * shared / (first + second): 0 for no common word, 1
for the same words in any order. It measures wording, not meaning: "yes" and "indeed" do not agree.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import combinations

import msgspec

DISAGREEMENT = 0.3
"""Two answers below this are told as a disagreement."""

# Scripts without spaces between words: each sign counts as one.
_WORD = re.compile(r"[\u0e00-\u0eff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]|[^\W_]+")
_SHORT = 3
_MAX_CHARACTERS = 200_000


class Disagreement(msgspec.Struct, frozen=True):
    """Two members whose answers have little in common."""

    models: list[str]
    agreement: float


def agreement(first: str, second: str) -> float:
    """From 0 to 1."""
    one, two = words_of(first), words_of(second)
    if not one or not two:
        return 1.0 if one == two else 0.0
    return 2 * len(one & two) / (len(one) + len(two))


def words_of(text: str) -> frozenset[str]:
    """The words that tell texts apart: those of three letters or less are left out, numbers and single signs of scripts
    without spaces are not. A text of nothing but short words keeps them all."""
    words = frozenset(_WORD.findall(text[:_MAX_CHARACTERS].casefold()))
    telling = frozenset(word for word in words if len(word) > _SHORT or not word.isascii() or word.isdigit())
    return telling or words


def mean_agreement(texts: Sequence[str]) -> float:
    """Of all pairs; 1 where there is no pair."""
    pairs = [agreement(first, second) for first, second in combinations(texts, 2)]
    return sum(pairs) / len(pairs) if pairs else 1.0


def disagreements(answers: Sequence[tuple[str, str]]) -> list[Disagreement]:
    """The pairs of (model, text) that agree little, the worst first."""
    found = [
        Disagreement([first, second], round(score, 3))
        for (first, one), (second, two) in combinations(answers, 2)
        if (score := agreement(one, two)) < DISAGREEMENT
    ]
    return sorted(found, key=lambda each: each.agreement)


def most_agreed(texts: Sequence[str]) -> int:
    """The index of the text that agrees most with all others; the first of several."""
    scores = [sum(agreement(text, other) for other in texts) for text in texts]
    return scores.index(max(scores))
