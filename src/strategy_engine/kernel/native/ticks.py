"""Columns of quotes and trades as NautilusTrader's ticks."""

from collections.abc import Iterable

import numpy as np
from nautilus_trader.model.data import QuoteTick, TradeTick

from strategy_engine.kernel.native.instruments import Listing
from strategy_engine.sandbox.protocol import messages


def quotes(listing: Listing, columns: messages.Quotes) -> list[QuoteTick]:
    """Return quotes, in their order."""
    rows = _rows(columns.bid, columns.ask, columns.bid_size, columns.ask_size)
    times = np.frombuffer(columns.ts_ns, dtype="<i8").tolist()
    return [
        listing.quote(ts_ns, (bid, ask, bid_size, ask_size))
        for ts_ns, (bid, ask, bid_size, ask_size) in zip(times, rows, strict=True)
    ]


def trades(listing: Listing, columns: messages.Trades) -> list[TradeTick]:
    """Return trades, in their order."""
    times = np.frombuffer(columns.ts_ns, dtype="<i8").tolist()
    rows = _rows(columns.price, columns.size)
    return [
        listing.trade(ts_ns, price, size) for ts_ns, (price, size) in zip(times, rows, strict=True)
    ]


def _rows(*columns: bytes) -> Iterable[tuple[float, ...]]:
    return zip(*(np.frombuffer(each, dtype="<f8").tolist() for each in columns), strict=True)
