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
    _alerts()
    _alert_channels()
    _alert_rules()
    _events()
    _leavings()
    _adoptions()

    _limits()
    _kill_switch()
    _breaches()
    _references()


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


def _adoptions() -> None:
    with op.batch_alter_table("switches") as batch:
        batch.add_column(
            sa.Column("adopts", sa.Boolean(), nullable=False, server_default=sa.false())
        )
        batch.add_column(sa.Column("adoption", sa.JSON(none_as_null=True)))


def _leavings() -> None:
    with op.batch_alter_table("executions") as batch:
        batch.add_column(sa.Column("tied", database.ExactDecimal(length=64)))
        batch.add_column(sa.Column("closing", sa.String(20)))


def _alerts() -> None:
    op.create_table(
        "alerts",
        sa.Column("alert_id", sa.String(40), nullable=False),
        sa.Column("key", sa.String(200), nullable=False),
        sa.Column("open_key", sa.String(200)),
        sa.Column("rule_id", sa.String(60), nullable=False),
        sa.Column("severity", sa.String(10), nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("subject_type", sa.String(30), nullable=False),
        sa.Column("subject_id", sa.String(200), nullable=False),
        sa.Column("title", sa.String(200), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("details", sa.JSON(), nullable=False),
        sa.Column("labels", sa.JSON(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("since", database.UtcDateTime(length=32), nullable=False),
        sa.Column("last_at", database.UtcDateTime(length=32), nullable=False),
        sa.Column("is_muted", sa.Boolean(), nullable=False),
        sa.Column("fired_at", database.UtcDateTime(length=32)),
        sa.Column("acknowledged_at", database.UtcDateTime(length=32)),
        sa.Column("acknowledged_by", sa.String(100)),
        sa.Column("comment", sa.Text(), nullable=False),
        sa.Column("resolved_at", database.UtcDateTime(length=32)),
        sa.Column("expires_at", database.UtcDateTime(length=32)),
        sa.PrimaryKeyConstraint("alert_id", name=op.f("pk_alerts")),
        sa.UniqueConstraint("open_key", name=op.f("uq_alerts_open_key")),
    )
    op.create_index("ix_alerts_fired_at", "alerts", ["fired_at"])
    op.create_index("ix_alerts_rule_id", "alerts", ["rule_id", "open_key"])
    op.create_index("ix_alerts_subject", "alerts", ["subject_type", "subject_id"])


def _alert_channels() -> None:
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "alert_channels",
        sa.Column("channel_id", sa.String(40), nullable=False),
        sa.Column("kind", sa.String(10), nullable=False),
        sa.Column("name", sa.String(60), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("secret", sa.String(100), nullable=False),
        sa.Column("severity", sa.String(10), nullable=False),
        sa.Column("created_at", database.UtcDateTime(length=32), nullable=False),
        sa.Column("created_by", sa.String(100), nullable=False),
        sa.Column("removed_at", database.UtcDateTime(length=32)),
        sa.PrimaryKeyConstraint("channel_id", name=op.f("pk_alert_channels")),
    )
    op.create_table(
        "alert_deliveries",
        sa.Column("delivery_id", number, autoincrement=True, nullable=False),
        sa.Column("channel_id", sa.String(40), nullable=False),
        sa.Column("alert_id", sa.String(40), nullable=False),
        sa.Column("event_id", sa.String(160), nullable=False),
        sa.Column("notice", sa.String(10), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_at", database.UtcDateTime(length=32), nullable=False),
        sa.Column("created_at", database.UtcDateTime(length=32), nullable=False),
        sa.Column("status_code", sa.Integer()),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("took_ms", sa.Float()),
        sa.Column("ended_at", database.UtcDateTime(length=32)),
        sa.PrimaryKeyConstraint("delivery_id", name=op.f("pk_alert_deliveries")),
        sa.UniqueConstraint(
            "channel_id", "event_id", name=op.f("uq_alert_deliveries_channel_id_event_id")
        ),
    )
    op.create_index("ix_alert_deliveries_due", "alert_deliveries", ["state", "next_at"])
    op.create_index("ix_alert_deliveries_alert_id", "alert_deliveries", ["alert_id"])


def _alert_rules() -> None:
    op.create_table(
        "alert_rules",
        sa.Column("rule_id", sa.String(60), nullable=False),
        sa.Column("content", sa.JSON(), nullable=False),
        sa.Column("created_at", database.UtcDateTime(length=32), nullable=False),
        sa.Column("created_by", sa.String(100), nullable=False),
        sa.Column("updated_at", database.UtcDateTime(length=32), nullable=False),
        sa.PrimaryKeyConstraint("rule_id", name=op.f("pk_alert_rules")),
    )
    op.create_table(
        "alert_positions",
        sa.Column("name", sa.String(40), nullable=False),
        sa.Column("position", sa.String(60), nullable=False),
        sa.Column("moved_at", database.UtcDateTime(length=32), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_alert_positions")),
    )


def _events() -> None:
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "events",
        sa.Column("event_no", number, autoincrement=True, nullable=False),
        sa.Column("event_id", sa.String(160), nullable=False),
        sa.Column("topic", sa.String(60), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("at", database.UtcDateTime(length=32), nullable=False),
        sa.PrimaryKeyConstraint("event_no", name=op.f("pk_events")),
        sa.UniqueConstraint("event_id", name=op.f("uq_events_event_id")),
        sqlite_autoincrement=True,  # a number is never given again, whatever is forgotten
    )
    op.create_index("ix_events_at", "events", ["at"])


def _breaches() -> None:
    op.create_table(
        "risk_breaches",
        sa.Column("breach_id", sa.String(40), nullable=False),
        sa.Column("node_id", sa.String(60), nullable=False),
        sa.Column("measure", sa.String(40), nullable=False),
        sa.Column("scope", sa.String(20), nullable=False),
        sa.Column("subject", sa.String(200), nullable=False),
        sa.Column("value", sa.Float(), nullable=False),
        sa.Column("limit_value", sa.Float(), nullable=False),
        sa.Column("limit_scope", sa.String(20), nullable=False),
        sa.Column("limit_subject", sa.String(200), nullable=False),
        sa.Column("action", sa.String(20), nullable=False),
        sa.Column("factor", sa.Float(), nullable=False),
        sa.Column("executions", sa.JSON(), nullable=False),
        sa.Column("sample", sa.Integer(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("began_at", database.UtcDateTime(length=32), nullable=False),
        sa.Column("ended_at", database.UtcDateTime(length=32)),
        sa.PrimaryKeyConstraint("breach_id", name=op.f("pk_risk_breaches")),
    )
    op.create_index("ix_risk_breaches_began_at", "risk_breaches", ["began_at"])
    op.create_index("ix_risk_breaches_lasting", "risk_breaches", ["node_id", "ended_at"])


def _references() -> None:
    op.create_table(
        "risk_references",
        sa.Column("scope", sa.String(20), nullable=False),
        sa.Column("subject", sa.String(200), nullable=False),
        sa.Column("day", sa.BigInteger(), nullable=False),
        sa.Column("day_start_pnl", database.ExactDecimal(length=64), nullable=False),
        sa.Column("peak_pnl", database.ExactDecimal(length=64), nullable=False),
        sa.Column("pnl", database.ExactDecimal(length=64), nullable=False),
        sa.Column("course", sa.JSON(), nullable=False),
        sa.Column("reset_no", sa.Integer(), nullable=False),
        sa.Column("updated_at", database.UtcDateTime(length=32), nullable=False),
        sa.PrimaryKeyConstraint("scope", "subject", name=op.f("pk_risk_references")),
    )


def _limits() -> None:
    op.create_table(
        "risk_limits",
        sa.Column("scope", sa.String(20), nullable=False),
        sa.Column("subject", sa.String(100), nullable=False),
        sa.Column("limits", sa.JSON(), nullable=False),
        sa.Column("actor", sa.String(100), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("updated_at", database.UtcDateTime(length=32), nullable=False),
        sa.PrimaryKeyConstraint("scope", "subject", name=op.f("pk_risk_limits")),
    )


def _kill_switch() -> None:
    op.create_table(
        "emergency_stops",
        sa.Column("stop_id", sa.String(40), nullable=False),
        sa.Column("scope", sa.String(20), nullable=False),
        sa.Column("subject", sa.String(100), nullable=False),
        sa.Column("flattens", sa.Boolean(), nullable=False),
        sa.Column("is_drill", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.String(200), nullable=False),
        sa.Column("actor", sa.String(100), nullable=False),
        sa.Column("at", database.UtcDateTime(length=32), nullable=False),
        sa.Column("reset_at", database.UtcDateTime(length=32)),
        sa.Column("reset_by", sa.String(100)),
        sa.Column("reset_why", sa.String(200)),
        sa.PrimaryKeyConstraint("stop_id", name=op.f("pk_emergency_stops")),
    )
    op.create_index(op.f("ix_emergency_stops_reset_at"), "emergency_stops", ["reset_at"])
    op.create_table(
        "risk_deeds",
        sa.Column("deed_id", sa.String(40), nullable=False),
        sa.Column("node_id", sa.String(60), nullable=False),
        sa.Column("action", sa.String(20), nullable=False),
        sa.Column("scope", sa.String(20), nullable=False),
        sa.Column("subject", sa.String(100), nullable=False),
        sa.Column("factor", database.ExactDecimal(length=64)),
        sa.Column("flattens", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.String(200), nullable=False),
        sa.Column("actor", sa.String(100), nullable=False),
        sa.Column("at", database.UtcDateTime(length=32), nullable=False),
        sa.Column("executions", sa.JSON(), nullable=False),
        sa.Column("imported_at", database.UtcDateTime(length=32), nullable=False),
        sa.PrimaryKeyConstraint("deed_id", "node_id", name=op.f("pk_risk_deeds")),
    )
