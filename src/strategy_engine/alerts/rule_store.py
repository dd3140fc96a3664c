"""The SQL of alert rules, and of how far events were judged by them."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from strategy_engine.infra import database

TABLE = sa.Table(
    "alert_rules",
    database.control,
    sa.Column("rule_id", sa.String(60), primary_key=True),
    sa.Column("content", sa.JSON, nullable=False),
    sa.Column("created_at", database.UtcDateTime, nullable=False),
    sa.Column("created_by", sa.String(100), nullable=False),
    sa.Column("updated_at", database.UtcDateTime, nullable=False),
)
# Up to where events are judged: moved in the transaction of the alerts that they raise.
POSITIONS = sa.Table(
    "alert_positions",
    database.control,
    sa.Column("name", sa.String(40), primary_key=True),
    sa.Column("position", sa.String(60), nullable=False),
    sa.Column("moved_at", database.UtcDateTime, nullable=False),
)


async def put(connection: AsyncConnection, row: dict[str, Any]) -> None:
    """Store a rule, in the place of the one that has its id."""
    values = {name: value for name, value in row.items() if name in {"content", "updated_at"}}
    changed = await connection.execute(
        sa.update(TABLE).where(TABLE.c.rule_id == row["rule_id"]).values(**values)
    )
    if changed.rowcount == 0:
        await connection.execute(sa.insert(TABLE).values(**row))


async def remove(connection: AsyncConnection, rule_id: str) -> bool:
    """Forget a rule; False if there was none."""
    gone = await connection.execute(sa.delete(TABLE).where(TABLE.c.rule_id == rule_id))
    return gone.rowcount > 0


async def every(connection: AsyncConnection) -> list[sa.Row[Any]]:
    """Return every stored rule, oldest first."""
    order = TABLE.c.created_at, TABLE.c.rule_id
    return list(await connection.execute(sa.select(TABLE).order_by(*order)))


async def position(connection: AsyncConnection, name: str) -> str | None:
    """Return how far somebody is."""
    found: str | None = await connection.scalar(
        sa.select(POSITIONS.c.position).where(POSITIONS.c.name == name)
    )
    return found


async def move(connection: AsyncConnection, name: str, position: str, at: datetime) -> None:
    """Store how far somebody is."""
    changed = await connection.execute(
        sa.update(POSITIONS).where(POSITIONS.c.name == name).values(position=position, moved_at=at)
    )
    if changed.rowcount == 0:
        await connection.execute(
            sa.insert(POSITIONS).values(name=name, position=position, moved_at=at)
        )
