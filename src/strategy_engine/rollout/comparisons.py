"""Every candidate's comparison, beside what looks at it: nobody waits for a strategy's process."""

import asyncio

from strategy_engine.execution.model import Execution
from strategy_engine.infra import logs
from strategy_engine.registry.service import Registry
from strategy_engine.rollout.comparing import Comparer
from strategy_engine.rollout.fresh import Tools
from strategy_engine.rollout.parity import Compared

_log = logs.get("rollout")


class Comparisons:
    """One comparer a candidate, made when it is first looked at. One a control process."""

    def __init__(self, tools: Tools, registry: Registry) -> None:
        self._tools = tools
        self._registry = registry
        self._comparers: dict[str, Comparer] = {}
        self._turns: dict[str, asyncio.Task[None]] = {}

    async def look(self, execution: Execution) -> Compared:
        """Return what is known by now, and let more be compared until the next look."""
        name = execution.execution_id
        if name not in self._comparers:
            content = (await self._registry.get(execution.strategy_id)).content
            self._comparers.setdefault(name, Comparer(self._tools, execution, content))
        if name not in self._turns or self._turns[name].done():
            self._turns[name] = asyncio.create_task(self._advance(name), name=f"compare {name}")
        return self._comparers[name].result

    async def forget(self, execution_id: str) -> None:
        """End the process of a candidate."""
        turn = self._turns.pop(execution_id, None)
        if turn is not None:
            turn.cancel()
        comparer = self._comparers.pop(execution_id, None)
        if comparer is not None:
            await comparer.aclose()

    async def _advance(self, name: str) -> None:
        try:
            await self._comparers[name].advance()
        except Exception as error:  # noqa: BLE001 - the task's edge: the next look tries again
            _log.warning("not compared", execution=name, why=repr(error))
