"""Breaches and references: the SQL."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from strategy_engine.execution import store as executions
from strategy_engine.execution.model import UNENDED, Role
from strategy_engine.infra import database
from strategy_engine.registry import store as registry
from strategy_engine.risk.breaches import Breach
from strategy_engine.risk.course import Course
from strategy_engine.risk.model import Action
from strategy_engine.risk.references import Reference
from strategy_engine.risk.rules import Measure
from strategy_engine.venue.limits import Scope
from strategy_engine.venue.store import ROUND_TRIPS

BREACHES = sa.Table(
    "risk_breaches",
    database.control,
    sa.Column("breach_id", sa.String(40), primary_key=True),
    sa.Column("node_id", sa.String(60), nullable=False),
    sa.Column("measure", sa.String(40), nullable=False),
    sa.Column("scope", sa.String(20), nullable=False),
    sa.Column("subject", sa.String(200), nullable=False),
    sa.Column("value", sa.Float, nullable=False),
    sa.Column("limit_value", sa.Float, nullable=False),
    sa.Column("limit_scope", sa.String(20), nullable=False),
    sa.Column("limit_subject", sa.String(200), nullable=False),
    sa.Column("action", sa.String(20), nullable=False),
    sa.Column("factor", sa.Float, nullable=False),
    sa.Column("executions", sa.JSON, nullable=False),
    sa.Column("sample", sa.Integer, nullable=False),
    sa.Column("message", sa.Text, nullable=False),
    sa.Column("began_at", database.UtcDateTime, nullable=False),
    sa.Column("ended_at", database.UtcDateTime),
    sa.Index("ix_risk_breaches_began_at", "began_at"),
    sa.Index("ix_risk_breaches_lasting", "node_id", "ended_at"),
)

REFERENCES = sa.Table(
    "risk_references",
    database.control,
    sa.Column("scope", sa.String(20), primary_key=True),
    sa.Column("subject", sa.String(200), primary_key=True),
    sa.Column("day", sa.BigInteger, nullable=False),
    sa.Column("day_start_pnl", database.ExactDecimal, nullable=False),
    sa.Column("peak_pnl", database.ExactDecimal, nullable=False),
    sa.Column("pnl", database.ExactDecimal, nullable=False),
    sa.Column("course", sa.JSON, nullable=False),
    sa.Column("reset_no", sa.Integer, nullable=False),
    sa.Column("updated_at", database.UtcDateTime, nullable=False),
)

_UNENDED = [each.value for each in UNENDED]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A subject's references as they are kept; `reset_no` counts how often a person let them go."""

    scope: Scope
    subject: str
    reference: Reference
    course: Course
    reset_no: int = 0


async def insert_breach(connection: AsyncConnection, breach: Breach, node_id: str) -> None:
    """Store a breach that has begun; one that is there already changes nothing."""
    build = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    values = _values(breach) | {"node_id": node_id}
    await connection.execute(
        build(BREACHES).values(**values).on_conflict_do_nothing(index_elements=["breach_id"])
    )


async def update_breach(connection: AsyncConnection, breach: Breach) -> None:
    """Store who has a part in a breach that lasts, and when it ended: the first time counts."""
    await connection.execute(
        sa.update(BREACHES)
        .where(BREACHES.c.breach_id == breach.breach_id, BREACHES.c.ended_at.is_(None))
        .values(executions=list(breach.executions), ended_at=breach.ended_at)
    )


async def lasting(connection: AsyncConnection, node_id: str | None = None) -> list[Breach]:
    """Return the breaches that last, of one node or of all, oldest first."""
    wanted: list[sa.ColumnElement[bool]] = [BREACHES.c.ended_at.is_(None)]
    if node_id is not None:
        wanted.append(BREACHES.c.node_id == node_id)
    found = await connection.execute(
        sa.select(BREACHES).where(*wanted).order_by(BREACHES.c.began_at, BREACHES.c.breach_id)
    )
    return [_breach(row) for row in found]


async def page(
    connection: AsyncConnection, *, execution_id: str | None, limit: int, offset: int
) -> tuple[list[Breach], int]:
    """Return breaches, newest first, and how many there are; of all, or of one execution."""
    wanted: sa.ColumnElement[bool] = sa.true()
    if execution_id is not None:
        wanted = sa.cast(BREACHES.c.executions, sa.Text).contains(f'"{execution_id}"')
    total = await connection.scalar(sa.select(sa.func.count()).select_from(BREACHES).where(wanted))
    found = await connection.execute(
        sa.select(BREACHES)
        .where(wanted)
        .order_by(BREACHES.c.began_at.desc(), BREACHES.c.breach_id)
        .limit(limit)
        .offset(offset)
    )
    return [_breach(row) for row in found], int(total or 0)


async def keep_references(
    connection: AsyncConnection, kept: Iterable[Kept], *, at: datetime
) -> None:
    """Store references, unless a person has let them begin anew since they were read."""
    build = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    for each in kept:
        values = _reference_values(each, at)
        adding = build(REFERENCES).values(**values)
        names = ("day", "day_start_pnl", "peak_pnl", "pnl", "course", "updated_at")
        await connection.execute(
            adding.on_conflict_do_update(
                index_elements=["scope", "subject"],
                set_={name: adding.excluded[name] for name in names},
                where=REFERENCES.c.reset_no == each.reset_no,
            )
        )


