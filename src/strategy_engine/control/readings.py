"""What alert rules judge: the last metrics of what runs, and how the engine is."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from typing import Any

from strategy_engine.alerts.judging import Reading
from strategy_engine.alerts.rules import Scope
from strategy_engine.api.telemetry import Health, Metrics, Telemetry
from strategy_engine.control.measuring import ENGINE
from strategy_engine.core.clock import Clock
from strategy_engine.execution.model import UNENDED, Execution, Role
from strategy_engine.execution.service import Executions
from strategy_engine.infra import presence
from strategy_engine.infra.bus import links
from strategy_engine.infra.bus.links import Link
from strategy_engine.infra.database import Database
from strategy_engine.infra.presence import Presence
from strategy_engine.performance import rollups
from strategy_engine.performance.service import Snapshots
from strategy_engine.registry.service import Registry

FRESH = timedelta(seconds=60)
SILENT_FEED = "no bar of "  # how a reader of bars says that a type is silent
# Told by a metric of its own, or never changing while the engine runs.
ELSEWHERE = frozenset({"database", "confinement", "alerts"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Reads what is measured now."""

    database: Database
    executions: Executions
    snapshots: Snapshots
    registry: Registry
    telemetry: Telemetry
    clock: Clock

    async def read(self) -> Sequence[Reading]:
        """Return the metrics of everything that runs, and of the engine."""
        running = [
            each for each in await self.executions.list(UNENDED) if each.role is not Role.VALIDATION
        ]
        lines = {each: await self._line(each) for each in {run.strategy_id for run in running}}
        metrics = await self._snapshots(running, lines)
        return [
            *(
                of_execution(each, lines[each.strategy_id], metrics.get(each.execution_id, {}))
                for each in running
            ),
            *(of_version(each, line, metrics.get(each, {})) for each, line in lines.items()),
            *(
                of_line(line, metrics.get(rollups.line_id(line), {}))
                for line in sorted(set(lines.values()))
            ),
            await self._engine(metrics.get(ENGINE, {})),
        ]

    async def _snapshots(
        self, running: Collection[Execution], lines: Mapping[str, str]
    ) -> dict[str, dict[str, Any]]:
        """Return the last metrics of all that runs, of what it belongs to, and of the engine."""
        subjects = [
            *(each.execution_id for each in running),
            *lines,
            *(rollups.line_id(each) for each in set(lines.values())),
            ENGINE,
        ]
        found = await self.snapshots.newest(subjects, start=self.clock.now() - FRESH)
        return {each.execution_id: each.metrics for each in found}

    async def _line(self, strategy_id: str) -> str:
        return (await self.registry.get(strategy_id)).content.strategy_name

    async def _engine(self, measured: Mapping[str, Any]) -> Reading:
        health = await self.telemetry.health()
        metrics = await self.telemetry.metrics()
        async with self.database.read() as connection:
            heard = await links.every(connection)
            nodes = await presence.nodes(connection)
        told = of_engine(health, metrics, heard, nodes)
        return replace(told, metrics={**numbers(measured), **told.metrics})


def of_execution(execution: Execution, line: str, metrics: Mapping[str, Any]) -> Reading:
    """Return an execution's last metrics; none of them while it has measured nothing lately."""
    return Reading(
        scope=Scope.EXECUTION,
        subject_id=execution.execution_id,
        metrics={name: float(value) for name, value in metrics.items() if rollups.is_number(value)},
        names=(execution.strategy_id, line),
        told={
            "execution_id": execution.execution_id,
            "strategy_id": execution.strategy_id,
            "line": line,
        },
    )


def of_version(strategy_id: str, line: str, metrics: Mapping[str, Any]) -> Reading:
    """Return the last metrics of a version, over all its executions."""
    return Reading(
        scope=Scope.VERSION,
        subject_id=strategy_id,
        metrics=numbers(metrics),
        names=(line,),
        told={"strategy_id": strategy_id, "line": line},
    )


def of_line(line: str, metrics: Mapping[str, Any]) -> Reading:
    """Return the last metrics of a line, over all its versions."""
    return Reading(scope=Scope.LINE, subject_id=line, metrics=numbers(metrics), told={"line": line})


def numbers(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Return those metrics that are numbers."""
    return {name: float(value) for name, value in metrics.items() if rollups.is_number(value)}


def of_engine(
    health: Health, metrics: Metrics, heard: Collection[Link], nodes: Collection[Presence]
) -> Reading:
    """Return the engine's counters by the names of `/metrics`, and what is wrong with it."""
    counters = {each.name: getattr(metrics, each.name) for each in fields(metrics)}
    unhealthy = [each for each in health.parts if not each.healthy and each.name not in ELSEWHERE]
    troubles = [each.reason for each in health.parts if each.name == "database" and each.reason]
    troubles += [f"node {each.node_id}: {each.trouble}" for each in nodes if each.trouble]
    silent = [each.detail for each in heard if each.detail.startswith(SILENT_FEED)]
    return Reading(
        scope=Scope.ENGINE,
        subject_id=ENGINE,
        metrics={
            **numbers(counters),
            "pnl": float(metrics.pnl),
            "uptime_seconds": health.uptime_seconds,
            "bus_waiting": float(metrics.bus.waiting),
            "bus_oldest_s": metrics.bus.oldest_s,
            "bus_connected": float(metrics.bus.is_connected),
            "unhealthy_parts": float(len(unhealthy)),
            "database_trouble": float(len(troubles)),
            "silent_feeds": float(len(silent)),
        },
        notes={
            "unhealthy_parts": "; ".join(f"{each.name}: {each.reason}" for each in unhealthy),
            "database_trouble": "; ".join(troubles),
            "silent_feeds": "; ".join(silent),
            "bus_oldest_s": metrics.bus.detail,
        },
    )
