"""What executions have come to by the ledger's own rows, many at one look."""

from collections.abc import Collection
from dataclasses import dataclass
from decimal import Decimal

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from strategy_engine.venue.store import CHECKPOINTS, EQUITY, ROUND_TRIPS


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """An execution's fills, closed round trips and profit, at one instant of its ledger.

    The profit is beyond what was contributed, marked to market, in account currency.
    """

    execution_id: str
    fill_count: int
    trade_count: int
    pnl: Decimal


_LATEST = (
    sa.select(sa.func.max(EQUITY.c.close_ns))
    .where(EQUITY.c.execution_id == CHECKPOINTS.c.execution_id)
    .correlate(CHECKPOINTS)
    .scalar_subquery()
)
_TRIPS = (
    sa.select(sa.func.count())
    .select_from(ROUND_TRIPS)
    .where(ROUND_TRIPS.c.execution_id == CHECKPOINTS.c.execution_id)
    .correlate(CHECKPOINTS)
    .scalar_subquery()
)
_STANDINGS = (
    sa.select(
        CHECKPOINTS.c.execution_id,
        CHECKPOINTS.c.seq,
        EQUITY.c.contributed,
        EQUITY.c.equity,
        _TRIPS.label("trips"),
    )
    .outerjoin(
        EQUITY,
        sa.and_(EQUITY.c.execution_id == CHECKPOINTS.c.execution_id, EQUITY.c.close_ns == _LATEST),
    )
    .where(CHECKPOINTS.c.execution_id.in_(sa.bindparam("wanted", expanding=True)))
)


async def read(connection: AsyncConnection, execution_ids: Collection[str]) -> dict[str, Standing]:
    """Return the standings of those executions that the ledger has heard of, by their ids."""
    if not execution_ids:
        return {}
    rows = await connection.execute(_STANDINGS, {"wanted": list(execution_ids)})
    return {
        row.execution_id: Standing(
            execution_id=row.execution_id,
            fill_count=row.seq,
            trade_count=row.trips,
            pnl=Decimal(0) if row.equity is None else row.equity - row.contributed,
        )
        for row in rows
    }
