"""The allocations' SQL."""

from decimal import Decimal
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from strategy_engine.execution.model import ExecutionConfig
from strategy_engine.infra import database
from strategy_engine.rollout.allocation.model import Allocation, Policy, State

TABLE = sa.Table(
    "allocations",
    database.control,
    sa.Column("allocation_id", sa.String(40), primary_key=True),
    sa.Column("strategy_name", sa.String(100), nullable=False, index=True),
    sa.Column("state", sa.String(20), nullable=False, index=True),
    sa.Column("policy", sa.JSON, nullable=False),
    sa.Column("executions", sa.JSON, nullable=False),
    sa.Column("own", sa.JSON, nullable=False),
    sa.Column("capital", database.ExactDecimal, nullable=False),
    sa.Column("config", sa.JSON, nullable=False),
    sa.Column("slots", sa.JSON, nullable=False),
    sa.Column("weights", sa.JSON, nullable=False),
    sa.Column("goal", sa.JSON, nullable=False),
    sa.Column("day", sa.BigInteger),
    sa.Column("changed", database.ExactDecimal, nullable=False),
    sa.Column("message", sa.Text, nullable=False),
    sa.Column("requested_by", sa.String(100), nullable=False),
    sa.Column("created_at", database.UtcDateTime, nullable=False),
    sa.Column("updated_at", database.UtcDateTime, nullable=False),
    sa.Column("ended_at", database.UtcDateTime),
)

_COPIED = (
    "allocation_id",
    "strategy_name",
    "capital",
    "day",
    "changed",
    "message",
    "requested_by",
    "created_at",
    "updated_at",
    "ended_at",
)
_AMOUNTS = ("slots", "weights", "goal")


async def insert(connection: AsyncConnection, allocation: Allocation) -> None:
    """Store a new allocation."""
    await connection.execute(sa.insert(TABLE).values(**_row(allocation)))


async def update(connection: AsyncConnection, allocation: Allocation) -> None:
    """Store how an allocation that was read in the same write transaction stands now."""
    await connection.execute(
        sa.update(TABLE)
        .where(TABLE.c.allocation_id == allocation.allocation_id)
        .values(**_row(allocation))
    )


async def unended(
    connection: AsyncConnection, strategy_name: str | None = None
) -> list[Allocation]:
    """Return the allocations, of one line or of all, that have not ended."""
    query = sa.select(TABLE).where(TABLE.c.state != State.ENDED.value)
    if strategy_name is not None:
        query = query.where(TABLE.c.strategy_name == strategy_name)
    rows = await connection.execute(query.order_by(TABLE.c.created_at, TABLE.c.allocation_id))
    return [_allocation(row) for row in rows]


async def get(connection: AsyncConnection, allocation_id: str) -> Allocation | None:
    """Return one allocation."""
    rows = await connection.execute(sa.select(TABLE).where(TABLE.c.allocation_id == allocation_id))
    row = rows.one_or_none()
    return None if row is None else _allocation(row)


def _row(allocation: Allocation) -> dict[str, Any]:
    return {
        **{name: getattr(allocation, name) for name in _COPIED},
        **{name: _plain(getattr(allocation, name)) for name in _AMOUNTS},
        "state": allocation.state.value,
        "policy": msgspec.to_builtins(allocation.policy),
        "executions": dict(allocation.executions),
        "own": list(allocation.own),
        "config": allocation.config.to_plain(),
    }


def _plain(amounts: Any) -> dict[str, str]:
    return {name: format(amount, "f") for name, amount in amounts.items()}


def _allocation(row: sa.Row[Any]) -> Allocation:
    amounts: dict[str, Any] = {
        name: msgspec.convert(getattr(row, name), dict[str, Decimal]) for name in _AMOUNTS
    }
    return Allocation(
        **{name: getattr(row, name) for name in _COPIED},
        **amounts,
        state=State(row.state),
        policy=msgspec.convert(row.policy, Policy),
        executions=dict(row.executions),
        own=tuple(row.own),
        config=ExecutionConfig.from_plain(row.config),
    )
