"""The engine's entities as answers show them. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from strategy_engine.api import (
    answers,
    market_answers,
    plain,
    readings,
    rollout_views,
    services,
    serving,
    telemetry,
)
from strategy_engine.core import clock
from strategy_engine.execution import interruptions
from strategy_engine.execution.model import UNENDED, Answered, Execution
from strategy_engine.execution.stops import Stop
from strategy_engine.market.model import (
    QUOTE_COLUMNS,
    TRADE_COLUMNS,
    Bars,
    Instrument,
    Quotes,
    Timeframe,
    Trades,
)
from strategy_engine.performance.service import Point
from strategy_engine.pipeline.model import StageResult
from strategy_engine.registry.model import Strategy
from strategy_engine.rollout import events
from strategy_engine.rollout.model import Deployment
from strategy_engine.venue.service import EquityPoint

SECONDS_PER_MINUTE = 60
VERBS = {
    "stop": ("stopped", "stopping"),
    "pause": ("paused", "pausing"),
    "resume": ("resumed", "resuming"),
}
_ESTIMATES = "estimates"  # of a snapshot: the sample and the interval of each figure


def strategy_summary(strategy: Strategy) -> answers.StrategySummary:
    """Return a version without its source."""
    return answers.StrategySummary(**_strategy_fields(strategy))


def strategy(whole: Strategy) -> answers.Strategy:
    """Return a version whole."""
    content = whole.content
    return answers.Strategy(
        **_strategy_fields(whole),
        code=content.code,
        parameters=content.parameters,
        risk_limits=content.risk_limits,
        tests=content.tests,
        digest=content.digest,
    )


def changed(status: Any, strategy: Strategy) -> answers.Changed:
    """Return what was done to a version."""
    return answers.Changed(
        status=status,
        strategy_id=strategy.strategy_id,
        strategy_name=strategy.content.strategy_name,
        version=strategy.content.version,
        strategy_status=strategy.status.value,
    )


def stage_result(result: StageResult) -> answers.StageResult:
    """Return how a stage ended, with the fields of its evidence that are shown first."""
    return answers.StageResult(**_fields_beside(result, result.headline()))


def whole_result(result: StageResult) -> answers.StageResult:
    """Return how a stage ended, with everything that it measured."""
    return answers.StageResult(**_fields_beside(result, result.evidence))


def detailed_result(result: StageResult) -> answers.DetailedResult:
    """Return how a stage ended, with its evidence as a member of its own."""
    return answers.DetailedResult(
        **_fields_beside(result, result.headline()), evidence=result.evidence
    )


def deployment_summary(deployment: Deployment) -> answers.DeploymentSummary:
    """Return where a deployment is."""
    return answers.DeploymentSummary(**_deployment_fields(deployment))


def deployment_status(followed: services.Followed) -> answers.DeploymentStatus:
    """Return where a deployment is, and the headlines of its finished stages."""
    return answers.DeploymentStatus(
        **_deployment_fields(followed.deployment),
        stages_completed=len(followed.results),
        results={each.stage: stage_result(each) for each in followed.results},
        rollout=rollout_views.rollout(followed.deployment),
    )


def deployment(followed: services.Followed) -> answers.Deployment:
    """Return a deployment whole."""
    found = followed.deployment
    approval = found.approval
    return answers.Deployment(
        **_deployment_fields(found),
        stages_completed=len(followed.results),
        results={each.stage: detailed_result(each) for each in followed.results},
        requested_by=found.requested_by,
        node_id=found.node_id,
        revalidates=found.revalidates,
        options=plain.plain(asdict(found.options)),
        approval=None if approval is None else answers.ApprovalGiven.model_validate(approval),
        validated_at=found.validated_at,
        rollout=rollout_views.rollout(found),
    )


def deployment_event(event: events.Event) -> answers.DeploymentEvent:
    """Return one thing that happened to a deployment."""
    names = [each for each in answers.DeploymentEvent.model_fields if each != "event_id"]
    shown = {name: getattr(event, name) for name in names}
    return answers.DeploymentEvent(event_id=str(event.cursor), **shown)


def deployment_events(history: events.History) -> answers.DeploymentEvents:
    """Return what happened to a deployment, and how it stands."""
    found = history.deployment
    return answers.DeploymentEvents(
        pipeline_id=found.pipeline_id,
        strategy_id=found.strategy_id,
        status=found.state.value,
        outcome=None if found.outcome is None else found.outcome.value,
        has_ended=history.has_ended,
        events=[deployment_event(each) for each in history.events],
        count=len(history.events),
    )


def whole_execution(
    found: Execution, gaps: Sequence[interruptions.Interruption], stop: Stop | None
) -> readings.WholeExecution:
    """Return an execution as it is, what stops it, and when it did not run though it should."""
    return readings.WholeExecution(
        **dict(execution(found)),
        emergency_stop=None if stop is None else readings.StopInForce.model_validate(stop),
        restart_count=sum(each.kind == interruptions.CRASH for each in gaps),
        interruptions=[readings.Interruption.model_validate(each) for each in gaps],
    )


def execution(found: Execution) -> readings.Execution:
    """Return an execution as it is."""
    return readings.Execution(
        execution_id=found.execution_id,
        strategy_id=found.strategy_id,
        status=found.status.value,
        start_time=found.start_time,
        trade_count=found.trade_count,
        pnl=plain.number(found.pnl),
        performance_metrics=metrics(found.performance_metrics),
        role=found.role.value,
        risk_state=found.risk_state.value,
        desired=found.desired.value,
        capital=plain.number(found.capital_left),
        capital_target=None if found.status not in UNENDED else found.capital_target,
        serves=None if found.serves is None else serving.shown(found.serves),
        exits=found.exits.value,
        failure=found.failure,
        closing=None if found.closing is None else found.closing.value,
        created_at=found.created_at,
        end_time=found.end_time,
        fill_count=found.fill_count,
        final_pnl=None if found.final_pnl is None else plain.number(found.final_pnl),
        error=found.error,
        end_reason=found.end_reason,
        config=found.config.to_plain(),
        confinement=found.confinement,
        notices=list(found.notices),
        node_id=found.node_id,
        epoch=found.epoch,
    )


def metrics_point(point: Point) -> readings.MetricsPoint:
    """Return metrics as they were, with the samples and intervals that they had."""
    estimates = point.metrics.get(_ESTIMATES, {})
    return readings.MetricsPoint(
        timestamp=point.at,
        samples=point.samples,
        metrics=metrics(point.metrics),
        estimates={
            name: readings.Sample(n=n, low=low, high=high)
            for name, (n, low, high) in estimates.items()
        },
    )


def metrics(measured: Mapping[str, Any]) -> readings.PerformanceMetrics:
    """Return metrics whose every figure is a number, 0.0 until it is defined."""
    shown = {name: plain.plain(value) for name, value in measured.items() if name != _ESTIMATES}
    return readings.PerformanceMetrics.model_validate(
        {name: 0.0 if value is None else value for name, value in shown.items()}
    )


def moved(verb: str, strategy_id: str, answered: Answered, now: datetime) -> readings.Moved:
    """Return what was done to a version's executions, or that it is still being done."""
    done, going_on = VERBS[verb]
    executions = answered.executions
    first = executions[0] if executions else None
    return readings.Moved(
        status=f"execution_{done if answered.is_confirmed else going_on}",
        execution_id=first and first.execution_id,
        strategy_id=strategy_id,
        execution_status=first and first.status.value,
        duration_minutes=_minutes(first, now) if first else 0.0,
        executions=[each.execution_id for each in executions],
        message=answered.note,
    )


