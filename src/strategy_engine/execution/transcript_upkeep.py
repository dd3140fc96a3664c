"""What the node does about the transcripts of executions that ended: it forgets them in time."""

import asyncio
from datetime import timedelta

from sqlalchemy.exc import SQLAlchemyError

from strategy_engine.core.clock import Clock
from strategy_engine.execution import store
from strategy_engine.infra import logs
from strategy_engine.infra.database import Database
from strategy_engine.infra.outages import DatabaseAwayError
from strategy_engine.performance.rollups import Pace
from strategy_engine.performance.upkeep import Pacing
from strategy_engine.venue import transcripts

KEPT_DAYS = 14  # after the end of an execution: as long as somebody may ask what it answered

_PACING = Pacing(every_s=600.0, rest_s=0.05, batch=200)

_log = logs.get("execution")


class TranscriptUpkeep:
    """Deletes the transcripts of executions that ended long ago. One a node, or several."""

    def __init__(
        self, control: Database, ledger: Database, clock: Clock, pacing: Pacing = _PACING
    ) -> None:
        self._control = control
        self._ledger = ledger
        self._clock = clock
        self._pacing = pacing
        self._pace = Pace.begin(clock.now(), clock.monotonic_s())

    async def run(self) -> None:
        """Do a round again and again, until cancelled."""
        while True:
            await asyncio.sleep(self._pacing.every_s)
            try:
                await self.round()
            except (SQLAlchemyError, DatabaseAwayError) as error:
                # The next round finds what is left.
                _log.warning("transcripts_not_forgotten", why=str(error))

    async def round(self) -> int:
        """Forget what is too old, if the clock can be trusted; return how many turns that were."""
        now = self._clock.now()
        self._pace = self._pace.look(now, self._clock.monotonic_s())
        if not self._pace.is_trusted:
            return 0
        async with self._ledger.read() as connection:
            found = await transcripts.execution_ids(connection)
        async with self._control.read() as connection:
            before = now - timedelta(days=KEPT_DAYS)
            ended = await store.ended_before(connection, found, before)
        return await self._forget(ended)

    async def _forget(self, execution_ids: list[str]) -> int:
        total = 0
        for execution_id in execution_ids:
            while done := await self._one_batch(execution_id):
                total += done
                await asyncio.sleep(self._pacing.rest_s)
        return total

    async def _one_batch(self, execution_id: str) -> int:
        async with self._ledger.write(in_turn=False) as connection:
            return await transcripts.forget(connection, execution_id, limit=self._pacing.batch)
