"""How long a session lives after what was said last."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.add_column("sessions", sa.Column("ttl_s", sa.Double, nullable=False, server_default="86400"))
    op.execute(sa.text("UPDATE sessions SET ttl_s = expires_s - created_s"))
