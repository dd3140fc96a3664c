"""Bars from the bus make the trades that a replay of the same bars makes, whatever happens."""

import asyncio
import importlib.util
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from strategy_engine.core.clock import SystemClock
from strategy_engine.core.errors import InvalidError, UnavailableError
from strategy_engine.execution.model import ExecutionConfig, ExecutionStatus
from strategy_engine.infra import database
from strategy_engine.infra.bus import codec
from strategy_engine.infra.bus.local import LocalBus
from strategy_engine.infra.bus.model import Encoding, Layout, Message
from strategy_engine.market import busrules
from strategy_engine.market.busbars import BusBars, Source
from strategy_engine.market.model import Bars, Timeframe
from strategy_engine.market.service import Catalogue
from strategy_engine.registry.model import Content, Trigger

PROGRAM = Path(__file__).parent / "runners" / "execution_node.py"
_spec = importlib.util.spec_from_file_location("execution_node", PROGRAM)
world = importlib.util.module_from_spec(_spec)
sys.modules["execution_node"] = world
_spec.loader.exec_module(world)

SAMPLE = Catalogue(Path("/nonexistent")).bars("EUR/USD.SIM").slice(0, 260)
PAST = 120  # of these the catalogue has, the rest comes over the bus
FRAME = Timeframe.parse("1h")
LAYOUT = Layout(trader_id="MARKET-DATA-001")

CODE = """
class Counting:
    lookback = 20

    def __init__(self):
        self.bars = self.fills = 0

    def on_fill(self, fill):
        self.fills += 1

    def generate_signal(self, market_data):
        self.bars += 1
        rising = market_data["prices"][-1] > market_data["prices"].mean()
        if market_data["position"]:
            return "SELL" if (self.bars + 3 * self.fills) % 5 == 0 else "HOLD"
        return "BUY" if (self.bars + self.fills + rising) % 4 == 0 else "HOLD"

    def save_state(self):
        return {"bars": self.bars, "fills": self.fills}

    def load_state(self, state):
        self.bars, self.fills = state["bars"], state["fills"]
"""


def imported(data_dir: Path, symbols: list[str], bars: Bars) -> None:
    """Give a data directory a catalogue that ends with these bars."""
    lines = ["timestamp,open,high,low,close,volume"]
    columns = (bars.open, bars.high, bars.low, bars.close, bars.volume)
    for ts_ns, *values in zip(
        bars.ts_ns.tolist(), *(each.tolist() for each in columns), strict=True
    ):
        lines.append(f"{ts_ns // 10**9},{','.join(repr(value) for value in values)}")
    path = data_dir / "bars.csv"
    path.write_text("\n".join(lines))
    for symbol in symbols:
        report = Catalogue(data_dir).import_file(path, symbol, "1h")
        assert report.accepted, report


