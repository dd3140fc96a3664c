"""Outboxes with events of executions, a relay that publishes them, and a bus that remembers."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from strategy_engine.core.clock import SystemClock
from strategy_engine.core.errors import UnavailableError
from strategy_engine.infra import database, eventlog, outbox, relay
from strategy_engine.infra.bus import codec, links, topics
from strategy_engine.infra.bus.links import Link
from strategy_engine.infra.bus.model import Layout, Message
from strategy_engine.infra.database import Database
from strategy_engine.infra.relay import Keeping, Relay

NOW = datetime(2025, 8, 24, 10, 0, tzinfo=UTC)
LAYOUT = Layout(stream_per_topic=False)
STREAM = LAYOUT.stream_of("")


@contextlib.asynccontextmanager
async def opened(data_dir: Path, server: str | None) -> AsyncIterator[tuple[Database, Database]]:
    """Give the control and the ledger database, with their tables."""
    for metadata, url in (
        (database.control, database.control_url(data_dir, server)),
        (database.ledger, database.ledger_url(data_dir, server)),
    ):
        engine = database.sync_engine(url)
        metadata.create_all(engine)
        engine.dispose()
    control, ledger = database.open_both(data_dir, server)
    yield control, ledger
    await control.aclose()
    await ledger.aclose()


class Recorder:
    """A bus that remembers, and fails when it is told to."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.is_away = False

    async def publish(self, messages: Sequence[Message]) -> None:
        await self.ping()
        self.messages += messages

    async def ping(self) -> None:
        if self.is_away:
            raise UnavailableError("the recorder is away")

    def ids(self) -> list[str]:
        return [codec.decode(each)["event_id"] for each in self.messages]


def make(
    files: tuple[Database, Database],
    bus: Any,
    *,
    holder: str = "node",
    clock: Any = None,
    published_s: float = 3_600.0,
) -> Relay:
    return Relay(
        name=relay.EXECUTIONS,
        holder=holder,
        home=files[0],
        bus=bus,
        route=relay.executions(*files),
        clock=clock or SystemClock(),
        keeping=Keeping(published_s=published_s),
    )


def started(name: str) -> topics.ExecutionStarted:
    return topics.ExecutionStarted(
        event_id=f"{name}.started",
        sequence=1,
        execution_id=name,
        strategy_id="strat_1",
        role="stable",
        feed="replay",
        mode="paper",
        capital=100_000.0,
        start_time=NOW,
    )


def traded(name: str, number: int) -> topics.StrategyTrade:
    return topics.StrategyTrade(
        event_id=f"{name}-{number}.trade",
        sequence=number,
        execution_id=name,
        strategy_id="strat_1",
        trade=topics.Trade(
            symbol="EUR/USD.SIM",
            side="BUY" if number % 2 else "SELL",
            quantity=100.0,
            price=1.05,
            timestamp=NOW,
            trade_id=f"{name}-{number}",
            order_id=f"{name}-order-{number}",
            pnl=0.0,
            fee=0.01,
            slippage=0.0,
            cause="signal",
            opens=bool(number % 2),
            closes_round_trip=not number % 2,
        ),
    )


def stopped(name: str) -> topics.ExecutionStopped:
    return topics.ExecutionStopped(
        event_id=f"{name}.stopped",
        sequence=1,
        execution_id=name,
        strategy_id="strat_1",
        role="stable",
        status="stopped",
        end_reason="stopped",
        start_time=NOW,
        end_time=NOW,
        final_pnl=0.0,
        trade_count=0,
        fill_count=0,
    )


async def tell(file: Database, table: sa.Table, *events: topics.Payload) -> None:
    async with file.write() as connection:
        await outbox.add_to(connection, table, events, at=NOW)


async def live(files: tuple[Database, Database], name: str, trades: int) -> list[str]:
    """Begin, trade and end one execution; return its events in the order that they happened."""
    control, ledger = files
    events: list[topics.Payload] = [started(name)]
    await tell(control, outbox.CONTROL, events[0])
    for number in range(1, trades + 1):
        events.append(traded(name, number))
        await tell(ledger, outbox.LEDGER, events[-1])
    events.append(stopped(name))
    await tell(control, outbox.CONTROL, events[-1])
    return [each.event_id for each in events]


def of(name: str, ids: Sequence[str]) -> list[str]:
    """Return the events of one execution without their repetitions."""
    return list(dict.fromkeys(each for each in ids if each.startswith(name)))


async def until(is_so: Callable[[], bool], timeout_s: float = 30) -> None:
    async with asyncio.timeout(timeout_s):
        while not is_so():  # noqa: ASYNC110 - what is waited for happens in another process
            await asyncio.sleep(0.005)


async def followed(control: Database, count: int, timeout_s: float = 30) -> list[str]:
    """Return what is told to who follows the engine itself, once it is so much."""
    async with asyncio.timeout(timeout_s):
        while True:
            async with control.read() as connection:
                found = await eventlog.after(connection, eventlog.BEGINNING)
            if len(found) >= count:
                return [str(each.payload["event_id"]) for each in found]
            await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def running(publisher: Relay) -> AsyncIterator[None]:
    task = asyncio.create_task(publisher.run())
    yield
    task.cancel()
    await asyncio.wait([task])


async def kept(files: tuple[Database, Database], *, unpublished: bool = False) -> int:
    """Return how many events the outboxes hold, or how many of them wait."""
    total = 0
    for file, table in zip(files, (outbox.CONTROL, outbox.LEDGER), strict=True):
        query = sa.select(sa.func.count()).select_from(table)
        if unpublished:
            query = query.where(table.c.published_at.is_(None))
        async with file.read() as connection:
            total += await connection.scalar(query)
    return total


async def all_published(files: tuple[Database, Database]) -> None:
    async with asyncio.timeout(30):
        while await kept(files, unpublished=True):  # noqa: ASYNC110 - the relay sets no event for it
            await asyncio.sleep(0.01)


async def reported(files: tuple[Database, Database], publisher: Relay) -> Link:
    await publisher._report()
    async with files[0].read() as connection:
        (link,) = await links.every(connection)
    return link
