"""Budget: after 300 bars a child has at most 3 MB to itself, a Nautilus child at most 7 MB.

One zygote of each kind forks N children, each behind its whole wall. Every one is loaded and warmed
up, then all take 300 bars in turns, by the messages of a live execution. Then the private memory
that each has written to (`Private_Dirty`) is read, which only root may do of a child that is shut
in; the median counts, and the mean and the largest stand beside it. Beside them stands the private
memory that a plain Python process with numpy and TA-Lib takes: what a strategy would cost without
a zygote.
"""

import argparse
import asyncio
import json
import re
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import nautilus_trader.examples.strategies as shipped
import numpy as np

from strategy_engine.matching.account import Account
from strategy_engine.matching.exchange import Exchange
from strategy_engine.matching.model import BUY, HOLD, SELL, Fill, Rules, Terms
from strategy_engine.matching.ticket import Instruction
from strategy_engine.sandbox import spawn
from strategy_engine.sandbox.launcher import Child, ChildLimits, Zygote
from strategy_engine.sandbox.protocol import messages

BUDGET_MB = {"lean": 3.0, "nautilus": 7.0}
COUNTS = {"lean": (1, 50, 200), "nautilus": (1, 50, 200)}
BARS = 300
HOUR_NS = 3_600 * 1_000_000_000
CAPITAL_NANOS = 100_000 * 10**9
SYMBOL = "EUR/USD.SIM"
TERMS = Terms(symbol=SYMBOL, tick_nanos=10_000, lot_nanos=10**9)
RULES = Rules(allow_short=True)
ANSWER_S = 120.0
LEAN_CODE = """
class Cross:
    def generate_signal(self, market_data):
        prices = market_data["prices"]
        if len(prices) < 20:
            return "HOLD"
        return "BUY" if calculate_sma(prices, 10) > calculate_sma(prices, 20) else "SELL"
"""
ALONE = "import numpy, talib; print(open('/proc/self/smaps_rollup').read())"

type Prices = tuple[int, int, int, int]
type Walk = list[Prices]

_instruction = msgspec.msgpack.Decoder(Instruction).decode


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One bar, as ticks for the venue and as floats for the strategy."""

    times: tuple[int, int]
    ticks: Prices
    ohlcv: tuple[float, float, float, float, float]


class Lean:
    """A signal strategy's child and its account."""

    def __init__(self, child: Child) -> None:
        self.child = child
        self._account = Account(CAPITAL_NANOS, [TERMS], RULES)
        self.fills = 0

    async def start(self) -> None:
        code, contracts = LEAN_CODE, [contract()]
        load = messages.Load(code=code, parameters={}, engine=engine(), contracts=contracts)
        await ask(self.child, load, messages.Loaded)
        await ask(self.child, messages.WarmUp(bars=[]), messages.WarmedUp)

    async def play(self, bar: Bar) -> None:
        account = self._account
        fills = account.on_bar(SYMBOL, bar.times, bar.ticks)
        self.fills += len(fills)
        book = account.books[SYMBOL]
        holding = messages.Holding(
            lots=book.lots,
            entry_price=book.entry_price,
            cash=account.cash / 1e9,
            equity=account.equity() / 1e9,
        )
        message = messages.Bar(
            symbol=SYMBOL,
            open_ns=bar.times[0],
            close_ns=bar.times[1],
            ohlcv=bar.ohlcv,
            holding=holding,
            fills=[told(each) for each in fills],
        )
        decided = await ask(self.child, message, messages.Decided)
        decision = (HOLD, BUY, SELL)[decided.action]
        account.submit(account.plan(SYMBOL, decision, bar.times[1]))


class Native:
    """A NautilusTrader strategy's child and its venue."""

    def __init__(self, child: Child) -> None:
        self.child = child
        self._venue = Exchange(CAPITAL_NANOS, [TERMS], RULES)

    @property
    def fills(self) -> int:
        return len(self._venue.seen)

    async def start(self) -> None:
        load = messages.LoadNative(
            code=(Path(shipped.__file__).parent / "ema_cross.py").read_text(),
            parameters={"trade_size": 1000},
            engine=engine(),
            contracts=[contract()],
            timeframe="1-HOUR-LAST-EXTERNAL",
        )
        await ask(self.child, load, messages.Loaded)
        warm_up = messages.NativeWarmUp(start_ns=0, bars=[], balance_nanos=CAPITAL_NANOS)
        await ask(self.child, warm_up, messages.NativeActed)

    async def play(self, bar: Bar) -> None:
        events = self._venue.meet(SYMBOL, bar.times, bar.ticks, 1000)
        message = messages.NativeBar(
            symbol=SYMBOL,
            open_ns=bar.times[0],
            close_ns=bar.times[1],
            ohlcv=bar.ohlcv,
            events=msgspec.Raw(msgspec.msgpack.encode(events)),
        )
        acted = await ask(self.child, message, messages.NativeActed)
        self._venue.ask((each.ts_ns, _instruction(each.instruction)) for each in acted.asked)


