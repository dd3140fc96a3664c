"""What the node does about the history of metrics, slowly: roll it up, delete what is too old."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from strategy_engine.core.clock import Clock
from strategy_engine.infra import logs
from strategy_engine.infra.database import Database
from strategy_engine.infra.outages import DatabaseAwayError
from strategy_engine.performance import rollups, store
from strategy_engine.performance.rollups import Bucket, Pace, Resolution
from strategy_engine.performance.store import Pending, Place

type _Step = Callable[[AsyncConnection], Awaitable[int]]

_MOST_LOST_RACES = 5  # in a row; after that it waits for the next round

_log = logs.get("performance")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pacing:
    """How gently it is done: the ledger's fills wait while one batch is written.

    Parameters
    ----------
    every_s : float
        Between two rounds.
    rest_s : float
        Between two batches of one round.
    batch : int
        Rows in one transaction.
    """

    every_s: float = 60.0
    rest_s: float = 0.02
    batch: int = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What one round did, in rows."""

    rolled_up: int
    deleted: int


class Upkeep:
    """Rolls snapshots up and deletes what its retention is over for. One a node, or several.

    A snapshot is marked in the transaction that puts it into its minute and its hour, so it is in
    them exactly once whenever the process dies; only what is marked is ever deleted.
    """

    def __init__(self, database: Database, clock: Clock, pacing: Pacing | None = None) -> None:
        self._database = database
        self._clock = clock
        self._pacing = pacing or Pacing()
        self._pace = Pace.begin(clock.now(), clock.monotonic_s())

    async def run(self) -> None:
        """Do a round again and again, until cancelled."""
        while True:
            await asyncio.sleep(self._pacing.every_s)
            try:
                await self.round()
            except (SQLAlchemyError, DatabaseAwayError) as error:
                # The next round finds what is left.
                _log.warning("metrics_not_rolled_up", why=str(error))

    async def round(self) -> Done:
        """Roll up what is not yet, then delete what is too old, if the clock can be trusted."""
        now = self._clock.now()
        self._pace = self._pace.look(now, self._clock.monotonic_s())
        rolled_up = await self._in_batches(self._roll_up)
        deleted = 0
        if self._pace.is_trusted:
            for resolution in Resolution:
                deleted += await self._delete(resolution, rollups.cutoff(resolution, now))
        return Done(rolled_up=rolled_up, deleted=deleted)

    async def _in_batches(self, step: _Step) -> int:
        total, done = 0, self._pacing.batch
        while done == self._pacing.batch:
            if total:
                await asyncio.sleep(self._pacing.rest_s)
            done = await self._one_batch(step)
            total += done
        return total

    async def _one_batch(self, step: _Step) -> int:
        lost_races = 0
        while True:
            try:
                # Its own rows are locked one by one: fills need not wait for its turn.
                async with self._database.write(in_turn=False) as connection:
                    return await step(connection)
            except IntegrityError:  # another node has made the same bucket: now it is there
                lost_races += 1
                if lost_races == _MOST_LOST_RACES:
                    raise

    async def _roll_up(self, connection: AsyncConnection) -> int:
        found = await store.pending(connection, limit=self._pacing.batch)
        if not found:
            return 0
        places = {place for each in found for place in _places(each)}
        there = await store.buckets(connection, places)
        whole = _rolled_up(there, found)
        made = {place: bucket for place, bucket in whole.items() if place not in there}
        changed = {place: bucket for place, bucket in whole.items() if place in there}
        await store.insert_buckets(connection, made)
        await store.update_buckets(connection, changed)
        await store.mark_rolled_up(connection, [each.metrics_id for each in found])
        return len(found)

    async def _delete(self, resolution: Resolution, before: datetime | None) -> int:
        if before is None:
            return 0
        limit = self._pacing.batch

        async def step(connection: AsyncConnection) -> int:
            if resolution is Resolution.SNAPSHOT:
                return await store.delete_snapshots(connection, before=before, limit=limit)
            return await store.delete_buckets(connection, resolution, before=before, limit=limit)

        return await self._in_batches(step)


def _places(pending: Pending) -> Iterable[Place]:
    snapshot = pending.snapshot
    for resolution, step in rollups.STEPS.items():
        yield Place(snapshot.execution_id, resolution, rollups.start_of(snapshot.at, step))


def _rolled_up(there: dict[Place, Bucket], found: Iterable[Pending]) -> dict[Place, Bucket]:
    whole = dict(there)
    for each in found:
        for place in _places(each):
            whole[place] = rollups.add(whole.get(place), each.snapshot.at, each.snapshot.metrics)
    return whole
