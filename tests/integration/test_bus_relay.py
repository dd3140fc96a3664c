"""What the outboxes hold is published: all of it, in order, whatever dies meanwhile."""

import asyncio
import contextlib
import importlib.util
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from strategy_engine.core.clock import SteppedClock, SystemClock
from strategy_engine.core.errors import UnavailableError
from strategy_engine.infra import database, outbox, relay
from strategy_engine.infra.bus import codec, links, topics
from strategy_engine.infra.bus.local import LocalBus
from strategy_engine.infra.bus.model import BEGINNING, Layout, Message
from strategy_engine.infra.bus.streams import RedisBus
from strategy_engine.infra.database import Database
from strategy_engine.infra.relay import Keeping, Relay

RUNNERS = Path(__file__).parent / "runners"
_spec = importlib.util.spec_from_file_location("redis_server", RUNNERS / "redis_server.py")
servers = importlib.util.module_from_spec(_spec)
sys.modules["redis_server"] = servers
_spec.loader.exec_module(servers)

NOW = datetime(2025, 8, 24, 10, 0, tzinfo=UTC)
LAYOUT = Layout(stream_per_topic=False)
STREAM = LAYOUT.stream_of("")


@pytest.fixture
async def files(tmp_path: Path, server: str | None) -> AsyncIterator[tuple[Database, Database]]:
    for metadata, url in (
        (database.control, database.control_url(tmp_path, server)),
        (database.ledger, database.ledger_url(tmp_path, server)),
    ):
        engine = database.sync_engine(url)
        metadata.create_all(engine)
        engine.dispose()
    control, ledger = database.open_both(tmp_path, server)
    yield control, ledger
    await control.aclose()
    await ledger.aclose()


@pytest.fixture
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with servers.running(tmp_path_factory.mktemp("redis")) as running:
        yield running


