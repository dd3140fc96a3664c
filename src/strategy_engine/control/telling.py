"""Who is told, wired: rules are judged, alerts sent, old events forgotten."""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from strategy_engine.alerts import store
from strategy_engine.alerts.alerting import Alerting
from strategy_engine.alerts.delivery import Deliverer
from strategy_engine.alerts.rules import UNDELIVERED
from strategy_engine.alerts.watch import Watch
from strategy_engine.api.telemetry import Part
from strategy_engine.control.readings import Measured
from strategy_engine.core.clock import Clock
from strategy_engine.infra import eventlog, logs
from strategy_engine.infra.database import Database
from strategy_engine.infra.eventlog import Whose
from strategy_engine.infra.outages import DatabaseAwayError

EVENTS_KEPT = timedelta(days=7)
TRIM_S = 3_600.0
PART = "alerts"

_log = logs.get("alerts")


@dataclass(frozen=True, slots=True, kw_only=True)
class Telling:
    """What goes on beside the doors so that people hear of what happens."""

    database: Database
    clock: Clock
    alerting: Alerting
    readings: Measured
    whose: Whose
    interval_s: float

    def tasks(self) -> tuple[Coroutine[Any, Any, None], ...]:
        """Return what runs until it is cancelled."""
        watch = Watch(
            database=self.database,
            clock=self.clock,
            readings=self.readings,
            whose=self.whose,
            interval_s=self.interval_s,
        )
        sending = Deliverer(database=self.database, clock=self.clock, sender=self.alerting.sender)
        return watch.run(), sending.run(), self._forget()

    async def _forget(self) -> None:
        while True:
            await asyncio.sleep(TRIM_S)
            try:
                async with self.database.write() as connection:
                    await eventlog.trim(connection, self.clock.now() - EVENTS_KEPT)
            except DatabaseAwayError as error:
                _log.warning("events not forgotten", why=str(error))


async def part(database: Database) -> Part:
    """Return alerts as a part of the engine: it does not serve while a channel gets none."""
    async with database.read() as connection:
        found = await store.open_of_rules(connection, [UNDELIVERED])
    failing = found.get(UNDELIVERED, [])
    reason = "; ".join(f"{each.title}: {each.message}" for each in failing)
    return Part(name=PART, healthy=not failing, reason=reason)
