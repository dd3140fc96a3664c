"""The history of metrics on a real database: rolled up once, deleted when it may be, all there."""

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import reduce
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from strategy_engine.core.clock import SteppedClock
from strategy_engine.infra import database, migrate
from strategy_engine.infra.database import Database
from strategy_engine.performance import rollups, store
from strategy_engine.performance.rollups import PATIENCE_S, Bucket, Resolution
from strategy_engine.performance.service import Point, Snapshots
from strategy_engine.performance.store import Snapshot
from strategy_engine.performance.upkeep import Done, Pacing, Upkeep
from strategy_engine.venue import store as ledger

PROGRAM = Path(__file__).parent / "runners" / "metrics_thinner.py"
START = datetime(2026, 3, 1, tzinfo=UTC)
TICK = timedelta(seconds=30)
HOURS, MINUTES = Resolution.HOUR, Resolution.MINUTE
QUICK = Pacing(every_s=0.001, rest_s=0.0, batch=500)


@pytest.fixture
def url(tmp_path: Path, server: str | None) -> str:
    migrate.upgrade(tmp_path, server)
    return database.ledger_url(tmp_path, server)


@pytest.fixture
async def kept(url: str) -> AsyncIterator[Database]:
    opened = Database(url)
    yield opened
    await opened.aclose()


@pytest.fixture
def snapshots(kept: Database) -> Snapshots:
    return Snapshots(kept, interval_s=TICK.total_seconds())


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock(START)


@pytest.fixture
def upkeep(kept: Database, clock: SteppedClock) -> Upkeep:
    return Upkeep(kept, clock, QUICK)


def snapshot(number: int, execution_id: str = "exec_a", at: datetime | None = None) -> Snapshot:
    """Return a snapshot whose figures differ from every other's, and are exact in binary."""
    metrics = {
        "sharpe_ratio": number / 8,
        "max_drawdown": -(number * 37 % 101) / 128,
        "decision_latency_ms": number * 13 % 64 / 4,
        "decision_latency_p99_ms": number * 29 % 97 / 2,
        "bar_count": number,
    }
    return Snapshot(execution_id=execution_id, at=at or START + number * TICK, metrics=metrics)


def expected(taken: Iterable[Snapshot], step: timedelta) -> list[Point]:
    by_start: dict[datetime, list[Bucket]] = {}
    for each in sorted(taken, key=lambda one: one.at):
        one = rollups.of_snapshot(each.at, each.metrics)
        by_start.setdefault(rollups.start_of(each.at, step), []).append(one)
    whole = {start: reduce(rollups.merge, found) for start, found in by_start.items()}
    return [
        Point(at=start, samples=bucket.samples, metrics=bucket.metrics)
        for start, bucket in sorted(whole.items())
    ]


async def everything(snapshots: Snapshots, resolution: Resolution, **asked: Any) -> list[Point]:
    return await snapshots.history("exec_a", resolution, **{"limit": 100_000} | asked)


async def count(kept: Database, table: sa.Table, *where: sa.ColumnElement[bool]) -> int:
    async with kept.read() as connection:
        found = await connection.scalar(sa.select(sa.func.count()).select_from(table).where(*where))
    return int(found or 0)


async def round_after(upkeep: Upkeep, clock: SteppedClock, wait: timedelta) -> Done:
    """Let time pass, too much for one look, then run evenly for as long as it must; do a round."""
    clock.advance(wait.total_seconds())
    await upkeep.round()
    clock.advance(PATIENCE_S)
    return await upkeep.round()


async def test_what_is_too_old_in_full_stays_by_the_minute_then_by_the_hour(
    kept, snapshots, clock, upkeep
):
    taken = [snapshot(number) for number in range(2 * 60 * 52)]
    await snapshots.keep(taken)
    minutes, hours = expected(taken, timedelta(minutes=1)), expected(taken, timedelta(hours=1))

    await round_after(upkeep, clock, timedelta(hours=52))

    assert await everything(snapshots, MINUTES) == minutes
    assert await everything(snapshots, HOURS) == hours
    oldest = clock.now() - timedelta(hours=48)
    left = await everything(snapshots, Resolution.SNAPSHOT)
    assert [each.at for each in left] == [each.at for each in taken if each.at >= oldest]
    assert 5_700 < len(left) < len(taken)

    done = await round_after(upkeep, clock, timedelta(days=90) - timedelta(hours=26))

    oldest = clock.now() - timedelta(days=90)
    assert done.deleted > 0
    assert await everything(snapshots, Resolution.SNAPSHOT) == []
    left = await everything(snapshots, MINUTES)
    assert left == [each for each in minutes if each.at >= oldest]
    assert 0 < len(left) < len(minutes)
    assert await everything(snapshots, HOURS) == hours

    await round_after(upkeep, clock, timedelta(days=9_000))
    assert await everything(snapshots, MINUTES) == []
    assert await everything(snapshots, HOURS) == hours


