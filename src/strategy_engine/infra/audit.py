"""Every state change leaves a row, written in the same transaction as the change."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from strategy_engine.infra import database

LOCAL = "local"
ENGINE = "engine"

TABLE = sa.Table(
    "audit",
    database.control,
    sa.Column("audit_id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("at", database.UtcDateTime, nullable=False),
    sa.Column("actor", sa.String(100), nullable=False),
    sa.Column("subject_type", sa.String(30), nullable=False),
    sa.Column("subject_id", sa.String(60), nullable=False),
    sa.Column("action", sa.String(60), nullable=False),
    sa.Column("from_state", sa.String(30)),
    sa.Column("to_state", sa.String(30)),
    sa.Column("details", sa.JSON, nullable=False),
    sa.Index("ix_audit_subject", "subject_type", "subject_id"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """Who did what to whom, and how its state changed."""

    at: datetime
    actor: str
    subject_type: str
    subject_id: str
    action: str
    from_state: str | None = None
    to_state: str | None = None
    details: dict[str, Any] = field(default_factory=dict)


async def record(connection: AsyncConnection, entry: Entry) -> None:
    """Write one audit row in the caller's transaction."""
    values = {name: getattr(entry, name) for name in Entry.__slots__}
    await connection.execute(sa.insert(TABLE).values(**values))


async def history(connection: AsyncConnection, subject_type: str, subject_id: str) -> list[Entry]:
    """Return the audit rows of one subject, oldest first."""
    rows = await connection.execute(
        sa.select(TABLE)
        .where(TABLE.c.subject_type == subject_type, TABLE.c.subject_id == subject_id)
        .order_by(TABLE.c.audit_id)
    )
    return [_entry(row) for row in rows]


async def after(
    connection: AsyncConnection, subject_type: str, subject_id: str, audit_id: int
) -> list[tuple[int, Entry]]:
    """Return the audit rows of one subject that came after one, oldest first, by their ids."""
    rows = await connection.execute(
        sa.select(TABLE)
        .where(
            TABLE.c.subject_type == subject_type,
            TABLE.c.subject_id == subject_id,
            TABLE.c.audit_id > audit_id,
        )
        .order_by(TABLE.c.audit_id)
    )
    return [(row.audit_id, _entry(row)) for row in rows]


def _entry(row: sa.Row[Any]) -> Entry:
    return Entry(**{name: getattr(row, name) for name in Entry.__slots__})
