"""What others are told of an execution's life. Pure."""

from datetime import datetime
from decimal import Decimal

from strategy_engine.execution import rules
from strategy_engine.execution.model import UNENDED, Execution, ExecutionStatus
from strategy_engine.infra.bus import topics

_LONGEST_ERROR = 4_000


def events(before: Execution, after: Execution) -> list[topics.Payload]:
    """Return the events of one change of state, in their order; a validation run has none."""
    if rules.told_as(after.strategy_id, after.role) is None:
        return []
    found: list[topics.Payload] = []
    if before.start_time is None and after.start_time is not None:
        found.append(_started(after, after.start_time))
    if after.status is ExecutionStatus.ERROR:
        found.append(_failed(after))
    if after.status not in UNENDED:
        found.append(_stopped(after))
    return found


def _started(execution: Execution, start_time: datetime) -> topics.ExecutionStarted:
    return topics.ExecutionStarted(
        event_id=f"{execution.execution_id}.started",
        sequence=1,
        execution_id=execution.execution_id,
        strategy_id=execution.strategy_id,
        role=execution.role.value,
        feed=execution.config.feed,
        mode=execution.config.mode,
        capital=float(execution.capital),
        start_time=start_time,
    )


def _failed(execution: Execution) -> topics.StrategyError:
    return topics.StrategyError(
        event_id=f"{execution.execution_id}.error",
        sequence=1,
        execution_id=execution.execution_id,
        strategy_id=execution.strategy_id,
        error=(execution.error or "")[:_LONGEST_ERROR],
        at=execution.updated_at,
    )


def _stopped(execution: Execution) -> topics.ExecutionStopped:
    return topics.ExecutionStopped(
        event_id=f"{execution.execution_id}.stopped",
        sequence=1,
        execution_id=execution.execution_id,
        strategy_id=execution.strategy_id,
        role=execution.role.value,
        status=execution.status.value,
        end_reason=execution.end_reason or "",
        start_time=execution.start_time,
        end_time=execution.end_time or execution.updated_at,
        final_pnl=float(execution.final_pnl or Decimal(0)),
        trade_count=execution.trade_count,
        fill_count=execution.fill_count,
    )
