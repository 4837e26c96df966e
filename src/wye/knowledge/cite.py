"""Which passages an answer rests on, and their very words: what a model says that it cites is checked, and what it
does not say is found."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import msgspec

from wye.knowledge.words import telling_words
from wye.ports.index import Found

MARKING = "Put the number of the passage that says it after a sentence, as in: The sky is blue [1]."
"""What a model is told."""
MOST = 5
_QUOTE = 300
_SUPPORTS = 0.35
"""Of all that passages share with the answer, what one must share to be cited although the answer does not name it."""
_MARK = re.compile(r"\[(\d{1,4})\]")
_SENTENCE_END = re.compile(r"(?<=[.!?…。！？])\s+|\n+")


class Citation(msgspec.Struct, frozen=True):
    """A place that an answer rests on."""

    number: int
    """As the answer's text names it: `[1]`."""
    document_id: str
    filename: str
    page: int | None
    """From 1; None for what has no pages."""
    passage: int
    """Its place in the document, from 0."""
    quote: str
    """The passage's very words that say so."""


def cite(answer: str, shown: Sequence[Found], filenames: dict[str, str]) -> list[Citation]:
    """The passages among `shown`, which the answer calls [1], [2] and so on, that say what it says; best first."""
    said = set(telling_words(_MARK.sub("", answer)))
    words = [set(telling_words(found.passage.text)) & said for found in shown]
    often = Counter(word for one in words for word in one)
    weights = {word: 1 / count for word, count in often.items()}
    support = [sum(weights[word] for word in one) for one in words]
    named = {int(number) - 1 for number in _MARK.findall(answer)}
    chosen = [
        place
        for place, share in enumerate(support)
        if share > 0 and (place in named or share >= _SUPPORTS * sum(support))
    ]
    chosen.sort(key=lambda place: -support[place])
    return [
        citation(place + 1, shown[place], filenames, quote_of(shown[place].passage.text, weights))
        for place in chosen[:MOST]
    ]


def citation(number: int, found: Found, filenames: dict[str, str], quote: str) -> Citation:
    passage = found.passage
    name = filenames.get(found.document_id, "")
    return Citation(number, found.document_id, name, passage.page, passage.number, quote)


def quote_of(text: str, weights: dict[str, float]) -> str:
    """The sentence of a text that has most of the words."""
    best, best_weight = text.strip()[:_QUOTE], 0.0
    for sentence in (part.strip()[:_QUOTE] for part in _SENTENCE_END.split(text)):
        words = telling_words(sentence)
        weight = sum(weights.get(word, 0.0) for word in set(words)) / (len(words) + 4) ** 0.5
        if weight > best_weight:
            best, best_weight = sentence, weight
    return best
