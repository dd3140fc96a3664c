"""The quotes and trades of one execution, beside its bars, and where everything stands in time."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import assert_never

import numpy as np
from numpy.typing import NDArray

from strategy_engine.market.feeds import BarEvent, MarketEvent, QuoteEvent, TradeEvent
from strategy_engine.market.model import Quotes, Trades
from strategy_engine.market.service import Catalogue
from strategy_engine.matching.model import Terms

# When something was known; a bar before a quote before a trade; whose it was; which of them. The
# order in which a backtest meets everything.
type Place = tuple[int, int, str, int]
type Ints = NDArray[np.int64]

BAR, QUOTE, TRADE = range(3)
NOWHERE: Place = (-1, BAR, "", 0)  # before all bars


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TickHistory:
    """Quotes and trades by symbol; where an instrument has any, they are its market."""

    quotes: Mapping[str, Quotes] = field(default_factory=dict)
    trades: Mapping[str, Trades] = field(default_factory=dict)

    @property
    def offers(self) -> list[str]:
        """What there is, as a strategy is told of it."""
        return [name for name in ("quotes", "trades") if getattr(self, name)]

    def has(self, symbol: str) -> bool:
        """Whether an instrument is traded on ticks, its bars there to look at."""
        return symbol in self.quotes or symbol in self.trades

    def between(self, spans: Mapping[str, tuple[int, int]]) -> "TickHistory":
        """Return what was known after one time and no later than another, of each symbol."""
        quotes = {name: _within(each, spans[name]) for name, each in self.quotes.items()}
        trades = {name: _within(each, spans[name]) for name, each in self.trades.items()}
        return TickHistory(
            quotes={name: each for name, each in quotes.items() if len(each)},
            trades={name: each for name, each in trades.items() if len(each)},
        )

    def follow(self, place: Place) -> bool:
        """Return whether a tick follows a place at the same instant."""
        ts_ns, kind, symbol, index = place
        tracks = [(QUOTE, name, each.ts_ns) for name, each in self.quotes.items()]
        tracks += [(TRADE, name, each.ts_ns) for name, each in self.trades.items()]
        return any(
            (rank, name, last) > (kind, symbol, index)
            for rank, name, times in tracks
            if (last := int(np.searchsorted(times, ts_ns, side="right")) - 1) >= 0
            and times[last] == ts_ns
        )


NO_TICKS = TickHistory()


def load(catalogue: Catalogue, symbols: Iterable[str]) -> TickHistory:
    """Return everything that the catalogue has; blocks on files."""
    quotes = {symbol: catalogue.quotes(symbol) for symbol in sorted(symbols)}
    trades = {symbol: catalogue.trades(symbol) for symbol in sorted(symbols)}
    return TickHistory(
        quotes={name: each for name, each in quotes.items() if each},
        trades={name: each for name, each in trades.items() if each},
    )


def place_of(event: MarketEvent) -> Place:
    """Return where an event stands."""
    match event:
        case BarEvent():
            return event.close_ns, BAR, event.symbol, 0
        case QuoteEvent():
            return event.ts_ns, QUOTE, event.symbol, event.index
        case TradeEvent():
            return event.ts_ns, TRADE, event.symbol, event.index
        case _:
            assert_never(event)


def in_ticks(terms: Terms, prices: Sequence[float]) -> tuple[int, ...]:
    """Return prices in whole ticks, as every room reads them."""
    return tuple(terms.ticks(np.array(prices)).tolist())


def in_lots(terms: Terms, sizes: Sequence[float]) -> tuple[int, ...]:
    """Return sizes in whole lots, as every room reads them."""
    return tuple(terms.whole_lots(np.array(sizes)).tolist())


def _within[T: (Quotes, Trades)](ticks: T, span: tuple[int, int]) -> T:
    start, stop = np.searchsorted(ticks.ts_ns, np.array(span), side="right").tolist()
    return ticks.slice(start, max(start, stop))
