"""HTTP door to executions: start, pause, resume and stop versions, and watch what they do."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response

from strategy_engine.api import capital, configs, doors, models, openapi, readings, services, views
from strategy_engine.execution.model import ACTIVE, Execution, ExecutionStatus
from strategy_engine.performance.rollups import Resolution, Span
from strategy_engine.venue.standings import Standing

verbs = APIRouter(prefix="/strategies", tags=["executions"], dependencies=[doors.bearer])
router = APIRouter(prefix="/executions", tags=["executions"], dependencies=[doors.bearer])

StatusFilter = Literal["active", "all", "starting", "running", "paused", "stopped", "error"]
ResolutionChoice = Literal["auto", "10s", "1m", "1h"]

_SETS = {"active": ACTIVE, "all": frozenset(ExecutionStatus)}


@verbs.post(
    "/{strategy_id}/start",
    status_code=202,
    summary="Start a version",
    responses=openapi.errors(404, 409, 501, body=True),
)
async def start(
    strategy_id: doors.StrategyId,
    given: doors.Given,
    asker: doors.Asker,
    response: Response,
    body: models.Start | None = None,
) -> readings.Started:
    """Start a deployed or stopped version; one that runs answers its execution.

    Without a body it trades as its parameters say. Follow the execution at `Location`.
    """
    asked = (body or models.Start()).execution_config
    config = configs.config_of(asked, asker)
    execution = await given.executions.start(strategy_id, config, actor=asker.name)
    response.headers["Location"] = f"/executions/{execution.execution_id}"
    return readings.Started(
        status="execution_started",
        execution_id=execution.execution_id,
        strategy_id=execution.strategy_id,
        start_time=execution.start_time,
        execution_status=execution.status.value,
    )


@verbs.post(
    "/{strategy_id}/stop", summary="Stop a version", responses=openapi.errors(404, 409, 422)
)
async def stop(
    strategy_id: doors.StrategyId, given: doors.Given, actor: doors.Actor
) -> readings.Moved:
    """Stop every execution of a version, in every role, and wait shortly for the confirmation."""
    answered = await given.executions.stop(strategy_id, actor=actor)
    return views.moved("stop", strategy_id, answered, given.clock.now())


@verbs.post(
    "/{strategy_id}/pause", summary="Pause a version", responses=openapi.errors(404, 409, 422)
)
async def pause(
    strategy_id: doors.StrategyId, given: doors.Given, actor: doors.Actor
) -> readings.Moved:
    """Let a running version take no new decisions; its stops and targets stay watched."""
    answered = await given.executions.pause(strategy_id, actor=actor)
    return views.moved("pause", strategy_id, answered, given.clock.now())


@verbs.post(
    "/{strategy_id}/resume", summary="Resume a version", responses=openapi.errors(404, 409, 422)
)
async def resume(
    strategy_id: doors.StrategyId, given: doors.Given, actor: doors.Actor
) -> readings.Moved:
    """Let a paused version decide again."""
    answered = await given.executions.resume(strategy_id, actor=actor)
    return views.moved("resume", strategy_id, answered, given.clock.now())


@router.get("", summary="List executions", responses=openapi.errors(422))
async def page(
    given: doors.Given,
    status: Annotated[
        StatusFilter,
        Query(description="`active` is starting, running, paused and error."),
    ] = "active",
    strategy_id: doors.StrategyFilter = None,
    limit: doors.Limit = 100,
    offset: doors.Offset = 0,
) -> readings.Executions:
    """Return executions, newest first; the active ones unless `status` says otherwise."""
    chosen = _SETS[status] if status in _SETS else frozenset({ExecutionStatus(status)})
    found, total = await given.executions.page(
        statuses=chosen, strategy_id=strategy_id, limit=limit, offset=offset
    )
    return readings.Executions(
        executions=[views.execution(each) for each in await _as_of_now(found, given.records)],
        count=len(found),
        total=total,
        limit=limit,
        offset=offset,
    )


@router.get("/{execution_id}", summary="Read an execution", responses=openapi.errors(404, 422))
async def get(execution_id: doors.ExecutionId, given: doors.Given) -> readings.WholeExecution:
    """Return an execution, whether it runs or has ended, and when it was interrupted."""
    (found,) = await _as_of_now([await given.executions.get(execution_id)], given.records)
    return views.whole_execution(
        found,
        await given.executions.interruptions(execution_id),
        await given.executions.stop_over(found),
    )


@router.get("/{execution_id}/trades", summary="Read fills", responses=openapi.errors(404, 422))
async def trades(
    execution_id: doors.ExecutionId,
    given: doors.Given,
    limit: Annotated[int, Query(ge=1, le=5_000, description="The most that are answered.")] = 100,
    offset: doors.Offset = 0,
) -> readings.Trades:
    """Return the fills of an execution, oldest first, with what each realised."""
    await given.executions.get(execution_id)
    found = await given.records.trades(execution_id, limit=limit, offset=offset)
    return readings.Trades(
        trades=[readings.Trade.model_validate(each) for each in found],
        count=len(found),
        total=await given.records.trade_row_count(execution_id),
        limit=limit,
        offset=offset,
    )


@router.get("/{execution_id}/orders", summary="Read orders", responses=openapi.errors(404, 422))
async def orders(
    execution_id: doors.ExecutionId,
    given: doors.Given,
    limit: Annotated[int, Query(ge=1, le=5_000, description="The most that are answered.")] = 100,
    offset: doors.Offset = 0,
) -> readings.Orders:
    """Return every order of an execution, denied ones too, oldest first, and what became of it."""
    await given.executions.get(execution_id)
    found, total = await given.records.orders_page(execution_id, limit=limit, offset=offset)
    return readings.Orders(
        orders=[readings.Order.model_validate(each) for each in found],
        count=len(found),
        total=total,
        limit=limit,
        offset=offset,
    )


@router.get(
    "/{execution_id}/equity", summary="Read the equity curve", responses=openapi.errors(404, 422)
)
async def equity(
    execution_id: doors.ExecutionId,
    given: doors.Given,
    start: doors.Start = None,
    end: doors.End = None,
    points: Annotated[
        int, Query(ge=2, le=5_000, description="Thin the curve evenly to so many points.")
    ] = 1_000,
) -> readings.Equity:
    """Return the account at the closes of bars, oldest first."""
    await given.executions.get(execution_id)
    found = await given.records.equity(
        execution_id, start_ns=doors.nanos(start), end_ns=doors.nanos(end), max_points=points
    )
    return readings.Equity(
        execution_id=execution_id,
        equity=[views.equity_point(each) for each in found],
        count=len(found),
    )


@router.get("/{execution_id}/capital", summary="Read capital", responses=openapi.errors(404, 422))
async def capital_of(
    execution_id: doors.ExecutionId,
    given: doors.Given,
    limit: Annotated[int, Query(ge=1, le=5_000, description="The most that are answered.")] = 100,
    offset: doors.Offset = 0,
) -> capital.Capital:
    """Return what an execution was given in all, what it is to have, and every flow of cash."""
    found = await given.executions.get(execution_id)
    accounts = await given.records.accounts([execution_id])
    flows = await given.records.capital_flows(execution_id, limit=limit, offset=offset)
    return capital.capital(found, accounts.get(execution_id), flows, limit=limit, offset=offset)


@router.get(
    "/{execution_id}/metrics",
    summary="Read the history of metrics",
    responses=openapi.errors(404, 422),
)
async def metrics(
    execution_id: doors.ExecutionId,
    given: doors.Given,
    within: doors.WithinRange,
    resolution: Annotated[
        ResolutionChoice,
        Query(
            description="Snapshots (kept 48 h), by the minute (90 days) or by the hour (for ever);"
            " `auto` is the finest that still has the range asked for, in at most `limit` points."
        ),
    ] = "auto",
    limit: Annotated[int, Query(ge=1, le=5_000, description="The last so many.")] = 1_000,
) -> readings.MetricsHistory:
    """Return an execution's metrics as they were, oldest first.

    What is asked for is answered at the resolution that is told; a minute or an hour without a
    snapshot has no point. The newest ones may still be filling.
    """
    execution = await given.executions.get(execution_id)
    if resolution == "auto":
        now = given.clock.now()
        chosen = given.snapshots.choose(_lived(execution, within, now, limit), now=now)
    else:
        chosen = Resolution(resolution)
    found = await given.snapshots.history(
        execution_id, chosen, start=within.start, end=within.end, limit=limit
    )
    return readings.MetricsHistory(
        execution_id=execution_id,
        resolution=chosen.value,
        metrics=[views.metrics_point(each) for each in found],
        count=len(found),
    )


async def _as_of_now(found: Sequence[Execution], records: services.Records) -> list[Execution]:
    # A row has its results every few seconds, the ledger with each fill; one that stopped is final.
    going = [each.execution_id for each in found if each.status is not ExecutionStatus.STOPPED]
    standings = await records.standings(going)
    return [_as_of(each, standings.get(each.execution_id)) for each in found]


def _as_of(row: Execution, now: Standing | None) -> Execution:
    if now is None:
        return row
    return replace(row, fill_count=now.fill_count, trade_count=now.trade_count, pnl=now.pnl)


def _lived(execution: Execution, within: doors.Range, now: datetime, limit: int) -> Span:
    last = execution.end_time or now
    return Span(
        start=max(within.start or execution.created_at, execution.created_at),
        end=last if within.end is None else min(within.end, last),
        limit=limit,
    )
