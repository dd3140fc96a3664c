"""What was said with strategies' processes: the SQL that reads it, and forgets it in time."""

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from strategy_engine.infra import database
from strategy_engine.venue.model import Turn, TurnKind
from strategy_engine.venue.store import CHECKPOINTS, TRANSCRIPTS

_ROWS = TRANSCRIPTS.c


async def after(
    connection: AsyncConnection, execution_id: str, after_no: int, limit: int
) -> list[Turn]:
    """Return an execution's turns after one, oldest first."""
    found = await connection.execute(
        sa.select(_ROWS.no, _ROWS.kind, _ROWS.asked, _ROWS.answered)
        .where(_ROWS.execution_id == execution_id, _ROWS.no > after_no)
        .order_by(_ROWS.no)
        .limit(limit)
    )
    return [
        Turn(no=row.no, kind=TurnKind(row.kind), asked=row.asked, answered=row.answered)
        for row in found
    ]


async def last_no(connection: AsyncConnection, execution_id: str) -> int:
    """Return the number of an execution's last turn; 0 for none."""
    number = await connection.scalar(
        sa.select(sa.func.max(_ROWS.no)).where(_ROWS.execution_id == execution_id)
    )
    return int(number or 0)


async def execution_ids(connection: AsyncConnection) -> list[str]:
    """Return the executions that there is a transcript of, in a fixed order."""
    has_one = sa.exists().where(_ROWS.execution_id == CHECKPOINTS.c.execution_id)
    order = database.Bytewise(CHECKPOINTS.c.execution_id)
    found = sa.select(CHECKPOINTS.c.execution_id).where(has_one).order_by(order)
    return list(await connection.scalars(found))


async def forget(connection: AsyncConnection, execution_id: str, *, limit: int) -> int:
    """Delete an execution's oldest turns; return how many those were."""
    mine = _ROWS.execution_id == execution_id
    oldest = sa.select(_ROWS.no).where(mine).order_by(_ROWS.no).limit(limit)
    done = await connection.execute(sa.delete(TRANSCRIPTS).where(mine, _ROWS.no.in_(oldest)))
    return int(done.rowcount)
