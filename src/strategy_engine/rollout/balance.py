"""The task that carries experiments and allocations on, as long as control lives."""

import asyncio
from collections.abc import Sequence
from typing import Protocol

from strategy_engine.core.errors import EngineError
from strategy_engine.infra import logs

LOOK_S = 1.0

_log = logs.get("balance")


class LookedAfter(Protocol):
    """Experiments are one, allocations another."""

    async def look_after_all(self) -> None:
        """Carry all of them on by one look."""
        ...


class Balance:
    """Looks after them, one after the other. Everything it knows is in rows: it may die."""

    def __init__(self, rooms: Sequence[LookedAfter], *, look_s: float = LOOK_S) -> None:
        self._rooms = rooms
        self._look_s = look_s

    async def run(self) -> None:
        """Look without end."""
        while True:
            for each in self._rooms:
                await self._look(each)
            await asyncio.sleep(self._look_s)

    async def _look(self, room: LookedAfter) -> None:
        try:
            await room.look_after_all()
        except EngineError as error:  # the database is away: it is looked at again
            _log.warning("not looked after", why=str(error))
        except Exception:  # noqa: BLE001 - the task's edge: the others are looked after all the same
            _log.exception("not looked after")