async def test_trades_orders_and_equity_are_never_thinned(kept, clock, upkeep):
    some = Decimal(1)
    account = {"equity": some, "cash": some, "benchmark": 1.0}
    rows: dict[sa.Table, dict[str, Any]] = {
        ledger.EQUITY: {"close_ns": 1, "bar_index": 0, **account},
        ledger.ROUND_TRIPS: {"seq": 1, "symbol": "A", "entry_ns": 1, "exit_ns": 2, "pnl": some},
    }
    async with kept.write() as connection:
        for table, row in rows.items():
            await connection.execute(sa.insert(table), row | {"execution_id": "exec_a"})
    await round_after(upkeep, clock, timedelta(days=20_000))
    assert [await count(kept, table) for table in rows] == [1, 1]


async def test_rounds_between_the_snapshots_change_nothing_of_what_is_answered(
    snapshots, clock, upkeep
):
    taken = []
    for number in range(300):
        one = snapshot(number)
        taken.append(one)
        await snapshots.keep([one])
        if number % 17 in {0, 1, 11}:
            await upkeep.round()
        if number % 50 == 49:
            assert await everything(snapshots, MINUTES) == expected(taken, timedelta(minutes=1))
            assert await everything(snapshots, HOURS) == expected(taken, timedelta(hours=1))


async def test_a_second_round_finds_nothing_to_do(kept, snapshots, clock, upkeep):
    await snapshots.keep(snapshot(number) for number in range(40))
    assert await upkeep.round() == Done(rolled_up=40, deleted=0)
    before = await everything(snapshots, HOURS)
    assert await upkeep.round() == Done(rolled_up=0, deleted=0)
    assert await everything(snapshots, HOURS) == before


async def test_where_nothing_was_taken_there_is_no_point(snapshots, upkeep):
    await snapshots.keep([snapshot(0), snapshot(1), snapshot(2 * 60 * 3 + 5)])
    await upkeep.round()
    assert [each.at - START for each in await everything(snapshots, MINUTES)] == [
        timedelta(0),
        timedelta(hours=3, minutes=2),
    ]
    assert [each.samples for each in await everything(snapshots, HOURS)] == [2, 1]


@pytest.mark.parametrize("is_rolled_up", [True, False])
async def test_a_range_has_each_bucket_that_it_touches_whole_and_the_last_ones_of_them(
    snapshots, upkeep, is_rolled_up
):
    taken = [snapshot(number) for number in range(2 * 60 * 5)]
    await snapshots.keep([*taken, snapshot(30, "exec_b")])
    if is_rolled_up:
        await upkeep.round()
    hours = expected(taken, timedelta(hours=1))

    start, end = START + timedelta(minutes=90), START + timedelta(hours=3, minutes=1)
    assert await everything(snapshots, HOURS, start=start, end=end) == hours[1:4]
    assert await everything(snapshots, HOURS, start=start, end=end, limit=2) == hours[2:4]
    to_the_hour = START + timedelta(hours=3)
    assert await everything(snapshots, HOURS, start=start, end=to_the_hour) == hours[1:3]
    assert await everything(snapshots, HOURS, start=end, end=start) == []
    other = await snapshots.history("exec_b", MINUTES)
    assert [each.samples for each in other] == [1]


async def test_the_last_points_are_those_that_are_not_rolled_up_yet(snapshots, upkeep):
    taken = [snapshot(number) for number in range(11)]
    await snapshots.keep(taken[:7])
    await upkeep.round()
    await snapshots.keep(taken[7:])
    minutes = expected(taken, timedelta(minutes=1))
    assert await everything(snapshots, MINUTES, limit=3) == minutes[-3:]
    assert await everything(snapshots, MINUTES) == minutes


class Jumping:
    """A clock whose wall time is set by hand while its steady time goes on."""

    def __init__(self, steady: SteppedClock) -> None:
        self._steady = steady
        self.offset = timedelta(0)

    def now(self) -> datetime:
        return self._steady.now() + self.offset

    def monotonic_s(self) -> float:
        return self._steady.monotonic_s()


async def test_nothing_is_deleted_while_a_clock_that_was_set_forward_may_be_wrong(
    kept, snapshots, clock
):
    await snapshots.keep(snapshot(number) for number in range(20))
    jumping = Jumping(clock)
    upkeep = Upkeep(kept, jumping, QUICK)
    clock.advance(PATIENCE_S)
    await upkeep.round()
    jumping.offset = timedelta(days=365)
    assert (await upkeep.round()).deleted == 0
    clock.advance(60)
    assert (await upkeep.round()).deleted == 0
    jumping.offset = timedelta(0)
    assert (await upkeep.round()).deleted == 0
    clock.advance(PATIENCE_S)
    assert (await upkeep.round()).deleted == 0
    assert await count(kept, store.TABLE) == 20

    jumping.offset = timedelta(days=365)
    assert (await upkeep.round()).deleted == 0
    clock.advance(PATIENCE_S)
    assert (await upkeep.round()).deleted == 20 + 10  # snapshots and minutes
    assert [each.samples for each in await everything(snapshots, HOURS)] == [20]