async def references(
    connection: AsyncConnection, subjects: Collection[tuple[Scope, str]]
) -> dict[tuple[Scope, str], Kept]:
    """Return what is kept of subjects, by scope and name."""
    if not subjects:
        return {}
    found = await connection.execute(
        sa.select(REFERENCES).where(
            REFERENCES.c.subject.in_(sorted({subject for _, subject in subjects}))
        )
    )
    kept = [_kept(row) for row in found]
    wanted = set(subjects)
    return {
        (each.scope, each.subject): each for each in kept if (each.scope, each.subject) in wanted
    }


async def references_of_lines(connection: AsyncConnection) -> list[Kept]:
    """Return what the losses of lines are measured from, by name."""
    found = await connection.execute(
        sa.select(REFERENCES)
        .where(REFERENCES.c.scope == Scope.LINE.value)
        .order_by(REFERENCES.c.subject)
    )
    return [_kept(row) for row in found]


async def resets(connection: AsyncConnection) -> dict[tuple[Scope, str], int]:
    """Return how often references were let begin anew, of those that ever were."""
    found = await connection.execute(sa.select(REFERENCES).where(REFERENCES.c.reset_no > 0))
    return {(Scope(row.scope), row.subject): row.reset_no for row in found}


async def reset(connection: AsyncConnection, kept: Kept, *, at: datetime) -> None:
    """Let a subject's references begin anew."""
    reference = kept.reference
    await connection.execute(
        sa.update(REFERENCES)
        .where(REFERENCES.c.scope == kept.scope.value, REFERENCES.c.subject == kept.subject)
        .values(
            day=reference.day,
            day_start_pnl=reference.day_start_pnl,
            peak_pnl=reference.peak_pnl,
            reset_no=kept.reset_no + 1,
            updated_at=at,
        )
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What an execution that has ended came to, and whose it was."""

    line: str
    account: str
    pnl: Decimal


async def ended_results(connection: AsyncConnection) -> list[Result]:
    """Return what came of every execution that has ended, validation apart."""
    table = executions.TABLE
    found = await connection.execute(
        sa.select(registry.TABLE.c.strategy_name, table.c.config, table.c.final_pnl)
        .join(registry.TABLE, registry.TABLE.c.strategy_id == table.c.strategy_id)
        .where(
            table.c.status.not_in(_UNENDED),
            table.c.role != Role.VALIDATION.value,
            table.c.final_pnl.is_not(None),
        )
    )
    return [
        Result(line=line, account=config.get("account") or line, pnl=pnl)
        for line, config, pnl in found
    ]


async def losses(connection: AsyncConnection, execution_id: str, most: int) -> tuple[int, int]:
    """Return how many of the last round trips in a row have lost, and how many were looked at."""
    found = list(
        await connection.scalars(
            sa.select(ROUND_TRIPS.c.pnl)
            .where(ROUND_TRIPS.c.execution_id == execution_id)
            .order_by(ROUND_TRIPS.c.seq.desc())
            .limit(most)
        )
    )
    lost = next((number for number, pnl in enumerate(found) if pnl > 0), len(found))
    return lost, len(found)


def _values(breach: Breach) -> dict[str, Any]:
    return {
        "breach_id": breach.breach_id,
        "measure": breach.measure.value,
        "scope": breach.scope.value,
        "subject": breach.subject,
        "value": breach.value,
        "limit_value": breach.limit,
        "limit_scope": breach.limit_scope.value,
        "limit_subject": breach.limit_subject,
        "action": breach.action.value,
        "factor": breach.factor,
        "executions": list(breach.executions),
        "sample": breach.sample,
        "message": breach.message,
        "began_at": breach.began_at,
        "ended_at": breach.ended_at,
    }


def _breach(row: sa.Row[Any]) -> Breach:
    return Breach(
        breach_id=row.breach_id,
        measure=Measure(row.measure),
        scope=Scope(row.scope),
        subject=row.subject,
        value=row.value,
        limit=row.limit_value,
        limit_scope=Scope(row.limit_scope),
        limit_subject=row.limit_subject,
        action=Action(row.action),
        factor=row.factor,
        executions=tuple(row.executions),
        sample=row.sample,
        message=row.message,
        began_at=row.began_at,
        ended_at=row.ended_at,
    )


def _reference_values(kept: Kept, at: datetime) -> dict[str, Any]:
    reference = kept.reference
    return {
        "scope": kept.scope.value,
        "subject": kept.subject,
        "day": reference.day,
        "day_start_pnl": reference.day_start_pnl,
        "peak_pnl": reference.peak_pnl,
        "pnl": reference.pnl,
        "course": kept.course.to_plain(),
        "reset_no": kept.reset_no,
        "updated_at": at,
    }


def _kept(row: sa.Row[Any]) -> Kept:
    return Kept(
        scope=Scope(row.scope),
        subject=row.subject,
        reference=Reference(
            day=row.day,
            day_start_pnl=row.day_start_pnl,
            peak_pnl=row.peak_pnl,
            pnl=row.pnl,
        ),
        course=Course.from_plain(row.course),
        reset_no=row.reset_no,
    )