PLAYERS: dict[str, type[Lean | Native]] = {"lean": Lean, "nautilus": Native}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object on the last line")
    options = parser.parse_args()
    try:
        rows = [asyncio.run(measure(kind, count)) for kind in COUNTS for count in COUNTS[kind]]
    except PermissionError as error:
        print(f"nothing was measured: only root may read a confined child's memory ({error})")
        if options.json:
            print(json.dumps({"measured": False, "ok": False}))
        return 1
    alone = alone_mb()
    print_table(rows, alone)
    figures = {"bars": BARS, "alone_mb": alone, "rows": rows, "ok": all(row["ok"] for row in rows)}
    if options.json:
        print(json.dumps(figures))
    return 0 if figures["ok"] else 1


async def measure(kind: str, count: int) -> dict[str, Any]:
    """Return what each of `count` children of one fresh zygote has to itself, megabytes."""
    zygote = Zygote(kind)
    try:
        players = []
        for number in range(count):
            child = await zygote.fork(ChildLimits(), f"{kind} {number}")
            players.append(PLAYERS[kind](child))
            await players[-1].start()
        for bar in bars():
            for player in players:
                await player.play(bar)
        if min(player.fills for player in players) < 5:
            raise RuntimeError(f"a {kind} child hardly traded: its memory would say little")
        used = [private_mb(player.child.pid) for player in players]
    finally:
        await zygote.stop()
    median = statistics.median(used)
    return {
        "kind": kind,
        "children": count,
        "median_mb": round(median, 2),
        "mean_mb": round(statistics.mean(used), 2),
        "largest_mb": round(max(used), 2),
        "all_mb": round(sum(used), 1),
        "fills_each": players[0].fills,
        "budget_mb": BUDGET_MB[kind],
        "ok": median <= BUDGET_MB[kind],
    }


def bars() -> list[Bar]:
    steps = np.random.default_rng(1).normal(0, 0.002, BARS)
    closes = np.rint(110_000 * np.exp(np.cumsum(steps))).astype(int).tolist()
    result = []
    opened = closes[0]
    for index, close in enumerate(closes):
        ticks = opened, max(opened, close) + 100, min(opened, close) - 100, close
        first, high, low, last = (TERMS.price(each) for each in ticks)
        times = index * HOUR_NS, (index + 1) * HOUR_NS
        result.append(Bar(times=times, ticks=ticks, ohlcv=(first, high, low, last, 1000.0)))
        opened = close
    return result


async def ask[M: messages.FromChild](
    child: Child, message: messages.ToChild, expected: type[M]
) -> M:
    body = await child.request(messages.encode(message), ANSWER_S)
    answer = messages.decode_from_child(body)
    if not isinstance(answer, expected):
        raise TypeError(f"{child.label} answered {answer}")
    return answer


def engine() -> messages.Engine:
    rules = {name: getattr(RULES, name) for name in Rules.__slots__}
    return messages.Engine(capital_nanos=CAPITAL_NANOS, **rules)


def contract() -> messages.Contract:
    return messages.Contract(symbol=SYMBOL, tick_nanos=TERMS.tick_nanos, lot_nanos=TERMS.lot_nanos)


def told(fill: Fill) -> messages.Filled:
    return messages.Filled(
        side=fill.side.value,
        quantity=TERMS.quantity(fill.lots),
        price=TERMS.price(fill.price_ticks),
        fee=fill.fee_nanos / 1e9,
        pnl=fill.pnl_nanos / 1e9,
        ts_ns=fill.ts_ns,
        cause=fill.cause.value,
    )


def private_mb(pid: int) -> float:
    return dirty_mb(Path(f"/proc/{pid}/smaps_rollup").read_text())


def alone_mb() -> float:
    """Return what a process of its own takes that has imported what a lean strategy needs."""
    command = [sys.executable, "-c", ALONE]
    done = subprocess.run(
        command, env=spawn.ENVIRONMENT, check=True, capture_output=True, text=True
    )
    return round(dirty_mb(done.stdout), 2)


def dirty_mb(told: str) -> float:
    found = re.search(r"Private_Dirty: +(\d+) kB", told)
    assert found is not None
    return int(found[1]) * 1024 / 1e6


def print_table(rows: list[dict[str, Any]], alone: float) -> None:
    print(f"{'kind':<10}{'children':>10}{'median MB':>12}{'mean':>8}{'largest':>10}{'budget':>8}")
    for row in rows:
        used = f"{row['median_mb']:>12.2f}{row['mean_mb']:>8.2f}{row['largest_mb']:>10.2f}"
        print(f"{row['kind']:<10}{row['children']:>10}{used}{row['budget_mb']:>8.1f}")
    print(f"a Python process of its own, with numpy and TA-Lib: {alone:.2f} MB")


if __name__ == "__main__":
    sys.exit(main())
