"""Native strategies' books, the outbox, leases of nodes, and thinned metrics."""

import sqlalchemy as sa
from alembic import context, op

from strategy_engine.infra import database

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    if context.config.attributes["file"] == "control":
        _control()
    else:
        _ledger()


def _control() -> None:
    _ownership()


def _ledger() -> None:
    _thinned_metrics()


def _thinned_metrics() -> None:
    op.add_column(
        "metrics",
        sa.Column("is_rolled_up", sa.Boolean(), nullable=False, server_default=sa.false()),
    )
    op.create_index("ix_metrics_is_rolled_up", "metrics", ["is_rolled_up", "at"], unique=False)
    op.create_table(
        "metric_rollups",
        sa.Column("execution_id", sa.String(length=40), nullable=False),
        sa.Column("resolution", sa.String(length=4), nullable=False),
        sa.Column("start_at", database.UtcDateTime(length=32), nullable=False),
        sa.Column("last_at", database.UtcDateTime(length=32), nullable=False),
        sa.Column("samples", sa.Integer(), nullable=False),
        sa.Column("metrics", sa.JSON(), nullable=False),
        sa.Column("sums", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint(
            "execution_id", "resolution", "start_at", name=op.f("pk_metric_rollups")
        ),
    )
    op.create_index(
        "ix_metric_rollups_resolution", "metric_rollups", ["resolution", "start_at"], unique=False
    )


def _ownership() -> None:
    with op.batch_alter_table("deployments") as batch:
        batch.add_column(sa.Column("node_id", sa.String(60)))