def entry(symbol: str, number: int, encoding: Encoding = Encoding.JSON) -> Message:
    """Return one of the sample's bars as NautilusTrader publishes it."""
    bar_type = f"{symbol}-{FRAME}"
    payload = {
        "type": "Bar",
        "bar_type": bar_type,
        **{
            name: repr(float(getattr(SAMPLE, name)[number]))
            for name in ("open", "high", "low", "close", "volume")
        },
        "ts_event": str(int(SAMPLE.close_ns[number])),
        "ts_init": str(int(SAMPLE.close_ns[number])),
    }
    return codec.encode(busrules.topic_of(bar_type), payload, type_name="", encoding=encoding)


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A node that reads bars from a bus, and what reads them."""

    bars: BusBars


@asynccontextmanager
async def listening(data_dir: Path, bus: Any) -> AsyncIterator[Node]:
    home, ledger = database.open_both(data_dir, world.server())
    source = Source(stream="trader-MARKET-DATA-001:stream")
    bars = BusBars(bus=bus, source=source, record=ledger, home=home, clock=SystemClock())
    reading = asyncio.create_task(bars.run())
    async with world.node(data_dir, bars=bars):
        yield Node(bars=bars)
    reading.cancel()
    await asyncio.wait([reading])
    await home.aclose()
    await ledger.aclose()


@pytest.fixture
def bus() -> LocalBus:
    return LocalBus(LAYOUT)


@asynccontextmanager
async def engine(data_dir: Path, symbols: list[str], bars: Bars) -> AsyncIterator[Any]:
    data_dir.mkdir(exist_ok=True)
    world.create_tables(data_dir)
    imported(data_dir, symbols, bars)
    async with world.control(data_dir, feeds=("replay", "bus")) as control:
        yield control


async def deployed(control: Any) -> str:
    content = Content(strategy_name="Line", version="1.0.0", code=CODE)
    strategy, _ = await control.registry.create(content, actor="tester")
    for trigger in (Trigger.VALIDATE, Trigger.APPROVE, Trigger.DEPLOY):
        await control.registry.move(strategy.strategy_id, trigger, actor="tester")
    return strategy.strategy_id


async def until(is_so: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(60):
        while not await is_so():  # noqa: ASYNC110 - what is waited for happens in another process
            await asyncio.sleep(0.005)


async def bars_done(control: Any, execution_id: str, count: int) -> None:
    async def is_so() -> bool:
        kept = await control.records.checkpoint(execution_id)
        return kept is not None and kept.bar_no >= count

    await until(is_so)


async def told(control: Any, execution_id: str) -> list[tuple[Any, ...]]:
    """Return everything that an execution did, without its name."""
    trades = await control.records.trades(execution_id, limit=10_000)
    equity = await control.records.equity(execution_id)
    return [
        (each.seq, each.symbol, each.side, each.quantity, each.price, each.timestamp, each.pnl)
        for each in trades
    ] + [(each.close_ns, each.equity, each.cash, each.benchmark) for each in equity]


async def replayed(data_dir: Path, symbols: list[str], bars: Bars = SAMPLE) -> list[Any]:
    """Return what a replay of the whole does from the bar at which the bus's would begin."""
    async with engine(data_dir, symbols, bars) as control, world.node(data_dir):
        config = ExecutionConfig(
            speed=0, symbols=tuple(symbols), start_ns=int(SAMPLE.close_ns[PAST - 1])
        )
        started = await control.executions.start(await deployed(control), config, actor="tester")
        ended = await control.executions.wait_ended(started.execution_id, 60)
        assert ended.end_reason == "completed"
        return await told(control, ended.execution_id)


async def test_bars_from_the_bus_make_the_trades_of_a_replay_of_the_same_bars(
    tmp_path, bus, server, monkeypatch
):
    expected = await replayed(tmp_path / "replay", ["EUR/USD.SIM"])
    if server is not None:
        monkeypatch.setenv("DATABASE_URL", server)
    data_dir = tmp_path / "bus"
    async with (
        engine(data_dir, ["EUR/USD.SIM"], SAMPLE.slice(0, PAST)) as control,
        listening(data_dir, bus) as node,
    ):
        config = ExecutionConfig(feed="bus", symbols=("EUR/USD.SIM",))
        started = await control.executions.start(await deployed(control), config, actor="tester")
        assert started.status is ExecutionStatus.RUNNING
        for number in range(PAST, len(SAMPLE)):
            encoding = Encoding.MSGPACK if number % 2 else Encoding.JSON
            await bus.publish([entry("EUR/USD.SIM", number, encoding)])
            if number % 30 == 0:  # the same again, and one of long ago
                await bus.publish([entry("EUR/USD.SIM", number), entry("EUR/USD.SIM", number - 5)])
        await bars_done(control, started.execution_id, len(SAMPLE) - PAST)
        await control.executions.stop(started.strategy_id, actor="tester")
        found = await told(control, started.execution_id)
        counts = node.bars.counts

    assert found == expected
    assert len([each for each in found if len(each) == 7]) > 20
    assert counts == {
        "bars_taken": len(SAMPLE) - PAST,
        "bars_repeated": 5,
        "bars_out_of_order": 5,
    }


async def test_a_node_that_was_away_goes_on_with_every_bar_that_it_missed(tmp_path, bus):
    expected = await replayed(tmp_path / "replay", ["EUR/USD.SIM"])
    data_dir = tmp_path / "bus"
    async with engine(data_dir, ["EUR/USD.SIM"], SAMPLE.slice(0, PAST)) as control:
        async with listening(data_dir, bus):
            config = ExecutionConfig(feed="bus", symbols=("EUR/USD.SIM",))
            started = await control.executions.start(
                await deployed(control), config, actor="tester"
            )
            await bus.publish([entry("EUR/USD.SIM", number) for number in range(PAST, 170)])
            await bars_done(control, started.execution_id, 30)
        await bus.publish([entry("EUR/USD.SIM", number) for number in range(170, 200)])
        async with listening(data_dir, bus):
            await bus.publish([entry("EUR/USD.SIM", number) for number in range(200, len(SAMPLE))])
            await bars_done(control, started.execution_id, len(SAMPLE) - PAST)
            await control.executions.stop(started.strategy_id, actor="tester")
        found = await told(control, started.execution_id)
        again = await control.executions.get(started.execution_id)

    assert found == expected
    assert again.epoch == 2


