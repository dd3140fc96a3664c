"""The SQL of the limits that lines, accounts and the engine are held to."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from strategy_engine.core.errors import InvalidError
from strategy_engine.infra import database, logs
from strategy_engine.venue import limits
from strategy_engine.venue.limits import LimitSet, Scope

NOTHING_OPENS = LimitSet(values={"allowed_symbols": ()})
_log = logs.get("venue")

TABLE = sa.Table(
    "risk_limits",
    database.control,
    sa.Column("scope", sa.String(20), primary_key=True),
    sa.Column("subject", sa.String(100), primary_key=True),
    sa.Column("limits", sa.JSON, nullable=False),
    sa.Column("actor", sa.String(100), nullable=False),
    sa.Column("why", sa.Text, nullable=False),
    sa.Column("updated_at", database.UtcDateTime, nullable=False),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What a line, an account or the engine is held to, and who said so."""

    scope: Scope
    subject: str
    limits: Mapping[str, Any]
    actor: str
    why: str
    updated_at: datetime


async def put(connection: AsyncConnection, setting: Setting) -> None:
    """Store a setting in place of the one there is."""
    await delete(connection, setting.scope, setting.subject)
    values = {name: getattr(setting, name) for name in Setting.__slots__}
    values |= {"scope": setting.scope.value, "limits": dict(setting.limits)}
    await connection.execute(sa.insert(TABLE).values(**values))


async def delete(connection: AsyncConnection, scope: Scope, subject: str) -> None:
    """Remove a setting, if there is one."""
    await connection.execute(sa.delete(TABLE).where(*_is(scope, subject)))


async def get(connection: AsyncConnection, scope: Scope, subject: str) -> Setting | None:
    """Return what is set of a line, an account or the engine."""
    rows = await connection.execute(sa.select(TABLE).where(*_is(scope, subject)))
    row = rows.one_or_none()
    return None if row is None else _setting(row)


async def all_of(connection: AsyncConnection) -> list[Setting]:
    """Return every setting, by scope and subject."""
    order = TABLE.c.scope, database.Bytewise(TABLE.c.subject)
    return [_setting(row) for row in await connection.execute(sa.select(TABLE).order_by(*order))]


async def sets(connection: AsyncConnection) -> dict[tuple[Scope, str], LimitSet]:
    """Return every setting as what gates and monitors read.

    Of what this release does not understand nothing is opened, until somebody sets it anew.
    """
    return {(each.scope, each.subject): _parsed(each) for each in await all_of(connection)}


def _parsed(setting: Setting) -> LimitSet:
    try:
        return limits.parse(setting.limits)
    except InvalidError as error:
        _log.error("limits_not_understood", subject=setting.subject, why=str(error))
        return NOTHING_OPENS


def _is(scope: Scope, subject: str) -> tuple[sa.ColumnElement[bool], ...]:
    return TABLE.c.scope == scope.value, TABLE.c.subject == subject


def _setting(row: sa.Row[Any]) -> Setting:
    return Setting(
        scope=Scope(row.scope),
        subject=row.subject,
        limits=row.limits,
        actor=row.actor,
        why=row.why,
        updated_at=row.updated_at,
    )
