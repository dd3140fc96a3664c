"""The registry's SQL."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from strategy_engine.infra import database
from strategy_engine.registry.model import Content, Status, Strategy

TABLE = sa.Table(
    "strategies",
    database.control,
    sa.Column("strategy_id", sa.String(40), primary_key=True),
    sa.Column("strategy_name", sa.String(100), nullable=False),
    sa.Column("version", sa.String(100), nullable=False),
    sa.Column("code", sa.Text, nullable=False),
    sa.Column("code_hash", sa.String(64), nullable=False),
    sa.Column("digest", sa.String(64), nullable=False),
    sa.Column("parameters", sa.JSON, nullable=False),
    sa.Column("risk_limits", sa.JSON, nullable=False),
    sa.Column("tests", sa.JSON, nullable=False),
    sa.Column("status", sa.String(20), nullable=False, index=True),
    sa.Column("created_at", database.UtcDateTime, nullable=False),
    sa.Column("updated_at", database.UtcDateTime, nullable=False),
    sa.Column("archived_at", database.UtcDateTime),
    sa.UniqueConstraint("strategy_name", "version"),
)

_CONTENT = ("strategy_name", "version", "code", "parameters", "risk_limits", "tests")


async def insert(connection: AsyncConnection, strategy: Strategy) -> None:
    """Store a new version."""
    await connection.execute(sa.insert(TABLE).values(**_row(strategy)))


async def update(connection: AsyncConnection, strategy: Strategy) -> None:
    """Store a version's new state or, while it is a draft, its new content."""
    await connection.execute(
        sa.update(TABLE).where(TABLE.c.strategy_id == strategy.strategy_id).values(**_row(strategy))
    )


async def get(connection: AsyncConnection, strategy_id: str) -> Strategy | None:
    """Return one version, archived or not."""
    rows = await connection.execute(sa.select(TABLE).where(TABLE.c.strategy_id == strategy_id))
    row = rows.one_or_none()
    return None if row is None else _strategy(row)


async def find_version(connection: AsyncConnection, name: str, version: str) -> Strategy | None:
    """Return the version of a line with exactly this number."""
    rows = await connection.execute(
        sa.select(TABLE).where(TABLE.c.strategy_name == name, TABLE.c.version == version)
    )
    row = rows.one_or_none()
    return None if row is None else _strategy(row)


async def line(connection: AsyncConnection, name: str) -> list[Strategy]:
    """Return every version of a line that is not archived, oldest first."""
    rows = await connection.execute(
        sa.select(TABLE)
        .where(TABLE.c.strategy_name == name, TABLE.c.archived_at.is_(None))
        .order_by(TABLE.c.created_at)
    )
    return [_strategy(row) for row in rows]


async def page(
    connection: AsyncConnection,
    *,
    status: Status | None,
    name: str | None,
    limit: int,
    offset: int,
) -> tuple[list[Strategy], int]:
    """Return one page of versions, newest first, and how many there are in all."""
    wanted: sa.ColumnElement[bool] = TABLE.c.archived_at.is_(None)
    if status is not None:
        wanted &= TABLE.c.status == status
    if name is not None:
        wanted &= TABLE.c.strategy_name.icontains(name, autoescape=True)
    total = await connection.scalar(sa.select(sa.func.count()).select_from(TABLE).where(wanted))
    rows = await connection.execute(
        sa.select(TABLE)
        .where(wanted)
        .order_by(TABLE.c.created_at.desc(), TABLE.c.strategy_id)
        .limit(limit)
        .offset(offset)
    )
    return [_strategy(row) for row in rows], int(total or 0)


async def counts(connection: AsyncConnection) -> dict[Status, int]:
    """Return how many versions stand in each state."""
    rows = await connection.execute(
        sa.select(TABLE.c.status, sa.func.count())
        .where(TABLE.c.archived_at.is_(None))
        .group_by(TABLE.c.status)
    )
    return {Status(status): count for status, count in rows}


def _row(strategy: Strategy) -> dict[str, Any]:
    content = strategy.content
    return {name: getattr(content, name) for name in _CONTENT} | {
        "strategy_id": strategy.strategy_id,
        "code_hash": content.code_hash,
        "digest": content.digest,
        "status": strategy.status.value,
        "created_at": strategy.created_at,
        "updated_at": strategy.updated_at,
        "archived_at": strategy.archived_at,
    }


def _strategy(row: sa.Row[Any]) -> Strategy:
    archived: datetime | None = row.archived_at
    return Strategy(
        strategy_id=row.strategy_id,
        content=Content(**{name: getattr(row, name) for name in _CONTENT}),
        status=Status(row.status),
        created_at=row.created_at,
        updated_at=row.updated_at,
        archived_at=archived,
    )
