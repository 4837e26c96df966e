"""Citations that are added to an answer on its way."""

from __future__ import annotations

from tests.unit.orchestration.models import Hearer
from wye.canon.events import CitationDelta, Failure, PartEnd, PartStart, Ping, TextDelta
from wye.canon.parts import Citation, Text
from wye.kernel.errors import StreamCut
from wye.knowledge.cited_texts import CitedTexts

OWN, OURS = Citation("url", url="https://e.x"), Citation("file", file_id="f")


async def test_a_text_that_ends_whole_keeps_its_own_citations() -> None:
    heard, texts = Hearer(), list[str]()

    def cite(text: str) -> list[Citation]:
        texts.append(text)
        return [OURS]

    cited = CitedTexts(heard, cite)
    for event in (PartStart(0, Text("a")), TextDelta(0, "b"), PartEnd(0, 0, Text("ab", [OWN])), Ping()):
        assert cited.hear(event)
    assert texts == ["ab"]
    assert heard.events[2:4] == [CitationDelta(0, OURS), PartEnd(0, 0, Text("ab", [OWN, OURS]))]


async def test_a_failure_is_left_to_who_asked_and_slowness_is_told() -> None:
    slow = Hearer(slow=True)
    cited = CitedTexts(slow, lambda _: [])
    assert cited.hear(Failure(StreamCut("gone")))
    assert slow.events == []
    assert not cited.hear(Ping())
    await cited.drained()
    assert slow.drains == 1
