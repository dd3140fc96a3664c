"""A native strategy behind the process wall: its zygote, its messages, its memory."""

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import nautilus_trader.examples.strategies as shipped
import numpy as np
import pytest

from strategy_engine.matching.exchange import Exchange
from strategy_engine.matching.model import Rules, Terms
from strategy_engine.matching.ticket import Instruction
from strategy_engine.sandbox.launcher import Child, ChildLimits, Zygotes
from strategy_engine.sandbox.protocol import messages

HOUR_NS = 3_600 * 1_000_000_000
CAPITAL_NANOS = 100_000 * 10**9
SYMBOL, TICK_NANOS, LOT_NANOS = "EUR/USD.SIM", 10_000, 10**9
BARS = 300
MOST_PRIVATE_BYTES = 7_000_000
CODE = (Path(shipped.__file__).parent / "ema_cross.py").read_text()
RULES = Rules(allow_short=True)

_instruction = msgspec.msgpack.Decoder(Instruction).decode


@pytest.fixture
async def zygotes() -> AsyncIterator[Zygotes]:
    zygotes = Zygotes()
    yield zygotes
    await zygotes.aclose()


async def ask(child: Child, message: messages.ToChild) -> Any:
    return messages.decode_from_child(await child.request(messages.encode(message), 60.0))


def load_message(code: str) -> messages.LoadNative:
    engine = messages.Engine(
        capital_nanos=CAPITAL_NANOS, **{name: getattr(RULES, name) for name in Rules.__slots__}
    )
    contract = messages.Contract(symbol=SYMBOL, tick_nanos=TICK_NANOS, lot_nanos=LOT_NANOS)
    return messages.LoadNative(
        code=code,
        parameters={"trade_size": 1000},
        engine=engine,
        contracts=[contract],
        timeframe="1-HOUR-LAST-EXTERNAL",
    )


def walk() -> np.ndarray[Any, np.dtype[np.float64]]:
    steps = np.random.default_rng(1).normal(0, 0.002, BARS)
    return np.round(1.1 * np.exp(np.cumsum(steps)), 5)


async def play(child: Child, closes: np.ndarray[Any, np.dtype[np.float64]]) -> int:
    """Trade the bars live, and return how many fills there were."""
    terms = Terms(symbol=SYMBOL, tick_nanos=TICK_NANOS, lot_nanos=LOT_NANOS)
    venue = Exchange(CAPITAL_NANOS, [terms], RULES)
    await ask(child, messages.NativeWarmUp(start_ns=0, bars=[], balance_nanos=CAPITAL_NANOS))
    opened = float(closes[0])
    for index, close in enumerate(closes.tolist()):
        prices = (opened, max(opened, close) + 0.001, min(opened, close) - 0.001, close)
        first, high, low, last = (round(each * 1e9 / TICK_NANOS) for each in prices)
        times = index * HOUR_NS, (index + 1) * HOUR_NS
        events = venue.meet(SYMBOL, times, (first, high, low, last), 1000)
        answer = await ask(
            child,
            messages.NativeBar(
                symbol=SYMBOL,
                open_ns=times[0],
                close_ns=times[1],
                ohlcv=(*prices, 1000.0),
                events=msgspec.Raw(msgspec.msgpack.encode(events)),
            ),
        )
        assert isinstance(answer, messages.NativeActed), answer
        venue.ask((each.ts_ns, _instruction(each.instruction)) for each in answer.asked)
        opened = close
    return len(venue.seen)


def private_bytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    (line,) = [each for each in lines if each.startswith("Private_Dirty:")]
    return int(line.split()[1]) * 1024


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may look into a child that is shut in")
async def test_a_child_that_has_traded_300_bars_has_little_to_itself(zygotes: Zygotes) -> None:
    child = await zygotes.child("nautilus", ChildLimits(), "memory")
    await ask(child, load_message(CODE))
    fills = await play(child, walk())
    used = private_bytes(child.pid)
    await child.close()
    assert fills > 5
    assert used < MOST_PRIVATE_BYTES


async def test_a_native_strategy_is_backtested_and_stopped_behind_the_wall(
    zygotes: Zygotes,
) -> None:
    closes = walk()
    child = await zygotes.child("nautilus", ChildLimits(), "backtest")
    loaded = await ask(child, load_message(CODE))
    bars = messages.Bars(
        symbol=SYMBOL,
        duration_ns=HOUR_NS,
        open_ns=(np.arange(BARS, dtype="<i8") * HOUR_NS).tobytes(),
        open=closes.tobytes(),
        high=(closes + 0.001).tobytes(),
        low=(closes - 0.001).tobytes(),
        close=closes.tobytes(),
        volume=np.ones(BARS).tobytes(),
    )
    answer = await ask(child, messages.NativeBacktest(bars=[bars]))
    stopped = await ask(child, messages.Stop())
    ended = await child.close()
    assert loaded.class_name == "EMACross"
    assert len(answer.steps) > 5
    assert stopped == messages.NativeStopped(asked=[])
    assert ended.status == 0


async def test_a_strategy_with_data_frames_runs_in_the_scientific_zygote(zygotes: Zygotes) -> None:
    code = """
import pandas as pd
from scipy import stats

class Trend:
    def generate_signal(self, market_data):
        closes = pd.Series(market_data["prices"])
        if len(closes) < 10:
            return "HOLD"
        return "BUY" if stats.linregress(range(10), closes.tail(10)).slope > 0 else "SELL"
"""
    child = await zygotes.child("scientific", ChildLimits(), "data frames")
    native = load_message(code)
    loaded = await ask(
        child,
        messages.Load(code=code, parameters={}, engine=native.engine, contracts=native.contracts),
    )
    await child.close()
    assert loaded.class_name == "Trend"
