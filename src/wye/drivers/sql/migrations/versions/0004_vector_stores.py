"""What vector stores are beside collections: when they expire, and which files came together."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

ID = sa.String(64)


def upgrade() -> None:
    op.add_column("collections", sa.Column("description", sa.Text))
    op.add_column("collections", sa.Column("expires_days", sa.Integer))
    op.add_column("collections", sa.Column("active_s", sa.Double))
    op.add_column("members", sa.Column("batch_id", ID))
    op.add_column("members", sa.Column("cancelled_s", sa.Double))
    op.create_index("ix_members_batch_id", "members", ["batch_id"])

    op.create_table(
        "batches",
        sa.Column("id", ID, nullable=False),
        sa.Column("collection_id", ID, nullable=False),
        sa.Column("created_s", sa.Double, nullable=False),
        sa.Column("cancelled_s", sa.Double),
        sa.PrimaryKeyConstraint("id", name="pk_batches"),
        sa.ForeignKeyConstraint(
            ["collection_id"], ["collections.id"], name="fk_batches_collection_id", ondelete="CASCADE"
        ),
    )
    op.create_index("ix_batches_collection_id", "batches", ["collection_id"])
