"""Reasoning that a model wrote into its text: never handed on to another model."""

from __future__ import annotations

import re

_TAG = re.compile(r"<(/?)(?:think|thinking|thought|reasoning|reflection|scratchpad)>", re.IGNORECASE)
# A template may open the tag itself, so that only its end is written: on a line of its own, unlike one that is quoted.
_END_ALONE = re.compile(r"</(?:think|thinking|thought|reasoning)>[ \t]*(?:\n|\Z)", re.IGNORECASE)


def without_reasoning(text: str) -> str:
    """The text without what stands in reasoning tags. What begins as reasoning and never ends is left out whole."""
    kept: list[str] = []
    depth = position = 0
    for tag in _TAG.finditer(text):
        if not tag[1]:
            if depth == 0:
                kept.append(text[position : tag.start()])
            depth += 1
        elif depth:
            depth -= 1
            position = tag.end() if depth == 0 else position
        elif not kept and _END_ALONE.match(text, tag.start()):
            position = tag.end()
    if depth == 0:
        kept.append(text[position:])
    return "".join(kept).strip()
