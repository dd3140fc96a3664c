"""The reader of bars goes on whatever an entry holds and whichever database is away."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from strategy_engine.core.clock import SteppedClock
from strategy_engine.core.errors import UnavailableError
from strategy_engine.infra import database
from strategy_engine.infra.bus import links
from strategy_engine.infra.bus.local import LocalBus
from strategy_engine.infra.bus.model import Layout, Message
from strategy_engine.infra.database import Database
from strategy_engine.market import busbars, busrules, recorded
from strategy_engine.market.busbars import BusBars, Source

LAYOUT = Layout(trader_id="MARKET-DATA-001", stream_per_topic=False)
TYPE = "EUR/USD.SIM-1-HOUR-LAST-EXTERNAL"
HOUR_NS = 3_600 * 10**9


@pytest.fixture
async def files(tmp_path: Path) -> AsyncIterator[tuple[Database, Database]]:
    for metadata, url in (
        (database.control, database.control_url(tmp_path)),
        (database.ledger, database.ledger_url(tmp_path)),
    ):
        engine = database.sync_engine(url)
        metadata.create_all(engine)
        engine.dispose()
    opened = database.open_both(tmp_path, None)
    yield opened
    for each in opened:
        await each.aclose()


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock(datetime(2025, 8, 24, 10, 0, tzinfo=UTC))


@pytest.fixture
def bus() -> LocalBus:
    return LocalBus(LAYOUT)


def reader(files: tuple[Any, Database], bus: LocalBus, clock: SteppedClock) -> BusBars:
    source = Source(stream=LAYOUT.stream_of(""))
    return BusBars(bus=bus, source=source, record=files[1], home=files[0], clock=clock)


def bar(number: int, **changes: Any) -> Message:
    prices = dict.fromkeys(("open", "high", "low", "close"), 1.5)
    payload = {"type": "Bar", "bar_type": TYPE, "volume": 10, "ts_event": number * HOUR_NS}
    return Message(
        topic=busrules.topic_of(TYPE),
        type_name="",
        payload=msgspec.msgpack.encode(payload | prices | changes),
        encoding="msgpack",
    )


@contextlib.asynccontextmanager
async def running(bars: BusBars) -> AsyncIterator[None]:
    task = asyncio.create_task(bars.run())
    yield
    task.cancel()
    await asyncio.wait([task])


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not is_so():  # noqa: ASYNC110 - the reader sets no event for it
            await asyncio.sleep(0.005)


class Locked:
    """A database that lets nobody write, and answers nobody."""

    def __init__(self) -> None:
        self.is_asked = asyncio.Event()

    @contextlib.asynccontextmanager
    async def write(self) -> AsyncIterator[None]:
        self.is_asked.set()
        await asyncio.Event().wait()
        yield


async def test_bars_are_taken_while_the_database_that_is_reported_in_is_locked(files, bus, clock):
    home = Locked()
    bars = reader((home, files[1]), bus, clock)
    listener = await bars.listen(TYPE, HOUR_NS)

    async with running(bars), asyncio.timeout(30):
        await home.is_asked.wait()
        await bus.publish([bar(1)])
        await listener.has_news.wait()

    assert [each.close_ns for each in listener.bars] == [HOUR_NS]


async def test_a_report_that_fails_is_made_again(files, bus, clock, monkeypatch):
    monkeypatch.setattr(links, "REPORT_S", 0.001)
    reporting, failures = links.report, iter([UnavailableError("locked")] * 2)

    async def report(*given: Any) -> bool:
        if (error := next(failures, None)) is not None:
            raise error
        reported.set()
        return await reporting(*given)

    reported = asyncio.Event()
    monkeypatch.setattr(links, "report", report)
    async with running(reader(files, bus, clock)), asyncio.timeout(30):
        await reported.wait()

    assert list(failures) == []


async def test_what_is_no_bar_is_counted_and_the_bars_after_it_are_taken(files, bus, clock):
    bars = reader(files, bus, clock)
    listener = await bars.listen(TYPE, HOUR_NS)
    strange = [bar(1, ts_event=float("inf")), bar(1, open=float("nan"))]
    strange += [bar(1, ts_event="9999-12-31T00:00:00Z"), bar(1, type="QuoteTick")]

    await bus.publish([*strange, bar(1), bar(2)])
    await bars.turn(0)

    assert [each.close_ns for each in listener.bars] == [HOUR_NS, 2 * HOUR_NS]
    assert bars.counts == {"bars_taken": 2, "bars_unreadable": 4}


async def test_what_could_not_be_recorded_is_counted_and_read_again(files, bus, clock, monkeypatch):
    monkeypatch.setattr(busbars, "RETRY_S", 0.001)
    keeping, failures = recorded.keep, iter([UnavailableError("disk full")] * 2)

    async def keep(*given: Any) -> None:
        if (error := next(failures, None)) is not None:
            raise error
        await keeping(*given)

    monkeypatch.setattr(recorded, "keep", keep)
    bars = reader(files, bus, clock)
    listener = await bars.listen(TYPE, HOUR_NS)
    await bus.publish([bar(1), bar(2)])

    async with running(bars):
        await until(lambda: len(listener.bars) == 2)

    assert [each.close_ns for each in await bars.recorded(TYPE, 0)] == [HOUR_NS, 2 * HOUR_NS]
    assert bars.counts == {"bars_taken": 2, "bar_read_failures": 2}


async def test_a_type_that_is_silent_for_a_minute_longer_than_its_bars_is_told_of(
    files, bus, clock
):
    bars = reader(files, bus, clock)
    await bars.listen(TYPE, HOUR_NS)
    details = []
    for wait_s in (3_660, 1):
        clock.advance(wait_s)
        await bars._report()
        async with files[0].read() as connection:
            (link,) = await links.every(connection)
        details.append(link.detail)

    assert details == ["", f"no bar of {TYPE} for 3661 s"]
