"""How the engine is and what it has done, read from the rows that survive restarts."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

from prometheus_client.core import Metric
from sqlalchemy.exc import SQLAlchemyError

from strategy_engine.api.telemetry import Durations, Health, Metrics, Part
from strategy_engine.control import telling
from strategy_engine.control.buswatch import BusWatch
from strategy_engine.control.scraping import Scraping
from strategy_engine.core.clock import Clock
from strategy_engine.execution.model import UNENDED
from strategy_engine.execution.service import Executions
from strategy_engine.infra import presence
from strategy_engine.infra.database import Database
from strategy_engine.infra.outages import DatabaseAwayError
from strategy_engine.pipeline.model import STAGES
from strategy_engine.pipeline.service import Pipeline
from strategy_engine.registry.model import LIVE, Status
from strategy_engine.registry.service import Registry
from strategy_engine.rollout.model import Outcome
from strategy_engine.rollout.service import Rollouts, Tally
from strategy_engine.sandbox.model import ConfinementReport

LATELY = timedelta(hours=24)
HEALTH_S = 2.0
BUCKETS_S = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
# From nought on, so that the first run of a stage is an increase.
_NEVER_RAN = Durations(count=0, total_s=0.0, buckets=tuple((each, 0) for each in BUCKETS_S))
COMPLETED = (Outcome.PROMOTED, Outcome.REVALIDATED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Telemetry:
    """Counts rows; keeps of its own since when it runs, and what it counted last."""

    database: Database
    registry: Registry
    rollouts: Rollouts
    pipeline: Pipeline
    executions: Executions
    clock: Clock
    started_s: float  # by the monotonic clock, which all processes of a machine share
    wall: ConfinementReport
    bus: BusWatch
    scraping: Scraping
    _counted: list[Health] = field(default_factory=list, repr=False)  # the last one, if any

    async def health(self) -> Health:
        """Return the engine's health; without its database, the counters are the last ones."""
        try:
            async with asyncio.timeout(HEALTH_S):
                found = await self._health()
        except TimeoutError:
            return self._without_database(f"it has not answered for {HEALTH_S:g} s")
        except (SQLAlchemyError, DatabaseAwayError) as error:
            return self._without_database(str(error))
        self._counted[:] = [found]
        return found

    def _without_database(self, why: str) -> Health:
        is_known = bool(self._counted)
        since = "what is counted is what was before" if is_known else "nothing could be counted"
        reason = f"{self.database.trouble or why}; {since}"
        away = Part(name="database", healthy=False, reason=reason)
        before = self._counted[0] if is_known else self._nothing()
        others = tuple(each for each in before.parts if each.name != away.name)
        return replace(before, parts=(away, *others), uptime_seconds=self._uptime().total_seconds())

    def _nothing(self) -> Health:
        return Health(
            serving=True,
            parts=(),
            strategies_deployed=0,
            pipelines_executed=0,
            tests_completed=0,
            active_strategies=0,
            active_executions=0,
            uptime_seconds=0.0,
            messagebus_connected=not self.bus.settings.is_remote,
        )

    async def metrics(self) -> Metrics:
        """Return the counters."""
        window = min(LATELY, max(self._uptime(), timedelta(seconds=1)))
        hours = window / timedelta(hours=1)
        tally = await self.rollouts.tally(window, BUCKETS_S)
        versions = await self.registry.counts()
        executions = await self.executions.counts()
        trade_count, pnl = await self.executions.results()
        ended = sum(tally.ended.values())
        completed = _completed(tally)
        unearned = ended - tally.ended.get(Outcome.REJECTED, 0)
        return Metrics(
            deployments_per_hour=tally.completed_lately / hours,
            pipelines_per_hour=tally.validated_lately / hours,
            total_strategies=sum(versions.values()),
            total_deployments=completed,
            total_pipelines=tally.validated,
            active_executions=sum(executions.get(each, 0) for each in UNENDED),
            success_rate=completed / ended if ended else 0.0,
            success_rate_without_rejections=completed / unearned if unearned else 0.0,
            containerized=_is_containerized(),
            trade_count=trade_count,
            pnl=pnl,
            bus=await self.bus.bus(self.clock.now()),
            deployment_errors=ended - completed,
            pipeline_durations=Durations(
                count=tally.durations.count,
                total_s=tally.durations.total_s,
                buckets=tally.durations.buckets,
            ),
            stage_durations=dict.fromkeys(STAGES, _NEVER_RAN)
            | {
                stage: Durations(count=runs, total_s=total_s, buckets=tuple(buckets))
                for stage, (runs, total_s, buckets) in (
                    await self.pipeline.stage_durations(BUCKETS_S)
                ).items()
            },
        )

    async def measured(self) -> Sequence[Metric]:
        """Return what the engine's processes measure of themselves."""
        return await self.scraping.families()

    async def _health(self) -> Health:
        now = self.clock.now()
        async with self.database.read() as connection:
            nodes = await presence.nodes(connection)
        versions = await self.registry.counts()
        executions = await self.executions.counts()
        tally = await self.rollouts.tally(LATELY)
        bus = await self.bus.bus(now)
        return Health(
            serving=True,
            parts=(
                Part(
                    name="database",
                    healthy=not self.database.trouble,
                    reason=self.database.trouble,
                ),
                *([_node(each, now) for each in nodes] or [_NO_NODE]),
                *self.bus.parts(bus),
                await telling.part(self.database),
                await self._confinement(),
            ),
            strategies_deployed=sum(versions.get(each, 0) for each in LIVE),
            pipelines_executed=tally.validated,
            tests_completed=await self.pipeline.tests_completed(),
            active_strategies=versions.get(Status.RUNNING, 0),
            active_executions=sum(executions.get(each, 0) for each in UNENDED),
            uptime_seconds=self._uptime().total_seconds(),
            messagebus_connected=bus.is_connected,
        )

    async def _confinement(self) -> Part:
        """Return the weakest wall that any strategy stands behind, or would."""
        missing = {each.name: each.why for each in self.wall.missing}
        for execution in await self.executions.list(UNENDED):
            for layer in (execution.confinement or {}).get("layers", []):
                if not layer["is_on"]:
                    missing.setdefault(layer["name"], layer["why"])
        reason = "; ".join(f"{name}: {why}" for name, why in missing.items())
        return Part(name="confinement", healthy=not missing, reason=reason)

    def _uptime(self) -> timedelta:
        return timedelta(seconds=self.clock.monotonic_s() - self.started_s)


_NO_NODE = Part(name="node", healthy=False, reason="no node has ever been heard of")


def _node(node: presence.Presence, now: datetime) -> Part:
    name = f"node {node.node_id}"
    if node.is_silent(now):
        ago = (now - node.heartbeat_at).total_seconds()
        return Part(name=name, healthy=False, reason=f"not heard of for {ago:.0f} s")
    return Part(name=name, healthy=not node.trouble, reason=node.trouble)


def _completed(tally: Tally) -> int:
    return sum(tally.ended.get(each, 0) for each in COMPLETED)


def _is_containerized() -> bool:
    return Path("/.dockerenv").exists() or Path("/run/.containerenv").exists()
