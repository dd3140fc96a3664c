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


