"""The executions' SQL."""

from collections.abc import Collection, Iterable
from dataclasses import asdict, replace
from datetime import datetime
from decimal import Decimal
from itertools import count
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from strategy_engine.core import ids
from strategy_engine.execution.model import (
    COMPLETED,
    UNENDED,
    Closing,
    Desired,
    Execution,
    ExecutionConfig,
    ExecutionStatus,
    Exits,
    Observation,
    Role,
)
from strategy_engine.infra import database
from strategy_engine.registry import store as registry
from strategy_engine.venue.model import RiskState, Tenure

TABLE = sa.Table(
    "executions",
    database.control,
    sa.Column("execution_id", sa.String(40), primary_key=True),
    sa.Column(
        "strategy_id", sa.String(40), sa.ForeignKey("strategies.strategy_id"), nullable=False
    ),
    sa.Column("role", sa.String(20), nullable=False),
    sa.Column("status", sa.String(20), nullable=False, index=True),
    sa.Column("desired", sa.String(20), nullable=False),
    sa.Column("desired_why", sa.String(200), nullable=False),
    sa.Column("risk_state", sa.String(20), nullable=False),
    sa.Column("node_id", sa.String(60)),
    sa.Column("epoch", sa.BigInteger, nullable=False),
    sa.Column("config", sa.JSON, nullable=False),
    sa.Column("capital", database.ExactDecimal, nullable=False),
    sa.Column("start_time", database.UtcDateTime),
    sa.Column("end_time", database.UtcDateTime),
    sa.Column("trade_count", sa.Integer, nullable=False),
    sa.Column("fill_count", sa.Integer, nullable=False),
    sa.Column("pnl", database.ExactDecimal, nullable=False),
    sa.Column("final_pnl", database.ExactDecimal),
    sa.Column("performance_metrics", sa.JSON, nullable=False),
    sa.Column("end_reason", sa.String(200)),
    sa.Column("error", sa.Text),
    sa.Column("confinement", sa.JSON),
    sa.Column("notices", sa.JSON, nullable=False),
    sa.Column("capital_target", database.ExactDecimal),
    sa.Column("serves", sa.JSON(none_as_null=True)),
    sa.Column("exits", sa.String(20), nullable=False),
    sa.Column("failure", sa.Text),
    sa.Column("tied", database.ExactDecimal),
    sa.Column("closing", sa.String(20)),
    sa.Column("created_at", database.UtcDateTime, nullable=False),
    sa.Column("updated_at", database.UtcDateTime, nullable=False),
    sa.Index("ix_executions_strategy", "strategy_id", "status"),
)

_MOST_NAMES = 500  # in one statement
_UNENDED = [status.value for status in UNENDED]
_TO_CLOSE = [Closing.ASKED.value, Closing.CALLED_IN.value]
_WITH_CAPITAL = [each.value for each in (Role.STABLE, Role.CANDIDATE, Role.BASELINE)]
_OBSERVE = sa.update(TABLE).where(
    TABLE.c.execution_id == sa.bindparam("b_execution_id"),
    TABLE.c.epoch == sa.bindparam("b_epoch"),
    sa.or_(*(TABLE.c.status == each for each in _UNENDED)),  # many rows at once take no IN
)


async def insert(connection: AsyncConnection, execution: Execution) -> None:
    """Store a new execution."""
    await connection.execute(sa.insert(TABLE).values(**_row(execution)))


async def update(connection: AsyncConnection, execution: Execution) -> None:
    """Store everything of an execution that was read in the same write transaction."""
    await connection.execute(
        sa.update(TABLE)
        .where(TABLE.c.execution_id == execution.execution_id)
        .values(**_row(execution))
    )


async def observe(
    connection: AsyncConnection, observations: Iterable[Observation], *, at: datetime
) -> None:
    """Store what executions have come to; of one that has ended or has a newer epoch, nothing."""
    rows = [
        {
            "b_execution_id": each.execution_id,
            "b_epoch": each.epoch,
            "trade_count": each.trade_count,
            "fill_count": each.fill_count,
            "capital": each.capital,
            "pnl": each.pnl,
            "performance_metrics": each.performance_metrics,
            "notices": list(each.notices),
            "updated_at": at,
        }
        for each in observations
    ]
    if rows:
        await connection.execute(_OBSERVE, rows)


async def get(connection: AsyncConnection, execution_id: str) -> Execution | None:
    """Return one execution."""
    rows = await connection.execute(sa.select(TABLE).where(TABLE.c.execution_id == execution_id))
    row = rows.one_or_none()
    return None if row is None else _execution(row)


async def get_many(connection: AsyncConnection, execution_ids: Iterable[str]) -> list[Execution]:
    """Return executions by their ids, oldest first."""
    rows = await connection.execute(
        sa.select(TABLE)
        .where(TABLE.c.execution_id.in_(list(execution_ids)))
        .order_by(TABLE.c.created_at, TABLE.c.execution_id)
    )
    return [_execution(row) for row in rows]


