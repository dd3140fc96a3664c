"""HTTP door to metrics: with their samples and intervals, of one execution and of groups."""

from dataclasses import fields
from datetime import timedelta
from typing import Annotated, Literal

from fastapi import APIRouter, Query

from strategy_engine.api import (
    doors,
    executions,
    lines,
    measure_answers,
    openapi,
    readings,
    views,
)
from strategy_engine.api.services import Services
from strategy_engine.core import clock
from strategy_engine.performance import rollups
from strategy_engine.performance.composite import Asked, Measured
from strategy_engine.performance.model import Estimate, Metrics
from strategy_engine.performance.rollups import Resolution, Span

router = APIRouter(tags=["metrics"], dependencies=[doors.bearer])

ENGINE = "engine"
_LONGEST = timedelta(days=90)

Benchmark = Annotated[
    str | None,
    Query(
        min_length=1,
        max_length=100,
        pattern=doors.NOT_NUL,
        description="traded (buy and hold of that), cash, or an instrument's symbol; what each"
        " execution is compared with by its config, if not given.",
    ),
]
RiskFree = Annotated[
    float, Query(ge=-1, le=10, allow_inf_nan=False, description="The yearly risk-free rate.")
]
How = Annotated[
    Literal["auto", "10s", "1m", "1h"],
    Query(
        description="Snapshots (kept 48 h), by the minute (90 days) or by the hour (for ever);"
        " `auto` is the finest that still has the range asked for."
    ),
]
Limit = Annotated[int, Query(ge=1, le=5_000, description="The last so many.")]

ESTIMATES = tuple(each.name for each in fields(Metrics) if each.type is Estimate)


@router.get(
    "/executions/{execution_id}/metrics/history",
    summary="Read the history of metrics, by its other name",
    responses=openapi.errors(404, 422),
)
async def history(
    execution_id: doors.ExecutionId,
    given: doors.Given,
    within: doors.WithinRange,
    resolution: How = "auto",
    limit: Limit = 1_000,
) -> readings.MetricsHistory:
    """Return what `/executions/{execution_id}/metrics` does."""
    return await executions.metrics(execution_id, given, within, resolution, limit)


@router.get(
    "/executions/{execution_id}/performance",
    summary="Measure an execution",
    responses=openapi.errors(404, 422),
)
async def of_execution(
    execution_id: doors.ExecutionId,
    given: doors.Given,
    within: doors.WithinRange,
    benchmark: Benchmark = None,
    risk_free: RiskFree = 0.0,
) -> measure_answers.Performance:
    """Return every metric with its sample and interval, computed from the ledger as it is now."""
    execution = await given.executions.get(execution_id)
    asked = _asked(within, benchmark, risk_free)
    found = await given.measuring.of_execution(execution, asked)
    own = execution.config.benchmark or "traded"
    return _performance(execution_id, found, benchmark or own)


@router.get(
    "/strategies/{strategy_id}/performance",
    summary="Measure a version",
    responses=openapi.errors(404, 422),
)
async def of_version(
    strategy_id: doors.StrategyId,
    given: doors.Given,
    within: doors.WithinRange,
    benchmark: Benchmark = None,
    risk_free: RiskFree = 0.0,
) -> measure_answers.Performance:
    """Return the metrics of all executions that a version ever had, as one account."""
    await given.registry.get(strategy_id)
    asked = _asked(within, benchmark, risk_free)
    found = await given.measuring.of_version(strategy_id, asked)
    return _performance(strategy_id, found, benchmark)


@router.get(
    "/lines/{strategy_name:path}/performance",
    summary="Measure a line",
    responses=openapi.errors(404, 422),
)
async def of_line(
    strategy_name: lines.Name,
    given: doors.Given,
    within: doors.WithinRange,
    benchmark: Benchmark = None,
    risk_free: RiskFree = 0.0,
) -> measure_answers.Performance:
    """Return the metrics of all executions of a line, as one account."""
    await given.lines.look(strategy_name)
    asked = _asked(within, benchmark, risk_free)
    found = await given.measuring.of_line(strategy_name, asked)
    return _performance(strategy_name, found, benchmark)


