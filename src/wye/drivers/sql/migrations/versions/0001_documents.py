"""Files, documents and what is asked of them."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

ID = sa.String(64)
NAME = sa.String(255)
ROW_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "files",
        sa.Column("id", ID, nullable=False),
        sa.Column("principal", NAME, nullable=False),
        sa.Column("filename", NAME, nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False),
        sa.Column("content_type", NAME, nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("purpose", sa.String(64), nullable=False),
        sa.Column("blob", ID, nullable=False),
        sa.Column("created_s", sa.Double, nullable=False),
        sa.Column("expires_s", sa.Double),
        sa.PrimaryKeyConstraint("id", name="pk_files"),
    )
    op.create_index("ix_files_expires_s", "files", ["expires_s"])
    op.create_index("ix_files_principal_created_s_id", "files", ["principal", "created_s", "id"])

    op.create_table(
        "documents",
        sa.Column("id", ID, nullable=False),
        sa.Column("principal", NAME, nullable=False),
        sa.Column("file_id", ID, nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("progress", sa.Integer, nullable=False),
        sa.Column("error", sa.Text),
        sa.Column("pages", sa.Integer),
        sa.Column("notes", sa.Text, nullable=False),
        sa.Column("created_s", sa.Double, nullable=False),
        sa.Column("updated_s", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_documents"),
        _belongs_to("documents", "file_id", "files"),
    )
    op.create_index("ix_documents_status", "documents", ["status"])
    op.create_index("ix_documents_principal_created_s_id", "documents", ["principal", "created_s", "id"])
    op.create_index("ix_documents_file_id", "documents", ["file_id"])

    op.create_table(
        "passages",
        sa.Column("id", ROW_ID, autoincrement=True, nullable=False),
        sa.Column("document_id", ID, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("page", sa.Integer),
        sa.Column("heading", sa.Text),
        sa.Column("text", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_passages"),
        _belongs_to("passages", "document_id", "documents"),
    )
    op.create_index("ix_passages_document_id_number", "passages", ["document_id", "number"], unique=True)

    op.create_table(
        "collections",
        sa.Column("id", ID, nullable=False),
        sa.Column("principal", NAME, nullable=False),
        sa.Column("name", NAME, nullable=False),
        sa.Column("metadata", sa.Text, nullable=False),
        sa.Column("created_s", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_collections"),
    )
    op.create_index("ix_collections_principal_created_s_id", "collections", ["principal", "created_s", "id"])

    op.create_table(
        "members",
        sa.Column("collection_id", ID, nullable=False),
        sa.Column("document_id", ID, nullable=False),
        sa.Column("attributes", sa.Text, nullable=False),
        sa.Column("added_s", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("collection_id", "document_id", name="pk_members"),
        _belongs_to("members", "collection_id", "collections"),
        _belongs_to("members", "document_id", "documents"),
    )
    op.create_index("ix_members_document_id", "members", ["document_id"])

    op.create_table(
        "questions",
        sa.Column("id", ID, nullable=False),
        sa.Column("principal", NAME, nullable=False),
        sa.Column("question", sa.Text, nullable=False),
        sa.Column("answer", sa.Text, nullable=False),
        sa.Column("citations", sa.Text, nullable=False),
        sa.Column("model", NAME),
        sa.Column("created_s", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_questions"),
    )

    op.create_table(
        "asked",
        sa.Column("document_id", ID, nullable=False),
        sa.Column("question_id", ID, nullable=False),
        sa.PrimaryKeyConstraint("document_id", "question_id", name="pk_asked"),
        _belongs_to("asked", "document_id", "documents"),
        _belongs_to("asked", "question_id", "questions"),
    )
    op.create_index("ix_asked_question_id", "asked", ["question_id"])

    op.create_table(
        "sessions",
        sa.Column("id", ID, nullable=False),
        sa.Column("principal", NAME, nullable=False),
        sa.Column("metadata", sa.Text, nullable=False),
        sa.Column("created_s", sa.Double, nullable=False),
        sa.Column("expires_s", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_sessions"),
    )
    op.create_index("ix_sessions_expires_s", "sessions", ["expires_s"])
    op.create_index("ix_sessions_principal_created_s_id", "sessions", ["principal", "created_s", "id"])

    op.create_table(
        "messages",
        sa.Column("id", ROW_ID, autoincrement=True, nullable=False),
        sa.Column("session_id", ID, nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("content", sa.Text, nullable=False),
        sa.Column("created_s", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_messages"),
        _belongs_to("messages", "session_id", "sessions"),
    )
    op.create_index("ix_messages_session_id", "messages", ["session_id"])

    op.create_table(
        "jobs",
        sa.Column("subject", ID, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("due_s", sa.Double, nullable=False),
        sa.Column("owner", ID),
        sa.PrimaryKeyConstraint("subject", name="pk_jobs"),
    )
    op.create_index("ix_jobs_due_s", "jobs", ["due_s"])


def _belongs_to(table: str, column: str, other: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [f"{other}.id"], name=f"fk_{table}_{column}", ondelete="CASCADE")
