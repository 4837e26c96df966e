"""Passages can be found: by their words, and by vectors (on Postgres `drivers/sql/index.py` makes their table)."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_SQLITE = (
    "CREATE VIRTUAL TABLE passage_words USING fts5"
    "(text, heading, content='passages', content_rowid='id', tokenize='porter unicode61')",
    "INSERT INTO passage_words (passage_words) VALUES ('rebuild')",
    # As https://www.sqlite.org/fts5.html#external_content_tables has them.
    "CREATE TRIGGER passage_words_insert AFTER INSERT ON passages BEGIN "
    "INSERT INTO passage_words (rowid, text, heading) VALUES (new.id, new.text, new.heading); END",
    "CREATE TRIGGER passage_words_delete AFTER DELETE ON passages BEGIN "
    "INSERT INTO passage_words (passage_words, rowid, text, heading) "
    "VALUES ('delete', old.id, old.text, old.heading); END",
    "CREATE TABLE passage_vectors (passage_id INTEGER NOT NULL REFERENCES passages (id) ON DELETE CASCADE, "
    "model VARCHAR(255) NOT NULL, vector BLOB NOT NULL, PRIMARY KEY (passage_id, model))",
)
_POSTGRES = (
    "ALTER TABLE passages ADD COLUMN words tsvector "
    "GENERATED ALWAYS AS (to_tsvector('english', coalesce(heading, '') || ' ' || text)) STORED",
    "CREATE INDEX passage_words ON passages USING gin (words)",
)


def upgrade() -> None:
    for line in _POSTGRES if op.get_bind().dialect.name == "postgresql" else _SQLITE:
        op.execute(sa.text(line))
