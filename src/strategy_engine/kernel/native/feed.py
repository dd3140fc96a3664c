"""The data client: bars with their history, and ticks; what it lacks it says once."""

from typing import Any

from nautilus_trader.data.client import MarketDataClient
from nautilus_trader.data.messages import RequestBars, RequestData, SubscribeBars, SubscribeData
from nautilus_trader.model.data import Bar, BarType
from nautilus_trader.model.identifiers import ClientId, Venue

from strategy_engine.core import clock as clocks
from strategy_engine.kernel.native.record import Wiring

_BOOK = "an order book"
_MISSING = {
    "subscribe_order_book_deltas": _BOOK,
    "subscribe_order_book_depth": _BOOK,
    "subscribe_quote_ticks": "quotes",
    "subscribe_trade_ticks": "trades",
    "subscribe_mark_prices": "mark prices",
    "subscribe_index_prices": "index prices",
    "subscribe_funding_rates": "funding rates",
    "subscribe_instrument_status": "instrument status",
    "subscribe_instrument_close": "instrument closes",
    "subscribe_option_greeks": "option greeks",
    "request_order_book_snapshot": _BOOK,
    "request_order_book_deltas": _BOOK,
    "request_quote_ticks": "quotes",
    "request_trade_ticks": "trades",
    "request_funding_rates": "funding rates",
}


class Feed(MarketDataClient):  # type: ignore[misc]  # compiled, without stubs
    """The bars of one venue's instruments."""

    def __init__(self, venue: Venue, wiring: Wiring) -> None:
        super().__init__(
            client_id=ClientId(venue.value),
            msgbus=wiring.bus,
            cache=wiring.cache,
            clock=wiring.clock,
            venue=venue,
        )
        self._listings = wiring.listings
        self._record = wiring.record
        self._bars = wiring.cache
        self.history: dict[BarType, list[Bar]] = {}
        self._set_connected(True)  # noqa: FBT003  (its only argument)

    def subscribe_bars(self, command: SubscribeBars) -> None:
        """Agree when the bars are the execution's own."""
        self._check(command.bar_type)

    def request_bars(self, request: RequestBars) -> None:
        """Answer with the bars from before the start, and those seen since."""
        self._check(request.bar_type)
        bars = [each for each in self._known(request.bar_type) if _is_within(each, request)]
        self._handle_bars_py(
            request.bar_type,
            bars[-request.limit :] if request.limit else bars,
            request.id,
            request.start,
            request.end,
            request.params,
        )

    def _known(self, bar_type: BarType) -> list[Bar]:
        history = self.history.get(bar_type, [])
        last_ns = history[-1].ts_init if history else 0
        seen = [each for each in self._bars.bars(bar_type) if each.ts_init > last_ns]
        return history + seen[::-1]

    def _check(self, bar_type: BarType) -> None:
        if bar_type not in self._listings.bar_types:
            offered = ", ".join(sorted(str(each) for each in self._listings.bar_types))
            self._record.notice(
                f"it wants the bars {bar_type}, which this feed does not have; there are: {offered}"
            )

    def _lacks(self, what: str, command: SubscribeData | RequestData) -> None:
        if what in self._listings.offers:
            return
        of = getattr(command, "instrument_id", None)
        has = " and ".join(["bars", *sorted(self._listings.offers)])
        self._record.notice(
            f"it wants {what}{f' of {of}' if of else ''}; this feed has {has} only, so it gets none"
        )


def _is_within(bar: Bar, request: RequestBars) -> bool:
    start = None if request.start is None else clocks.to_nanos(request.start)
    end = None if request.end is None else clocks.to_nanos(request.end)
    return (start is None or bar.ts_init >= start) and (end is None or bar.ts_init <= end)


def _refusal(what: str) -> Any:
    def refuse(self: Feed, command: SubscribeData | RequestData) -> None:
        self._lacks(what, command)

    return refuse


def _agreement(_self: Feed, _command: object) -> None:
    return None


for _name, _what in _MISSING.items():
    setattr(Feed, _name, _refusal(_what))
    if _name.startswith("subscribe"):
        setattr(Feed, f"un{_name}", _agreement)
for _name in (
    "subscribe",
    "unsubscribe",
    "unsubscribe_bars",
    "subscribe_instrument",
    "subscribe_instruments",
    "unsubscribe_instrument",
    "unsubscribe_instruments",
):
    setattr(Feed, _name, _agreement)
