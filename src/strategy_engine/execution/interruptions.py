"""Times in which an execution did not run though it should have: told, kept, and shown."""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from strategy_engine.infra import database

CRASH = "crash"  # its process ended by its own doing
LOSS = "loss"  # its process ended by somebody else's
NODE = "node"  # the node that ran it ended
STORAGE = "storage"  # nothing could be kept for a while

TABLE = sa.Table(
    "interruptions",
    database.control,
    sa.Column("execution_id", sa.String(40), primary_key=True),
    sa.Column("epoch", sa.BigInteger, primary_key=True, autoincrement=False),  # the copy that ended
    sa.Column("kind", sa.String(10), nullable=False),
    sa.Column("cause", sa.Text, nullable=False),
    sa.Column("from_at", database.UtcDateTime, nullable=False),
    sa.Column("to_at", database.UtcDateTime),
    sa.Column("bars_missed", sa.BigInteger),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """Since when and why an execution of this process could not be kept."""

    at: datetime
    cause: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Interruption:
    """One gap in the life of an execution.

    Parameters
    ----------
    epoch : int
        Of the copy that ended.
    kind : str
        `crash`, `loss`, `node` or `storage`.
    from_at : datetime
        When it was last known to work: exact where its node outlived it, else the node's last
        heartbeat.
    to_at : datetime or None
        When it was READY again; None: it is not, or it ended before it was.
    bars_missed : int or None
        Bars that closed meanwhile and were never decided on; a replay waits, so it misses none.
    """

    execution_id: str
    epoch: int
    kind: str
    cause: str
    from_at: datetime
    to_at: datetime | None = None
    bars_missed: int | None = None


async def begin(connection: AsyncConnection, interruption: Interruption) -> None:
    """Keep that an execution does not run; one that is interrupted already stays as it is."""
    open_one = await connection.scalar(
        sa.select(TABLE.c.epoch).where(
            TABLE.c.execution_id == interruption.execution_id, TABLE.c.to_at.is_(None)
        )
    )
    if open_one is None:
        values = {name: getattr(interruption, name) for name in Interruption.__slots__}
        await connection.execute(sa.insert(TABLE).values(**values))


async def end(
    connection: AsyncConnection, execution_id: str, *, at: datetime, bars_missed: int
) -> Interruption | None:
    """Keep that an execution runs again; return the interruption that this ends, if there is one.

    A clock that was set back meanwhile does not make it end before it began.
    """
    found = await connection.execute(
        sa.select(TABLE).where(TABLE.c.execution_id == execution_id, TABLE.c.to_at.is_(None))
    )
    row = found.one_or_none()
    if row is None:
        return None
    to_at = max(at, row.from_at)
    await connection.execute(
        sa.update(TABLE)
        .where(TABLE.c.execution_id == execution_id, TABLE.c.epoch == row.epoch)
        .values(to_at=to_at, bars_missed=bars_missed)
    )
    kept = {name: getattr(row, name) for name in Interruption.__slots__}
    return Interruption(**kept | {"to_at": to_at, "bars_missed": bars_missed})


async def of(connection: AsyncConnection, execution_id: str) -> list[Interruption]:
    """Return the interruptions of an execution, oldest first."""
    rows = await connection.execute(
        sa.select(TABLE).where(TABLE.c.execution_id == execution_id).order_by(TABLE.c.epoch)
    )
    return [
        Interruption(**{name: getattr(row, name) for name in Interruption.__slots__})
        for row in rows
    ]
