"""Events that are written with what they tell of, in one transaction, and published afterwards.

One table a file, because no transaction crosses files. A row goes when it has been published and
its time to be published again is over.
"""

import functools
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from strategy_engine.infra import database
from strategy_engine.infra.bus import topics

type Row = dict[str, Any]


def _table(name: str, metadata: sa.MetaData) -> sa.Table:
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    return sa.Table(
        name,
        metadata,
        sa.Column("outbox_id", number, primary_key=True, autoincrement=True),
        sa.Column("event_id", sa.String(160), nullable=False, unique=True),
        sa.Column("subject", sa.String(60), nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("topic", sa.String(60), nullable=False),
        sa.Column("payload", sa.Text, nullable=False),
        sa.Column("created_at", database.UtcDateTime, nullable=False),
        sa.Column("published_at", database.UtcDateTime),
        sa.Index(f"ix_{name}_waiting", "published_at", "outbox_id"),
    )


LEDGER = _table("outbox", database.ledger)
CONTROL = _table("control_outbox", database.control)


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """An event that is to be published; its payload is JSON text."""

    outbox_id: int
    event_id: str
    topic: str
    payload: str
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Lag:
    """How many events wait, and since when the oldest does."""

    waiting: int
    oldest_at: datetime | None


def rows(payloads: Iterable[topics.Payload], at: datetime) -> list[Row]:
    """Return payloads as rows of an outbox."""
    return [_row(payload, at) for payload in payloads]


@functools.cache
def insert(dialect: str, table: sa.Table) -> sa.Executable:
    """Return the statement that adds rows; one that is there already stays as it is."""
    make = postgresql.insert if dialect == "postgresql" else sqlite.insert
    return make(table).on_conflict_do_nothing(index_elements=["event_id"])


def add_sync(
    connection: sa.Connection, payloads: Iterable[topics.Payload], *, at: datetime
) -> None:
    """Write the ledger's events in the transaction of what they tell of."""
    connection.execute(insert(connection.dialect.name, LEDGER), rows(payloads, at))


async def add(
    connection: AsyncConnection, payloads: Iterable[topics.Payload], *, at: datetime
) -> None:
    """Write control's events in the transaction of what they tell of."""
    await add_to(connection, CONTROL, payloads, at=at)


async def add_to(
    connection: AsyncConnection,
    table: sa.Table,
    payloads: Iterable[topics.Payload],
    *,
    at: datetime,
) -> None:
    """Write events to the outbox of a file, in the caller's transaction."""
    if found := rows(payloads, at):
        await connection.execute(insert(connection.dialect.name, table), found)


async def waiting(
    connection: AsyncConnection,
    table: sa.Table,
    names: Collection[str],
    *,
    limit: int,
    after: int = 0,
) -> list[Waiting]:
    """Return the oldest events on some topics that have not been published, in order.

    Parameters
    ----------
    after : int
        Only those behind this one.
    """
    found = await connection.execute(
        sa.select(*(table.c[name] for name in Waiting.__slots__))
        .where(table.c.published_at.is_(None), table.c.topic.in_(names), table.c.outbox_id > after)
        .order_by(table.c.outbox_id)
        .limit(limit)
    )
    return [Waiting(**row._mapping) for row in found]  # noqa: SLF001 - SQLAlchemy's public name


async def mark(
    connection: AsyncConnection, table: sa.Table, ids: Sequence[int], at: datetime
) -> None:
    """Record that events have been published."""
    await connection.execute(
        sa.update(table).where(table.c.outbox_id.in_(ids)).values(published_at=at)
    )


async def remove(connection: AsyncConnection, table: sa.Table, ids: Sequence[int]) -> None:
    """Forget events."""
    await connection.execute(sa.delete(table).where(table.c.outbox_id.in_(ids)))


async def trim(
    connection: AsyncConnection, table: sa.Table, names: Collection[str], before: datetime
) -> None:
    """Forget events that were published before a time."""
    await connection.execute(
        sa.delete(table).where(table.c.published_at < before, table.c.topic.in_(names))
    )


async def lag(connection: AsyncConnection, table: sa.Table, names: Collection[str]) -> Lag:
    """Return how far publishing is behind."""
    found = await connection.execute(
        sa.select(sa.func.count(), sa.func.min(table.c.created_at)).where(
            table.c.published_at.is_(None), table.c.topic.in_(names)
        )
    )
    count, oldest_at = found.one()
    return Lag(waiting=count, oldest_at=oldest_at)


def _row(payload: topics.Payload, at: datetime) -> Row:
    topic = topics.of(payload)
    return {
        "event_id": payload.event_id,
        "subject": getattr(payload, topic.subject),
        "sequence": payload.sequence,
        "topic": topic.name,
        "payload": msgspec.json.encode(payload).decode(),
        "created_at": at,
    }