class Recorder:
    """A bus that remembers, and fails when it is told to."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.is_away = False
        self.before: Callable[[], Any] = lambda: None

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


@contextlib.asynccontextmanager
async def running(publisher: Relay) -> AsyncIterator[None]:
    task = asyncio.create_task(publisher.run())
    yield
    task.cancel()
    await asyncio.wait([task])


async def unpublished(files: tuple[Database, Database]) -> int:
    total = 0
    for file, table in zip(files, (outbox.CONTROL, outbox.LEDGER), strict=True):
        async with file.read() as connection:
            query = sa.select(sa.func.count()).select_from(table)
            total += await connection.scalar(query.where(table.c.published_at.is_(None)))
    return total


async def all_published(files: tuple[Database, Database]) -> None:
    async with asyncio.timeout(30):
        while await unpublished(files):  # noqa: ASYNC110 - the relay sets no event for it
            await asyncio.sleep(0.01)


async def test_what_an_execution_did_is_told_in_its_order_though_two_files_hold_it(files):
    bus = Recorder()
    async with running(make(files, bus)):
        async with asyncio.TaskGroup() as group:
            lives = {
                name: group.create_task(live(files, name, 25))
                for name in ("exec_a", "exec_b", "exec_c")
            }
        await until(lambda: len(bus.messages) >= 3 * 27)

    for name, happened in lives.items():
        assert of(name, bus.ids()) == happened.result()
    assert len(bus.ids()) == 3 * 27


async def test_all_that_waited_is_told_in_order_however_much_there_is(files, monkeypatch):
    monkeypatch.setattr(relay, "AT_ONCE", 7)
    happened = {name: await live(files, name, 20) for name in ("exec_a", "exec_b")}
    bus = Recorder()

    async with running(make(files, bus)):
        await until(lambda: len(bus.messages) >= 2 * 22)

    for name, events in happened.items():
        assert [each for each in bus.ids() if each.startswith(name)] == events


async def test_an_ending_waits_for_the_fills_that_were_committed_before_it(files):
    bus = Recorder()
    publisher = make(files, bus)
    await publisher._report()
    reading = publisher._waiting
    left = [3, 2, 1]

    async def read_and_then_trade(queue: relay.Queue | None) -> Any:
        found = await reading(queue)
        if left and queue is publisher._route.middle:
            await tell(files[1], outbox.LEDGER, traded("exec_a", left.pop()))
            if not left:
                await tell(files[0], outbox.CONTROL, stopped("exec_a"))
        return found

    publisher._waiting = read_and_then_trade
    for _ in range(6):
        await publisher._pass()

    trades = [f"exec_a-{number}.trade" for number in (1, 2, 3)]
    assert bus.ids() == [*trades, "exec_a.stopped"]


async def test_while_the_broker_is_away_everything_waits_and_then_is_told(files):
    bus = Recorder()
    bus.is_away = True
    async with running(make(files, bus)):
        happened = await live(files, "exec_a", 5)
        await asyncio.sleep(0)
        assert bus.messages == []
        bus.is_away = False
        await all_published(files)

    assert bus.ids() == happened


async def test_how_it_is_connected_and_what_waits_is_reported(files):
    bus = Recorder()
    bus.is_away = True
    publisher = make(files, bus)
    await live(files, "exec_a", 3)

    await publisher._report()

    async with files[0].read() as connection:
        (link,) = await links.every(connection)
    assert (link.is_connected, link.waiting, link.oldest_at) == (False, 5, NOW)
    assert "away" in link.detail


async def test_what_was_published_stays_for_its_time_and_then_goes(files):
    clock = SteppedClock(NOW)
    publisher = make(files, Recorder(), clock=clock, published_s=3_600)
    await live(files, "exec_a", 3)
    await publisher._report()
    await publisher.drain()

    clock.advance(3_599)
    await publisher._trim()
    kept = await count(files)
    clock.advance(2)
    await publisher._trim()

    assert (kept, await count(files)) == (5, 0)


async def count(files: tuple[Database, Database]) -> int:
    total = 0
    for file, table in zip(files, (outbox.CONTROL, outbox.LEDGER), strict=True):
        async with file.read() as connection:
            total += await connection.scalar(sa.select(sa.func.count()).select_from(table))
    return total


async def test_inside_one_process_nothing_published_is_kept(files):
    bus = LocalBus(LAYOUT)
    publisher = make(files, bus, published_s=0)
    happened = await live(files, "exec_a", 3)
    await publisher._report()
    await publisher.drain()

    found = await bus.read({STREAM: BEGINNING}, wait_s=0)

    assert [codec.decode(each.message)["event_id"] for each in found] == happened
    assert await count(files) == 0


async def test_of_two_relays_one_publishes_until_it_is_silent(files):
    clock = SteppedClock(NOW)
    first = make(files, Recorder(), holder="node-1", clock=clock)
    second = make(files, Recorder(), holder="node-2", clock=clock)
    await first._report()
    await second._report()
    assert (first._holds, second._holds) == (True, False)

    clock.advance(links.SILENT_S + 1)
    await second._report()
    await first._report()

    assert (first._holds, second._holds) == (False, True)


async def test_the_same_event_written_twice_is_told_once(files):
    bus = Recorder()
    publisher = make(files, bus)
    await tell(files[1], outbox.LEDGER, traded("exec_a", 1))
    await tell(files[1], outbox.LEDGER, traded("exec_a", 1), traded("exec_a", 2))
    await publisher._report()

    await publisher.drain()

    assert bus.ids() == ["exec_a-1.trade", "exec_a-2.trade"]


@pytest.mark.parametrize("encoding", ["json", "msgpack"])
def test_a_payload_is_the_same_in_both_encodings(encoding):
    row = outbox.rows([traded("exec_a", 1)], NOW)[0]
    waiting = outbox.Waiting(
        outbox_id=1,
        event_id=row["event_id"],
        subject=row["subject"],
        topic=row["topic"],
        payload=row["payload"],
        created_at=NOW,
    )

    message = relay.message_of(waiting, codec.Encoding(encoding))

    assert message.topic == "strategy.trade"
    assert message.encoding == encoding
    assert msgspec.convert(codec.decode(message), topics.StrategyTrade) == traded("exec_a", 1)


def published(redis: Any) -> list[str]:
    return [msgspec.json.decode(each["payload"])["event_id"] for each in redis.entries(STREAM)]


async def test_redis_killed_under_load_loses_nothing_and_keeps_the_order(files, redis):
    bus = RedisBus(redis.url, LAYOUT)
    async with running(make(files, bus)):
        async with asyncio.TaskGroup() as group:
            lives = {
                name: group.create_task(live(files, name, 150)) for name in ("exec_a", "exec_b")
            }
            for _ in range(2):
                await until(lambda: length(redis, LAYOUT) > 10)
                redis.kill()
                await asyncio.sleep(0.3)
                redis.start()
        await all_published(files)
    await bus.aclose()

    told = published(redis)
    for name, happened in lives.items():
        assert of(name, told) == happened.result()


async def test_a_relay_killed_again_and_again_loses_nothing_and_keeps_the_order(
    files, tmp_path, server, redis
):
    lives = {}
    for number in range(2):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, RUNNERS / "relay_process.py", tmp_path, redis.url, server or ""),
            stdout=asyncio.subprocess.PIPE,
        )
        assert await process.stdout.readline() == b"ready\n"
        name, seen = f"exec_{number}", length(redis)
        living = asyncio.create_task(live(files, name, 80))
        await until(lambda least=seen: length(redis) > least + 20)
        process.kill()
        await process.wait()
        assert not living.done()
        lives[name] = await living

    bus = RedisBus(redis.url, Layout())
    last = make(files, bus)
    await last._report()
    await last.drain()
    await bus.aclose()

    told = [msgspec.json.decode(each["payload"])["event_id"] for each in all_entries(redis)]
    assert set(told) == {event for happened in lives.values() for event in happened}
    for name, happened in lives.items():
        trades = [each for each in of(name, told) if each.endswith(".trade")]
        assert trades == happened[1:-1]


NAMES = (topics.STARTED, topics.TRADE, topics.STOPPED)


def all_entries(redis: Any) -> list[dict[str, bytes]]:
    return [each for name in NAMES for each in redis.entries(Layout().stream_of(name))]


def length(redis: Any, layout: Layout | None = None) -> int:
    streams = {(layout or Layout()).stream_of(name) for name in NAMES}
    with redis.client() as client:
        return sum(client.xlen(stream) for stream in streams)
