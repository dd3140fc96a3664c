"""The keys' SQL."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from strategy_engine.access.model import Key, Role
from strategy_engine.infra import database

TABLE = sa.Table(
    "api_keys",
    database.control,
    sa.Column("key_id", sa.String(20), primary_key=True),
    sa.Column("name", sa.String(60), nullable=False),
    sa.Column("role", sa.String(20), nullable=False),
    sa.Column("secret_hash", sa.String(64), nullable=False),
    sa.Column("created_at", database.UtcDateTime, nullable=False),
    sa.Column("created_by", sa.String(100), nullable=False),
    sa.Column("revoked_at", database.UtcDateTime),
)


async def insert(connection: AsyncConnection, key: Key) -> None:
    """Store a new key."""
    values = {name: getattr(key, name) for name in Key.__slots__}
    await connection.execute(sa.insert(TABLE).values(**values | {"role": key.role.value}))


async def revoke(connection: AsyncConnection, key_id: str, at: datetime) -> None:
    """Let a key open nothing any more; the time of its first end stays."""
    await connection.execute(
        sa.update(TABLE)
        .where(TABLE.c.key_id == key_id, TABLE.c.revoked_at.is_(None))
        .values(revoked_at=at)
    )


async def get(connection: AsyncConnection, key_id: str) -> Key | None:
    """Return one key."""
    rows = await connection.execute(sa.select(TABLE).where(TABLE.c.key_id == key_id))
    row = rows.one_or_none()
    return None if row is None else _key(row)


async def all_of(connection: AsyncConnection) -> list[Key]:
    """Return every key there ever was, oldest first."""
    rows = await connection.execute(sa.select(TABLE).order_by(TABLE.c.created_at, TABLE.c.key_id))
    return [_key(row) for row in rows]


def _key(row: sa.Row[Any]) -> Key:
    values = {name: getattr(row, name) for name in Key.__slots__}
    return Key(**values | {"role": Role(row.role)})
