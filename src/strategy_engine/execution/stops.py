"""Emergency stops as rows: who stopped what, until another person resets it; what may not start."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from strategy_engine.core.errors import ConflictError
from strategy_engine.infra import database
from strategy_engine.venue.limits import Scope

TABLE = sa.Table(
    "emergency_stops",
    database.control,
    sa.Column("stop_id", sa.String(40), primary_key=True),
    sa.Column("scope", sa.String(20), nullable=False),
    sa.Column("subject", sa.String(100), nullable=False),
    sa.Column("flattens", sa.Boolean, nullable=False),
    sa.Column("is_drill", sa.Boolean, nullable=False),
    sa.Column("reason", sa.String(200), nullable=False),
    sa.Column("actor", sa.String(100), nullable=False),
    sa.Column("at", database.UtcDateTime, nullable=False),
    sa.Column("reset_at", database.UtcDateTime, index=True),
    sa.Column("reset_by", sa.String(100)),
    sa.Column("reset_why", sa.String(200)),
)


class StoppedError(ConflictError):
    """An emergency stop is in force: nothing of its scope starts or goes on."""

    kind = "emergency-stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """One emergency stop. In force until it has `reset_at`."""

    stop_id: str
    scope: Scope
    subject: str
    flattens: bool
    is_drill: bool
    reason: str
    actor: str
    at: datetime
    reset_at: datetime | None = None
    reset_by: str | None = None
    reset_why: str | None = None

    def covers(self, *, line: str, account: str, execution_id: str = "") -> bool:
        """Say whether it is about an execution, or about one of a line and account to be."""
        named = {
            Scope.ENGINE: self.subject,
            Scope.LINE: line,
            Scope.ACCOUNT: account,
            Scope.EXECUTION: execution_id,
        }
        return named.get(self.scope) == self.subject

    def __str__(self) -> str:
        whole = self.scope is Scope.ENGINE
        about = "the whole engine" if whole else f"{self.scope} {self.subject}"
        return (
            f"{about} is stopped since {self.at.isoformat(timespec='seconds')} by {self.actor}:"
            f" {self.reason}. Another person resets it:"
            f" POST /risk/emergency-stops/{self.stop_id}/reset"
        )


async def add(connection: AsyncConnection, stop: Stop) -> bool:
    """Keep a stop, once for its id; whether it is new."""
    make = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    values = {name: getattr(stop, name) for name in Stop.__slots__} | {"scope": stop.scope.value}
    kept = await connection.execute(make(TABLE).values(values).on_conflict_do_nothing())
    return kept.rowcount > 0


async def get(connection: AsyncConnection, stop_id: str) -> Stop | None:
    """Return one stop."""
    rows = await connection.execute(sa.select(TABLE).where(TABLE.c.stop_id == stop_id))
    row = rows.one_or_none()
    return None if row is None else _stop(row)


async def end(
    connection: AsyncConnection, stop_id: str, *, actor: str, why: str, at: datetime
) -> None:
    """Keep that a stop is over."""
    await connection.execute(
        sa.update(TABLE)
        .where(TABLE.c.stop_id == stop_id, TABLE.c.reset_at.is_(None))
        .values(reset_at=at, reset_by=actor, reset_why=why)
    )


async def in_force(connection: AsyncConnection) -> list[Stop]:
    """Return the stops that nobody has reset, oldest first."""
    rows = await connection.execute(
        sa.select(TABLE).where(TABLE.c.reset_at.is_(None)).order_by(TABLE.c.at, TABLE.c.stop_id)
    )
    return [_stop(row) for row in rows]


async def over(connection: AsyncConnection, stop_ids: Collection[str]) -> set[str]:
    """Return which of some stops are reset."""
    if not stop_ids:
        return set()
    rows = await connection.scalars(
        sa.select(TABLE.c.stop_id).where(
            TABLE.c.stop_id.in_(list(stop_ids)), TABLE.c.reset_at.is_not(None)
        )
    )
    return set(rows)


async def page(connection: AsyncConnection, *, limit: int, offset: int) -> tuple[list[Stop], int]:
    """Return stops, the newest first, and how many there ever were."""
    total = await connection.scalar(sa.select(sa.func.count()).select_from(TABLE))
    rows = await connection.execute(
        sa.select(TABLE).order_by(TABLE.c.at.desc(), TABLE.c.stop_id).limit(limit).offset(offset)
    )
    return [_stop(row) for row in rows], total or 0


def find(stops: Iterable[Stop], *, line: str, account: str, execution_id: str = "") -> Stop | None:
    """Return a stop in force of an execution, or of one of a line and account to be."""
    return next(
        (
            each
            for each in stops
            if each.covers(line=line, account=account, execution_id=execution_id)
        ),
        None,
    )


async def refuse(
    connection: AsyncConnection, *, line: str, account: str, execution_id: str = ""
) -> None:
    """Let nothing start or go on that is stopped.

    Raises
    ------
    StoppedError
        With who stopped it, why, and how it is reset.
    """
    found = find(await in_force(connection), line=line, account=account, execution_id=execution_id)
    if found is not None:
        raise refusal(found)


def refusal(found: Stop) -> StoppedError:
    """Return the error of what is refused because of a stop."""
    return StoppedError(
        str(found),
        stop_id=found.stop_id,
        scope=found.scope.value,
        subject=found.subject,
        actor=found.actor,
        reason=found.reason,
    )


def _stop(row: sa.Row[Any]) -> Stop:
    values = {name: getattr(row, name) for name in Stop.__slots__}
    return Stop(**values | {"scope": Scope(row.scope)})
