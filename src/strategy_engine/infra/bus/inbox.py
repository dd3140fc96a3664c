"""How far a consumer has read, and which commands were obeyed: written with their effects."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from strategy_engine.infra import database

POSITIONS = sa.Table(
    "bus_positions",
    database.control,
    sa.Column("consumer", sa.String(60), primary_key=True),
    sa.Column("stream", sa.String(300), primary_key=True),
    sa.Column("entry_id", sa.String(40), nullable=False),
    sa.Column("updated_at", database.UtcDateTime, nullable=False),
)

COMMANDS = sa.Table(
    "bus_commands",
    database.control,
    sa.Column("command_id", sa.String(100), primary_key=True),
    sa.Column("topic", sa.String(40), nullable=False),
    sa.Column("issued_at", database.UtcDateTime, nullable=False),
    sa.Column("obeyed_at", database.UtcDateTime, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("affected", sa.JSON, nullable=False),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Obeyed:
    """A command that was obeyed, and which executions it changed."""

    command_id: str
    topic: str
    issued_at: datetime
    obeyed_at: datetime
    reason: str
    affected: list[str]


async def position(connection: AsyncConnection, consumer: str, stream: str) -> str | None:
    """Return the last entry that a consumer has done with, if it has read any."""
    found: str | None = await connection.scalar(
        sa.select(POSITIONS.c.entry_id).where(
            POSITIONS.c.consumer == consumer, POSITIONS.c.stream == stream
        )
    )
    return found


async def advance(
    connection: AsyncConnection, consumer: str, stream: str, *, entry_id: str, at: datetime
) -> None:
    """Record the last entry that a consumer has done with."""
    values: dict[str, Any] = {"entry_id": entry_id, "updated_at": at}
    changed = await connection.execute(
        sa.update(POSITIONS)
        .where(POSITIONS.c.consumer == consumer, POSITIONS.c.stream == stream)
        .values(**values)
    )
    if changed.rowcount == 0:
        await connection.execute(
            sa.insert(POSITIONS).values(consumer=consumer, stream=stream, **values)
        )


async def is_obeyed(connection: AsyncConnection, command_id: str) -> bool:
    """Say whether a command was obeyed before."""
    found = await connection.scalar(
        sa.select(COMMANDS.c.command_id).where(COMMANDS.c.command_id == command_id)
    )
    return found is not None


async def keep(connection: AsyncConnection, obeyed: Obeyed) -> None:
    """Record that a command was obeyed."""
    values = {name: getattr(obeyed, name) for name in Obeyed.__slots__}
    await connection.execute(sa.insert(COMMANDS).values(**values))
