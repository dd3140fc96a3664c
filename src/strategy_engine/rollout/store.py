"""The deployments' SQL."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from strategy_engine.infra import database
from strategy_engine.rollout.model import (
    ENDED,
    Approval,
    Deployment,
    DeploymentType,
    Handover,
    Options,
    Outcome,
    Progress,
    Rebalance,
    State,
)

TABLE = sa.Table(
    "deployments",
    database.control,
    sa.Column("pipeline_id", sa.String(40), primary_key=True),
    sa.Column("strategy_id", sa.ForeignKey("strategies.strategy_id"), nullable=False, index=True),
    sa.Column("strategy_name", sa.String(100), nullable=False, index=True),
    sa.Column("options", sa.JSON, nullable=False),
    sa.Column("stages", sa.JSON, nullable=False),
    sa.Column("left_out", sa.JSON, nullable=False),
    sa.Column("requested_by", sa.String(100), nullable=False),
    sa.Column("node_id", sa.String(60)),
    sa.Column("state", sa.String(20), nullable=False, index=True),
    sa.Column("plan", sa.JSON, nullable=False),
    sa.Column("progress", sa.JSON, nullable=False),
    sa.Column("is_tended", sa.Boolean, nullable=False, index=True),
    sa.Column("replaces", sa.JSON, nullable=False),
    sa.Column("revalidates", sa.Boolean, nullable=False),
    sa.Column("outcome", sa.String(20)),
    sa.Column("current_stage", sa.String(40)),
    sa.Column("message", sa.Text, nullable=False),
    sa.Column("approval", sa.JSON),
    sa.Column("created_at", database.UtcDateTime, nullable=False, index=True),
    sa.Column("started_at", database.UtcDateTime),
    sa.Column("validated_at", database.UtcDateTime),
    sa.Column("ended_at", database.UtcDateTime),
)

_LISTS = ("stages", "left_out", "plan", "replaces")
_PLAIN = tuple(
    name
    for name in Deployment.__slots__
    if name not in {"options", "progress", "state", "outcome", "approval", *_LISTS}
)


async def insert(connection: AsyncConnection, deployment: Deployment) -> None:
    """Store a new deployment."""
    await connection.execute(sa.insert(TABLE).values(**_row(deployment)))


async def update(connection: AsyncConnection, deployment: Deployment) -> None:
    """Store how a deployment stands now."""
    await connection.execute(
        sa.update(TABLE)
        .where(TABLE.c.pipeline_id == deployment.pipeline_id)
        .values(**_row(deployment))
    )


async def get(connection: AsyncConnection, pipeline_id: str) -> Deployment | None:
    """Return one deployment."""
    rows = await connection.execute(sa.select(TABLE).where(TABLE.c.pipeline_id == pipeline_id))
    row = rows.one_or_none()
    return None if row is None else _deployment(row)


async def open_of(connection: AsyncConnection, strategy_id: str) -> Deployment | None:
    """Return the deployment of a version that has not ended, if there is one."""
    rows = await connection.execute(
        sa.select(TABLE)
        .where(TABLE.c.strategy_id == strategy_id, TABLE.c.state.not_in([*ENDED]))
        .order_by(TABLE.c.created_at)
        .limit(1)
    )
    row = rows.one_or_none()
    return None if row is None else _deployment(row)


async def unfinished(connection: AsyncConnection) -> list[Deployment]:
    """Return every deployment that has not ended, oldest first."""
    rows = await connection.execute(
        sa.select(TABLE).where(TABLE.c.state.not_in([*ENDED])).order_by(TABLE.c.created_at)
    )
    return [_deployment(row) for row in rows]


async def tended(connection: AsyncConnection) -> list[Deployment]:
    """Return the deployments that have ended and are not over, oldest first."""
    rows = await connection.execute(
        sa.select(TABLE).where(TABLE.c.is_tended).order_by(TABLE.c.created_at, TABLE.c.pipeline_id)
    )
    return [_deployment(row) for row in rows]


async def rolling_in_line(connection: AsyncConnection, strategy_name: str) -> list[Deployment]:
    """Return the deployments of a line that roll out, oldest first."""
    rows = await connection.execute(
        sa.select(TABLE)
        .where(TABLE.c.strategy_name == strategy_name, TABLE.c.state == State.ROLLING_OUT.value)
        .order_by(TABLE.c.created_at, TABLE.c.pipeline_id)
    )
    return [_deployment(row) for row in rows]


async def page(
    connection: AsyncConnection,
    *,
    state: State | None,
    strategy_id: str | None,
    limit: int,
    offset: int,
) -> tuple[list[Deployment], int]:
    """Return one page of deployments, newest first, and how many there are in all."""
    wanted: sa.ColumnElement[bool] = sa.true()
    if state is not None:
        wanted &= TABLE.c.state == state
    if strategy_id is not None:
        wanted &= TABLE.c.strategy_id == strategy_id
    total = await connection.scalar(sa.select(sa.func.count()).select_from(TABLE).where(wanted))
    rows = await connection.execute(
        sa.select(TABLE)
        .where(wanted)
        .order_by(TABLE.c.created_at.desc(), TABLE.c.pipeline_id)
        .limit(limit)
        .offset(offset)
    )
    return [_deployment(row) for row in rows], int(total or 0)


async def ended_counts(
    connection: AsyncConnection, since: datetime | None = None
) -> dict[Outcome, int]:
    """Return how many deployments ended with each outcome, in all or since a time."""
    wanted: sa.ColumnElement[bool] = TABLE.c.outcome.is_not(None)
    if since is not None:
        wanted &= TABLE.c.ended_at >= since
    rows = await connection.execute(
        sa.select(TABLE.c.outcome, sa.func.count()).where(wanted).group_by(TABLE.c.outcome)
    )
    return {Outcome(outcome): count for outcome, count in rows}


async def validated_count(connection: AsyncConnection, since: datetime | None = None) -> int:
    """Return how many pipelines have finished their stages, in all or since a time."""
    wanted: sa.ColumnElement[bool] = TABLE.c.validated_at.is_not(None)
    if since is not None:
        wanted &= TABLE.c.validated_at >= since
    count = await connection.scalar(sa.select(sa.func.count()).select_from(TABLE).where(wanted))
    return int(count or 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Durations:
    """How long pipelines took: how many, seconds in all, and how many took no longer than each."""

    count: int
    total_s: float
    buckets: tuple[tuple[float, int], ...]


async def durations(connection: AsyncConnection, bounds_s: Sequence[float]) -> Durations:
    """Return how long the pipelines that have finished their stages took."""
    rows = await connection.execute(
        sa.select(TABLE.c.started_at, TABLE.c.validated_at).where(
            TABLE.c.started_at.is_not(None), TABLE.c.validated_at.is_not(None)
        )
    )
    taken_s = [(row.validated_at - row.started_at).total_seconds() for row in rows]
    return Durations(
        count=len(taken_s),
        total_s=sum(taken_s),
        buckets=tuple((bound, sum(each <= bound for each in taken_s)) for bound in bounds_s),
    )


def options_to_plain(options: Options) -> dict[str, Any]:
    """Return the options as JSON values."""
    return asdict(options)


def _row(deployment: Deployment) -> dict[str, Any]:
    approval = deployment.approval
    lists = {name: list(getattr(deployment, name)) for name in _LISTS}
    plain = {name: getattr(deployment, name) for name in _PLAIN}
    return (
        plain
        | lists
        | {
            "options": options_to_plain(deployment.options),
            "progress": msgspec.to_builtins(deployment.progress),
            "is_tended": deployment.is_tended,
            "state": deployment.state.value,
            "outcome": deployment.outcome and deployment.outcome.value,
            "approval": approval and asdict(approval) | {"at": approval.at.isoformat()},
        }
    )


def _deployment(row: sa.Row[Any]) -> Deployment:
    options = Options(**row.options)
    approval = row.approval
    plain: dict[str, Any] = {name: getattr(row, name) for name in _PLAIN}
    plain |= {name: tuple(getattr(row, name)) for name in _LISTS}
    return Deployment(
        **plain,
        options=replace(
            options,
            deployment_type=DeploymentType(options.deployment_type),
            handover=Handover(options.handover),
            rebalance=Rebalance(options.rebalance),
            steps=tuple(options.steps),
        ),
        progress=msgspec.convert(row.progress, Progress),
        state=State(row.state),
        outcome=row.outcome and Outcome(row.outcome),
        approval=approval and Approval(**approval | {"at": datetime.fromisoformat(approval["at"])}),
    )