def instrument(found: Instrument, timeframes: Sequence[Timeframe]) -> market_answers.Instrument:
    """Return an instrument and the timeframes of its bars."""
    return market_answers.Instrument(
        symbol=found.symbol,
        venue=found.venue,
        currency=found.currency,
        tick_size=plain.number(found.tick_size),
        lot_size=plain.number(found.lot_size),
        calendar=found.calendar.value,
        default_timeframe=str(found.default_timeframe),
        timeframes=[str(each) for each in timeframes],
        note=found.note,
        native_class=found.native.class_name if found.native else "",
    )


def quotes(symbol: str, found: Quotes) -> market_answers.Quotes:
    """Return quotes as rows."""
    rows = [market_answers.Quote.model_validate(each) for each in _rows(found, QUOTE_COLUMNS)]
    return market_answers.Quotes(symbol=symbol, quotes=rows, count=len(rows))


def market_trades(symbol: str, found: Trades) -> market_answers.MarketTrades:
    """Return trades as rows."""
    rows = [market_answers.MarketTrade.model_validate(each) for each in _rows(found, TRADE_COLUMNS)]
    return market_answers.MarketTrades(symbol=symbol, trades=rows, count=len(rows))


def _rows(found: Quotes | Trades, names: tuple[str, ...]) -> Iterator[dict[str, object]]:
    columns = (found.ts_ns.tolist(), *(getattr(found, name).tolist() for name in names))
    for ts_ns, *values in zip(*columns, strict=True):
        yield {"timestamp": clock.from_nanos(ts_ns), **dict(zip(names, values, strict=True))}


