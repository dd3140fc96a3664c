"""Snapshots of metrics and their rollups: the SQL."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from strategy_engine.infra import database
from strategy_engine.performance.rollups import Bucket, Resolution

TABLE = sa.Table(
    "metrics",
    database.ledger,
    sa.Column("metrics_id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("execution_id", sa.String(40), nullable=False),
    sa.Column("at", database.UtcDateTime, nullable=False),
    sa.Column("metrics", sa.JSON, nullable=False),
    sa.Column("is_rolled_up", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Index("ix_metrics_execution", "execution_id", "at"),
    sa.Index("ix_metrics_is_rolled_up", "is_rolled_up", "execution_id", "at"),
    sa.Index("ix_metrics_at", "at"),
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """A snapshot that no bucket has in it yet."""

    metrics_id: int
    snapshot: Snapshot


class Place(NamedTuple):
    """Which bucket: the key of its row."""

    execution_id: str
    resolution: Resolution
    start_at: datetime


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
    found = await connection.execute(
        sa.select(TABLE)
        .where(TABLE.c.execution_id == execution_id, *_within(TABLE.c.at, start, end))
        .order_by(TABLE.c.at.desc(), TABLE.c.metrics_id.desc())
        .limit(limit)
    )
    return [_snapshot(row) for row in list(found)[::-1]]


async def newest(
    connection: AsyncConnection, execution_ids: Collection[str], *, start: datetime
) -> list[Snapshot]:
    """Return the last snapshot of each execution that has one since a time."""
    last = (
        sa.select(sa.func.max(TABLE.c.metrics_id))
        .where(TABLE.c.execution_id.in_(execution_ids), TABLE.c.at >= start)
        .group_by(TABLE.c.execution_id)
    )
    found = await connection.execute(sa.select(TABLE).where(TABLE.c.metrics_id.in_(last)))
    return [_snapshot(row) for row in found]


async def earliest(
    connection: AsyncConnection, execution_id: str, resolution: Resolution
) -> datetime | None:
    """Return the time of the first point at a resolution, or of a snapshot before that."""
    first: datetime | None = await connection.scalar(
        sa.select(sa.func.min(TABLE.c.at)).where(TABLE.c.execution_id == execution_id)
    )
    if resolution is Resolution.SNAPSHOT:
        return first
    bucket: datetime | None = await connection.scalar(
        sa.select(sa.func.min(ROLLUPS.c.start_at)).where(
            ROLLUPS.c.execution_id == execution_id, ROLLUPS.c.resolution == resolution.value
        )
    )
    return min((each for each in (first, bucket) if each is not None), default=None)


async def pending(connection: AsyncConnection, *, limit: int) -> list[Pending]:
    """Return snapshots that no bucket has, and keep others from taking them.

    One execution after the other, so that few buckets have to be read and written for many.
    """
    found = await connection.execute(
        sa.select(TABLE)
        .where(sa.not_(TABLE.c.is_rolled_up))
        .order_by(TABLE.c.execution_id, TABLE.c.at, TABLE.c.metrics_id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return [Pending(metrics_id=row.metrics_id, snapshot=_snapshot(row)) for row in found]


async def pending_of(
    connection: AsyncConnection,
    execution_id: str,
    *,
    start: datetime | None,
    end: datetime | None,
) -> list[Snapshot]:
    """Return an execution's snapshots that no bucket has, in [start, end), oldest first."""
    found = await connection.execute(
        sa.select(TABLE)
        .where(
            TABLE.c.execution_id == execution_id,
            sa.not_(TABLE.c.is_rolled_up),
            *_within(TABLE.c.at, start, end),
        )
        .order_by(TABLE.c.at, TABLE.c.metrics_id)
    )
    return [_snapshot(row) for row in found]


async def mark_rolled_up(connection: AsyncConnection, metrics_ids: Collection[int]) -> None:
    """Say of snapshots that their buckets have them."""
    await connection.execute(
        sa.update(TABLE).where(TABLE.c.metrics_id.in_(metrics_ids)).values(is_rolled_up=True)
    )


