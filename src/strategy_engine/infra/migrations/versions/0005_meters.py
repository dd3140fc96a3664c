"""What each node measures of itself, for Prometheus."""

import sqlalchemy as sa
from alembic import context, op

from strategy_engine.infra import database

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    if context.config.attributes["file"] != "control":
        return
    op.create_table(
        "meters",
        sa.Column("node_id", sa.String(60), nullable=False),
        sa.Column("at", database.UtcDateTime(length=32), nullable=False),
        sa.Column("exposition", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("node_id", name=op.f("pk_meters")),
    )
