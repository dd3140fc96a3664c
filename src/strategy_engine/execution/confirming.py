"""Waiting until a node has made so what rows want, and telling what it has not."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from strategy_engine.core.clock import Clock
from strategy_engine.execution import store
from strategy_engine.execution.model import UNENDED, Answered, Execution, Role
from strategy_engine.infra.database import Database

_FIRST_LOOK_S = 0.005
_LONGEST_LOOK_S = 0.1


class Confirming:
    """Looks at rows again and again, seldomer each time.

    Parameters
    ----------
    confirm_s : float
        How long it waits for the node.
    """

    def __init__(self, *, database: Database, clock: Clock, confirm_s: float) -> None:
        self._database = database
        self._clock = clock
        self._confirm_s = confirm_s

    async def answer(self, execution_ids: Sequence[str]) -> Answered:
        """Return executions once the node has obeyed, or after its time; then it says whose."""
        executions = await self.settled(execution_ids)
        waiting = [each.execution_id for each in executions if not each.is_settled]
        note = ""
        if waiting:
            note = (
                f"the node has not confirmed {', '.join(waiting)} within {self._confirm_s:g} s;"
                " what is wanted is written, and done as soon as the node is there"
            )
        return Answered(executions=tuple(executions), is_confirmed=not waiting, note=note)

    async def settled(self, execution_ids: Sequence[str]) -> Sequence[Execution]:
        """Return executions, stable first, once they are as is wanted, or after their time."""
        deadline = self._clock.monotonic_s() + self._confirm_s
        delay_s = _FIRST_LOOK_S
        while True:
            async with self._database.read() as connection:
                found = await store.get_many(connection, execution_ids)
            is_late = self._clock.monotonic_s() >= deadline
            if is_late or all(each.is_settled for each in found):
                return sorted(found, key=lambda each: each.role is not Role.STABLE)
            await asyncio.sleep(delay_s)
            delay_s = min(2 * delay_s, _LONGEST_LOOK_S)

    async def ended(self, look: Callable[[], Awaitable[Execution]], timeout_s: float) -> Execution:
        """Return an execution once it has ended, or as it is after `timeout_s`."""
        deadline = self._clock.monotonic_s() + timeout_s
        delay_s = _FIRST_LOOK_S
        while True:
            execution = await look()
            left_s = deadline - self._clock.monotonic_s()
            if execution.status not in UNENDED or left_s <= 0:
                return execution
            await asyncio.sleep(min(delay_s, left_s))
            delay_s = min(2 * delay_s, _LONGEST_LOOK_S)
