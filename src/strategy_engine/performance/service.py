"""The metrics of a live execution as it goes, and their snapshots."""

from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from strategy_engine.infra import outbox
from strategy_engine.infra.database import Database
from strategy_engine.performance import model, outbox_rows, rollups, store
from strategy_engine.performance.model import RoundTrip
from strategy_engine.performance.rollups import Bucket, Resolution, Span
from strategy_engine.performance.running import Running
from strategy_engine.performance.store import Snapshot


class LiveMetrics:
    """Metrics of an execution from its closes and round trips, in whatever order bars brought them.

    Several instruments may close a bar at one instant: the last equity of an instant is the one
    that counts, so an instant is taken in when a later one has come, or when metrics are asked.

    Parameters
    ----------
    capital : float
        Equity before the first bar, account currency.
    periods_per_year : float
        Instants in a year.
    """

    def __init__(self, *, capital: float, periods_per_year: float) -> None:
        self._running = Running(
            capital=capital, periods_per_year=periods_per_year, benchmark_start=1.0
        )
        self._open: tuple[int, float, float, float] | None = None
        self._found: model.Metrics | None = None  # while nothing has been added to it
        self._last_exit_ns = 0
        self.trade_count = 0

    def add_close(
        self, close_ns: int, *, equity: float, benchmark: float, before_flows: float | None = None
    ) -> None:
        """Take the equity after a bar in.

        Parameters
        ----------
        benchmark : float
            An index that starts at 1.
        before_flows : float, optional
            Equity without what flowed since the last instant; by default, as nothing flowed.
        """
        if self._open is not None and self._open[0] != close_ns:
            self._settle(self._open)
        self._open = close_ns, equity, benchmark, equity if before_flows is None else before_flows

    def add_round_trip(self, trip: RoundTrip) -> None:
        """Take a closed round trip in.

        With several instruments one may turn out to have closed before one that is already
        counted; it is moved behind that one, as long as it was.
        """
        late_ns = max(0, self._last_exit_ns - trip.exit_ns)
        moved = replace(trip, entry_ns=trip.entry_ns + late_ns, exit_ns=trip.exit_ns + late_ns)
        self._last_exit_ns = moved.exit_ns
        self._found = None
        self._running.add_round_trip(moved)
        self.trade_count += 1

    def metrics(self) -> model.Metrics:
        """Return the metrics up to the last instant that is complete."""
        if self._found is None:
            self._found = self._running.metrics()
        return self._found

    def final_metrics(self) -> model.Metrics:
        """Return the metrics of the whole; nothing may be added to the last instant after it."""
        if self._open is not None:
            self._settle(self._open)
            self._open = None
        return self.metrics()

    def dump(self) -> dict[str, Any]:
        """Return all but the round trips: what `load` goes on from, to the last digit."""
        return {"running": self._running.dump(), "open": self._open}

    def load(self, dumped: dict[str, Any]) -> None:
        """Go on where metrics with the same parameters were dumped; round trips come anew."""
        self._running.load(dumped["running"])
        self._open = None if dumped["open"] is None else tuple(dumped["open"])
        self._found = None

    def _settle(self, instant: tuple[int, float, float, float]) -> None:
        close_ns, equity, benchmark, before_flows = instant
        self._found = None
        self._running.add_bar(
            equity, ts_ns=close_ns, benchmark_price=benchmark, before_flows=before_flows
        )


_PAGE = 500  # points of a page, if there is one each time
_MOST_OF_A_PAGE = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """Metrics of one snapshot, or of the `samples` that a bucket which starts `at` has."""

    at: datetime
    samples: int
    metrics: Mapping[str, Any]


class Snapshots:
    """Keeps metrics as they were, in full for two days, and ever more thinly after that.

    Parameters
    ----------
    interval_s : float
        Between two snapshots of an execution.
    """

    def __init__(self, database: Database, *, interval_s: float = 10.0) -> None:
        self._database = database
        self._interval = timedelta(seconds=interval_s)

    async def keep(
        self, snapshots: Iterable[Snapshot], told: Mapping[str, str] | None = None
    ) -> None:
        """Store snapshots; of the executions in `told`, with their versions, others hear too."""
        kept = list(snapshots)
        events = outbox_rows.events(kept, told or {})
        async with self._database.write() as connection:
            await store.insert(connection, kept)
            if events:
                await outbox.add_to(connection, outbox.LEDGER, events, at=kept[0].at)

    async def latest(
        self,
        execution_id: str,
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        limit: int = 100,
    ) -> list[Snapshot]:
        """Return the last `limit` snapshots in [start, end), oldest first."""
        async with self._database.read() as connection:
            return await store.latest(connection, execution_id, start=start, end=end, limit=limit)

    async def newest(self, execution_ids: Collection[str], *, start: datetime) -> list[Snapshot]:
        """Return the last snapshot of each execution that has one since a time."""
        async with self._database.read() as connection:
            return await store.newest(connection, execution_ids, start=start)

    def choose(self, asked: Span, *, now: datetime) -> Resolution:
        """Return the finest resolution that still has a whole span, in as few points as asked."""
        return rollups.choose(asked, now=now, interval=self._interval)

    async def history(
        self,
        execution_id: str,
        resolution: Resolution,
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        limit: int = 100,
    ) -> list[Point]:
        """Return the last `limit` points of [start, end), oldest first; no snapshot, no point.

        A bucket is whole however little of it the range touches, and has every snapshot of its
        time that was kept by now, whether it is rolled up yet or not.
        """
        step = rollups.STEPS.get(resolution)
        if step is None:
            found = await self.latest(execution_id, start=start, end=end, limit=limit)
            return [Point(at=each.at, samples=1, metrics=each.metrics) for each in found]
        first = None if start is None else rollups.start_of(start, step)
        last = None if end is None else rollups.end_of(end, step)
        async with self._database.read() as connection:
            rolled_up = await store.rollups(
                connection, execution_id, resolution, start=first, end=last, limit=limit
            )
            pending = await store.pending_of(connection, execution_id, start=first, end=last)
        whole = _with_pending(rolled_up, pending, step)
        return [
            Point(at=at, samples=bucket.samples, metrics=bucket.metrics)
            for at, bucket in sorted(whole.items())[-limit:]
        ]

    async def pages(
        self,
        execution_id: str,
        resolution: Resolution,
        *,
        start: datetime | None = None,
        end: datetime | None = None,
    ) -> AsyncIterator[list[Point]]:
        """Yield every point of [start, end), oldest first, a part of the time after another."""
        step = rollups.STEPS.get(resolution, self._interval) * _PAGE
        async with self._database.read() as connection:
            first = await store.earliest(connection, execution_id, resolution)
            newest = await store.latest(connection, execution_id, start=None, end=end, limit=1)
        if first is None:
            return
        last = end or (newest[-1].at if newest else first) + step
        at = first if start is None else max(first, start)
        if resolution in rollups.STEPS:  # no bucket is in two pages
            at = rollups.start_of(at, rollups.STEPS[resolution])
        while at < last:
            until = min(last, at + step)
            found = await self.history(
                execution_id, resolution, start=at, end=until, limit=_MOST_OF_A_PAGE
            )
            if found:
                yield found
            at = until


def _with_pending(
    rolled_up: Mapping[datetime, Bucket], pending: Iterable[Snapshot], step: timedelta
) -> dict[datetime, Bucket]:
    whole = dict(rolled_up)
    for each in pending:
        start = rollups.start_of(each.at, step)
        whole[start] = rollups.add(whole.get(start), each.at, each.metrics)
    return whole
