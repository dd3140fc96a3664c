"""The flags' SQL."""

from dataclasses import asdict
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from strategy_engine.flags.model import Content, Flag, FlagType, Rule
from strategy_engine.infra import database

TABLE = sa.Table(
    "flags",
    database.control,
    sa.Column("flag_key", sa.String(60), primary_key=True),
    sa.Column("type", sa.String(10), nullable=False),
    sa.Column("default_value", sa.JSON, nullable=False),
    sa.Column("owner", sa.String(100), nullable=False),
    sa.Column("description", sa.Text, nullable=False),
    sa.Column("rules", sa.JSON, nullable=False),
    sa.Column("expires_at", database.UtcDateTime, nullable=False),
    sa.Column("created_at", database.UtcDateTime, nullable=False),
    sa.Column("created_by", sa.String(100), nullable=False),
    sa.Column("updated_at", database.UtcDateTime, nullable=False),
    sa.Column("archived_at", database.UtcDateTime),
)


async def insert(connection: AsyncConnection, flag: Flag) -> None:
    """Store a new flag."""
    await connection.execute(sa.insert(TABLE).values(**_row(flag)))


async def update(connection: AsyncConnection, flag: Flag) -> None:
    """Store everything of a flag that was read in the same write transaction."""
    await connection.execute(
        sa.update(TABLE).where(TABLE.c.flag_key == flag.key).values(**_row(flag))
    )


async def get(connection: AsyncConnection, key: str) -> Flag | None:
    """Return one flag."""
    rows = await connection.execute(sa.select(TABLE).where(TABLE.c.flag_key == key))
    row = rows.one_or_none()
    return None if row is None else _flag(row)


async def all_of(connection: AsyncConnection) -> list[Flag]:
    """Return every flag there ever was, by key."""
    order = database.Bytewise(TABLE.c.flag_key)
    return [_flag(row) for row in await connection.execute(sa.select(TABLE).order_by(order))]


async def count(connection: AsyncConnection) -> int:
    """Return how many flags there ever were."""
    return int(await connection.scalar(sa.select(sa.func.count()).select_from(TABLE)) or 0)


def plain_rule(rule: Rule) -> dict[str, Any]:
    """Return a rule as JSON has it: what it does not name is left out."""
    return {name: value for name, value in asdict(rule).items() if value is not None}


def _row(flag: Flag) -> dict[str, Any]:
    content = flag.content
    return {
        "flag_key": flag.key,
        "type": content.type.value,
        "default_value": content.default,
        "owner": content.owner,
        "description": content.description,
        "rules": [plain_rule(rule) for rule in content.rules],
        "expires_at": content.expires_at,
        "created_at": flag.created_at,
        "created_by": flag.created_by,
        "updated_at": flag.updated_at,
        "archived_at": flag.archived_at,
    }


def _flag(row: sa.Row[Any]) -> Flag:
    content = Content(
        type=FlagType(row.type),
        default=row.default_value,
        owner=row.owner,
        description=row.description,
        rules=tuple(Rule(**each) for each in row.rules),
        expires_at=row.expires_at,
    )
    return Flag(
        key=row.flag_key,
        content=content,
        created_at=row.created_at,
        created_by=row.created_by,
        updated_at=row.updated_at,
        archived_at=row.archived_at,
    )