async def test_bars_of_two_instruments_are_played_in_one_order_however_they_arrive(
    tmp_path, bus, monkeypatch
):
    monkeypatch.setattr(
        busrules, "GRACE_S", 3_600.0
    )  # a slow moment of the machine makes none late
    symbols = ["AAA.SIM", "BBB.SIM"]
    expected = await replayed(tmp_path / "replay", symbols)
    data_dir = tmp_path / "bus"
    async with (
        engine(data_dir, symbols, SAMPLE.slice(0, PAST)) as control,
        listening(data_dir, bus) as node,
    ):
        config = ExecutionConfig(feed="bus", symbols=tuple(symbols))
        started = await control.executions.start(await deployed(control), config, actor="tester")
        for number in range(PAST, len(SAMPLE)):
            order = symbols if number % 3 else symbols[::-1]
            for symbol in order:
                await bus.publish([entry(symbol, number)])
                await asyncio.sleep(0)
        await bars_done(control, started.execution_id, 2 * (len(SAMPLE) - PAST))
        await control.executions.stop(started.strategy_id, actor="tester")
        found = await told(control, started.execution_id)

    assert found == expected
    assert node.bars.counts == {"bars_taken": 2 * (len(SAMPLE) - PAST)}


async def test_what_the_stream_holds_when_an_execution_begins_only_warms_it_up(tmp_path, bus):
    data_dir = tmp_path / "bus"
    await bus.publish([entry("EUR/USD.SIM", number) for number in range(PAST - 10, 200)])
    async with (
        engine(data_dir, ["EUR/USD.SIM"], SAMPLE.slice(0, PAST)) as control,
        listening(data_dir, bus),
    ):
        config = ExecutionConfig(feed="bus", symbols=("EUR/USD.SIM",))
        started = await control.executions.start(await deployed(control), config, actor="tester")
        await bus.publish([entry("EUR/USD.SIM", 200)])
        await bars_done(control, started.execution_id, 1)
        equity = await control.records.equity(started.execution_id)
        await control.executions.stop(started.strategy_id, actor="tester")

    assert [each.close_ns for each in equity] == [int(SAMPLE.close_ns[200])]


class Away(LocalBus):
    """A bus that is away until it is told to be back."""

    is_away = True

    async def read(self, *given: Any, **named: Any) -> Any:
        if self.is_away:
            raise UnavailableError("the broker is away")
        return await super().read(*given, **named)


async def test_an_execution_waits_for_a_broker_that_is_away_and_can_be_stopped_meanwhile(tmp_path):
    bus, data_dir = Away(LAYOUT), tmp_path / "bus"
    async with (
        engine(data_dir, ["EUR/USD.SIM"], SAMPLE.slice(0, PAST)) as control,
        listening(data_dir, bus),
    ):
        strategy_id = await deployed(control)
        config = ExecutionConfig(feed="bus", symbols=("EUR/USD.SIM",))
        starting = asyncio.create_task(
            control.executions.start(strategy_id, config, actor="tester")
        )

        async def is_claimed() -> bool:
            found = await control.executions.unended_of(strategy_id)
            return bool(found) and found[0].epoch > 0

        await until(is_claimed)
        assert (await control.executions.unended_of(strategy_id))[0].status == "starting"
        bus.is_away = False
        assert (await starting).status is ExecutionStatus.RUNNING
        await control.executions.stop(strategy_id, actor="tester")

        bus.is_away = True
        again = asyncio.create_task(control.executions.start(strategy_id, config, actor="tester"))
        await until(is_claimed)
        answered = await control.executions.stop(strategy_id, actor="tester")
        await again

    assert answered.is_confirmed
    assert {each.status for each in answered.executions} == {ExecutionStatus.STOPPED}


async def test_an_engine_that_reads_no_bars_refuses_the_feed_with_what_to_set(tmp_path):
    world.create_tables(tmp_path)
    async with world.control(tmp_path) as control:
        with pytest.raises(InvalidError, match="STRATEGY_BUS_DATA_STREAM"):
            await control.executions.start(
                await deployed(control), ExecutionConfig(feed="bus"), actor="tester"
            )
