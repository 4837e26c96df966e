"""The words of a text that tell what it is about."""

from __future__ import annotations

import re

_IN_EVERY_TEXT = """
a about also am an and any are as at be been but by can could did do does for from get had has have how i if in into is
it its may me must my no not of on or our shall she should so some that the their them then there these they this to us
was we were what when where which who whom whose why will with would you your
"""
_STOP_WORDS = frozenset(_IN_EVERY_TEXT.split())
_WORD = re.compile(r"\w+")


def telling_words(text: str) -> list[str]:
    """In lower case and in their order, without those that are in every text."""
    return [word for word in map(str.lower, _WORD.findall(text)) if word not in _STOP_WORDS]
