"""Tearsheets of executions and of versions' tests, from the ledger and the evidence."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal

import numpy as np

from strategy_engine.control.measuring import Measuring
from strategy_engine.core import clock
from strategy_engine.core.errors import NotFoundError
from strategy_engine.execution.model import Execution, ExecutionStatus
from strategy_engine.execution.service import Executions
from strategy_engine.performance import composite, tearsheet
from strategy_engine.performance.composite import Asked
from strategy_engine.performance.model import Estimate, Metrics
from strategy_engine.performance.tearsheet import Sheet
from strategy_engine.pipeline import model as pipeline
from strategy_engine.pipeline.service import Pipeline
from strategy_engine.registry.model import Content
from strategy_engine.registry.service import Registry
from strategy_engine.venue.curves import Curves

type Of = Literal["auto", "live", "paper", "backtest"]


class Sheets:
    """Draws tearsheets; nothing here writes."""

    def __init__(
        self,
        *,
        measuring: Measuring,
        reader: Curves,
        executions: Executions,
        pipeline: Pipeline,
        registry: Registry,
    ) -> None:
        self._measuring = measuring
        self._reader = reader
        self._executions = executions
        self._pipeline = pipeline
        self._registry = registry

    async def of_execution(self, execution_id: str) -> str:
        """Return the tearsheet of an execution, a validation run too.

        Raises
        ------
        NotFoundError
            If there is no such execution.
        """
        execution = await self._executions.get(execution_id)
        return tearsheet.render([await self._executed(execution, "Execution")])

    async def of_version(self, strategy_id: str, of: Of, against: str | None) -> str:
        """Return the tearsheet of a version, beside another one's if that is named.

        Raises
        ------
        NotFoundError
            If there is no such version, or nothing of that kind to show of it.
        """
        names = [strategy_id, *([] if against is None else [against])]
        return tearsheet.render([await self._version(name, of) for name in names])

    async def _version(self, strategy_id: str, of: Of) -> Sheet:
        content = (await self._registry.get(strategy_id)).content
        found: Sheet | None = None
        if of in {"auto", "live"}:
            found = await self._live(strategy_id)
        if found is None and of in {"auto", "paper"}:
            found = await self._paper(strategy_id)
        if found is None and of in {"auto", "backtest"}:
            found = await self._backtest(strategy_id, content)
        if found is None:
            kind = "execution, paper test or backtest" if of == "auto" else f"{of} run"
            raise NotFoundError(
                f"{strategy_id} has no {kind} to show yet; POST /strategies/{strategy_id}/test"
                " with test_type backtest makes one",
                field="of",
                value=of,
            )
        return found

    async def _live(self, strategy_id: str) -> Sheet | None:
        page, _ = await self._executions.page(
            statuses=tuple(ExecutionStatus), strategy_id=strategy_id, limit=1
        )
        return await self._executed(page[0], "Execution") if page else None

    async def _paper(self, strategy_id: str) -> Sheet | None:
        for _, result in await self._pipeline.latest(strategy_id):
            name = result.evidence.get("execution_id")
            if result.stage == pipeline.PAPER_TRADING and isinstance(name, str):
                return await self._executed(await self._executions.get(name), "Paper test")
        return None

    async def _backtest(self, strategy_id: str, content: Content) -> Sheet | None:
        curve = await self._pipeline.curve(strategy_id)
        if curve is None:
            return None
        found = await self._pipeline.latest(strategy_id)
        evidence = next(
            (each.evidence for _, each in found if each.stage == pipeline.BACKTEST),
            dict[str, Any](),
        )
        return _of_curve(curve, evidence.get("full", {}), content)

    async def _executed(self, execution: Execution, kind: str) -> Sheet:
        content = (await self._registry.get(execution.strategy_id)).content
        measured = await self._measuring.of_execution(execution, Asked())
        course = await self._measuring.course_of(execution)
        whole = composite.compose([course])
        costs = await self._reader.costs(execution.execution_id)
        return Sheet(
            title=f"{content.strategy_name} {content.version}",
            facts=[
                (kind, execution.execution_id),
                ("Status", execution.status.value),
                ("Role", execution.role.value),
                ("Bars", _span(course.hour.tolist()[:1], course.hour.tolist()[-1:])),
                ("Opened with", f"{course.opening:,.2f}"),
                ("Equity", f"{measured.equity:,.2f}"),
                ("Profit", f"{measured.pnl:,.2f}"),
                ("Compared with", execution.config.benchmark or "buy and hold of what is traded"),
            ],
            close_ns=course.hour,
            worth=whole.worth,
            benchmark=whole.benchmark,
            pnl=course.pnl,
            metrics=_estimates(measured.metrics),
            costs=[
                ("Fills", f"{costs.fills:,}"),
                ("Fees", f"{costs.fees:,.2f}"),
                ("Slippage", f"{costs.slippage:,.2f}"),
                ("Turnover", f"{costs.turnover:,.2f}"),
            ],
        )


def _of_curve(curve: Mapping[str, Any], full: Mapping[str, Any], content: Content) -> Sheet:
    close_ns = np.array(curve["close_ns"], dtype=np.int64)
    capital = float(curve["capital"])
    worth = np.array(curve["equity"], dtype=np.float64) / capital
    metrics = {name: Estimate(**each) for name, each in full.items() if isinstance(each, dict)}
    notes = []
    if close_ns.size < curve["bars"]:
        notes.append(
            f"The plots show {close_ns.size:,} of {curve['bars']:,} closes; the metrics are of all."
        )
    if metrics and metrics["win_rate"].n > len(curve["round_trips"]):
        notes.append(f"Round trips are the last {len(curve['round_trips']):,}.")
    return Sheet(
        title=f"{content.strategy_name} {content.version}",
        facts=[
            ("Backtest", _moment(curve["finished_at"])),
            ("Bars", _span(curve["close_ns"][:1], curve["close_ns"][-1:])),
            ("Capital", f"{capital:,.2f}"),
            ("Profit", f"{(float(worth[-1]) - 1.0) * capital if worth.size else 0.0:,.2f}"),
            ("Compared with", "buy and hold of what is traded"),
        ],
        close_ns=close_ns,
        worth=worth,
        benchmark=np.array(curve["benchmark"], dtype=np.float64),
        pnl=np.array(curve["round_trips"], dtype=np.float64),
        metrics=metrics,
        costs=[
            ("Fills", f"{curve['fills']:,}"),
            ("Fees", f"{curve['fees']:,.2f}"),
            ("Slippage", f"{curve['slippage']:,.2f}"),
        ],
        notes=notes,
    )


def _estimates(metrics: Metrics) -> dict[str, Estimate]:
    found = {name: getattr(metrics, name) for name in Metrics.__slots__}
    return {name: each for name, each in found.items() if isinstance(each, Estimate)}


def _span(first: list[int], last: list[int]) -> str:
    if not first:
        return "none yet"
    return f"{_moment(clock.from_nanos(first[0]))} to {_moment(clock.from_nanos(last[0]))}"


def _moment(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
