"""How the market reaches the venue of a native strategy."""

from typing import assert_never

from strategy_engine.execution.history import Series
from strategy_engine.execution.ticks import in_lots, in_ticks
from strategy_engine.market.feeds import BarEvent, MarketEvent, QuoteEvent, TradeEvent
from strategy_engine.venue.native import NativeVenue


def meet(venue: NativeVenue, series: Series, event: MarketEvent) -> None:
    """Let the venue meet a bar or tick, in the ticks and lots of its instrument."""
    symbol = event.symbol
    match event:
        case BarEvent():
            times = event.ts_ns, event.close_ns
            volume = series.volume_lots_at(event.index)
            venue.on_bar(symbol, times, series.ticks_at(event.index), volume)
        case QuoteEvent():
            bid, ask = in_ticks(series.terms, (event.bid, event.ask))
            sizes = in_lots(series.terms, (event.bid_size, event.ask_size))
            venue.on_quote(symbol, event.ts_ns, (bid, ask), (sizes[0], sizes[1]))
        case TradeEvent():
            (price,) = in_ticks(series.terms, (event.price,))
            (lots,) = in_lots(series.terms, (event.size,))
            venue.on_trade(symbol, event.ts_ns, price, max(1, lots))
        case _:
            assert_never(event)