async def buckets(connection: AsyncConnection, places: Collection[Place]) -> dict[Place, Bucket]:
    """Return those buckets that exist, locked until the transaction ends."""
    # Each column by itself: SQLite reads the whole table to compare tuples.
    found = await connection.execute(
        sa.select(ROLLUPS)
        .where(
            *(
                column.in_(sorted({place[number] for place in places}))
                for number, column in enumerate(_KEY)
            )
        )
        .order_by(*_KEY)
        .with_for_update()
    )
    there = {
        Place(row.execution_id, Resolution(row.resolution), row.start_at): row for row in found
    }
    return {place: _bucket(row) for place, row in there.items() if place in places}


async def insert_buckets(connection: AsyncConnection, made: Mapping[Place, Bucket]) -> None:
    """Store buckets that were not there."""
    if made:
        rows = [place._asdict() | _folded(bucket) for place, bucket in made.items()]
        await connection.execute(sa.insert(ROLLUPS), rows)


async def update_buckets(connection: AsyncConnection, changed: Mapping[Place, Bucket]) -> None:
    """Store what has become of buckets."""
    if changed:
        rows = [
            {"of_execution": place.execution_id, "at_resolution": place.resolution}
            | {"from_start": place.start_at}
            | _folded(bucket)
            for place, bucket in changed.items()
        ]
        await connection.execute(_UPDATE_BUCKET, rows)


async def rollups(
    connection: AsyncConnection,
    execution_id: str,
    resolution: Resolution,
    *,
    start: datetime | None,
    end: datetime | None,
    limit: int,
) -> dict[datetime, Bucket]:
    """Return the last `limit` buckets that start in [start, end)."""
    found = await connection.execute(
        sa.select(ROLLUPS)
        .where(
            ROLLUPS.c.execution_id == execution_id,
            ROLLUPS.c.resolution == resolution.value,
            *_within(ROLLUPS.c.start_at, start, end),
        )
        .order_by(ROLLUPS.c.start_at.desc())
        .limit(limit)
    )
    return {row.start_at: _bucket(row) for row in found}


async def delete_snapshots(connection: AsyncConnection, *, before: datetime, limit: int) -> int:
    """Delete the oldest snapshots before a time that buckets have; return how many."""
    # Not the bare column: SQLite would then search by it, and sort nearly the whole table.
    is_rolled_up = sa.case((TABLE.c.is_rolled_up, 1), else_=0) == 1
    oldest = (
        sa.select(TABLE.c.metrics_id)
        .where(is_rolled_up, TABLE.c.at < before)
        .order_by(TABLE.c.at)
        .limit(limit)
    )
    done = await connection.execute(sa.delete(TABLE).where(TABLE.c.metrics_id.in_(oldest)))
    return done.rowcount


async def delete_buckets(
    connection: AsyncConnection, resolution: Resolution, *, before: datetime, limit: int
) -> int:
    """Delete the oldest buckets that start before a time; return how many."""
    oldest = (
        sa.select(*_KEY)
        .where(ROLLUPS.c.resolution == resolution.value, ROLLUPS.c.start_at < before)
        .order_by(ROLLUPS.c.start_at)
        .limit(limit)
    )
    done = await connection.execute(sa.delete(ROLLUPS).where(sa.tuple_(*_KEY).in_(oldest)))
    return done.rowcount


_KEY = (ROLLUPS.c.execution_id, ROLLUPS.c.resolution, ROLLUPS.c.start_at)
_FOLDED = ("last_at", "samples", "metrics", "sums")
_UPDATE_BUCKET = (
    sa.update(ROLLUPS)
    .where(
        ROLLUPS.c.execution_id == sa.bindparam("of_execution"),
        ROLLUPS.c.resolution == sa.bindparam("at_resolution"),
        ROLLUPS.c.start_at == sa.bindparam("from_start"),
    )
    .values({name: sa.bindparam(name) for name in _FOLDED})
)


def _within(
    column: sa.Column[Any], start: datetime | None, end: datetime | None
) -> list[sa.ColumnElement[bool]]:
    from_start = [] if start is None else [column >= start]
    return from_start if end is None else [*from_start, column < end]


def _snapshot(row: sa.Row[Any]) -> Snapshot:
    return Snapshot(execution_id=row.execution_id, at=row.at, metrics=row.metrics)


def _bucket(row: sa.Row[Any]) -> Bucket:
    sums = {name: (total, count) for name, (total, count) in row.sums.items()}
    return Bucket(last_at=row.last_at, samples=row.samples, metrics=row.metrics, sums=sums)


def _folded(bucket: Bucket) -> dict[str, Any]:
    return {name: getattr(bucket, name) for name in _FOLDED}