@router.get("/engine/performance", summary="Measure everything", responses=openapi.errors(422))
async def of_engine(
    given: doors.Given,
    within: doors.WithinRange,
    benchmark: Benchmark = None,
    risk_free: RiskFree = 0.0,
) -> measure_answers.Performance:
    """Return the metrics of all executions that ever had capital, as one account."""
    found = await given.measuring.of_engine(_asked(within, benchmark, risk_free))
    return _performance(ENGINE, found, benchmark)


@router.get(
    "/strategies/{strategy_id}/metrics",
    summary="Read a version's history of metrics",
    responses=openapi.errors(404, 422),
)
async def history_of_version(
    strategy_id: doors.StrategyId,
    given: doors.Given,
    within: doors.WithinRange,
    resolution: How = "auto",
    limit: Limit = 1_000,
) -> measure_answers.GroupHistory:
    """Return a version's metrics as they were while anything of it was at work, oldest first."""
    await given.registry.get(strategy_id)
    return await _history(strategy_id, strategy_id, given, within, (resolution, limit))


@router.get(
    "/lines/{strategy_name:path}/metrics",
    summary="Read a line's history of metrics",
    responses=openapi.errors(404, 422),
)
async def history_of_line(
    strategy_name: lines.Name,
    given: doors.Given,
    within: doors.WithinRange,
    resolution: How = "auto",
    limit: Limit = 1_000,
) -> measure_answers.GroupHistory:
    """Return a line's metrics as they were while anything of it was at work, oldest first."""
    await given.lines.look(strategy_name)
    return await _history(
        strategy_name, rollups.line_id(strategy_name), given, within, (resolution, limit)
    )


@router.get(
    "/engine/metrics", summary="Read the engine's history of metrics", responses=openapi.errors(422)
)
async def history_of_engine(
    given: doors.Given,
    within: doors.WithinRange,
    resolution: How = "auto",
    limit: Limit = 1_000,
) -> measure_answers.GroupHistory:
    """Return the whole engine's metrics as they were, oldest first."""
    return await _history(ENGINE, ENGINE, given, within, (resolution, limit))


def _asked(within: doors.Range, benchmark: str | None, risk_free: float) -> Asked:
    return Asked(
        benchmark=benchmark,
        start_ns=doors.nanos(within.start),
        end_ns=doors.nanos(within.end),
        risk_free=risk_free,
    )


def _performance(
    subject: str, found: Measured, benchmark: str | None
) -> measure_answers.Performance:
    metrics = found.metrics
    return measure_answers.Performance(
        subject=subject,
        metrics={
            name: measure_answers.Estimate.model_validate(getattr(metrics, name))
            for name in ESTIMATES
        },
        returns_by="bars" if found.by == "bars" else "hours",
        benchmark=benchmark or "as configured",
        executions=found.executions,
        equity=found.equity,
        pnl=found.pnl,
        trade_count=metrics.trade_count,
        day_count=metrics.day_count,
        first=None if found.first_ns is None else clock.from_nanos(found.first_ns),
        last=None if found.last_ns is None else clock.from_nanos(found.last_ns),
    )


async def _history(
    subject: str,
    kept_as: str,
    given: Services,
    within: doors.Range,
    chosen: tuple[How, int],
) -> measure_answers.GroupHistory:
    resolution, limit = _resolution(given, within, *chosen), chosen[1]
    found = await given.snapshots.history(
        kept_as, resolution, start=within.start, end=within.end, limit=limit
    )
    return measure_answers.GroupHistory(
        subject=subject,
        resolution=resolution.value,
        metrics=[views.metrics_point(each) for each in found],
        count=len(found),
    )


def _resolution(given: Services, within: doors.Range, asked: How, limit: int) -> Resolution:
    if asked != "auto":
        return Resolution(asked)
    now = given.clock.now()
    end = min(within.end or now, now)
    return given.snapshots.choose(
        Span(start=within.start or end - _LONGEST, end=end, limit=limit), now=now
    )
