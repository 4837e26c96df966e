"""Implements `ports.index.Index`: FTS5 or tsvector for words, numpy or pgvector for vectors.

https://www.sqlite.org/fts5.html, https://www.postgresql.org/docs/current/textsearch.html,
https://github.com/pgvector/pgvector
"""

from __future__ import annotations

import asyncio
import re
from array import array
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any, NamedTuple

from sqlalchemy import RowMapping, select, text
from sqlalchemy.exc import NotSupportedError, ProgrammingError
from sqlalchemy.ext.asyncio import AsyncConnection

from wye.drivers.sql import hnsw
from wye.drivers.sql.database import Database
from wye.drivers.sql.tables import embedding_models
from wye.kernel.errors import ConfigError
from wye.kernel.json import encode_text
from wye.ports.index import Found, Vector
from wye.ports.store import Passage

_WORD = re.compile(r"\w+")
_MAX_WORDS = 64
_READ_AT_ONCE = 4096
_LOCK = 0x57_79_66
"""Of Postgres's advisory locks, the one for making the table of vectors."""


class _Statements(NamedTuple):
    """What each database says in its own way."""

    put: str
    by_words: str
    by_vector: str
    """On SQLite all vectors with the ids of their passages: what is nearest is found in Python."""
    joint: str
    """Between words of which any may be there."""


_SQLITE = _Statements(
    "INSERT INTO passage_vectors (passage_id, model, vector) "
    "SELECT id, :model, :vector FROM passages WHERE document_id = :document AND number = :number "
    "ON CONFLICT (passage_id, model) DO UPDATE SET vector = excluded.vector",
    "SELECT p.id, p.document_id, p.number, p.text, p.page, p.heading "
    "FROM passage_words w JOIN passages p ON p.id = w.rowid "
    "WHERE passage_words MATCH :words AND p.document_id IN (SELECT value FROM json_each(:ids)) "
    "ORDER BY bm25(passage_words), p.id LIMIT :limit",
    "SELECT v.passage_id, v.vector FROM passage_vectors v JOIN passages p ON p.id = v.passage_id "
    "WHERE v.model = :model AND p.document_id IN (SELECT value FROM json_each(:ids))",
    " OR ",
)
_POSTGRES = _Statements(
    "INSERT INTO passage_vectors (passage_id, model, vector) "
    "SELECT id, :model, CAST(:vector AS vector) FROM passages WHERE document_id = :document AND number = :number "
    "ON CONFLICT (passage_id, model) DO UPDATE SET vector = excluded.vector",
    "SELECT p.id, p.document_id, p.number, p.text, p.page, p.heading "
    "FROM passages p, websearch_to_tsquery('english', :words) q WHERE p.words @@ q AND p.document_id = ANY(:ids) "
    "ORDER BY ts_rank_cd(p.words, q, 1) DESC, p.id LIMIT :limit",
    "SELECT p.id, p.document_id, p.number, p.text, p.page, p.heading "
    "FROM passage_vectors v JOIN passages p ON p.id = v.passage_id WHERE v.model = :model "
    "AND p.document_id = ANY(:ids) ORDER BY v.vector <=> CAST(:vector AS vector) LIMIT :limit",
    " or ",
)
_MISSING = text(
    "SELECT number FROM passages p WHERE document_id = :document AND NOT EXISTS "
    "(SELECT 1 FROM passage_vectors v WHERE v.passage_id = p.id AND v.model = :model) ORDER BY number"
)
_CHOSEN = text(
    "SELECT p.id, p.document_id, p.number, p.text, p.page, p.heading FROM passages p "
    "WHERE p.id IN (SELECT value FROM json_each(:ids))"
)
_MAKE = (
    "CREATE EXTENSION IF NOT EXISTS vector",
    "CREATE TABLE IF NOT EXISTS passage_vectors "
    "(passage_id BIGINT NOT NULL REFERENCES passages (id) ON DELETE CASCADE, "
    "model VARCHAR(255) NOT NULL, vector vector NOT NULL, PRIMARY KEY (passage_id, model))",
)