async def attempt(
    connection: AsyncConnection, wanted: Execution, key: str
) -> tuple[Execution, bool]:
    """Return the run of a key that is to be followed, and whether it was started before."""
    for number in count(1):
        execution_id = ids.derived(ids.EXECUTION, f"{key}/{number}")
        earlier = await get(connection, execution_id)
        if earlier is None:
            return replace(wanted, execution_id=execution_id), False
        if earlier.config == wanted.config and earlier.has_come_to_something:
            return earlier, True
    raise AssertionError("counting never ends")


async def unended_of(connection: AsyncConnection, strategy_id: str) -> list[Execution]:
    """Return a version's executions that have not ended, validation apart, stable first."""
    rows = await connection.execute(
        sa.select(TABLE)
        .where(
            TABLE.c.strategy_id == strategy_id,
            TABLE.c.status.in_(_UNENDED),
            TABLE.c.role != Role.VALIDATION.value,
        )
        .order_by(TABLE.c.role != Role.STABLE.value, TABLE.c.created_at, TABLE.c.execution_id)
    )
    return [_execution(row) for row in rows]


async def unended_in_line(
    connection: AsyncConnection, strategy_id: str
) -> list[tuple[Execution, str]]:
    """Return what other versions of a line have at work with capital of it, with their numbers."""
    own = registry.TABLE.alias()
    rows = await connection.execute(
        sa.select(TABLE, registry.TABLE.c.version)
        .join(registry.TABLE, registry.TABLE.c.strategy_id == TABLE.c.strategy_id)
        .join(own, own.c.strategy_name == registry.TABLE.c.strategy_name)
        .where(
            own.c.strategy_id == strategy_id,
            TABLE.c.strategy_id != strategy_id,
            TABLE.c.status.in_(_UNENDED),
            TABLE.c.role.in_(_WITH_CAPITAL),
        )
        .order_by(TABLE.c.created_at)
    )
    return [(_execution(row), row.version) for row in rows]


async def unended_of_line(connection: AsyncConnection, strategy_id: str) -> list[Execution]:
    """Return what a version's line has at work with capital of it, oldest first."""
    own = registry.TABLE.alias()
    rows = await connection.execute(
        sa.select(TABLE)
        .join(registry.TABLE, registry.TABLE.c.strategy_id == TABLE.c.strategy_id)
        .join(own, own.c.strategy_name == registry.TABLE.c.strategy_name)
        .where(
            own.c.strategy_id == strategy_id,
            TABLE.c.status.in_(_UNENDED),
            TABLE.c.role.in_(_WITH_CAPITAL),
        )
        .order_by(TABLE.c.created_at, TABLE.c.execution_id)
    )
    return [_execution(row) for row in rows]


async def tied_in_line(connection: AsyncConnection, strategy_id: str) -> list[Execution]:
    """Return the ended executions of a version's line that still tie some of its capital.

    One whose feed came to its end ties nothing of what begins anew: no price comes after it.
    """
    own = registry.TABLE.alias()
    rows = await connection.execute(
        sa.select(TABLE)
        .join(registry.TABLE, registry.TABLE.c.strategy_id == TABLE.c.strategy_id)
        .join(own, own.c.strategy_name == registry.TABLE.c.strategy_name)
        .where(
            own.c.strategy_id == strategy_id,
            TABLE.c.status.not_in(_UNENDED),
            TABLE.c.role.in_(_WITH_CAPITAL),
            TABLE.c.tied.is_not(None),
            sa.func.coalesce(TABLE.c.end_reason, "") != COMPLETED,
        )
        .order_by(TABLE.c.created_at, TABLE.c.execution_id)
    )
    return [each for each in map(_execution, rows) if each.tied]


async def closed(connection: AsyncConnection) -> list[tuple[Execution, str]]:
    """Return who has what it tied in cash, to be given to the line, with the line's name."""
    rows = await connection.execute(
        sa.select(TABLE, registry.TABLE.c.strategy_name)
        .join(registry.TABLE, registry.TABLE.c.strategy_id == TABLE.c.strategy_id)
        .where(TABLE.c.closing == Closing.CLOSED.value)
        .order_by(TABLE.c.created_at, TABLE.c.execution_id)
    )
    return [(_execution(row), row.strategy_name) for row in rows]


async def ended_before(
    connection: AsyncConnection, execution_ids: Iterable[str], before: datetime
) -> list[str]:
    """Return which of some executions ended before a time."""
    wanted, found = list(execution_ids), list[str]()
    for part in (wanted[at : at + _MOST_NAMES] for at in range(0, len(wanted), _MOST_NAMES)):
        found += await connection.scalars(
            sa.select(TABLE.c.execution_id).where(
                TABLE.c.execution_id.in_(part),
                TABLE.c.status.not_in(_UNENDED),
                TABLE.c.end_time < before,
            )
        )
    return found


