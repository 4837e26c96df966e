"""The tables, the same in SQLite and in Postgres. `migrations/` makes them: change both together.

JSON is kept as text, written and read by `wye.kernel.json`.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Column, Double, ForeignKey, Index, Integer, MetaData, Table
from sqlalchemy import String as AnyString
from sqlalchemy import Text as AnyText
from sqlalchemy.types import TypeDecorator

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class String(TypeDecorator[str]):
    """Text that every database takes: no NUL (Postgres has none), and no half of a surrogate pair."""

    impl = AnyString
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Any) -> str | None:
        return value and value.replace("\0", "\ufffd").encode("utf-8", "replace").decode()


class Text(String):
    impl = AnyText
    cache_ok = True


ID = String(64)
NAME = String(255)
ROW_ID = BigInteger().with_variant(Integer, "sqlite")
"""SQLite counts up by itself only what is called INTEGER."""


def _belongs_to(column: str, *, primary_key: bool = False) -> Column[str]:
    name = f"{column.split('.', maxsplit=1)[0].removesuffix('s')}_id"
    return Column(name, ID, ForeignKey(column, ondelete="CASCADE"), primary_key=primary_key, nullable=False)


files = Table(
    "files",
    metadata,
    Column("id", ID, primary_key=True),
    Column("principal", NAME, nullable=False),
    Column("filename", NAME, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("content_type", NAME, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("purpose", String(64), nullable=False),
    Column("blob", ID, nullable=False),
    Column("created_s", Double, nullable=False),
    Column("expires_s", Double, index=True),
    Index(None, "principal", "created_s", "id"),
)

documents = Table(
    "documents",
    metadata,
    Column("id", ID, primary_key=True),
    Column("principal", NAME, nullable=False),
    _belongs_to("files.id"),
    Column("status", String(16), nullable=False, index=True),
    Column("progress", Integer, nullable=False),
    Column("error", Text),
    Column("pages", Integer),
    Column("notes", Text, nullable=False),
    Column("embedding_model", NAME),
    Column("created_s", Double, nullable=False),
    Column("updated_s", Double, nullable=False),
    Index(None, "principal", "created_s", "id"),
    Index(None, "file_id"),
)

embedding_models = Table(
    "embedding_models",
    metadata,
    Column("model", NAME, primary_key=True),
    Column("dimensions", Integer, nullable=False),
)
"""Those that have made vectors, and how long they are. The vectors themselves only `index.py` knows."""

passages = Table(
    "passages",
    metadata,
    Column("id", ROW_ID, primary_key=True, autoincrement=True),
    _belongs_to("documents.id"),
    Column("number", Integer, nullable=False),
    Column("page", Integer),
    Column("heading", Text),
    Column("text", Text, nullable=False),
    Index(None, "document_id", "number", unique=True),
)

collections = Table(
    "collections",
    metadata,
    Column("id", ID, primary_key=True),
    Column("principal", NAME, nullable=False),
    Column("name", NAME, nullable=False),
    Column("metadata", Text, nullable=False),
    Column("created_s", Double, nullable=False),
    Column("description", Text),
    Column("expires_days", Integer),
    Column("active_s", Double),
    Index(None, "principal", "created_s", "id"),
)

members = Table(
    "members",
    metadata,
    _belongs_to("collections.id", primary_key=True),
    _belongs_to("documents.id", primary_key=True),
    Column("attributes", Text, nullable=False),
    Column("added_s", Double, nullable=False),
    Column("batch_id", ID, index=True),
    Column("cancelled_s", Double),
    Index(None, "document_id"),
)

batches = Table(
    "batches",
    metadata,
    Column("id", ID, primary_key=True),
    _belongs_to("collections.id"),
    Column("created_s", Double, nullable=False),
    Column("cancelled_s", Double),
    Index(None, "collection_id"),
)
"""Documents that came into a collection together."""

questions = Table(
    "questions",
    metadata,
    Column("id", ID, primary_key=True),
    Column("principal", NAME, nullable=False),
    Column("question", Text, nullable=False),
    Column("answer", Text, nullable=False),
    Column("citations", Text, nullable=False),
    Column("model", NAME),
    Column("created_s", Double, nullable=False),
)

asked = Table(
    "asked",
    metadata,
    _belongs_to("documents.id", primary_key=True),
    _belongs_to("questions.id", primary_key=True),
    Index(None, "question_id"),
)
"""Which documents a question was about."""

sessions = Table(
    "sessions",
    metadata,
    Column("id", ID, primary_key=True),
    Column("principal", NAME, nullable=False),
    Column("metadata", Text, nullable=False),
    Column("created_s", Double, nullable=False),
    Column("ttl_s", Double, nullable=False, server_default="86400"),
    Column("expires_s", Double, nullable=False, index=True),
    Index(None, "principal", "created_s", "id"),
)

messages = Table(
    "messages",
    metadata,
    Column("id", ROW_ID, primary_key=True, autoincrement=True),
    _belongs_to("sessions.id"),
    Column("role", String(16), nullable=False),
    Column("content", Text, nullable=False),
    Column("created_s", Double, nullable=False),
    Index(None, "session_id"),
)

keys = Table(
    "keys",
    metadata,
    Column("id", ID, primary_key=True),
    Column("name", NAME, nullable=False),
    Column("prefix", String(32), nullable=False),
    Column("hash", String(64), nullable=False, unique=True),
    Column("created_s", Double, nullable=False),
    Column("expires_s", Double),
    Column("revoked_s", Double),
    Column("requests_per_minute", BigInteger),
    Column("tokens_per_minute", BigInteger),
    Column("concurrent", BigInteger),
    Column("terms", Text, nullable=False),
)
"""Issued to callers. `terms` is JSON: what a key is for, and its budgets."""

usage = Table(
    "usage",
    metadata,
    Column("id", ID, primary_key=True),
    Column("at_s", Double, nullable=False, index=True),
    Column("principal", NAME, nullable=False),
    Column("model", NAME, nullable=False),
    Column("deployment", NAME),
    Column("status", String(16), nullable=False),
    Column("cache", String(16)),
    Column("input_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    Column("cached_tokens", BigInteger, nullable=False),
    Column("cost_micro_usd", BigInteger, nullable=False),
    Index(None, "principal", "at_s"),
    Index(None, "model", "at_s"),
)
"""Every call, and what it cost."""

jobs = Table(
    "jobs",
    metadata,
    Column("subject", ID, primary_key=True),
    Column("attempts", Integer, nullable=False),
    Column("due_s", Double, nullable=False, index=True),
    Column("owner", ID),
)
"""Work to be done in this process or its siblings: what is due. Whoever takes a job moves `due_s` to the end of its
lease. On Postgres procrastinate's own tables are used."""
