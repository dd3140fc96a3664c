"""What the pipeline asks of the node: a run through the live path, and what runs now."""

import asyncio
from collections.abc import Sequence
from itertools import count

import numpy as np

from strategy_engine.core import clock, ids, money
from strategy_engine.core.errors import UnavailableError
from strategy_engine.execution.model import (
    COMPLETED,
    LOST,
    UNENDED,
    Execution,
    ExecutionConfig,
    ExecutionStatus,
)
from strategy_engine.execution.service import Executions
from strategy_engine.infra import audit
from strategy_engine.matching.model import DAY_NS, Action, Cause
from strategy_engine.performance import formulas
from strategy_engine.pipeline.model import Job, PaperFill, PaperRun, PaperTrip
from strategy_engine.pipeline.native.steps import decision
from strategy_engine.pipeline.risk import RunningReturns
from strategy_engine.registry.service import Registry
from strategy_engine.venue.model import OrderStatus
from strategy_engine.venue.service import EquityPoint, OrderRow, Records, Trade

PAGE = 10_000
ABORTED = "its validation was aborted"
LONGEST_S = 3_600.0  # the stage's own limit comes first; this one ends a wait nobody cancels


class PaperRuns:
    """Runs validation executions on the node, and reads what they left in the ledger."""

    def __init__(self, executions: Executions, records: Records) -> None:
        self._executions = executions
        self._records = records

    async def __call__(self, job: Job, *, start_ns: int, end_ns: int) -> PaperRun:
        """Play the bars of a range through the live path, and wait for the end."""
        config = ExecutionConfig(
            capital=job.settings.capital_nanos / money.NANOS,
            speed=0.0,
            start_ns=start_ns,
            end_ns=end_ns,
            flags=dict(job.flags),
        )
        execution_id = await self._executions.start_validation(
            job.strategy_id, config, actor=audit.ENGINE, key=job.key
        )
        try:
            ended = await self._executions.wait_ended(execution_id, LONGEST_S)
        except asyncio.CancelledError:
            await asyncio.shield(
                self._executions.stop_for_handover([execution_id], actor=audit.ENGINE)
            )
            raise
        return await self._told(ended, job)

    async def end(self, key: str) -> None:
        """Stop what still runs of a job that is wanted no more, whoever started it."""
        for number in count(1):
            name = ids.derived(ids.EXECUTION, f"{key}/{number}")
            found = await self._executions.get_many([name])
            if not found:
                return
            if found[0].status in UNENDED:
                await self._executions.stop_for_handover([name], actor=audit.ENGINE, why=ABORTED)

    async def _told(self, ended: Execution, job: Job) -> PaperRun:
        if ended.end_reason == LOST:
            raise UnavailableError(f"paper trading could not be run: {ended.error}")
        execution_id = ended.execution_id
        measured = ended.performance_metrics.get("decision_cpu_ms", 0.0)
        is_complete = ended.end_reason == COMPLETED
        orders = await self._records.orders(execution_id)
        return PaperRun(
            execution_id=execution_id,
            trades=tuple(_fill(each) for each in await self._trades(execution_id)),
            round_trips=tuple(
                PaperTrip(
                    symbol=each.symbol, entry_ns=each.entry_ns, exit_ns=each.exit_ns, pnl=each.pnl
                )
                for each in await self._records.round_trips(execution_id)
            ),
            denials=tuple(
                f"{order.denial_code}: {order.reason}"
                for order in orders
                if order.status == OrderStatus.DENIED
            ),
            reconciled=(await self._records.reconcile(execution_id)).is_exact
            if is_complete
            else None,
            decision_cpu_ms=float(measured) if ended.performance_metrics.get("bar_count") else None,
            status=COMPLETED if is_complete else ended.status.value,
            decisions=_chosen(orders)
            if job.content.is_native
            else tuple(
                (each.close_ns, each.symbol, Action(each.action).name)
                for each in await self._records.decisions(execution_id)
            ),
            error=ended.error or "",
        )

    async def _trades(self, execution_id: str) -> list[Trade]:
        found: list[Trade] = []
        while True:
            more = await self._records.trades(execution_id, limit=PAGE, offset=len(found))
            found += more
            if len(more) < PAGE:
                return found


class RunningNow:
    """Daily returns of the executions that run now, other lines' only."""

    def __init__(self, executions: Executions, records: Records, registry: Registry) -> None:
        self._executions = executions
        self._records = records
        self._registry = registry

    async def __call__(self, job: Job) -> Sequence[RunningReturns]:
        """Return one series an execution that has two days behind it."""
        own = {each.strategy_id for each in await self._registry.line(job.content.strategy_name)}
        statuses = UNENDED - {ExecutionStatus.STARTING}
        found = []
        for execution in await self._executions.list(statuses):
            if execution.strategy_id in own:
                continue
            curve = await self._records.equity(execution.execution_id)
            returns = await asyncio.to_thread(_daily, execution, curve)
            if returns is not None:
                found.append(returns)
        return found


def _chosen(orders: Sequence[OrderRow]) -> tuple[tuple[int, str, str], ...]:
    # What a native strategy decides is its orders; what the engine orders out of is not its own.
    return tuple(
        (clock.to_nanos(each.decided_at), each.symbol, decision(each.side, each.type))
        for each in orders
        if each.cause != Cause.HANDOVER
    )


def _fill(trade: Trade) -> PaperFill:
    return PaperFill(
        symbol=trade.symbol,
        side=trade.side,
        quantity=trade.quantity,
        price=trade.price,
        ts_ns=clock.to_nanos(trade.timestamp),
        pnl=trade.pnl,
    )


def _daily(execution: Execution, curve: Sequence[EquityPoint]) -> RunningReturns | None:
    if not curve or curve[0].equity <= 0:
        return None
    closes = np.array([point.close_ns for point in curve], dtype=np.int64)
    equity = np.array([float(point.equity) for point in curve])
    contributed = np.array([float(point.contributed) for point in curve])
    flow = np.diff(contributed, prepend=contributed[0])
    worth = formulas.without_flows(equity, flow, start=float(equity[0]))
    days = (closes - 1) // DAY_NS
    last = np.flatnonzero(np.append(days[1:] != days[:-1], True))
    if last.size < 2:  # noqa: PLR2004  a return needs two days
        return None
    ends = worth[last]
    return RunningReturns(
        execution_id=execution.execution_id,
        days=days[last][1:],
        returns=ends[1:] / ends[:-1] - 1.0,
        capital=max(0.0, float(execution.capital)),  # below 0 where profit was withdrawn
    )
