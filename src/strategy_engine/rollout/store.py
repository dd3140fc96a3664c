"""The deployments' SQL."""

from dataclasses import asdict, replace
from datetime import datetime
from typing import Any

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
    sa.Column("state", sa.String(20), nullable=False, index=True),
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

_PLAIN = tuple(
    name
    for name in Deployment.__slots__
    if name not in {"options", "stages", "left_out", "state", "outcome", "approval"}
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
    wanted = TABLE.c.outcome.is_not(None)
    if since is not None:
        wanted &= TABLE.c.ended_at >= since
    rows = await connection.execute(
        sa.select(TABLE.c.outcome, sa.func.count()).where(wanted).group_by(TABLE.c.outcome)
    )
    return {Outcome(outcome): count for outcome, count in rows}


async def validated_count(connection: AsyncConnection, since: datetime | None = None) -> int:
    """Return how many pipelines have finished their stages, in all or since a time."""
    wanted = TABLE.c.validated_at.is_not(None)
    if since is not None:
        wanted &= TABLE.c.validated_at >= since
    count = await connection.scalar(sa.select(sa.func.count()).select_from(TABLE).where(wanted))
    return int(count or 0)


def options_to_plain(options: Options) -> dict[str, Any]:
    """Return the options as JSON values."""
    return asdict(options)


def _row(deployment: Deployment) -> dict[str, Any]:
    approval = deployment.approval
    return {name: getattr(deployment, name) for name in _PLAIN} | {
        "options": options_to_plain(deployment.options),
        "stages": list(deployment.stages),
        "left_out": list(deployment.left_out),
        "state": deployment.state.value,
        "outcome": deployment.outcome and deployment.outcome.value,
        "approval": approval and asdict(approval) | {"at": approval.at.isoformat()},
    }


def _deployment(row: sa.Row[Any]) -> Deployment:
    options = Options(**row.options)
    approval = row.approval
    return Deployment(
        **{name: getattr(row, name) for name in _PLAIN},
        options=replace(
            options,
            deployment_type=DeploymentType(options.deployment_type),
            handover=Handover(options.handover),
        ),
        stages=tuple(row.stages),
        left_out=tuple(row.left_out),
        state=State(row.state),
        outcome=row.outcome and Outcome(row.outcome),
        approval=approval and Approval(**approval | {"at": datetime.fromisoformat(approval["at"])}),
    )
