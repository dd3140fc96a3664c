"""Judges what is measured and what happens by the rules, for as long as the process lives.

How far events are judged moves in the transaction of the alerts that they raise; since when a
condition holds is a row. So whoever goes on after a kill knows both.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from sqlalchemy.ext.asyncio import AsyncConnection

from strategy_engine.alerts import judging, moves, rule_store, rulebook, store
from strategy_engine.alerts.judging import Begin, Move, Reading
from strategy_engine.alerts.model import Alert, Cause, Severity, Trigger
from strategy_engine.core.clock import Clock
from strategy_engine.infra import eventlog, logs
from strategy_engine.infra.database import Database
from strategy_engine.infra.eventlog import Place, Whose
from strategy_engine.infra.outages import DatabaseAwayError

LOOK_S = 0.5
EVENTS = "events"
AWAY = "database_trouble"
AWAY_LASTS_S = 300.0

_log = logs.get("alerts")


class Readings(Protocol):
    """What is measured now."""

    async def read(self) -> Sequence[Reading]:
        """Return the metrics of everything that runs, and of the engine."""
        ...


@dataclass(slots=True, kw_only=True)
class Watch:
    """Judges until it is cancelled.

    Parameters
    ----------
    interval_s : float
        Between two judgements of what is measured.
    """

    database: Database
    clock: Clock
    readings: Readings
    whose: Whose
    interval_s: float = 10.0
    look_s: float = LOOK_S
    _measured_s: float = float("-inf")
    _away_at: datetime | None = field(default=None)
    _away_why: str = ""

    async def run(self) -> None:
        """Judge, without end."""
        while True:
            if not await self.once():
                await asyncio.sleep(self.look_s)

    async def once(self) -> bool:
        """Judge what there is, whatever is away; say whether there is more."""
        try:
            return await self.turn()
        except DatabaseAwayError as error:
            self._away_at, self._away_why = self._away_at or self.clock.now(), str(error)
        except Exception as error:  # noqa: BLE001 - the task's edge: it must go on
            _log.error("rules not judged", why=repr(error))
        return False

    async def turn(self) -> bool:
        """Judge what is new, and what is measured if it is time; say whether more is new."""
        more = await self._judge_events()
        await self._tell_of_outage()
        now_s = self.clock.monotonic_s()
        if now_s - self._measured_s >= self.interval_s:
            self._measured_s = now_s
            await self._judge_readings()
        return more

    # -- events

    async def _judge_events(self) -> bool:
        async with self.database.read() as connection:
            said = await rule_store.position(connection, EVENTS)
            end = await eventlog.end(connection)
            found = [] if said is None else await eventlog.after(connection, Place.parse(said))
            every = await rulebook.every(connection)
        if said == str(end):
            return False
        place = found[-1].place if found else end
        causes = judging.happened(every, await self.whose.told(found))
        async with self.database.write() as connection:
            if await rule_store.position(connection, EVENTS) != said:
                return True  # somebody else has judged them
            for cause in causes:
                await moves.raised(connection, cause, at=self.clock.now())
            await rule_store.move(connection, EVENTS, str(place), self.clock.now())
        return len(found) >= eventlog.AT_ONCE

    # -- measurements

    async def _judge_readings(self) -> None:
        readings = await self.readings.read()
        now = self.clock.now()
        async with self.database.read() as connection:
            is_new = bool(await self._steps(connection, readings, now))
            is_new = is_new or bool(await store.expired(connection, now))
            is_new = is_new or bool(await self._unmuted(connection, now))
        if not is_new:
            return
        # Once more, in the transaction that acts: what people do meanwhile counts.
        async with self.database.write() as connection:
            for step in await self._steps(connection, readings, now):
                await _apply(connection, step, now)
            for alert in await store.expired(connection, now):
                why = "it did not happen again"
                await moves.moved(connection, alert, Trigger.RESOLVE, at=now, why=why)
            for alert in await self._unmuted(connection, now):
                await moves.unmuted(connection, alert, at=now)

    async def _steps(
        self, connection: AsyncConnection, readings: Sequence[Reading], now: datetime
    ) -> list[Begin | Move]:
        every = await rulebook.every(connection)
        ids = [each.rule_id for each in every if each.threshold is not None]
        opened = await store.open_of_rules(connection, ids)
        return judging.measured(every, readings, opened, now)

    async def _unmuted(self, connection: AsyncConnection, now: datetime) -> list[Alert]:
        heard = {
            each.rule_id for each in await rulebook.every(connection) if not each.is_silent(now)
        }
        return [each for each in await store.muted(connection) if each.rule_id in heard]

    # -- outages

    async def _tell_of_outage(self) -> None:
        """Tell of an outage of this very database once it is over: nobody could before."""
        if self._away_at is None:
            return
        now = self.clock.now()
        cause = Cause(
            key=f"{AWAY}:was_away",
            severity=Severity.CRITICAL,
            subject_type="engine",
            subject_id="database",
            title="The database was away",
            message=(
                f"from {self._away_at:%H:%M:%S} to {now:%H:%M:%S} UTC nothing was judged:"
                f" {self._away_why}"
            ),
            rule_id=AWAY,
            lasts_s=AWAY_LASTS_S,
        )
        async with self.database.write() as connection:
            await moves.raised(connection, cause, at=now)
        self._away_at = None


async def _apply(connection: AsyncConnection, step: Begin | Move, now: datetime) -> None:
    if isinstance(step, Begin):
        await moves.raised(connection, step.cause, at=now, begins=step.state)
    else:
        await moves.moved(connection, step.alert, step.trigger, at=now, why=step.why)
