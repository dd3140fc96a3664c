"""Whose an event is: its version and its line, looked up once each."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from strategy_engine.core.errors import NotFoundError
from strategy_engine.execution.service import Executions
from strategy_engine.infra.eventlog import Event
from strategy_engine.registry.service import Registry
from strategy_engine.rollout.service import Rollouts

MOST_KNOWN = 10_000
DEPLOYMENT = "deployment"


@dataclass(frozen=True, slots=True, kw_only=True)
class Whose:
    """Remembers what never changes: the version of an execution, the line of a version."""

    registry: Registry
    executions: Executions
    rollouts: Rollouts
    _versions: dict[str, str | None] = field(default_factory=dict, repr=False)
    _lines: dict[str, str | None] = field(default_factory=dict, repr=False)

    async def told(self, events: Sequence[Event]) -> Sequence[Event]:
        """Return events with their version and line, as far as they have them."""
        return [await self._told(each) for each in events]

    async def _told(self, event: Event) -> Event:
        strategy_id, line = event.strategy_id, event.line
        if strategy_id is None and event.execution_id is not None:
            strategy_id = await self._version(event.execution_id)
        if strategy_id is None and event.subject_type == DEPLOYMENT:
            strategy_id = await self._deployed(event.subject_id)
        if line is None and strategy_id is not None:
            line = await self._line(strategy_id)
        if (strategy_id, line) == (event.strategy_id, event.line):
            return event
        return replace(event, strategy_id=strategy_id, line=line)

    async def _version(self, execution_id: str) -> str | None:
        if execution_id not in self._versions:
            try:
                found = (await self.executions.get(execution_id)).strategy_id
            except NotFoundError:
                found = None
            _remember(self._versions, execution_id, found)
        return self._versions[execution_id]

    async def _deployed(self, pipeline_id: str) -> str | None:
        if pipeline_id not in self._versions:
            try:
                found = (await self.rollouts.follow(pipeline_id)).deployment.strategy_id
            except NotFoundError:
                found = None
            _remember(self._versions, pipeline_id, found)
        return self._versions[pipeline_id]

    async def _line(self, strategy_id: str) -> str | None:
        if strategy_id not in self._lines:
            try:
                found = (await self.registry.get(strategy_id)).content.strategy_name
            except NotFoundError:
                found = None
            _remember(self._lines, strategy_id, found)
        return self._lines[strategy_id]


def _remember(known: dict[str, str | None], name: str, found: str | None) -> None:
    if len(known) >= MOST_KNOWN:
        known.clear()
    known[name] = found
