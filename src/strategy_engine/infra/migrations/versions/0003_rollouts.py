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
    _switches()
    _progress()
    _webhooks()
    _experiments()
    _allocations()


def _ledger() -> None:
    _transcripts()
    _flows()


def _engagement() -> None:
    with op.batch_alter_table("executions") as batch:
        batch.add_column(sa.Column("capital_target", database.ExactDecimal(length=64)))
        batch.add_column(sa.Column("serves", sa.JSON()))
        batch.add_column(sa.Column("exits", sa.String(20), nullable=False, server_default="own"))
        batch.add_column(sa.Column("failure", sa.Text()))


def _switches() -> None:
    op.create_table(
        "switches",
        sa.Column("key", sa.String(200), nullable=False),
        sa.Column("gives", sa.JSON(), nullable=False),
        sa.Column("takes", sa.JSON(), nullable=False),
        sa.Column("symbols", sa.JSON()),
        sa.Column("changes", sa.JSON(), nullable=False),
        sa.Column("hands_cash", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("actor", sa.String(100), nullable=False),
        sa.Column("why", sa.String(200), nullable=False),
        sa.Column("asked_at", database.UtcDateTime(length=32), nullable=False),
        sa.Column("node_id", sa.String(60)),
        sa.Column("at_ns", sa.BigInteger()),
        sa.Column("done_at", database.UtcDateTime(length=32)),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_switches")),
    )
    op.create_index(op.f("ix_switches_done_at"), "switches", ["done_at"])


def _webhooks() -> None:
    op.create_table(
        "webhooks",
        sa.Column("webhook_id", sa.String(length=40), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("topics", sa.JSON(), nullable=False),
        sa.Column("secret", sa.String(length=100), nullable=False),
        sa.Column("created_at", database.UtcDateTime(length=32), nullable=False),
        sa.Column("created_by", sa.String(length=100), nullable=False),
        sa.Column("removed_at", database.UtcDateTime(length=32), nullable=True),
        sa.PrimaryKeyConstraint("webhook_id", name=op.f("pk_webhooks")),
    )
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "webhook_deliveries",
        sa.Column("delivery_id", number, autoincrement=True, nullable=False),
        sa.Column("webhook_id", sa.String(length=40), nullable=False),
        sa.Column("event_id", sa.String(length=160), nullable=False),
        sa.Column("topic", sa.String(length=60), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_at", database.UtcDateTime(length=32), nullable=False),
        sa.Column("created_at", database.UtcDateTime(length=32), nullable=False),
        sa.Column("status_code", sa.Integer(), nullable=True),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("took_ms", sa.Float(), nullable=True),
        sa.Column("ended_at", database.UtcDateTime(length=32), nullable=True),
        sa.PrimaryKeyConstraint("delivery_id", name=op.f("pk_webhook_deliveries")),
        sa.UniqueConstraint(
            "webhook_id", "event_id", name=op.f("uq_webhook_deliveries_webhook_id_event_id")
        ),
    )
    op.create_index(
        "ix_webhook_deliveries_due", "webhook_deliveries", ["state", "next_at"], unique=False
    )


def _experiments() -> None:
    op.create_table(
        "experiments",
        sa.Column("experiment_id", sa.String(40), nullable=False),
        sa.Column("strategy_name", sa.String(100), nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("outcome", sa.String(20)),
        sa.Column("design", sa.JSON(), nullable=False),
        sa.Column("arms", sa.JSON(), nullable=False),
        sa.Column("capital", database.ExactDecimal(length=64), nullable=False),
        sa.Column("goal", sa.JSON(), nullable=False),
        sa.Column("config", sa.JSON(), nullable=False),
        sa.Column("handed", sa.JSON(), nullable=False),
        sa.Column("start_ns", sa.BigInteger()),
        sa.Column("result", sa.JSON()),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("requested_by", sa.String(100), nullable=False),
        sa.Column("created_at", database.UtcDateTime(length=32), nullable=False),
        sa.Column("running_at", database.UtcDateTime(length=32)),
        sa.Column("ended_at", database.UtcDateTime(length=32)),
        sa.PrimaryKeyConstraint("experiment_id", name=op.f("pk_experiments")),
    )
    for column in ("strategy_name", "state", "created_at"):
        op.create_index(op.f(f"ix_experiments_{column}"), "experiments", [column])


def _allocations() -> None:
    op.create_table(
        "allocations",
        sa.Column("allocation_id", sa.String(40), nullable=False),
        sa.Column("strategy_name", sa.String(100), nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("policy", sa.JSON(), nullable=False),
        sa.Column("executions", sa.JSON(), nullable=False),
        sa.Column("own", sa.JSON(), nullable=False),
        sa.Column("capital", database.ExactDecimal(length=64), nullable=False),
        sa.Column("config", sa.JSON(), nullable=False),
        sa.Column("slots", sa.JSON(), nullable=False),
        sa.Column("weights", sa.JSON(), nullable=False),
        sa.Column("goal", sa.JSON(), nullable=False),
        sa.Column("day", sa.BigInteger()),
        sa.Column("changed", database.ExactDecimal(length=64), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("requested_by", sa.String(100), nullable=False),
        sa.Column("created_at", database.UtcDateTime(length=32), nullable=False),
        sa.Column("updated_at", database.UtcDateTime(length=32), nullable=False),
        sa.Column("ended_at", database.UtcDateTime(length=32)),
        sa.PrimaryKeyConstraint("allocation_id", name=op.f("pk_allocations")),
    )
    for column in ("strategy_name", "state"):
        op.create_index(op.f(f"ix_allocations_{column}"), "allocations", [column])


def _progress() -> None:
    with op.batch_alter_table("deployments") as batch:
        batch.add_column(
            sa.Column("progress", sa.JSON(), nullable=False, server_default=sa.text("'{}'"))
        )
        batch.add_column(
            sa.Column("is_tended", sa.Boolean(), nullable=False, server_default=sa.false())
        )
    op.create_index("ix_deployments_is_tended", "deployments", ["is_tended"], unique=False)


def _transcripts() -> None:
    op.create_table(
        "transcripts",
        sa.Column("execution_id", sa.String(40), nullable=False),
        sa.Column("no", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("kind", sa.String(10), nullable=False),
        sa.Column("asked", sa.LargeBinary(), nullable=False),
        sa.Column("answered", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("execution_id", "no", name=op.f("pk_transcripts")),
    )


def _flows() -> None:
    op.create_table(
        "capital_flows",
        sa.Column("execution_id", sa.String(40), nullable=False),
        sa.Column("entry_no", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("amount", database.ExactDecimal(length=64), nullable=False),
        sa.Column("contributed", database.ExactDecimal(length=64), nullable=False),
        sa.Column("equity", database.ExactDecimal(length=64), nullable=False),
        sa.Column("cash", database.ExactDecimal(length=64), nullable=False),
        sa.Column("close_ns", sa.BigInteger()),
        sa.Column("at", database.UtcDateTime(length=32), nullable=False),
        sa.PrimaryKeyConstraint("execution_id", "entry_no", name=op.f("pk_capital_flows")),
    )
    contributed = database.ExactDecimal(length=64)
    op.add_column(
        "equity", sa.Column("contributed", contributed, nullable=False, server_default="0")
    )
    # Nothing has flowed yet: each was given what it was opened with, and no more.
    op.execute(
        "UPDATE equity SET contributed = COALESCE((SELECT capital FROM checkpoints"
        " WHERE checkpoints.execution_id = equity.execution_id), contributed)"
    )
    op.create_index(
        op.f("ix_orders_denied"),
        "orders",
        ["execution_id"],
        sqlite_where=sa.text("denial_code IS NOT NULL"),
        postgresql_where=sa.text("denial_code IS NOT NULL"),
    )
