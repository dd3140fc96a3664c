"""What executions came to on the last day of the feed's clock that they traded."""

from collections.abc import Collection

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from strategy_engine.venue.store import CHECKPOINTS

_KEPT = sa.select(CHECKPOINTS.c.execution_id, CHECKPOINTS.c.account).where(
    CHECKPOINTS.c.execution_id.in_(sa.bindparam("wanted", expanding=True))
)


async def read(
    connection: AsyncConnection, execution_ids: Collection[str]
) -> dict[str, tuple[int, int]]:
    """Return day and result (billionths) of those who have had a day, by execution."""
    if not execution_ids:
        return {}
    found: dict[str, tuple[int, int]] = {}
    for row in await connection.execute(_KEPT, {"wanted": list(execution_ids)}):
        day, now = row.account.get("day"), row.account.get("now")
        if day is not None and now is not None and day[0] >= 0:
            found[row.execution_id] = day[0], now["equity"] - day[1]
    return found
