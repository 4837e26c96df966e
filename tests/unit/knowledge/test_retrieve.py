"""How rankings become one, and what a reader does with an embedder that fails."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from wye.kernel.errors import BadRequest
from wye.knowledge.reader import DocumentReader, LocalEmbedder
from wye.knowledge.retrieve import Retriever, shown
from wye.ports.encoders import Vectors
from wye.ports.engine import LocalModel
from wye.ports.index import Found, Vector
from wye.ports.reading import Extracted, PageText
from wye.ports.store import Passage


def found(number: int, document: str = "a") -> Found:
    return Found(document, Passage(number=number, text=f"text {number}"))


class Lists:
    """An index whose answers are known, and an embedder that only counts."""

    model = "m"

    def __init__(self, meant: list[Found], said: list[Found], missing: list[int] | None = None) -> None:
        self.meant, self.said, self.gone = meant, said, missing or []
        self.asked: list[tuple[list[str], str]] = []
        self.kept: dict[int, Vector] = {}

    async def put(self, document_id: str, model: str, vectors: Mapping[int, Vector]) -> None:
        self.kept.update(vectors)

    async def missing(self, document_id: str, model: str) -> list[int]:
        return self.gone

    async def by_words(self, document_ids: Sequence[str], words: str, limit: int) -> list[Found]:
        return self.said[:limit]

    async def by_vector(self, document_ids: Sequence[str], model: str, vector: Vector, limit: int) -> list[Found]:
        return self.meant[:limit]

    async def embed(self, texts: list[str], purpose: str) -> list[list[float]]:
        self.asked.append((texts, purpose))
        return [[float(len(text))] for text in texts]


class Encoder:
    """Scores a passage by its number; holds ten characters."""

    def models(self) -> list[LocalModel]:
        return []

    async def embed(self, model: str, texts: list[str], purpose: str | None = None) -> Vectors:
        if len(texts[0]) > 10:
            raise BadRequest("too long", code="context_length_exceeded")
        if texts[0] == "bad":
            raise BadRequest("bad")
        return Vectors([[float(len(texts[0]))]], 1)

    async def rank(self, model: str, question: str, passages: list[str]) -> list[float]:
        return [float(passage.split()[1]) * 100 for passage in passages]

    async def load(self, model: str) -> LocalModel:
        raise NotImplementedError

    async def unload(self, model: str) -> LocalModel:
        raise NotImplementedError

    async def close(self) -> None:
        pass


def numbers(answer: list[tuple[Found, float]]) -> list[int]:
    return [one.passage.number for one, _ in answer]


async def test_what_is_found_both_ways_is_first() -> None:
    lists = Lists([found(1), found(2)], [found(2), found(3)])
    answer = await Retriever(lists, lists).find(["a"], "why", 10)
    assert numbers(answer) == [2, 1, 3]
    assert all(0 < score <= 1 for _, score in answer)
    assert lists.asked == [(["why"], "search_query")]
    assert numbers(await Retriever(lists, lists).find(["a"], "why", 1)) == [2]


async def test_the_same_number_in_two_documents_is_two_passages() -> None:
    lists = Lists([found(1, "a")], [found(1, "b")])
    assert len(await Retriever(lists, lists).find(["a", "b"], "why", 10)) == 2


async def test_nothing_is_asked_of_no_documents() -> None:
    lists = Lists([], [])
    assert await Retriever(lists, lists).find([], "why", 10) == []
    assert lists.asked == []


async def test_the_best_are_read_again_with_the_question() -> None:
    lists = Lists([found(n) for n in range(30)], [])
    answer = await Retriever(lists, lists, Encoder(), "r").find(["a"], "why", 3)
    assert numbers(answer) == [11, 10, 9]
    assert [score for _, score in answer] == pytest.approx([1, 1, 1])


async def test_only_what_has_no_vector_yet_gets_one() -> None:
    lists = Lists([], [], missing=[1, 2, *range(40, 80)])
    reader, told = DocumentReader(lists, lists), list[float]()

    async def tell(share: float) -> None:
        told.append(share)

    await reader.index("a", [Passage(number=n, text="x" * n) for n in range(60)], tell)
    assert set(lists.kept) == {1, 2, *range(40, 60)}
    assert lists.kept[41] == [41.0]
    assert told == [1.0]
    await reader.index("a", [], tell)


async def test_what_is_too_long_for_the_model_is_cut_until_it_fits() -> None:
    embedder = LocalEmbedder(Encoder(), "m")
    assert await embedder.embed(["x" * 30, "abc"], "search_document") == [[8.0], [3.0]]
    with pytest.raises(BadRequest, match="bad"):
        await embedder.embed(["bad"], "search_document")


async def test_a_reader_reads_and_splits(tmp_path: Path) -> None:
    lists = Lists([], [])
    path = tmp_path / "a"
    path.write_text("Hello")

    async def tell(share: float) -> None:
        assert share == 1

    reader = DocumentReader(lists, lists)
    extracted = await reader.extract(path, "text/plain", tell)
    assert extracted == Extracted([PageText("Hello")])
    assert reader.split(extracted) == [Passage(number=0, text="Hello")]


def test_a_heading_is_shown_once() -> None:
    assert shown(Passage(number=0, text="It rose.", heading="Costs")) == "Costs\nIt rose."
    assert shown(Passage(number=0, text="## Costs\nIt rose.", heading="Costs")) == "## Costs\nIt rose."
