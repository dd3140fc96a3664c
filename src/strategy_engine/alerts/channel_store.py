"""The SQL of channels, and of what is on its way to them."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from strategy_engine.alerts.model import Channel, Delivery, Kind, Notice, Outcome, Severity
from strategy_engine.infra import database

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

TABLE = sa.Table(
    "alert_channels",
    database.control,
    sa.Column("channel_id", sa.String(40), primary_key=True),
    sa.Column("kind", sa.String(10), nullable=False),
    sa.Column("name", sa.String(60), nullable=False),
    sa.Column("url", sa.Text, nullable=False),
    sa.Column("secret", sa.String(100), nullable=False),
    sa.Column("severity", sa.String(10), nullable=False),
    sa.Column("created_at", database.UtcDateTime, nullable=False),
    sa.Column("created_by", sa.String(100), nullable=False),
    sa.Column("removed_at", database.UtcDateTime),
)
DELIVERIES = sa.Table(
    "alert_deliveries",
    database.control,
    sa.Column("delivery_id", _NUMBER, primary_key=True, autoincrement=True),
    sa.Column("channel_id", sa.String(40), nullable=False),
    sa.Column("alert_id", sa.String(40), nullable=False),
    sa.Column("event_id", sa.String(160), nullable=False),
    sa.Column("notice", sa.String(10), nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("state", sa.String(10), nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("next_at", database.UtcDateTime, nullable=False),
    sa.Column("created_at", database.UtcDateTime, nullable=False),
    sa.Column("status_code", sa.Integer),
    sa.Column("error", sa.Text, nullable=False),
    sa.Column("took_ms", sa.Float),
    sa.Column("ended_at", database.UtcDateTime),
    sa.UniqueConstraint("channel_id", "event_id"),
    sa.Index("ix_alert_deliveries_due", "state", "next_at"),
    sa.Index("ix_alert_deliveries_alert_id", "alert_id"),
)
_D = DELIVERIES.c
_EARLIER = DELIVERIES.alias("earlier")


async def insert(connection: AsyncConnection, channel: Channel) -> None:
    """Store a new channel."""
    values = {name: getattr(channel, name) for name in Channel.__slots__}
    enums = {"kind": channel.kind.value, "severity": channel.severity.value}
    await connection.execute(sa.insert(TABLE).values(**values | enums))


async def get(connection: AsyncConnection, channel_id: str) -> Channel | None:
    """Return one channel, a removed one too."""
    rows = await connection.execute(sa.select(TABLE).where(TABLE.c.channel_id == channel_id))
    row = rows.one_or_none()
    return None if row is None else _channel(row)


async def active(connection: AsyncConnection) -> list[Channel]:
    """Return the channels that are not removed, oldest first."""
    rows = await connection.execute(
        sa.select(TABLE)
        .where(TABLE.c.removed_at.is_(None))
        .order_by(TABLE.c.created_at, TABLE.c.channel_id)
    )
    return [_channel(row) for row in rows]


async def remove(connection: AsyncConnection, channel_id: str, at: datetime) -> None:
    """Send a channel nothing any more; what it waits for has failed."""
    await connection.execute(
        sa.update(TABLE).where(TABLE.c.channel_id == channel_id).values(removed_at=at)
    )
    await connection.execute(
        sa.update(DELIVERIES)
        .where(_D.channel_id == channel_id, _D.state == Outcome.PENDING.value)
        .values(state=Outcome.FAILED.value, ended_at=at, error="the channel was removed")
    )


async def queue(connection: AsyncConnection, rows: Sequence[dict[str, Any]]) -> None:
    """Add deliveries."""
    await connection.execute(sa.insert(DELIVERIES), list(rows))


def _may_go(now: datetime) -> sa.ColumnElement[bool]:
    """Say which deliveries are due: an alert's notices reach a channel in their order."""
    is_first = ~sa.exists().where(
        _EARLIER.c.channel_id == _D.channel_id,
        _EARLIER.c.alert_id == _D.alert_id,
        _EARLIER.c.state == Outcome.PENDING.value,
        _EARLIER.c.delivery_id < _D.delivery_id,
    )
    return sa.and_(_D.state == Outcome.PENDING.value, _D.next_at <= now, is_first)


async def due(connection: AsyncConnection, now: datetime) -> list[str]:
    """Return the channels that something is to be sent to now."""
    return list(await connection.scalars(sa.select(_D.channel_id).distinct().where(_may_go(now))))


async def claim(
    connection: AsyncConnection, channel_id: str, now: datetime, until: datetime
) -> Delivery | None:
    """Take a channel's oldest delivery that is due; nobody else takes it before `until`."""
    rows = await connection.execute(
        sa.select(DELIVERIES)
        .where(_D.channel_id == channel_id, _may_go(now))
        .order_by(_D.delivery_id)
        .limit(1)
    )
    row = rows.one_or_none()
    if row is None:
        return None
    attempts = row.attempts + 1
    await connection.execute(
        sa.update(DELIVERIES)
        .where(_D.delivery_id == row.delivery_id)
        .values(next_at=until, attempts=attempts)
    )
    return _delivery(row, attempts=attempts)


async def settle(connection: AsyncConnection, delivery: Delivery) -> bool:
    """Store what an attempt came to; False if another one has begun since."""
    names = ("next_at", "status_code", "error", "took_ms", "ended_at")
    changed = await connection.execute(
        sa.update(DELIVERIES)
        .where(
            _D.delivery_id == delivery.delivery_id,
            _D.attempts == delivery.attempts,
            _D.state == Outcome.PENDING.value,
        )
        .values(state=delivery.state.value, **{name: getattr(delivery, name) for name in names})
    )
    return changed.rowcount > 0


async def page(
    connection: AsyncConnection,
    filters: dict[str, str],
    *,
    states: Collection[Outcome],
    limit: int,
    offset: int,
) -> tuple[list[Delivery], int]:
    """Return deliveries, newest first, and how many there are in all."""
    wanted = sa.and_(
        _D.state.in_([each.value for each in states]),
        *(_D[name] == value for name, value in filters.items()),
    )
    rows = await connection.execute(
        sa.select(DELIVERIES)
        .where(wanted)
        .order_by(_D.delivery_id.desc())
        .limit(limit)
        .offset(offset)
    )
    total = await connection.scalar(
        sa.select(sa.func.count()).select_from(DELIVERIES).where(wanted)
    )
    return [_delivery(row) for row in rows], int(total or 0)


async def trim(connection: AsyncConnection, before: datetime) -> None:
    """Forget deliveries that ended before a time."""
    await connection.execute(sa.delete(DELIVERIES).where(_D.ended_at < before))


def _channel(row: sa.Row[Any]) -> Channel:
    values: dict[str, Any] = {name: getattr(row, name) for name in Channel.__slots__}
    return Channel(**values | {"kind": Kind(row.kind), "severity": Severity(row.severity)})


def _delivery(row: sa.Row[Any], **changes: Any) -> Delivery:
    values: dict[str, Any] = {name: getattr(row, name) for name in Delivery.__slots__}
    enums = {"state": Outcome(row.state), "notice": Notice(row.notice)}
    return Delivery(**values | enums | changes)
