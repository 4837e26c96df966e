"""On Postgres, an approximate index for each model that has made vectors. Those of new ones `hnsw.py` makes."""

from hashlib import sha256

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    bind = op.get_bind()
    if bind.dialect.name == "sqlite" or not bind.scalar(sa.text("SELECT to_regclass('passage_vectors')")):
        return
    version = str(bind.scalar(sa.text("SELECT extversion FROM pg_extension WHERE extname = 'vector'")))
    if tuple(map(int, version.split(".")[:2])) < (0, 8):
        return
    known = sa.text("SELECT model, dimensions FROM embedding_models WHERE dimensions <= 2000")
    for model, dimensions in bind.execute(known).all():
        name = f"passage_vectors_{sha256(model.encode()).hexdigest()[:16]}"
        made = sa.text(
            f"CREATE INDEX IF NOT EXISTS {name} ON passage_vectors "
            f"USING hnsw ((vector::vector({int(dimensions)})) vector_cosine_ops) WHERE model = :model"
        )
        bind.execute(made.bindparams(sa.bindparam("model", type_=sa.String, literal_execute=True)), {"model": model})
