"""Texts are cut where a reader would cut them."""

from __future__ import annotations

import pytest

from wye.knowledge.split import MOST, split
from wye.ports.reading import Extracted, PageText
from wye.ports.store import Passage

SENTENCE = "This is a sentence of some words. "


def texts(text: str) -> list[str]:
    return [passage.text for passage in split(Extracted([PageText(text)]))]


def test_a_passage_knows_its_place_and_never_goes_beyond_its_page() -> None:
    parts = [PageText("One.", 1), PageText("Two.\n\nStill two.", 2, "Part"), PageText("  \n ", 3), PageText("Four.", 4)]
    assert split(Extracted(parts, 4)) == [
        Passage(number=0, text="One.", page=1),
        Passage(number=1, text="Two.\n\nStill two.", page=2, heading="Part"),
        Passage(number=2, text="Four.", page=4),
    ]


@pytest.mark.parametrize(
    ("text", "lengths"),
    [
        ("", []),
        ("a", [1]),
        ("a" * MOST, [MOST]),
        ("a" * (2 * MOST + 5), [MOST, MOST, 5]),
        ((SENTENCE * 20 + "\n\n") * 3, [679, 679, 679]),
        ("Short.\n\n" * 10, [78]),
        (SENTENCE * 50, [1189, 509]),
        ("word " * 500, [1199, 1199, 99]),
        ("word\n" * 500, [1199, 1199, 99]),
        ("日本語。" * 500, [1200, 800]),
    ],
)
def test_where_a_text_is_cut(text: str, lengths: list[int]) -> None:
    assert [len(one) for one in texts(text)] == lengths


def test_nothing_is_lost_and_nothing_is_said_twice() -> None:
    text = "\n\n".join(f"Paragraph {n}. " + "Some, words; here: and! there? " * (n % 50) for n in range(200))
    assert "".join("".join(texts(text)).split()) == "".join(text.split())
    assert max(map(len, texts(text))) <= MOST


def test_spaces_of_a_layout_are_no_text() -> None:
    assert texts("  Name \t\t   Sum\xa0\r\nRent    900  ") == ["Name Sum \nRent 900"]
