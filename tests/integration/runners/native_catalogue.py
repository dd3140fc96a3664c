"""Writes a catalogue with NautilusTrader's own `ParquetDataCatalog`, and beside it what is in it.

`python native_catalogue.py FOLDER` makes FOLDER/catalog and FOLDER/written.npz.
"""

import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
from nautilus_trader.model.data import Bar, BarType, QuoteTick, TradeTick
from nautilus_trader.model.enums import AggressorSide
from nautilus_trader.model.identifiers import TradeId
from nautilus_trader.model.instruments import CryptoPerpetual, FuturesContract, Instrument
from nautilus_trader.persistence.catalog import ParquetDataCatalog
from nautilus_trader.test_kit.providers import TestInstrumentProvider as Provider

SECOND = 1_000_000_000
HOUR = 3_600 * SECOND
MONDAY = 1_736_121_600 * SECOND  # 2025-01-06 00:00Z
TICKS = 3_000
FILES = 3


def instruments() -> dict[str, Instrument]:
    perpetual, future = Provider.btcusdt_perp_binance(), Provider.es_future(2025, 12)
    many = FuturesContract.to_dict(future) | {"id": "ESH6.GLBX", "multiplier": "50"}
    quanto = CryptoPerpetual.to_dict(perpetual) | {
        "id": "QUANTO.BINANCE",
        "settlement_currency": "BTC",
    }
    return {
        "pair": Provider.default_fx_ccy("EUR/USD"),
        "share": Provider.equity("AAPL", "XNAS"),
        "perpetual": perpetual,
        "future": future,
        "many": FuturesContract.from_dict(many),
        "quanto": CryptoPerpetual.from_dict(quanto),
        "inverse": Provider.xbtusd_bitmex(),
        "option": Provider.aapl_option(),
    }


def number(of: object) -> float:
    """Return the float64 that is nearest; NautilusTrader's own conversion is off by a bit."""
    return float(str(of))


def walk(of: Instrument, size: int, start: float, seed: int) -> np.ndarray:
    """Return closes on the instrument's grid."""
    chance = np.random.default_rng(seed)
    tick = float(of.price_increment)
    return np.round(start * np.exp(np.cumsum(chance.normal(0, 0.002, size))) / tick) * tick


class Writer:
    def __init__(self, folder: Path) -> None:
        (folder / "catalog").mkdir(parents=True)
        self.catalog = ParquetDataCatalog(str(folder / "catalog"))
        self.written: dict[str, Any] = {}

    def bars(self, of: Instrument, spec: str, closed: np.ndarray, late_ns: int = 0) -> None:
        """Write bars that close at these times; known so much later than they are stamped."""
        bar_type = BarType.from_str(f"{of.id}-{spec}")
        close = walk(of, closed.size, 100.0 if of.price_precision < 4 else 1.1, seed=len(spec))
        tick = float(of.price_increment)
        bars = [
            Bar(
                bar_type,
                *(of.make_price(each) for each in (c, c + 3 * tick, c - 2 * tick, c + tick)),
                of.make_qty(Decimal(k % 50 + 1)),
                int(at) - late_ns,
                int(at),
            )
            for k, (c, at) in enumerate(zip(close.tolist(), closed, strict=True))
        ]
        self.catalog.write_data(bars)
        names = ("open", "high", "low", "close", "volume")
        rows = [[number(getattr(each, name)) for name in names] for each in bars]
        self.written[f"{of.id}|{spec}"] = np.array(rows)
        self.written[f"{of.id}|{spec}|closed"] = closed

    def ticks(self, of: Instrument) -> None:
        chance = np.random.default_rng(3)
        known = MONDAY + np.sort(chance.integers(0, 6 * HOUR, TICKS))
        known[10] = known[11]  # two at one instant
        bid = walk(of, TICKS, 60_000.0, seed=4)
        quotes = [
            QuoteTick(
                of.id,
                of.make_price(price),
                of.make_price(price + 0.1 * (1 + k % 3)),
                of.make_qty(Decimal(k % 7) / 8),
                of.make_qty(Decimal(k % 5) / 1000),
                int(at) - 250,
                int(at),
            )
            for k, (price, at) in enumerate(zip(bid.tolist(), known, strict=True))
        ]
        trades = [
            TradeTick(
                of.id,
                of.make_price(price),
                of.make_qty(Decimal(1 + k % 9) / 1000),
                AggressorSide.BUYER,
                TradeId(str(k)),
                int(at) - 250,
                int(at),
            )
            for k, (price, at) in enumerate(zip(bid.tolist(), known, strict=True))
        ]
        for part in range(FILES):
            self.catalog.write_data(quotes[part * TICKS // FILES : (part + 1) * TICKS // FILES])
            self.catalog.write_data(trades[part * TICKS // FILES : (part + 1) * TICKS // FILES])
        sides = ("bid_price", "ask_price", "bid_size", "ask_size")
        self.written["quotes"] = np.array(
            [[number(getattr(each, side)) for side in sides] for each in quotes]
        )
        self.written["trades"] = np.array(
            [[number(each.price), number(each.size)] for each in trades]
        )
        self.written["known"] = known


def main(folder: Path) -> None:
    writer = Writer(folder)
    known = instruments()
    writer.catalog.write_data(list(known.values()))
    hours = MONDAY + np.arange(1, 97) * HOUR  # four days from Monday on
    for spec in ("1-HOUR-LAST-EXTERNAL", "1-HOUR-BID-EXTERNAL"):
        writer.bars(known["pair"], spec, hours)
    fives = MONDAY + np.arange(1, 200) * 300 * SECOND
    writer.bars(known["pair"], "5-MINUTE-MID-INTERNAL", fives)
    days = MONDAY + np.array([1, 2, 3, 4, 5, 8, 9, 10]) * 24 * HOUR
    writer.bars(known["share"], "1-DAY-LAST-EXTERNAL", days)
    writer.bars(known["perpetual"], "1-HOUR-LAST-EXTERNAL", hours)
    writer.bars(known["perpetual"], "100-TICK-LAST-INTERNAL", hours[:5])
    writer.bars(known["future"], "1-HOUR-LAST-EXTERNAL", hours[:24], late_ns=HOUR)
    for refused in ("many", "quanto", "inverse", "option"):
        writer.bars(known[refused], "1-HOUR-LAST-EXTERNAL", hours[:5])
    writer.ticks(known["perpetual"])
    np.savez(folder / "written.npz", **writer.written)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
