"""Citations are true: the passage is there, and these are its words."""

from __future__ import annotations

import pytest

from wye.knowledge.cite import Citation, cite, quote_of
from wye.ports.index import Found
from wye.ports.store import Passage

TEXTS = (
    "The pump needs oil. Its pressure is 4.5 bar! Never run it dry.",
    "The code of the safe is QX-7741.\nIt was changed in May.",
    "Lunch is served at noon",
)
SHOWN = [Found("doc", Passage(number=n + 5, text=text, page=n + 1)) for n, text in enumerate(TEXTS)]
NAMES = {"doc": "manual.pdf"}


@pytest.mark.parametrize(
    ("answer", "numbers"),
    [
        ("The code is QX-7741.", [2]),
        ("It is QX-7741 [2].", [2]),
        ("It is QX-7741 [1].", [2]),
        ("The pressure is 4.5 bar [1], and lunch is at noon [3].", [1, 3]),
        ("The documents do not tell [1].", []),
        ("See [9] and [0] for the oil.", [1]),
        ("", []),
    ],
)
def test_what_an_answer_says_is_what_is_cited(answer: str, numbers: list[int]) -> None:
    assert sorted(one.number for one in cite(answer, SHOWN, NAMES)) == numbers


def test_a_citation_tells_its_place_and_the_very_words() -> None:
    (one,) = cite("The pump has 4.5 bar of pressure.", SHOWN, NAMES)
    assert one == Citation(1, "doc", "manual.pdf", 1, 5, "Its pressure is 4.5 bar!")


def test_no_more_than_a_few_are_told() -> None:
    many = [Found("doc", Passage(number=n, text=f"red blue word{n}")) for n in range(9)]
    assert len(cite(" ".join(f"word{n} [{n + 1}]" for n in range(9)), many, NAMES)) == 5


def test_of_very_many_passages_each_can_be_named() -> None:
    many = [Found("doc", Passage(number=n, text=f"The river flows to town {n % 7}")) for n in range(3000)]
    assert [one.number for one in cite("The river flows [100]. To town [2999].", many, NAMES)] == [100, 2999]


def test_a_quote_is_always_a_part_of_its_text() -> None:
    long = "a b c. " + "word " * 200
    for text in (long, "\n\n", "…", "no end", *TEXTS):
        quote = quote_of(text, {"word": 1.0, "end": 1.0})
        assert quote in text
        assert len(quote) <= 300
