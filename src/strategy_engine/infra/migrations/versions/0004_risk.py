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
    _leavings()


def _ledger() -> None:
    pass


def _leavings() -> None:
    with op.batch_alter_table("executions") as batch:
        batch.add_column(sa.Column("tied", database.ExactDecimal(length=64)))
        batch.add_column(sa.Column("closing", sa.String(20)))
