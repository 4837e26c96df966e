"""Postgres's approximate index over the vectors of one model, for questions to very many passages.

https://github.com/pgvector/pgvector#hnsw, and docs/decisions/0009-finding-passages.md for what was measured.
"""

from __future__ import annotations

from hashlib import sha256

from sqlalchemy import String, bindparam, text
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.elements import TextClause

LARGE = 10_000
"""Passages. Up to here an exact search takes tens of milliseconds, and misses nothing."""
_MAX_DIMENSIONS = 2000
"""What the index takes."""
_SINCE = (0, 8)
"""Of pgvector: before it a search found only what the index came across first, whosever it was."""
_ACCURACY = ("SET LOCAL hnsw.iterative_scan = strict_order", "SET LOCAL hnsw.ef_search = 200")
_COUNTED = text("SELECT count(*) FROM (SELECT 1 FROM passages WHERE document_id = ANY(:ids) LIMIT :limit) few")


def name_of(model: str) -> str:
    return f"passage_vectors_{sha256(model.encode()).hexdigest()[:16]}"


async def create(connection: AsyncConnection, model: str, dimensions: int) -> None:
    """Nothing happens where this database cannot have it: all searches are exact there."""
    version = str(await connection.scalar(text("SELECT extversion FROM pg_extension WHERE extname = 'vector'")))
    if dimensions > _MAX_DIMENSIONS or tuple(map(int, version.split(".")[:2])) < _SINCE:
        return
    made = text(
        f"CREATE INDEX IF NOT EXISTS {name_of(model)} ON passage_vectors "
        f"USING hnsw ((vector::vector({dimensions})) vector_cosine_ops) WHERE model = :model"
    ).bindparams(bindparam("model", type_=String, literal_execute=True))
    await connection.execute(made, {"model": model})


async def pays(connection: AsyncConnection, document_ids: list[str], model: str) -> bool:
    """Whether there are so many passages to search that it is worth what it may miss; and it is there. From here on
    this transaction's searches are as accurate as they must be."""
    if await connection.scalar(_COUNTED, {"ids": document_ids, "limit": LARGE + 1}) <= LARGE:
        return False
    if await connection.scalar(text("SELECT to_regclass(:name)"), {"name": name_of(model)}) is None:
        return False
    for line in _ACCURACY:
        await connection.execute(text(line))
    return True


def search(dimensions: int) -> TextClause:
    """For `ids`, `model`, `vector` and `limit`. The index is of one model and one length: both are said in the
    statement itself, or it would not be used."""
    return text(
        "SELECT p.id, p.document_id, p.number, p.text, p.page, p.heading "  # noqa: S608 - a number alone
        "FROM passage_vectors v JOIN passages p ON p.id = v.passage_id WHERE v.model = :model "
        f"AND p.document_id = ANY(:ids) ORDER BY v.vector::vector({dimensions}) <=> "
        f"CAST(:vector AS vector({dimensions})) LIMIT :limit"
    ).bindparams(bindparam("model", type_=String, literal_execute=True))
