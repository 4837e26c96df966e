"""Issued keys, and what was used."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

ID = sa.String(64)
NAME = sa.String(255)


def upgrade() -> None:
    op.create_table(
        "keys",
        sa.Column("id", ID, nullable=False),
        sa.Column("name", NAME, nullable=False),
        sa.Column("prefix", sa.String(32), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.Column("created_s", sa.Double, nullable=False),
        sa.Column("expires_s", sa.Double),
        sa.Column("revoked_s", sa.Double),
        sa.Column("requests_per_minute", sa.BigInteger),
        sa.Column("tokens_per_minute", sa.BigInteger),
        sa.Column("concurrent", sa.BigInteger),
        sa.Column("terms", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_keys"),
        sa.UniqueConstraint("hash", name="uq_keys_hash"),
    )

    op.create_table(
        "usage",
        sa.Column("id", ID, nullable=False),
        sa.Column("at_s", sa.Double, nullable=False),
        sa.Column("principal", NAME, nullable=False),
        sa.Column("model", NAME, nullable=False),
        sa.Column("deployment", NAME),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("cache", sa.String(16)),
        sa.Column("input_tokens", sa.BigInteger, nullable=False),
        sa.Column("output_tokens", sa.BigInteger, nullable=False),
        sa.Column("cached_tokens", sa.BigInteger, nullable=False),
        sa.Column("cost_micro_usd", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_usage"),
    )
    op.create_index("ix_usage_at_s", "usage", ["at_s"])
    op.create_index("ix_usage_principal_at_s", "usage", ["principal", "at_s"])
    op.create_index("ix_usage_model_at_s", "usage", ["model", "at_s"])
