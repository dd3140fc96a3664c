"""How each process is connected to the bus: a row that it writes, and that health is read from.

The row is a lease as well: of two processes that would publish the same rows, one does.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from strategy_engine.infra import database

REPORT_S = 1.0
SILENT_S = 5.0

TABLE = sa.Table(
    "bus_links",
    database.control,
    sa.Column("name", sa.String(40), primary_key=True),
    sa.Column("holder", sa.String(80), nullable=False),
    sa.Column("is_connected", sa.Boolean, nullable=False),
    sa.Column("detail", sa.Text, nullable=False),
    sa.Column("waiting", sa.BigInteger, nullable=False),
    sa.Column("oldest_at", database.UtcDateTime),
    sa.Column("counts", sa.JSON, nullable=False),
    sa.Column("seen_at", database.UtcDateTime, nullable=False),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One process's connection; `waiting` events are not published yet, the oldest since when.

    `holder` is the process, so that a new one knows a row for somebody else's.
    """

    name: str
    holder: str
    is_connected: bool
    seen_at: datetime
    detail: str = ""
    waiting: int = 0
    oldest_at: datetime | None = None
    counts: dict[str, int] = field(default_factory=dict)

    def is_silent(self, now: datetime) -> bool:
        """Say whether the process has not reported for too long."""
        return now - self.seen_at > timedelta(seconds=SILENT_S)


async def report(connection: AsyncConnection, link: Link) -> bool:
    """Write a process's row; False if another one, not silent, holds the name."""
    found = await connection.execute(sa.select(TABLE).where(TABLE.c.name == link.name))
    row = found.one_or_none()
    values: dict[str, Any] = {name: getattr(link, name) for name in Link.__slots__}
    if row is None:
        await connection.execute(sa.insert(TABLE).values(**values))
        return True
    other = _link(row)
    if other.holder != link.holder and not other.is_silent(link.seen_at):
        return False
    await connection.execute(sa.update(TABLE).where(TABLE.c.name == link.name).values(**values))
    return True


async def every(connection: AsyncConnection) -> list[Link]:
    """Return every process's row, by name."""
    rows = await connection.execute(sa.select(TABLE).order_by(TABLE.c.name))
    return [_link(row) for row in rows]


def _link(row: sa.Row[Any]) -> Link:
    return Link(**{name: getattr(row, name) for name in Link.__slots__})
