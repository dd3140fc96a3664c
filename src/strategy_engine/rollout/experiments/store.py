"""The experiments' SQL."""

from decimal import Decimal
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from strategy_engine.execution.model import ExecutionConfig
from strategy_engine.infra import database
from strategy_engine.rollout.experiments.model import (
    Arm,
    Design,
    Experiment,
    Outcome,
    Result,
    State,
)

TABLE = sa.Table(
    "experiments",
    database.control,
    sa.Column("experiment_id", sa.String(40), primary_key=True),
    sa.Column("strategy_name", sa.String(100), nullable=False, index=True),
    sa.Column("state", sa.String(20), nullable=False, index=True),
    sa.Column("outcome", sa.String(20)),
    sa.Column("design", sa.JSON, nullable=False),
    sa.Column("arms", sa.JSON, nullable=False),
    sa.Column("capital", database.ExactDecimal, nullable=False),
    sa.Column("goal", sa.JSON, nullable=False),
    sa.Column("config", sa.JSON, nullable=False),
    sa.Column("handed", sa.JSON, nullable=False),
    sa.Column("start_ns", sa.BigInteger),
    sa.Column("result", sa.JSON(none_as_null=True)),
    sa.Column("message", sa.Text, nullable=False),
    sa.Column("requested_by", sa.String(100), nullable=False),
    sa.Column("created_at", database.UtcDateTime, nullable=False, index=True),
    sa.Column("running_at", database.UtcDateTime),
    sa.Column("ended_at", database.UtcDateTime),
)

_COPIED = (
    "experiment_id",
    "strategy_name",
    "capital",
    "start_ns",
    "message",
    "requested_by",
    "created_at",
    "running_at",
    "ended_at",
)


async def insert(connection: AsyncConnection, experiment: Experiment) -> None:
    """Store a new experiment."""
    await connection.execute(sa.insert(TABLE).values(**_row(experiment)))


async def update(connection: AsyncConnection, experiment: Experiment) -> None:
    """Store how an experiment that was read in the same write transaction stands now."""
    await connection.execute(
        sa.update(TABLE)
        .where(TABLE.c.experiment_id == experiment.experiment_id)
        .values(**_row(experiment))
    )


async def get(connection: AsyncConnection, experiment_id: str) -> Experiment | None:
    """Return one experiment."""
    rows = await connection.execute(sa.select(TABLE).where(TABLE.c.experiment_id == experiment_id))
    row = rows.one_or_none()
    return None if row is None else _experiment(row)


async def unended(
    connection: AsyncConnection, strategy_name: str | None = None
) -> list[Experiment]:
    """Return the experiments, of one line or of all, that have not ended, oldest first."""
    query = sa.select(TABLE).where(TABLE.c.state != State.ENDED.value)
    if strategy_name is not None:
        query = query.where(TABLE.c.strategy_name == strategy_name)
    rows = await connection.execute(query.order_by(TABLE.c.created_at, TABLE.c.experiment_id))
    return [_experiment(row) for row in rows]


async def page(
    connection: AsyncConnection,
    *,
    strategy_name: str | None,
    state: State | None,
    limit: int,
    offset: int,
) -> tuple[list[Experiment], int]:
    """Return experiments, newest first, and how many there are in all."""
    wanted: sa.ColumnElement[bool] = sa.true()
    if strategy_name is not None:
        wanted &= TABLE.c.strategy_name == strategy_name
    if state is not None:
        wanted &= TABLE.c.state == state.value
    total = await connection.scalar(sa.select(sa.func.count()).select_from(TABLE).where(wanted))
    rows = await connection.execute(
        sa.select(TABLE)
        .where(wanted)
        .order_by(TABLE.c.created_at.desc(), TABLE.c.experiment_id)
        .limit(limit)
        .offset(offset)
    )
    return [_experiment(row) for row in rows], int(total or 0)


def _row(experiment: Experiment) -> dict[str, Any]:
    return {name: getattr(experiment, name) for name in _COPIED} | {
        "state": experiment.state.value,
        "outcome": None if experiment.outcome is None else experiment.outcome.value,
        "design": msgspec.to_builtins(experiment.design),
        "arms": msgspec.to_builtins(experiment.arms),
        "goal": {name: format(target, "f") for name, target in experiment.goal.items()},
        "config": experiment.config.to_plain(),
        "handed": list(experiment.handed),
        "result": msgspec.to_builtins(experiment.result),
    }


def _experiment(row: sa.Row[Any]) -> Experiment:
    a, b = msgspec.convert(row.arms, tuple[Arm, Arm])
    return Experiment(
        **{name: getattr(row, name) for name in _COPIED},
        state=State(row.state),
        outcome=None if row.outcome is None else Outcome(row.outcome),
        design=msgspec.convert(row.design, Design),
        a=a,
        b=b,
        goal=msgspec.convert(row.goal, dict[str, Decimal]),
        config=ExecutionConfig.from_plain(row.config),
        handed=tuple(row.handed),
        result=msgspec.convert(row.result, Result | None),
    )
