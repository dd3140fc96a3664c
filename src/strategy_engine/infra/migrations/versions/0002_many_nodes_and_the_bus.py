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
    _keys()
    _ownership()
    _outbox("control_outbox")
    _notices()
    _interruptions()
    _bus()
    _flags()


def _ledger() -> None:
    _order_terms()
    _thinned_metrics()
    _outbox("outbox")
    _bus_bars()
    _flag_readings()


def _thinned_metrics() -> None:
    op.add_column(
        "metrics",
        sa.Column("is_rolled_up", sa.Boolean(), nullable=False, server_default=sa.false()),
    )
    columns = ["is_rolled_up", "execution_id", "at"]
    op.create_index("ix_metrics_is_rolled_up", "metrics", columns, unique=False)
    op.create_index("ix_metrics_at", "metrics", ["at"], unique=False)
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
    op.create_table(
        "leases",
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("host", sa.String(length=100), nullable=False),
        sa.Column("boot_id", sa.String(length=40), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("pid_started", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_leases")),
    )
    op.create_table(
        "lease_beats",
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("expires_at", database.UtcDateTime(length=32), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_lease_beats")),
    )


def _outbox(name: str) -> None:
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        name,
        sa.Column("outbox_id", number, autoincrement=True, nullable=False),
        sa.Column("event_id", sa.String(length=160), nullable=False),
        sa.Column("subject", sa.String(length=60), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("topic", sa.String(length=60), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("created_at", database.UtcDateTime(length=32), nullable=False),
        sa.Column("published_at", database.UtcDateTime(length=32), nullable=True),
        sa.PrimaryKeyConstraint("outbox_id", name=op.f(f"pk_{name}")),
        sa.UniqueConstraint("event_id", name=op.f(f"uq_{name}_event_id")),
    )
    op.create_index(f"ix_{name}_waiting", name, ["published_at", "outbox_id"], unique=False)


def _bus() -> None:
    op.create_table(
        "bus_links",
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("holder", sa.String(length=80), nullable=False),
        sa.Column("is_connected", sa.Boolean(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("waiting", sa.BigInteger(), nullable=False),
        sa.Column("oldest_at", database.UtcDateTime(length=32), nullable=True),
        sa.Column("counts", sa.JSON(), nullable=False),
        sa.Column("seen_at", database.UtcDateTime(length=32), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_bus_links")),
    )
    op.create_table(
        "bus_positions",
        sa.Column("consumer", sa.String(length=60), nullable=False),
        sa.Column("stream", sa.String(length=300), nullable=False),
        sa.Column("entry_id", sa.String(length=40), nullable=False),
        sa.Column("updated_at", database.UtcDateTime(length=32), nullable=False),
        sa.PrimaryKeyConstraint("consumer", "stream", name=op.f("pk_bus_positions")),
    )
    op.create_table(
        "bus_commands",
        sa.Column("command_id", sa.String(length=100), nullable=False),
        sa.Column("topic", sa.String(length=40), nullable=False),
        sa.Column("issued_at", database.UtcDateTime(length=32), nullable=False),
        sa.Column("obeyed_at", database.UtcDateTime(length=32), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("affected", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("command_id", name=op.f("pk_bus_commands")),
    )


def _bus_bars() -> None:
    op.create_table(
        "bus_bars",
        sa.Column("bar_type", sa.String(length=160), nullable=False),
        sa.Column("close_ns", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("open", sa.Double(), nullable=False),
        sa.Column("high", sa.Double(), nullable=False),
        sa.Column("low", sa.Double(), nullable=False),
        sa.Column("close", sa.Double(), nullable=False),
        sa.Column("volume", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("bar_type", "close_ns", name=op.f("pk_bus_bars")),
    )


def _flags() -> None:
    op.create_table(
        "flags",
        sa.Column("flag_key", sa.String(length=60), nullable=False),
        sa.Column("type", sa.String(length=10), nullable=False),
        sa.Column("default_value", sa.JSON(), nullable=False),
        sa.Column("owner", sa.String(length=100), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("rules", sa.JSON(), nullable=False),
        sa.Column("expires_at", database.UtcDateTime(length=32), nullable=False),
        sa.Column("created_at", database.UtcDateTime(length=32), nullable=False),
        sa.Column("created_by", sa.String(length=100), nullable=False),
        sa.Column("updated_at", database.UtcDateTime(length=32), nullable=False),
        sa.Column("archived_at", database.UtcDateTime(length=32), nullable=True),
        sa.PrimaryKeyConstraint("flag_key", name=op.f("pk_flags")),
    )


def _flag_readings() -> None:
    op.add_column("decisions", sa.Column("flags", sa.JSON(), nullable=True))
    op.create_table(
        "flag_readings",
        sa.Column("execution_id", sa.String(length=40), nullable=False),
        sa.Column("symbol", sa.String(length=100), nullable=False),
        sa.Column("close_ns", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("flags", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint(
            "execution_id", "symbol", "close_ns", name=op.f("pk_flag_readings")
        ),
    )


def _interruptions() -> None:
    op.create_table(
        "interruptions",
        sa.Column("execution_id", sa.String(length=40), nullable=False),
        sa.Column("epoch", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("from_at", database.UtcDateTime(length=32), nullable=False),
        sa.Column("to_at", database.UtcDateTime(length=32), nullable=True),
        sa.Column("bars_missed", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("execution_id", "epoch", name=op.f("pk_interruptions")),
    )
    op.add_column("nodes", sa.Column("left_at", database.UtcDateTime(length=32), nullable=True))


def _notices() -> None:
    with op.batch_alter_table("executions") as batch:
        batch.add_column(
            sa.Column("notices", sa.JSON(), nullable=False, server_default=sa.text("'[]'"))
        )


def _order_terms() -> None:
    price = database.ExactDecimal(length=64)
    with op.batch_alter_table("orders") as batch:
        batch.add_column(sa.Column("type", sa.String(30), nullable=False, server_default="MARKET"))
        batch.add_column(
            sa.Column("time_in_force", sa.String(20), nullable=False, server_default="GTC")
        )
        batch.add_column(sa.Column("limit_price", price))
        batch.add_column(sa.Column("trigger_price", price))
        batch.add_column(
            sa.Column("filled_lots", sa.BigInteger(), nullable=False, server_default="0")
        )
    # What was filled is told by the trades; a fill may be smaller than its order.
    op.execute(
        "UPDATE orders SET filled_lots = COALESCE(CAST(ROUND(lots * ("
        " SELECT SUM(CAST(trades.quantity AS DOUBLE PRECISION)) FROM trades"
        " WHERE trades.order_id = orders.order_id"
        ") / CAST(quantity AS DOUBLE PRECISION)) AS BIGINT), 0)"
    )


def _keys() -> None:
    op.create_table(
        "api_keys",
        sa.Column("key_id", sa.String(length=20), nullable=False),
        sa.Column("name", sa.String(length=60), nullable=False),
        sa.Column("role", sa.String(length=20), nullable=False),
        sa.Column("secret_hash", sa.String(length=64), nullable=False),
        sa.Column("created_at", database.UtcDateTime(length=32), nullable=False),
        sa.Column("created_by", sa.String(length=100), nullable=False),
        sa.Column("revoked_at", database.UtcDateTime(length=32), nullable=True),
        sa.PrimaryKeyConstraint("key_id", name=op.f("pk_api_keys")),
    )
