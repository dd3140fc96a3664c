"""What Prometheus is told beside the engine's counters: times, depths, processes, executions."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from strategy_engine.core.clock import Clock
from strategy_engine.execution.model import Execution
from strategy_engine.execution.service import Executions
from strategy_engine.infra import meters, processes
from strategy_engine.infra.database import Database
from strategy_engine.infra.meters import ControlMeters
from strategy_engine.infra.processes import Kind, Usage
from strategy_engine.pipeline.model import STAGES
from strategy_engine.pipeline.service import Pipeline
from strategy_engine.registry.service import Registry
from strategy_engine.rollout import counts
from strategy_engine.rollout.model import State
from strategy_engine.rollout.rules import Reason
from strategy_engine.rollout.verbs import REASONS

MOST_EXECUTIONS = 500  # series of one execution each: the newest, so that there is a bound
_UNDOES = (
    Reason.NOT_READY,
    Reason.STUCK,
    Reason.FEED_OVER,
    Reason.FAILED,
    Reason.SILENT,
    Reason.REJECTS,
    Reason.MISMATCH,
    Reason.SLOW,
    Reason.SLIPPAGE,
    Reason.ORDER_RATE,
    Reason.EXPOSURE,
    Reason.LOSS_BUDGET,
    Reason.WORSE,
    Reason.RISK,
)
_LATELY = timedelta(seconds=60)  # a node that was not heard of for longer tells nothing new


@dataclass(frozen=True, slots=True, kw_only=True)
class Scraping:
    """Gathers what every process of the engine measured."""

    database: Database
    meters: ControlMeters
    clock: Clock
    executions: Executions
    registry: Registry
    pipeline: Pipeline
    _named: dict[str, tuple[str, str]] = field(default_factory=dict, repr=False)

    async def families(self) -> list[Metric]:
        """Return all of it as it stands."""
        async with self.database.read() as connection:
            kept = await meters.kept(connection, self.clock.now() - _LATELY)
            waiting = await counts.waiting(connection)
            undone = await counts.undone(connection)
        return [
            *meters.merged(self.meters.families(), kept),
            *_processes(processes.usage(os.getppid())),  # control's parent is the supervisor
            _depths(waiting),
            _rollbacks(undone),
            _stage_failures(await self.pipeline.stage_failures()),
            *await self._executions(),
        ]

    async def _executions(self) -> Sequence[Metric]:
        found, _ = await self.executions.page(limit=MOST_EXECUTIONS)
        labelled = [(each, await self._labels(each)) for each in found]
        return [_gauge(name, what, read, labelled) for name, what, read in _EXECUTION]

    async def _labels(self, execution: Execution) -> list[str]:
        version = execution.strategy_id
        if version not in self._named:  # neither name nor version ever changes
            content = (await self.registry.get(version)).content
            self._named[version] = (content.strategy_name, content.version)
        return [execution.execution_id, *self._named[version], execution.role.value]


def _of(name: str) -> Callable[[Execution], float]:
    return lambda each: float(each.performance_metrics.get(name, 0.0))


_EXECUTION: tuple[tuple[str, str, Callable[[Execution], float]], ...] = (
    ("pnl", "Profit beyond what was contributed.", lambda each: float(each.pnl)),
    ("capital", "What was contributed.", lambda each: float(each.capital)),
    ("fills", "Fills so far.", lambda each: float(each.fill_count)),
    ("round_trips", "Round trips closed so far.", lambda each: float(each.trade_count)),
    ("sharpe_ratio", "Sharpe ratio of its bar returns, a year.", _of("sharpe_ratio")),
    ("max_drawdown", "Deepest drawdown, a fraction, negative.", _of("max_drawdown")),
    ("win_rate", "Share of its round trips that won.", _of("win_rate")),
    ("decision_latency_ms", "Median of its decisions' times.", _of("decision_latency_ms")),
)


def _gauge(
    name: str,
    what: str,
    read: Callable[[Execution], float],
    labelled: Sequence[tuple[Execution, list[str]]],
) -> Metric:
    family = GaugeMetricFamily(
        f"strategy_execution_{name}",
        f"Of an active execution: {what}",
        labels=["execution_id", "strategy_name", "version", "role"],
    )
    for each, labels in labelled:
        family.add_metric(labels, read(each))
    return family


def _stage_failures(failed: Mapping[str, int]) -> Metric:
    family = CounterMetricFamily(
        "strategy_stage_failures", "Stage runs that did not pass.", labels=["stage"]
    )
    for stage in STAGES:
        family.add_metric([stage], failed.get(stage, 0))
    return family


def _processes(found: Mapping[Kind, Usage]) -> Iterator[Metric]:
    how_many = GaugeMetricFamily(
        "strategy_processes", "Processes of the engine on control's machine.", labels=["kind"]
    )
    memory = GaugeMetricFamily(
        "strategy_process_memory_bytes",
        "Their memory, shared pages counted once.",
        labels=["kind"],
    )
    cpu = CounterMetricFamily(
        "strategy_process_cpu_seconds", "CPU that they have used.", labels=["kind"]
    )
    for kind, each in found.items():
        how_many.add_metric([kind.value], each.count)
        memory.add_metric([kind.value], each.memory_bytes)
        cpu.add_metric([kind.value], each.cpu_s)
    yield from (how_many, memory, cpu)


def _depths(waiting: Mapping[State, int]) -> Metric:
    family = GaugeMetricFamily(
        "strategy_deployments_open", "Deployments that have not ended.", labels=["state"]
    )
    for state, count in waiting.items():
        family.add_metric([state.value], count)
    return family


def _rollbacks(undone: Mapping[str, int]) -> Metric:
    family = CounterMetricFamily(
        "strategy_rollbacks", "Rollouts that were undone, by why.", labels=["reason"]
    )
    known = {each.value for each in _UNDOES} | {*REASONS.values()} | undone.keys()
    for reason in sorted(known):  # from 0 on, so that the first one is an increase
        family.add_metric([reason], undone.get(reason, 0))
    return family