async def test_a_clock_that_is_set_back_writes_into_hours_long_rolled_up_and_deletes_nothing_there(
    kept, snapshots, clock, upkeep
):
    taken = [snapshot(number) for number in range(2 * 60 * 3)]
    await snapshots.keep(taken)
    await round_after(upkeep, clock, timedelta(hours=3))
    back = [snapshot(1_000 + n, at=START + n * TICK + TICK / 2) for n in range(2 * 60 * 3)]

    await snapshots.keep(back)
    await upkeep.round()

    assert await everything(snapshots, MINUTES) == expected(taken + back, timedelta(minutes=1))
    assert await everything(snapshots, HOURS) == expected(taken + back, timedelta(hours=1))
    assert await count(kept, store.TABLE) == len(taken) + len(back)


async def test_a_snapshot_of_a_time_that_is_gone_in_full_still_counts_in_its_hour(
    kept, snapshots, clock, upkeep
):
    taken = [snapshot(number) for number in range(100)]
    await snapshots.keep(taken)
    await round_after(upkeep, clock, timedelta(days=100))
    assert await count(kept, store.TABLE) == 0
    assert await everything(snapshots, MINUTES) == []

    late = snapshot(7, at=START + TICK / 2)
    await snapshots.keep([late])
    await upkeep.round()

    assert await everything(snapshots, HOURS) == expected([*taken, late], timedelta(hours=1))


async def test_what_is_not_rolled_up_is_never_deleted(kept, snapshots):
    await snapshots.keep(snapshot(number) for number in range(30))
    for before in (START + timedelta(minutes=1), START + timedelta(days=9_000)):
        async with kept.write() as connection:
            assert await store.delete_snapshots(connection, before=before, limit=100) == 0
    assert await count(kept, store.TABLE) == 30


async def test_two_nodes_that_thin_at_one_time_count_nothing_twice(url, kept, snapshots, clock):
    taken = [snapshot(number) for number in range(400)]
    await snapshots.keep(taken)
    small = Pacing(batch=9, rest_s=0.0)
    other = Database(url)
    nodes = [Upkeep(kept, clock, small), Upkeep(other, clock, small)]
    done = await asyncio.gather(*(each.round() for each in nodes))
    await other.aclose()
    assert sum(each.rolled_up for each in done) == len(taken)
    assert await everything(snapshots, HOURS) == expected(taken, timedelta(hours=1))


@pytest.mark.parametrize(
    "goals",
    [
        pytest.param((700, 400), id="while-rolling-up-and-before-deleting"),
        pytest.param(
            tuple(range(780, 180, -60)),
            id="again-and-again",
            marks=[pytest.mark.soak, pytest.mark.timeout(900)],
        ),
    ],
)
async def test_a_node_killed_in_the_middle_loses_and_doubles_nothing(
    url, kept, snapshots, clock, goals
):
    taken = [snapshot(number) for number in range(400)]
    await snapshots.keep(taken)
    pending = sa.not_(store.TABLE.c.is_rolled_up)

    async def left_to_do() -> int:
        """Count what is to be rolled up and what is to be deleted; a round does it in turn."""
        return await count(kept, store.TABLE, pending) + await count(kept, store.TABLE)

    for goal in goals:
        await _killed_once(url, START + timedelta(days=4), left_to_do, goal)
        assert 0 < await left_to_do() <= goal
        assert await everything(snapshots, MINUTES) == expected(taken, timedelta(minutes=1))
        assert await everything(snapshots, HOURS) == expected(taken, timedelta(hours=1))

    await round_after(Upkeep(kept, clock, QUICK), clock, timedelta(days=4))

    assert await left_to_do() == 0
    assert await everything(snapshots, MINUTES) == expected(taken, timedelta(minutes=1))
    assert await everything(snapshots, HOURS) == expected(taken, timedelta(hours=1))


async def _killed_once(url: str, now: datetime, left_to_do: Any, goal: int) -> None:
    arguments = [sys.executable, str(PROGRAM), url, now.isoformat()]
    with subprocess.Popen(arguments) as process:
        try:
            deadline = time.monotonic() + 60
            while await left_to_do() > goal:
                assert process.poll() is None
                assert time.monotonic() < deadline
                await asyncio.sleep(0.01)
        finally:
            process.kill()
    assert process.returncode == -9


async def test_a_database_that_is_away_for_a_while_is_no_end(url, kept, snapshots, clock):
    class Away(Database):
        failures = 3

        def write(self, **options: Any) -> Any:
            if self.failures:
                self.failures -= 1
                raise sa.exc.OperationalError("SELECT 1", {}, OSError("the disk is away"))
            return super().write(**options)

    await snapshots.keep(snapshot(number) for number in range(20))
    away = Away(url)
    running = asyncio.create_task(Upkeep(away, clock, QUICK).run())
    deadline = time.monotonic() + 30
    while await count(kept, store.TABLE, sa.not_(store.TABLE.c.is_rolled_up)):
        assert not running.done()
        assert time.monotonic() < deadline
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await away.aclose()
    assert away.failures == 0
    assert [each.samples for each in await everything(snapshots, HOURS)] == [20]
