"""The pipeline's SQL: what every finished stage run found."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from strategy_engine.infra import database
from strategy_engine.pipeline.model import STAGES, Finding, Level, StageResult, Verdict
from strategy_engine.registry import store as registry

TABLE = sa.Table(
    "stage_results",
    database.control,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("pipeline_id", sa.String(40)),
    sa.Column("strategy_id", sa.String(40), nullable=False, index=True),
    sa.Column("digest", sa.String(64), nullable=False),
    sa.Column("stage", sa.String(40), nullable=False),
    sa.Column("passed", sa.Boolean, nullable=False),
    sa.Column("verdict", sa.String(20), nullable=False),
    sa.Column("duration_ms", sa.Float, nullable=False),
    sa.Column("message", sa.Text, nullable=False),
    sa.Column("findings", sa.JSON, nullable=False),
    sa.Column("evidence", sa.JSON, nullable=False),
    sa.Column("finished_at", database.UtcDateTime, nullable=False, index=True),
    sa.UniqueConstraint("pipeline_id", "stage"),
)


async def insert(
    connection: AsyncConnection,
    result: StageResult,
    *,
    pipeline_id: str | None,
    strategy_id: str,
    digest: str,
    finished_at: datetime,
) -> None:
    """Store a result; a stage that a pipeline has finished already changes nothing."""
    values = {
        "pipeline_id": pipeline_id,
        "strategy_id": strategy_id,
        "digest": digest,
        "stage": result.stage,
        "passed": result.passed,
        "verdict": str(result.verdict),
        "duration_ms": result.duration_ms,
        "message": result.message,
        "findings": [asdict(each) for each in result.findings],
        "evidence": dict(result.evidence),
        "finished_at": finished_at,
    }
    build = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    await connection.execute(
        build(TABLE)
        .values(**values)
        .on_conflict_do_nothing(index_elements=["pipeline_id", "stage"])
    )


async def find(connection: AsyncConnection, pipeline_id: str, stage: str) -> StageResult | None:
    """Return what a pipeline's stage found, if it has finished."""
    rows = await connection.execute(
        sa.select(TABLE).where(TABLE.c.pipeline_id == pipeline_id, TABLE.c.stage == stage)
    )
    row = rows.one_or_none()
    return None if row is None else _result(row)


async def of_pipeline(connection: AsyncConnection, pipeline_id: str) -> list[StageResult]:
    """Return what a pipeline's stages have found so far, in the pipeline's order."""
    rows = await connection.execute(sa.select(TABLE).where(TABLE.c.pipeline_id == pipeline_id))
    return sorted((_result(row) for row in rows), key=lambda each: STAGES.index(each.stage))


async def after(
    connection: AsyncConnection, pipeline_id: str, result_id: int
) -> list[tuple[int, datetime, StageResult]]:
    """Return what a pipeline's stages found after a result, with when they ended, by their ids."""
    rows = await connection.execute(
        sa.select(TABLE)
        .where(TABLE.c.pipeline_id == pipeline_id, TABLE.c.id > result_id)
        .order_by(TABLE.c.id)
    )
    return [(row.id, row.finished_at, _result(row)) for row in rows]


async def latest(
    connection: AsyncConnection, strategy_id: str, *, limit: int
) -> list[tuple[datetime, StageResult]]:
    """Return the last results of a version, newest first, with when they ended."""
    rows = await connection.execute(
        sa.select(TABLE)
        .where(TABLE.c.strategy_id == strategy_id)
        .order_by(TABLE.c.id.desc())
        .limit(limit)
    )
    return [(row.finished_at, _result(row)) for row in rows]


async def count(connection: AsyncConnection, since: datetime | None = None) -> int:
    """Return how many stage runs have finished, since a time or ever."""
    query = sa.select(sa.func.count()).select_from(TABLE)
    if since is not None:
        query = query.where(TABLE.c.finished_at >= since)
    return int(await connection.scalar(query) or 0)


async def durations(
    connection: AsyncConnection, bounds_s: Sequence[float]
) -> dict[str, tuple[int, float, list[tuple[float, int]]]]:
    """Return, for every stage that ran: runs, seconds in all, and how many took no longer."""
    within = [
        sa.func.sum(sa.case((TABLE.c.duration_ms <= bound * 1_000, 1), else_=0))
        for bound in bounds_s
    ]
    rows = await connection.execute(
        sa.select(
            TABLE.c.stage, sa.func.count(), sa.func.sum(TABLE.c.duration_ms), *within
        ).group_by(TABLE.c.stage)
    )
    return {
        stage: (runs, total / 1_000, _buckets(bounds_s, counts))
        for stage, runs, total, *counts in rows
    }


async def failures(connection: AsyncConnection) -> dict[str, int]:
    """Return, for every stage that ran, how many of its runs did not pass."""
    failed = sa.func.sum(sa.case((TABLE.c.passed, 0), else_=1))
    rows = await connection.execute(sa.select(TABLE.c.stage, failed).group_by(TABLE.c.stage))
    return {stage: int(count) for stage, count in rows}


async def trials(connection: AsyncConnection, strategy_name: str, digest: str) -> int:
    """Return how many different contents of a line were backtested, this one counted."""
    digests = await connection.scalars(
        sa.select(TABLE.c.digest)
        .distinct()
        .join(registry.TABLE, registry.TABLE.c.strategy_id == TABLE.c.strategy_id)
        .where(
            registry.TABLE.c.strategy_name == strategy_name,
            TABLE.c.stage.in_(("backtest", "performance_validation")),
        )
    )
    return len({*digests, digest})


def _buckets(bounds_s: Sequence[float], counts: Iterable[Any]) -> list[tuple[float, int]]:
    return [(bound, int(found)) for bound, found in zip(bounds_s, counts, strict=True)]


def _result(row: sa.Row[Any]) -> StageResult:
    return StageResult(
        stage=row.stage,
        passed=row.passed,
        verdict=Verdict(row.verdict),
        duration_ms=row.duration_ms,
        message=row.message,
        findings=tuple(
            Finding(level=Level(each["level"]), message=each["message"], where=each["where"])
            for each in row.findings
        ),
        evidence=row.evidence,
    )
