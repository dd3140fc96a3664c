"""What a native strategy is told, as messages. Pure."""

from typing import Any, assert_never

from strategy_engine.execution.conversation import Happening
from strategy_engine.market.feeds import BarEvent, MarketEvent, QuoteEvent, TradeEvent
from strategy_engine.matching.ticket import Modify, Ticket
from strategy_engine.sandbox.protocol import messages


def message(event: MarketEvent, told: dict[str, Any]) -> Happening:
    """Return what a strategy is shown of a bar or tick, with what it is told besides."""
    match event:
        case BarEvent():
            return messages.NativeBar(
                open_ns=event.ts_ns,
                close_ns=event.close_ns,
                ohlcv=(event.open, event.high, event.low, event.close, event.volume),
                **told,
            )
        case QuoteEvent():
            quote = event.bid, event.ask, event.bid_size, event.ask_size
            return messages.NativeQuote(ts_ns=event.ts_ns, quote=quote, **told)
        case TradeEvent():
            return messages.NativeTrade(
                ts_ns=event.ts_ns, price=event.price, size=event.size, **told
            )
        case _:
            assert_never(event)


def refused(asked: Ticket | Modify) -> str:
    """Return what is said of an order that a strategy asks for in its end."""
    if isinstance(asked, Modify):
        return "in on_stop it asked to change an order; an execution that ends has none left"
    return (
        f"in on_stop it asked for a new order, {asked.side} {asked.lots} lots {asked.symbol}"
        f" {asked.type}; an execution that ends takes none, and its positions stay as they are"
    )
