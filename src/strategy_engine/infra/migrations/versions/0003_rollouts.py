"""Rollouts: capital that moves between ledgers, tenures, fenced switches."""

import sqlalchemy as sa
from alembic import context, op

from strategy_engine.infra import database

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    if context.config.attributes["file"] == "control":
        _control()
    else:
        _ledger()


def _control() -> None:
    _engagement()


def _ledger() -> None:
    pass


def _engagement() -> None:
    with op.batch_alter_table("executions") as batch:
        batch.add_column(sa.Column("capital_target", database.ExactDecimal(length=64)))
        batch.add_column(sa.Column("serves", sa.JSON()))
        batch.add_column(sa.Column("exits", sa.String(20), nullable=False, server_default="own"))
        batch.add_column(sa.Column("failure", sa.Text()))