class SqlIndex:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._says = _POSTGRES if database.postgres else _SQLITE
        self._made = not database.postgres
        """Whether there is a table of vectors. SQLite's comes with the migrations; Postgres's needs an extension, which
        a database that keeps no documents need not have."""

    async def put(self, document_id: str, model: str, vectors: Mapping[int, Vector]) -> None:
        await self._make()
        rows = [
            {"document": document_id, "number": number, "model": model, "vector": self._packed(vector)}
            for number, vector in vectors.items()
        ]
        if not rows:
            return
        async with self._database.write() as connection:
            await self._demand_length(connection, model, len(next(iter(vectors.values()))), first=True)
            await connection.execute(text(self._says.put), rows)

    async def missing(self, document_id: str, model: str) -> list[int]:
        await self._make()
        async with self._database.read() as connection:
            return list(await connection.scalars(_MISSING, {"document": document_id, "model": model}))

    async def by_words(self, document_ids: Sequence[str], words: str, limit: int) -> list[Found]:
        found = list(dict.fromkeys(word.lower() for word in _WORD.findall(words)))[:_MAX_WORDS]
        if not found:
            return []
        asked = self._says.joint.join(f'"{word}"' for word in found)
        values = {"ids": self._listed(document_ids), "words": asked, "limit": limit}
        async with self._database.read() as connection:
            rows = await connection.execute(text(self._says.by_words), values)
            return [_found(row) for row in rows.mappings()]

    async def by_vector(self, document_ids: Sequence[str], model: str, vector: Vector, limit: int) -> list[Found]:
        await self._make()
        values = {"ids": self._listed(document_ids), "model": model}
        async with self._database.read() as connection:
            await self._demand_length(connection, model, len(vector))
            if not self._database.postgres:
                return await self._nearest(connection, values, vector, limit)
            values |= {"vector": self._packed(vector), "limit": limit}
            if await hnsw.pays(connection, list(document_ids), model):
                rows = (await connection.execute(hnsw.search(len(vector)), values)).mappings().all()
                if len(rows) == limit:  # else the index gave up before it had found enough of these documents
                    return [_found(row) for row in rows]
            rows = await connection.execute(text(self._says.by_vector), values)
            return [_found(row) for row in rows.mappings()]

    async def _nearest(
        self, connection: AsyncConnection, values: dict[str, Any], vector: Vector, limit: int
    ) -> list[Found]:
        """Without an extension of SQLite, since many builds of Python cannot load one."""
        best: list[tuple[float, int]] = []
        async with connection.stream(text(self._says.by_vector), values) as rows:
            async for part in rows.partitions(_READ_AT_ONCE):
                scored = await asyncio.to_thread(_scores, [(row[0], row[1]) for row in part], vector)
                best = sorted([*best, *scored], reverse=True)[:limit]
        order = {passage: place for place, (_, passage) in enumerate(best)}
        rows = await connection.execute(_CHOSEN, {"ids": encode_text(list(order))})
        return [_found(row) for row in sorted(rows.mappings(), key=lambda row: order[row["id"]])]

    async def _demand_length(
        self, connection: AsyncConnection, model: str, length: int, *, first: bool = False
    ) -> None:
        """Vectors of two lengths have no angle: a model keeps the one that it began with. Raises ConfigError."""
        row = embedding_models
        if first:
            began = self._database.insert(row).values(model=model, dimensions=length).on_conflict_do_nothing()
            is_new = await connection.scalar(began.returning(row.c.model)) is not None
            if is_new and self._database.postgres:
                await hnsw.create(connection, model, length)
        known = await connection.scalar(select(row.c.dimensions).where(row.c.model == model))
        if known not in (None, length):
            raise ConfigError(
                f"'{model}' made vectors of {known} dimensions before, and now of {length}, which cannot be compared: "
                "set documents.embedding_model to one that goes by another name, and documents are indexed anew"
            )

    def _listed(self, document_ids: Sequence[str]) -> Any:
        return list(document_ids) if self._database.postgres else encode_text(list(document_ids))

    def _packed(self, vector: Vector) -> Any:
        return encode_text(list(vector)) if self._database.postgres else array("f", vector).tobytes()

    async def _make(self) -> None:
        if self._made:
            return
        async with self._database.write() as connection:
            await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            if not (await connection.execute(text("SELECT to_regclass('passage_vectors')"))).scalar():
                try:
                    for line in _MAKE:
                        await connection.execute(text(line))
                except (ProgrammingError, NotSupportedError) as error:
                    reason = str(error.orig).partition("\n")[0]
                    raise ConfigError(f"Documents on Postgres need its extension pgvector: {reason}") from None
        self._made = True


def _scores(rows: list[tuple[int, bytes]], vector: Vector) -> list[tuple[float, int]]:
    numpy: Any = import_module("numpy")
    asked = numpy.asarray(vector, dtype=numpy.float32)
    kept = numpy.frombuffer(b"".join(data for _, data in rows), dtype=numpy.float32).reshape(len(rows), len(asked))
    lengths = numpy.linalg.norm(kept, axis=1) * numpy.linalg.norm(asked)
    scores = (kept @ asked) / numpy.maximum(lengths, 1e-12)
    return list(zip(scores.tolist(), [passage for passage, _ in rows], strict=True))


def _found(row: RowMapping) -> Found:
    passage = Passage(number=row["number"], text=row["text"], page=row["page"], heading=row["heading"])
    return Found(row["document_id"], passage)