async def unended_for(connection: AsyncConnection, node_id: str) -> list[Execution]:
    """Return the executions that a node has to look after: its own and nobody's."""
    rows = await connection.execute(
        sa.select(TABLE)
        .where(
            sa.or_(TABLE.c.status.in_(_UNENDED), TABLE.c.closing.in_(_TO_CLOSE)),
            sa.or_(TABLE.c.node_id == node_id, TABLE.c.node_id.is_(None)),
        )
        .order_by(TABLE.c.created_at, TABLE.c.execution_id)
    )
    return [_execution(row) for row in rows]


async def unended_where(
    connection: AsyncConnection, *, execution_id: str | None, strategy_name: str | None
) -> list[Execution]:
    """Return one execution, a line's, or with neither named all, that have not ended.

    Validation apart, oldest first.
    """
    query = sa.select(TABLE).where(
        TABLE.c.status.in_(_UNENDED), TABLE.c.role != Role.VALIDATION.value
    )
    if execution_id is not None:
        query = query.where(TABLE.c.execution_id == execution_id)
    if strategy_name is not None:
        query = query.join(
            registry.TABLE, registry.TABLE.c.strategy_id == TABLE.c.strategy_id
        ).where(registry.TABLE.c.strategy_name == strategy_name)
    rows = await connection.execute(query.order_by(TABLE.c.created_at, TABLE.c.execution_id))
    return [_execution(row) for row in rows]


async def page(
    connection: AsyncConnection,
    *,
    statuses: Collection[ExecutionStatus],
    strategy_id: str | None,
    limit: int,
    offset: int,
) -> tuple[list[Execution], int]:
    """Return executions in one of `statuses`, newest first, and their number; no validation."""
    wanted: sa.ColumnElement[bool] = sa.and_(
        TABLE.c.status.in_([status.value for status in statuses]),
        TABLE.c.role != Role.VALIDATION.value,
    )
    if strategy_id is not None:
        wanted = sa.and_(wanted, TABLE.c.strategy_id == strategy_id)
    total = await connection.scalar(sa.select(sa.func.count()).select_from(TABLE).where(wanted))
    rows = await connection.execute(
        sa.select(TABLE)
        .where(wanted)
        .order_by(TABLE.c.created_at.desc(), TABLE.c.execution_id)
        .limit(limit)
        .offset(offset)
    )
    return [_execution(row) for row in rows], int(total or 0)


async def results(connection: AsyncConnection) -> tuple[int, Decimal]:
    """Return the round trips and the profit of every execution there was, validation apart."""
    rows = await connection.execute(
        sa.select(TABLE.c.trade_count, TABLE.c.pnl).where(TABLE.c.role != Role.VALIDATION.value)
    )
    found = rows.all()
    return sum(row.trade_count for row in found), sum((row.pnl for row in found), Decimal(0))


async def counts(connection: AsyncConnection) -> dict[ExecutionStatus, int]:
    """Return how many executions stand in each status, validation apart."""
    rows = await connection.execute(
        sa.select(TABLE.c.status, sa.func.count())
        .where(TABLE.c.role != Role.VALIDATION.value)
        .group_by(TABLE.c.status)
    )
    return {ExecutionStatus(status): count for status, count in rows}


_COPIED = (
    "execution_id",
    "strategy_id",
    "desired_why",
    "node_id",
    "epoch",
    "capital",
    "start_time",
    "end_time",
    "trade_count",
    "fill_count",
    "pnl",
    "final_pnl",
    "performance_metrics",
    "end_reason",
    "error",
    "confinement",
    "capital_target",
    "failure",
    "tied",
    "created_at",
    "updated_at",
)


def _row(execution: Execution) -> dict[str, Any]:
    return {name: getattr(execution, name) for name in _COPIED} | {
        "role": execution.role.value,
        "status": execution.status.value,
        "desired": execution.desired.value,
        "risk_state": execution.risk_state.value,
        "config": execution.config.to_plain(),
        "notices": list(execution.notices),
        "serves": None if execution.serves is None else asdict(execution.serves),
        "exits": execution.exits.value,
        "closing": None if execution.closing is None else execution.closing.value,
    }


def _execution(row: sa.Row[Any]) -> Execution:
    return Execution(
        **{name: getattr(row, name) for name in _COPIED},
        role=Role(row.role),
        status=ExecutionStatus(row.status),
        desired=Desired(row.desired),
        risk_state=RiskState(row.risk_state),
        config=ExecutionConfig.from_plain(row.config),
        notices=tuple(row.notices),
        serves=None if row.serves is None else msgspec.convert(row.serves, Tenure),
        exits=Exits(row.exits),
        closing=None if row.closing is None else Closing(row.closing),
    )
