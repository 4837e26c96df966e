"""An answer on its way, with what its texts rest on added to each. Implements `ports.inference.Audience`."""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from wye.canon.events import CitationDelta, Event, Failure, PartEnd, PartStart, TextDelta
from wye.canon.parts import Citation, Text
from wye.ports.inference import Audience

Cite = Callable[[str], list[Citation]]


class CitedTexts:
    def __init__(self, audience: Audience, cite: Cite) -> None:
        """`cite` is given each text when it is whole."""
        self._audience = audience
        self._cite = cite
        self._texts: dict[tuple[int, int], list[str]] = {}

    def hear(self, event: Event) -> bool:
        match event:
            case PartStart(part=Text(text=text)):
                self._texts[event.choice, event.index] = [text]
            case TextDelta() if (pieces := self._texts.get((event.choice, event.index))) is not None:
                pieces.append(event.text)
            case PartEnd() if (event.choice, event.index) in self._texts:
                event = self._cited(event)
            case Failure():
                return True  # raised by whoever was asked
            case _:
                pass
        return self._audience.hear(event)

    async def drained(self) -> None:
        await self._audience.drained()

    def _cited(self, event: PartEnd) -> PartEnd:
        citations = self._cite("".join(self._texts.pop((event.choice, event.index))))
        for citation in citations:
            self._audience.hear(CitationDelta(event.index, citation, event.choice))
        if isinstance(event.part, Text):
            return replace(event, part=replace(event.part, citations=[*event.part.citations, *citations]))
        return event
