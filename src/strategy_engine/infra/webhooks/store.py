"""The webhooks' SQL."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from strategy_engine.infra import database
from strategy_engine.infra.webhooks.model import Delivery, State, Webhook

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

TABLE = sa.Table(
    "webhooks",
    database.control,
    sa.Column("webhook_id", sa.String(40), primary_key=True),
    sa.Column("url", sa.Text, nullable=False),
    sa.Column("topics", sa.JSON, nullable=False),
    sa.Column("secret", sa.String(100), nullable=False),
    sa.Column("created_at", database.UtcDateTime, nullable=False),
    sa.Column("created_by", sa.String(100), nullable=False),
    sa.Column("removed_at", database.UtcDateTime),
)
DELIVERIES = sa.Table(
    "webhook_deliveries",
    database.control,
    sa.Column("delivery_id", _NUMBER, primary_key=True, autoincrement=True),
    sa.Column("webhook_id", sa.String(40), nullable=False),
    sa.Column("event_id", sa.String(160), nullable=False),
    sa.Column("topic", sa.String(60), nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("state", sa.String(10), nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("next_at", database.UtcDateTime, nullable=False),
    sa.Column("created_at", database.UtcDateTime, nullable=False),
    sa.Column("status_code", sa.Integer),
    sa.Column("error", sa.Text, nullable=False),
    sa.Column("took_ms", sa.Float),
    sa.Column("ended_at", database.UtcDateTime),
    sa.UniqueConstraint("webhook_id", "event_id"),
    sa.Index("ix_webhook_deliveries_due", "state", "next_at"),
)
_D = DELIVERIES.c


async def insert(connection: AsyncConnection, webhook: Webhook) -> None:
    """Store a new webhook."""
    values = {name: getattr(webhook, name) for name in Webhook.__slots__}
    await connection.execute(sa.insert(TABLE).values(**values | {"topics": list(webhook.topics)}))


async def get(connection: AsyncConnection, webhook_id: str) -> Webhook | None:
    """Return one webhook."""
    rows = await connection.execute(sa.select(TABLE).where(TABLE.c.webhook_id == webhook_id))
    row = rows.one_or_none()
    return None if row is None else _webhook(row)


async def active(connection: AsyncConnection) -> list[Webhook]:
    """Return the webhooks that are not removed, oldest first."""
    rows = await connection.execute(
        sa.select(TABLE)
        .where(TABLE.c.removed_at.is_(None))
        .order_by(TABLE.c.created_at, TABLE.c.webhook_id)
    )
    return [_webhook(row) for row in rows]


async def remove(connection: AsyncConnection, webhook_id: str, at: datetime) -> None:
    """Send a webhook nothing any more, and drop what waited for it."""
    await connection.execute(
        sa.update(TABLE)
        .where(TABLE.c.webhook_id == webhook_id, TABLE.c.removed_at.is_(None))
        .values(removed_at=at)
    )
    await drop(connection, webhook_id, at)


async def drop(connection: AsyncConnection, webhook_id: str, at: datetime) -> None:
    """Forget what a removed webhook was not sent yet; the log of what was tried stays."""
    await connection.execute(
        sa.delete(DELIVERIES).where(
            _D.webhook_id == webhook_id, _D.state == State.PENDING.value, _D.attempts == 0
        )
    )
    await connection.execute(
        sa.update(DELIVERIES)
        .where(_D.webhook_id == webhook_id, _D.state == State.PENDING.value)
        .values(state=State.FAILED.value, ended_at=at, error="the webhook was removed")
    )


async def queue(connection: AsyncConnection, rows: Sequence[dict[str, Any]]) -> None:
    """Add deliveries; an event that a webhook has already, or had, changes nothing."""
    build = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    statement = build(DELIVERIES).on_conflict_do_nothing(index_elements=["webhook_id", "event_id"])
    await connection.execute(statement, list(rows))


async def due(connection: AsyncConnection, now: datetime) -> list[str]:
    """Return the webhooks that something is to be sent to now."""
    rows = await connection.scalars(
        sa.select(_D.webhook_id)
        .distinct()
        .where(_D.state == State.PENDING.value, _D.next_at <= now)
    )
    return list(rows)


async def claim(
    connection: AsyncConnection, webhook_id: str, now: datetime, until: datetime
) -> Delivery | None:
    """Take a webhook's oldest delivery that is due; nobody else takes it before `until`."""
    rows = await connection.execute(
        sa.select(DELIVERIES)
        .where(_D.webhook_id == webhook_id, _D.state == State.PENDING.value, _D.next_at <= now)
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
    values: dict[str, Any] = {name: getattr(row, name) for name in Delivery.__slots__}
    return Delivery(**values | {"state": State(row.state), "attempts": attempts})


async def settle(connection: AsyncConnection, delivery: Delivery) -> None:
    """Store what an attempt came to, unless another one has begun since."""
    names = ("next_at", "status_code", "error", "took_ms", "ended_at")
    await connection.execute(
        sa.update(DELIVERIES)
        .where(
            _D.delivery_id == delivery.delivery_id,
            _D.attempts == delivery.attempts,
            _D.state == State.PENDING.value,
        )
        .values(state=delivery.state.value, **{name: getattr(delivery, name) for name in names})
    )


async def page(
    connection: AsyncConnection,
    webhook_id: str,
    *,
    states: Collection[State],
    limit: int,
    offset: int,
) -> tuple[list[Delivery], int]:
    """Return a webhook's deliveries, newest first, and how many there are in all."""
    wanted = sa.and_(_D.webhook_id == webhook_id, _D.state.in_([each.value for each in states]))
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
    found = [
        Delivery(
            **{name: getattr(row, name) for name in Delivery.__slots__}
            | {"state": State(row.state)}
        )
        for row in rows
    ]
    return found, int(total or 0)


async def give_up(
    connection: AsyncConnection, webhook_id: str, at: datetime, *, before: datetime, most: int
) -> None:
    """Give up what was queued before a time, and what is older than so many that wait."""
    is_open = sa.and_(_D.webhook_id == webhook_id, _D.state == State.PENDING.value)
    too_many = _beyond(is_open, most)
    for is_over, why in (
        (_D.created_at < before, "it waited for too long"),
        (_D.delivery_id <= too_many, f"{most:,} newer events waited"),
    ):
        await connection.execute(
            sa.update(DELIVERIES)
            .where(is_open, is_over)
            .values(state=State.FAILED.value, ended_at=at, error=why)
        )


async def trim(
    connection: AsyncConnection, webhook_ids: Collection[str], *, before: datetime, most: int
) -> None:
    """Forget deliveries that ended before a time, and all but the newest so many of each."""
    await connection.execute(sa.delete(DELIVERIES).where(_D.ended_at < before))
    for webhook_id in webhook_ids:
        has_ended = sa.and_(_D.webhook_id == webhook_id, _D.ended_at.is_not(None))
        await connection.execute(
            sa.delete(DELIVERIES).where(has_ended, _D.delivery_id <= _beyond(has_ended, most))
        )


def _beyond(those: sa.ColumnElement[bool], most: int) -> sa.ScalarSelect[Any]:
    """Select the newest of those that are older than so many."""
    newest_first = sa.select(_D.delivery_id).where(those).order_by(_D.delivery_id.desc())
    return newest_first.offset(most).limit(1).scalar_subquery()


def _webhook(row: sa.Row[Any]) -> Webhook:
    values: dict[str, Any] = {name: getattr(row, name) for name in Webhook.__slots__}
    return Webhook(**values | {"topics": tuple(row.topics)})
