"""What a caller said last, and where: what is found for it goes before it."""

from __future__ import annotations

from wye.canon.parts import Text
from wye.canon.request import ChatRequest, Message


def place_of_last_words(request: ChatRequest) -> int | None:
    """The index of the message; None where the caller has said nothing in words."""
    places = (i for i, message in enumerate(request.messages) if message.role == "user" and words_of(message))
    return max(places, default=None)


def last_words(request: ChatRequest) -> str:
    place = place_of_last_words(request)
    return "" if place is None else words_of(request.messages[place])


def words_of(message: Message) -> str:
    return " ".join(part.text for part in message.parts if isinstance(part, Text)).strip()
