"""How many deployments are where, and why rollouts were undone."""

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from strategy_engine.rollout.model import ENDED, State
from strategy_engine.rollout.store import TABLE

_REASON = TABLE.c.progress["undo"]["reason"].as_string()


async def waiting(connection: AsyncConnection) -> dict[State, int]:
    """Return how many deployments are at each state that is no end; 0 where none is."""
    rows = await connection.execute(
        sa.select(TABLE.c.state, sa.func.count())
        .where(TABLE.c.state.not_in([*ENDED]))
        .group_by(TABLE.c.state)
    )
    found = {State(state): count for state, count in rows}
    return {each: found.get(each, 0) for each in State if each not in ENDED}


async def undone(connection: AsyncConnection) -> dict[str, int]:
    """Return how many rollouts were undone for each reason: a person's verb, or what was seen."""
    rows = await connection.execute(
        sa.select(_REASON, sa.func.count()).where(_REASON.is_not(None)).group_by(_REASON)
    )
    return {str(reason): count for reason, count in rows}
