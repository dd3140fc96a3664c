"""Which nodes there are: each writes a heartbeat row, and whoever wants to know reads it."""

import os
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from strategy_engine.infra import database

HEARTBEAT_S = 1.0
SILENT_S = 5.0

TABLE = sa.Table(
    "nodes",
    database.control,
    sa.Column("node_id", sa.String(60), primary_key=True),
    sa.Column("pid", sa.Integer, nullable=False),
    sa.Column("started_at", database.UtcDateTime, nullable=False),
    sa.Column("heartbeat_at", database.UtcDateTime, nullable=False),
    sa.Column("trouble", sa.Text, nullable=False),
    # The last heartbeat of the process before this one: until then its work went on.
    sa.Column("left_at", database.UtcDateTime),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Presence:
    """One node: since when it runs, when it was last heard of, and what it complains about."""

    node_id: str
    pid: int
    started_at: datetime
    heartbeat_at: datetime
    trouble: str = ""

    def is_silent(self, now: datetime) -> bool:
        """Say whether a node has missed its heartbeats."""
        return now - self.heartbeat_at > timedelta(seconds=SILENT_S)


async def beat(connection: AsyncConnection, presence: Presence) -> None:
    """Write a node's heartbeat."""
    values = {name: getattr(presence, name) for name in Presence.__slots__}
    is_new = TABLE.c.started_at != presence.started_at
    left_at = sa.case((is_new, TABLE.c.heartbeat_at), else_=TABLE.c.left_at)
    changed = await connection.execute(
        sa.update(TABLE)
        .where(TABLE.c.node_id == presence.node_id)
        .values(**values, left_at=left_at)
    )
    if changed.rowcount == 0:
        await connection.execute(sa.insert(TABLE).values(**values))


async def last_heard(connection: AsyncConnection, node_id: str, *, is_own: bool) -> datetime | None:
    """Return when a node was heard of last; of one's own, when the process before this one was."""
    row = (
        await connection.execute(
            sa.select(TABLE.c.pid, TABLE.c.heartbeat_at, TABLE.c.left_at).where(
                TABLE.c.node_id == node_id
            )
        )
    ).one_or_none()
    if row is None:
        return None
    heard: datetime | None = row.left_at if is_own and row.pid == os.getpid() else row.heartbeat_at
    return heard


async def nodes(connection: AsyncConnection) -> list[Presence]:
    """Return every node there ever was, by name."""
    order = database.Bytewise(TABLE.c.node_id)
    rows = await connection.execute(sa.select(TABLE).order_by(order))
    return [Presence(**{name: getattr(row, name) for name in Presence.__slots__}) for row in rows]
