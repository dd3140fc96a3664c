"""What Prometheus is told beside the engine's counters: times, depths, processes, reasons."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from strategy_engine.core.clock import Clock
from strategy_engine.infra import meters, processes
from strategy_engine.infra.database import Database
from strategy_engine.infra.meters import ControlMeters
from strategy_engine.infra.processes import Kind, Usage
from strategy_engine.rollout import counts
from strategy_engine.rollout.model import State

_LATELY = timedelta(seconds=60)  # a node that was not heard of for longer tells nothing new


@dataclass(frozen=True, slots=True, kw_only=True)
class Scraping:
    """Gathers what every process of the engine measured."""

    database: Database
    meters: ControlMeters
    clock: Clock

    async def families(self) -> list[Metric]:
        """Return all of it as it stands."""
        async with self.database.read() as connection:
            kept = await meters.kept(connection, self.clock.now() - _LATELY)
            waiting = await counts.waiting(connection)
            undone = await counts.undone(connection)
        return [
            *self.meters.families(),
            *meters.merged(kept),
            *_processes(processes.usage(os.getppid())),  # control's parent is the supervisor
            _depths(waiting),
            _rollbacks(undone),
        ]


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
    for reason, count in sorted(undone.items()):
        family.add_metric([reason], count)
    return family
