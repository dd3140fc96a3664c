"""What a native strategy is told, as messages. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any, assert_never

import msgspec
from msgspec.structs import replace

from strategy_engine.execution.conversation import Happening
from strategy_engine.market.feeds import BarEvent, MarketEvent, QuoteEvent, TradeEvent
from strategy_engine.matching.ticket import Instruction, Modify, OrderEvent, Ticket, Updated
from strategy_engine.sandbox.protocol import messages
from strategy_engine.venue.native_view import View

_encode = msgspec.msgpack.Encoder().encode


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


def warm_up(
    view: View, *, start_ns: int, bars: list[messages.Bars], state: bytes | None, orders_made: int
) -> messages.NativeWarmUp:
    """Return what a strategy starts with that knows so much of its account."""
    return messages.NativeWarmUp(
        start_ns=start_ns,
        bars=bars,
        balance_nanos=view.balance_nanos,
        state=state,
        holdings=[
            messages.NativeHolding(symbol=symbol, lots=lots, entry_price=price)
            for symbol, lots, price in view.holdings
        ],
        working=msgspec.Raw(_encode(view.working)),
        orders_made=orders_made,
    )


def events(untold: Iterable[OrderEvent], filled: Mapping[str, int]) -> msgspec.Raw:
    """Return what became of orders; of those in `filled` its process knows what was left then."""
    return msgspec.Raw(_encode([_left(each, filled) for each in untold]))


def whole(asked: Instruction, filled: Mapping[str, int]) -> Instruction:
    """Return what its process asks for, in the lots that the order had from its beginning."""
    # Its process knows an order that it took over by the lots that were left of it then.
    if not isinstance(asked, Modify) or asked.lots is None:
        return asked
    return replace(asked, lots=asked.lots + filled.get(asked.client_order_id, 0))


def _left(event: OrderEvent, filled: Mapping[str, int]) -> OrderEvent:
    if not isinstance(event, Updated) or event.client_order_id not in filled:
        return event
    return replace(event, lots=event.lots - filled[event.client_order_id])


def refused(asked: Ticket | Modify) -> str:
    """Return what is said of an order that a strategy asks for in its end."""
    if isinstance(asked, Modify):
        return "in on_stop it asked to change an order; an execution that ends has none left"
    return (
        f"in on_stop it asked for a new order, {asked.side} {asked.lots} lots {asked.symbol}"
        f" {asked.type}; an execution that ends takes none, and its positions stay as they are"
    )
