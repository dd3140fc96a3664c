"""Snapshots of metrics: the SQL."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from strategy_engine.infra import database

TABLE = sa.Table(
    "metrics",
    database.ledger,
    sa.Column("metrics_id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("execution_id", sa.String(40), nullable=False),
    sa.Column("at", database.UtcDateTime, nullable=False),
    sa.Column("metrics", sa.JSON, nullable=False),
    sa.Column("is_rolled_up", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Index("ix_metrics_execution", "execution_id", "at"),
    sa.Index("ix_metrics_is_rolled_up", "is_rolled_up", "at"),
)

ROLLUPS = sa.Table(
    "metric_rollups",
    database.ledger,
    sa.Column("execution_id", sa.String(40), primary_key=True),
    sa.Column("resolution", sa.String(4), primary_key=True),
    sa.Column("start_at", database.UtcDateTime, primary_key=True),
    sa.Column("last_at", database.UtcDateTime, nullable=False),
    sa.Column("samples", sa.Integer, nullable=False),
    sa.Column("metrics", sa.JSON, nullable=False),
    sa.Column("sums", sa.JSON, nullable=False),
    sa.Index("ix_metric_rollups_resolution", "resolution", "start_at"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """An execution's metrics at one moment."""

    execution_id: str
    at: datetime
    metrics: dict[str, Any]


async def insert(connection: AsyncConnection, snapshots: Iterable[Snapshot]) -> None:
    """Store snapshots."""
    rows = [
        {"execution_id": each.execution_id, "at": each.at, "metrics": each.metrics}
        for each in snapshots
    ]
    if rows:
        await connection.execute(sa.insert(TABLE), rows)


async def latest(
    connection: AsyncConnection,
    execution_id: str,
    *,
    start: datetime | None,
    end: datetime | None,
    limit: int,
) -> list[Snapshot]:
    """Return the last `limit` snapshots in [start, end), oldest first."""
    wanted = [TABLE.c.execution_id == execution_id]
    if start is not None:
        wanted.append(TABLE.c.at >= start)
    if end is not None:
        wanted.append(TABLE.c.at < end)
    found = await connection.execute(
        sa.select(TABLE).where(*wanted).order_by(TABLE.c.metrics_id.desc()).limit(limit)
    )
    rows = list(found)[::-1]
    return [Snapshot(execution_id=row.execution_id, at=row.at, metrics=row.metrics) for row in rows]
