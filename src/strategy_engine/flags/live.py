"""Flags on a node: read again and again, and what is known last while they cannot be read."""

import asyncio

from sqlalchemy.exc import SQLAlchemyError

from strategy_engine.core.clock import Clock
from strategy_engine.flags import provider, store
from strategy_engine.flags.model import Read, Subject, Values
from strategy_engine.infra import logs
from strategy_engine.infra.database import Database
from strategy_engine.infra.outages import DatabaseAwayError

REREAD_S = 0.5

_log = logs.get("flags")


class LiveFlags:
    """What flags say to the executions of a node. One a node."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self.provider = provider.Provider(clock.now)
        self._is_away = False

    async def run(self) -> None:
        """Read what has changed, for ever."""
        while True:
            await self.refresh()
            await asyncio.sleep(REREAD_S)

    async def refresh(self) -> None:
        """Read the flags; where the database does not answer, what was read last stays."""
        try:
            async with self._database.read() as connection:
                found = await store.all_of(connection)
        except (SQLAlchemyError, DatabaseAwayError) as error:
            if not self._is_away:  # said once, not twice a second
                _log.warning("flags_not_read", why=str(error), known=self.provider.is_ready)
            self._is_away = True
            self.provider.go_stale(str(error))
            return
        self._is_away = False
        self.provider.take(found)

    async def prepare(self) -> None:
        """Read the flags if nobody has yet."""
        if not self.provider.is_ready:
            await self.refresh()

    def reader(self, subject: Subject) -> Read:
        """Return what reads an execution's flags."""
        source = self.provider

        def read(close_ns: int) -> Values | None:
            if not source.is_ready:
                return None
            return source.values(subject, close_ns)

        return read


def pinned(values: Values) -> Read:
    """Return what reads the same for every decision: a validation run's defaults."""
    return lambda _close_ns: values
