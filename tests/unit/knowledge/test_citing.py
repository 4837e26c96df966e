"""Where the words of a quote stand in a text."""

from __future__ import annotations

import pytest

from wye.knowledge.citing import place_of


@pytest.mark.parametrize(
    ("quote", "text", "words"),
    [
        ("The Wye", "The Wye flows.", "The Wye"),
        ("The Wye", "  The\n\t Wye flows.", "The\n\t Wye"),
        ("Wye flo", "The Wye\u2028flows.", "Wye\u2028flo"),
        ("a a b", "a a\na  a b a\nb", "a  a b"),
        ("e Wye", "He\nsees the  Wye", "e  Wye"),
        ("The Usk", "The Wye flows.", None),
        ("The Wye", "TheWye flows.", None),
        (" ", "Wye", None),
    ],
)
def test_words_are_found_whatever_space_is_between_them(quote: str, text: str, words: str | None) -> None:
    place = place_of(quote, text)
    assert (text[slice(*place)] if place is not None else None) == words


def test_a_text_that_nearly_says_it_everywhere_is_looked_through_once() -> None:
    nearly = "a " * 500_000
    quote = "a " * 140 + "stone."
    assert place_of(quote, nearly) is None
    assert place_of(quote, f"{nearly}\n{quote}") == (1_000_001, 1_000_001 + len(quote))
    assert place_of(quote, f"{nearly}\n {quote.replace(' ', '  ')}") is not None
