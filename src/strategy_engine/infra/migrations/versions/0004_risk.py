"""Risk that acts: limits, references, breaches, alerts, the kill switch."""

import sqlalchemy as sa
from alembic import context, op

from strategy_engine.infra import database

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    if context.config.attributes["file"] == "control":
        _control()
    else:
        _ledger()


def _control() -> None:
    _curves()
    _leavings()


def _ledger() -> None:
    _measured()


def _measured() -> None:
    with op.batch_alter_table("checkpoints") as batch:
        batch.add_column(sa.Column("measured", sa.LargeBinary()))


def _curves() -> None:
    op.create_table(
        "stage_curves",
        sa.Column("curve_id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("strategy_id", sa.String(40), nullable=False),
        sa.Column("pipeline_id", sa.String(40)),
        sa.Column("stage", sa.String(40), nullable=False),
        sa.Column("curve", sa.JSON(), nullable=False),
        sa.Column("finished_at", database.UtcDateTime(length=32), nullable=False),
        sa.PrimaryKeyConstraint("curve_id", name=op.f("pk_stage_curves")),
    )
    op.create_index("ix_stage_curves_strategy", "stage_curves", ["strategy_id", "curve_id"])
    _adoptions()

    _breaches()
    _references()


def _leavings() -> None:
    with op.batch_alter_table("executions") as batch:
        batch.add_column(sa.Column("tied", database.ExactDecimal(length=64)))
        batch.add_column(sa.Column("closing", sa.String(20)))
def _adoptions() -> None:
    with op.batch_alter_table("switches") as batch:
        batch.add_column(
            sa.Column("adopts", sa.Boolean(), nullable=False, server_default=sa.false())
        )
        batch.add_column(sa.Column("adoption", sa.JSON(none_as_null=True)))


