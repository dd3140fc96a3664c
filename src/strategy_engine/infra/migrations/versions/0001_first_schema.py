"""The first schema of both databases."""

import sqlalchemy as sa
from alembic import context, op

from strategy_engine.infra import database

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    if context.config.attributes["file"] == "control":
        _control()
    else:
        _ledger()


def _control() -> None:
    op.create_table(
        "audit",
        sa.Column("audit_id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("at", database.UtcDateTime(length=32), nullable=False),
        sa.Column("actor", sa.String(length=100), nullable=False),
        sa.Column("subject_type", sa.String(length=30), nullable=False),
        sa.Column("subject_id", sa.String(length=60), nullable=False),
        sa.Column("action", sa.String(length=60), nullable=False),
        sa.Column("from_state", sa.String(length=30), nullable=True),
        sa.Column("to_state", sa.String(length=30), nullable=True),
        sa.Column("details", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("audit_id", name=op.f("pk_audit")),
    )
    op.create_index("ix_audit_subject", "audit", ["subject_type", "subject_id"], unique=False)
    op.create_table(
        "nodes",
        sa.Column("node_id", sa.String(length=60), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("started_at", database.UtcDateTime(length=32), nullable=False),
        sa.Column("heartbeat_at", database.UtcDateTime(length=32), nullable=False),
        sa.Column("trouble", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("node_id", name=op.f("pk_nodes")),
    )
    op.create_table(
        "stage_results",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("pipeline_id", sa.String(length=40), nullable=True),
        sa.Column("strategy_id", sa.String(length=40), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("stage", sa.String(length=40), nullable=False),
        sa.Column("passed", sa.Boolean(), nullable=False),
        sa.Column("verdict", sa.String(length=20), nullable=False),
        sa.Column("duration_ms", sa.Float(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("findings", sa.JSON(), nullable=False),
        sa.Column("evidence", sa.JSON(), nullable=False),
        sa.Column("finished_at", database.UtcDateTime(length=32), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_stage_results")),
        sa.UniqueConstraint(
            "pipeline_id", "stage", name=op.f("uq_stage_results_pipeline_id_stage")
        ),
    )
    op.create_index(
        op.f("ix_stage_results_finished_at"), "stage_results", ["finished_at"], unique=False
    )
    op.create_index(
        op.f("ix_stage_results_strategy_id"), "stage_results", ["strategy_id"], unique=False
    )
    op.create_table(
        "strategies",
        sa.Column("strategy_id", sa.String(length=40), nullable=False),
        sa.Column("strategy_name", sa.String(length=100), nullable=False),
        sa.Column("version", sa.String(length=100), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("code_hash", sa.String(length=64), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("parameters", sa.JSON(), nullable=False),
        sa.Column("risk_limits", sa.JSON(), nullable=False),
        sa.Column("tests", sa.JSON(), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("created_at", database.UtcDateTime(length=32), nullable=False),
        sa.Column("updated_at", database.UtcDateTime(length=32), nullable=False),
        sa.Column("archived_at", database.UtcDateTime(length=32), nullable=True),
        sa.PrimaryKeyConstraint("strategy_id", name=op.f("pk_strategies")),
        sa.UniqueConstraint(
            "strategy_name", "version", name=op.f("uq_strategies_strategy_name_version")
        ),
    )
    op.create_index(op.f("ix_strategies_status"), "strategies", ["status"], unique=False)
    op.create_table(
        "deployments",
        sa.Column("pipeline_id", sa.String(length=40), nullable=False),
        sa.Column("strategy_id", sa.String(length=40), nullable=False),
        sa.Column("strategy_name", sa.String(length=100), nullable=False),
        sa.Column("options", sa.JSON(), nullable=False),
        sa.Column("stages", sa.JSON(), nullable=False),
        sa.Column("left_out", sa.JSON(), nullable=False),
        sa.Column("requested_by", sa.String(length=100), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("plan", sa.JSON(), nullable=False),
        sa.Column("replaces", sa.JSON(), nullable=False),
        sa.Column("revalidates", sa.Boolean(), nullable=False),
        sa.Column("outcome", sa.String(length=20), nullable=True),
        sa.Column("current_stage", sa.String(length=40), nullable=True),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("approval", sa.JSON(), nullable=True),
        sa.Column("created_at", database.UtcDateTime(length=32), nullable=False),
        sa.Column("started_at", database.UtcDateTime(length=32), nullable=True),
        sa.Column("validated_at", database.UtcDateTime(length=32), nullable=True),
        sa.Column("ended_at", database.UtcDateTime(length=32), nullable=True),
        sa.ForeignKeyConstraint(
            ["strategy_id"],
            ["strategies.strategy_id"],
            name=op.f("fk_deployments_strategy_id_strategies"),
        ),
        sa.PrimaryKeyConstraint("pipeline_id", name=op.f("pk_deployments")),
    )
    op.create_index(op.f("ix_deployments_created_at"), "deployments", ["created_at"], unique=False)
    op.create_index(op.f("ix_deployments_state"), "deployments", ["state"], unique=False)
    op.create_index(
        op.f("ix_deployments_strategy_id"), "deployments", ["strategy_id"], unique=False
    )
    op.create_index(
        op.f("ix_deployments_strategy_name"), "deployments", ["strategy_name"], unique=False
    )
    op.create_table(
        "executions",
        sa.Column("execution_id", sa.String(length=40), nullable=False),
        sa.Column("strategy_id", sa.String(length=40), nullable=False),
        sa.Column("role", sa.String(length=20), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("desired", sa.String(length=20), nullable=False),
        sa.Column("desired_why", sa.String(length=200), nullable=False),
        sa.Column("risk_state", sa.String(length=20), nullable=False),
        sa.Column("node_id", sa.String(length=60), nullable=True),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("config", sa.JSON(), nullable=False),
        sa.Column("capital", database.ExactDecimal(length=64), nullable=False),
        sa.Column("start_time", database.UtcDateTime(length=32), nullable=True),
        sa.Column("end_time", database.UtcDateTime(length=32), nullable=True),
        sa.Column("trade_count", sa.Integer(), nullable=False),
        sa.Column("fill_count", sa.Integer(), nullable=False),
        sa.Column("pnl", database.ExactDecimal(length=64), nullable=False),
        sa.Column("final_pnl", database.ExactDecimal(length=64), nullable=True),
        sa.Column("performance_metrics", sa.JSON(), nullable=False),
        sa.Column("end_reason", sa.String(length=200), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("confinement", sa.JSON(), nullable=True),
        sa.Column("created_at", database.UtcDateTime(length=32), nullable=False),
        sa.Column("updated_at", database.UtcDateTime(length=32), nullable=False),
        sa.ForeignKeyConstraint(
            ["strategy_id"],
            ["strategies.strategy_id"],
            name=op.f("fk_executions_strategy_id_strategies"),
        ),
        sa.PrimaryKeyConstraint("execution_id", name=op.f("pk_executions")),
    )
    op.create_index(op.f("ix_executions_status"), "executions", ["status"], unique=False)
    op.create_index("ix_executions_strategy", "executions", ["strategy_id", "status"], unique=False)


def _ledger() -> None:
    op.create_table(
        "checkpoints",
        sa.Column("execution_id", sa.String(length=40), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("entry_no", sa.BigInteger(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("capital", database.ExactDecimal(length=64), nullable=False),
        sa.Column("account", sa.JSON(), nullable=False),
        sa.Column("state", sa.LargeBinary(), nullable=True),
        sa.Column("close_ns", sa.BigInteger(), nullable=True),
        sa.Column("symbol", sa.String(length=100), nullable=True),
        sa.Column("bar_no", sa.BigInteger(), nullable=False),
        sa.Column("is_decided", sa.Boolean(), nullable=False),
        sa.Column("undelivered", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("execution_id", name=op.f("pk_checkpoints")),
    )
    op.create_table(
        "decisions",
        sa.Column("execution_id", sa.String(length=40), nullable=False),
        sa.Column("close_ns", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("symbol", sa.String(length=100), nullable=False),
        sa.Column("action", sa.SmallInteger(), nullable=False),
        sa.Column("size_ppb", sa.BigInteger(), nullable=True),
        sa.Column("stop_loss_ppb", sa.BigInteger(), nullable=True),
        sa.Column("take_profit_ppb", sa.BigInteger(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("execution_id", "close_ns", "symbol", name=op.f("pk_decisions")),
    )
    op.create_table(
        "equity",
        sa.Column("execution_id", sa.String(length=40), nullable=False),
        sa.Column("close_ns", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("equity", database.ExactDecimal(length=64), nullable=False),
        sa.Column("cash", database.ExactDecimal(length=64), nullable=False),
        sa.Column("bar_index", sa.BigInteger(), nullable=False),
        sa.Column("benchmark", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("execution_id", "close_ns", name=op.f("pk_equity")),
    )
    op.create_table(
        "metrics",
        sa.Column("metrics_id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("execution_id", sa.String(length=40), nullable=False),
        sa.Column("at", database.UtcDateTime(length=32), nullable=False),
        sa.Column("metrics", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("metrics_id", name=op.f("pk_metrics")),
    )
    op.create_index("ix_metrics_execution", "metrics", ["execution_id", "at"], unique=False)
    op.create_table(
        "orders",
        sa.Column("order_id", sa.String(length=200), nullable=False),
        sa.Column("execution_id", sa.String(length=40), nullable=False),
        sa.Column("symbol", sa.String(length=100), nullable=False),
        sa.Column("side", sa.String(length=4), nullable=False),
        sa.Column("lots", sa.BigInteger(), nullable=False),
        sa.Column("quantity", database.ExactDecimal(length=64), nullable=False),
        sa.Column("opens", sa.Boolean(), nullable=False),
        sa.Column("cause", sa.String(length=20), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("denial_code", sa.String(length=40), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("decided_at", database.UtcDateTime(length=32), nullable=False),
        sa.PrimaryKeyConstraint("order_id", name=op.f("pk_orders")),
    )
    op.create_index("ix_orders_execution", "orders", ["execution_id", "decided_at"], unique=False)
    op.create_table(
        "positions",
        sa.Column("execution_id", sa.String(length=40), nullable=False),
        sa.Column("symbol", sa.String(length=100), nullable=False),
        sa.Column("quantity", database.ExactDecimal(length=64), nullable=False),
        sa.Column("entry_price", database.ExactDecimal(length=64), nullable=True),
        sa.Column("mark", database.ExactDecimal(length=64), nullable=False),
        sa.Column("updated_at", database.UtcDateTime(length=32), nullable=False),
        sa.PrimaryKeyConstraint("execution_id", "symbol", name=op.f("pk_positions")),
    )
    op.create_table(
        "round_trips",
        sa.Column("execution_id", sa.String(length=40), nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("symbol", sa.String(length=100), nullable=False),
        sa.Column("entry_ns", sa.BigInteger(), nullable=False),
        sa.Column("exit_ns", sa.BigInteger(), nullable=False),
        sa.Column("pnl", database.ExactDecimal(length=64), nullable=False),
        sa.PrimaryKeyConstraint("execution_id", "seq", name=op.f("pk_round_trips")),
    )
    op.create_table(
        "trades",
        sa.Column("trade_id", sa.String(length=60), nullable=False),
        sa.Column("execution_id", sa.String(length=40), nullable=False),
        sa.Column("symbol", sa.String(length=100), nullable=False),
        sa.Column("side", sa.String(length=4), nullable=False),
        sa.Column("quantity", database.ExactDecimal(length=64), nullable=False),
        sa.Column("price", database.ExactDecimal(length=64), nullable=False),
        sa.Column("timestamp", database.UtcDateTime(length=32), nullable=False),
        sa.Column("pnl", database.ExactDecimal(length=64), nullable=False),
        sa.Column("order_id", sa.String(length=200), nullable=False),
        sa.Column("fee", database.ExactDecimal(length=64), nullable=False),
        sa.Column("slippage", database.ExactDecimal(length=64), nullable=False),
        sa.Column("cause", sa.String(length=20), nullable=False),
        sa.Column("opens", sa.Boolean(), nullable=False),
        sa.Column("closes_round_trip", sa.Boolean(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("trade_id", name=op.f("pk_trades")),
        sa.UniqueConstraint("execution_id", "seq", name=op.f("uq_trades_execution_id_seq")),
    )
