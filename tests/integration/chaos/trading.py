"""Executions that trade, what each was told of its fills, and what the ledger says they did."""

import asyncio
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from strategy_engine.core.clock import from_nanos
from strategy_engine.infra import database
from strategy_engine.market.service import Catalogue
from strategy_engine.venue.service import Records, Trade

SAMPLE, SYMBOL = "EUR/USD.SIM", "CHAOS/USD.SIM"
LOOKBACK = 64
SCALE = 1_000_000
MODULUS = (1 << 61) - 1

# Its state is a sum of everything that it was told, in order: a fill too many, too few, changed
# or out of its turn gives another one. What it decides depends on all of it.
WITNESS = f"""
class Witness:
    def __init__(self, every: int = 5):
        self.every = every
        self.bars = self.fills = self.told = 0

    def on_fill(self, fill):
        self.fills += 1
        side = 1 if fill.side == "BUY" else 2
        what = round(fill.price * {SCALE}) * 31 + round(fill.quantity) * 7 + side + fill.ts_ns
        self.told = (self.told * 1_000_003 + what) % {MODULUS}

    def generate_signal(self, market_data):
        self.bars += 1
        rising = market_data["prices"][-1] > market_data["prices"][-self.every:].mean()
        if market_data["position"]:
            return "SELL" if (self.bars + 3 * self.fills + self.told) % self.every == 0 else "HOLD"
        return "BUY" if (self.bars + self.fills + rising) % 3 == 0 else "HOLD"

    def save_state(self):
        return {{"bars": self.bars, "fills": self.fills, "told": self.told}}

    def load_state(self, state):
        self.bars, self.fills, self.told = state["bars"], state["fills"], state["told"]
"""


def give_bars(data_dir: Path, count: int) -> list[int]:
    """Give an engine an instrument with so many live bars; return when each of them closes."""
    catalogue = Catalogue(data_dir)
    bars = catalogue.bars(SAMPLE)
    part = bars.slice(len(bars) - LOOKBACK - count, len(bars))
    rows = zip(part.ts_ns, part.open, part.high, part.low, part.close, part.volume, strict=True)
    lines = [
        ",".join([from_nanos(int(ts_ns)).isoformat(), *(repr(float(each)) for each in values)])
        for ts_ns, *values in rows
    ]
    file = data_dir / "chaos.csv"
    file.write_text("timestamp,open,high,low,close,volume\n" + "\n".join(lines) + "\n")
    catalogue.import_file(file, symbol=SYMBOL, timeframe="1h", tick_size=Decimal("0.00001"))
    return [int(each) for each in part.close_ns[LOOKBACK:]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What an execution's strategy says it was shown, as the ledger kept it."""

    bars: int
    fills: int
    told: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledgered:
    """What the ledger has of an execution."""

    trades: list[Trade]
    equity: list[Any]
    findings: tuple[str, ...]
    undelivered: Any
    told: Told

    def moves(self) -> list[tuple[Any, ...]]:
        """Return the trades but for their execution's name."""
        return [
            (each.seq, each.side, each.quantity, each.price, each.timestamp, each.pnl, each.fee)
            for each in self.trades
        ]

    def moves_before(self, close_ns: int) -> list[tuple[Any, ...]]:
        """Return the trades of the bars up to one that closes then."""
        last = from_nanos(close_ns)
        return [
            move
            for each, move in zip(self.trades, self.moves(), strict=True)
            if each.timestamp < last
        ]

    def curve(self) -> list[tuple[Any, ...]]:
        return [(each.close_ns, each.equity, each.cash, each.bar_index) for each in self.equity]

    def as_told(self) -> Told:
        """Return what a strategy that was told of every trade once, in order, would say."""
        told = 0
        for each in self.trades:
            side = 1 if each.side == "BUY" else 2
            moment = round(each.timestamp.timestamp() * 1_000_000) * 1_000
            what = round(each.price * SCALE) * 31 + round(each.quantity) * 7 + side + moment
            told = (told * 1_000_003 + what) % MODULUS
        return Told(bars=len(self.equity), fills=len(self.trades), told=told)


async def _read(data_dir: Path, server: Any, execution_ids: list[str]) -> dict[str, Ledgered]:
    control, ledger = database.open_both(data_dir, server, 10.0)
    records = Records(ledger)
    found = {}
    for execution_id in execution_ids:
        checkpoint = await records.checkpoint(execution_id)
        assert checkpoint is not None
        assert checkpoint.state is not None
        states = msgspec.msgpack.decode(checkpoint.state)
        found[execution_id] = Ledgered(
            trades=await records.trades(execution_id, limit=100_000),
            equity=await records.equity(execution_id),
            findings=(await records.reconcile(execution_id)).findings,
            undelivered=checkpoint.undelivered,
            told=Told(**msgspec.msgpack.decode(states[SYMBOL])),
        )
    await ledger.aclose()
    await control.aclose()
    return found


def read(data_dir: Path, server: Any, execution_ids: list[str]) -> dict[str, Ledgered]:
    """Return what the ledger has of executions."""
    return asyncio.run(_read(data_dir, server, execution_ids))