def bars(symbol: str, timeframe: str, found: Bars) -> market_answers.Bars:
    """Return bars as rows."""
    columns = (found.ts_ns, found.open, found.high, found.low, found.close, found.volume)
    names = ("timestamp", "open", "high", "low", "close", "volume")
    rows = [
        market_answers.Bar.model_validate(
            dict(zip(names, (clock.from_nanos(int(ts_ns)), *values), strict=True))
        )
        for ts_ns, *values in zip(*(each.tolist() for each in columns), strict=True)
    ]
    return market_answers.Bars(symbol=symbol, timeframe=timeframe, bars=rows, count=len(rows))


def equity_point(point: EquityPoint) -> readings.EquityPoint:
    """Return an account at the close of a bar."""
    return readings.EquityPoint(
        timestamp=clock.from_nanos(point.close_ns),
        equity=plain.number(point.equity),
        cash=plain.number(point.cash),
        contributed=plain.number(point.contributed),
    )


def health(found: telemetry.Health) -> readings.Health:
    """Return how the engine is: degraded if a part is, unavailable if control cannot serve."""
    parts = [
        readings.Part(
            name=each.name, status="healthy" if each.healthy else "degraded", reason=each.reason
        )
        for each in found.parts
    ]
    is_whole = all(each.healthy for each in found.parts)
    return readings.Health(
        status="unavailable" if not found.serving else "healthy" if is_whole else "degraded",
        strategies_deployed=found.strategies_deployed,
        pipelines_executed=found.pipelines_executed,
        tests_completed=found.tests_completed,
        active_strategies=found.active_strategies,
        active_executions=found.active_executions,
        uptime_seconds=found.uptime_seconds,
        messagebus_connected=found.messagebus_connected,
        parts=parts,
    )


def _strategy_fields(strategy: Strategy) -> dict[str, Any]:
    return {
        "strategy_id": strategy.strategy_id,
        "strategy_name": strategy.content.strategy_name,
        "version": strategy.content.version,
        "status": strategy.status.value,
        "code_hash": strategy.content.code_hash,
        "created_at": strategy.created_at,
        "updated_at": strategy.updated_at,
    }


def _fields_beside(result: StageResult, measured: Any) -> dict[str, Any]:
    shown: dict[str, Any] = plain.shown(measured)
    findings = [answers.Finding.model_validate(each) for each in result.findings]
    return shown | {
        "passed": result.passed,
        "duration_ms": result.duration_ms,
        "verdict": result.verdict.value,
        "message": result.message,
        "findings": findings,
    }


def _deployment_fields(deployment: Deployment) -> dict[str, Any]:
    return {
        "pipeline_id": deployment.pipeline_id,
        "strategy_id": deployment.strategy_id,
        "strategy_name": deployment.strategy_name,
        "deployment_type": deployment.options.deployment_type.value,
        "current_stage": deployment.current_stage,
        "status": deployment.state.value,
        "outcome": None if deployment.outcome is None else deployment.outcome.value,
        "message": deployment.message,
        "created_at": deployment.created_at,
        "started_at": deployment.started_at,
        "ended_at": deployment.ended_at,
        "stages": list(deployment.stages),
        "left_out": list(deployment.left_out),
        "total_stages": len(deployment.stages),
    }


def _minutes(execution: Execution, now: datetime) -> float:
    if execution.start_time is None:
        return 0.0
    lasted = (execution.end_time or now) - execution.start_time
    return max(0.0, lasted.total_seconds() / SECONDS_PER_MINUTE)
