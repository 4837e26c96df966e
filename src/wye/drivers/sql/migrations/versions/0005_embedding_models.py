"""Which model made the vectors of a document, and how long that model's vectors are."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

NAME = sa.String(255)


def upgrade() -> None:
    op.create_table(
        "embedding_models",
        sa.Column("model", NAME, nullable=False),
        sa.Column("dimensions", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("model", name="pk_embedding_models"),
    )
    op.add_column("documents", sa.Column("embedding_model", NAME))
    bind = op.get_bind()
    if bind.dialect.name == "sqlite":
        length = "length(vector) / 4"
    elif bind.scalar(sa.text("SELECT to_regclass('passage_vectors')")):
        length = "vector_dims(vector)"
    else:
        return  # it is made when the first vector comes
    op.execute(
        sa.text(
            "INSERT INTO embedding_models (model, dimensions) "  # noqa: S608 - of constants
            f"SELECT model, min({length}) FROM passage_vectors GROUP BY model"
        )
    )
