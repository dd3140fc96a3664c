"""What a native strategy hears of its orders, and what its commands become."""

from typing import Any

import pytest

from strategy_engine.matching.model import Side
from strategy_engine.matching.ticket import (
    Accepted,
    Cancel,
    Cancelled,
    CancelRejected,
    Executed,
    Expired,
    Modify,
    ModifyRejected,
    OrderType,
    Rejected,
    Triggered,
    Updated,
)

HOUR_NS = 3_600 * 1_000_000_000

LISTENER = """
def on_bar(self, bar):
    if self.order is None:
        self.order = {order}

def on_event(self, event):
    name = getattr(event, "client_order_id", None)
    order = None if name is None else self.cache.order(name)
    status = [] if order is None else [order.status_string()]
    reason = getattr(event, "reason", "")
    self.say(type(event).__name__, *status, *([reason] if reason else []))
"""
FILL = {
    "trade_no": 1,
    "symbol": "EUR/USD.SIM",
    "side": Side.BUY,
    "lots": 1000,
    "price_ticks": 110_000,
    "fee_nanos": 110_000_000,
    "pnl_nanos": 0,
    "leaves_lots": 0,
    "position_lots": 1000,
    "code": "max_position_size",
    "message": "too much",
    "limit_ticks": 90_000,
}
MARKET = 'self.submit("market")'
LIMIT = 'self.submit("limit", 1.0)'
STOP = 'self.submit("stop_limit", 1.3, 1.2)'


@pytest.fixture
def told(acting: Any, bars: Any, session: Any, said: Any) -> Any:
    """Return what a strategy with one order hears of events about it."""

    def told(order: str, *events: type, **fields: Any) -> list[str]:
        place = session(acting(LISTENER.format(order=order)), bars(3))
        place.start()
        place.bar(0)
        ticket = place.run.instructions[0]
        known = FILL | {"client_order_id": ticket.client_order_id, "ts_ns": HOUR_NS} | fields
        happened = [
            each(**{name: known[name] for name in each.__struct_fields__ if name in known})
            for each in events
        ]
        return said(place.tell(HOUR_NS, *happened).state)

    return told


def test_a_fill_opens_a_position(told: Any) -> None:
    assert told(MARKET, Accepted, Executed) == [
        "OrderInitialized",
        "OrderSubmitted SUBMITTED",
        "OrderAccepted ACCEPTED",
        "OrderFilled FILLED",
        "PositionOpened",
    ]


def test_a_refused_order_is_told_why(told: Any) -> None:
    expected = "OrderRejected REJECTED max_position_size: too much"
    assert told(MARKET, Rejected)[-1] == expected


def test_part_of_a_fill_leaves_the_rest_working(told: Any) -> None:
    heard = told(LIMIT, Accepted, Executed, lots=400)
    assert heard[-2:] == ["OrderFilled PARTIALLY_FILLED", "PositionOpened"]


@pytest.mark.parametrize(
    ("order", "events", "last"),
    [
        (LIMIT, (Accepted, Cancelled), "OrderCanceled CANCELED"),
        (LIMIT, (Accepted, Expired), "OrderExpired EXPIRED"),
        (LIMIT, (Accepted, Updated), "OrderUpdated ACCEPTED"),
        (STOP, (Accepted, Triggered), "OrderTriggered TRIGGERED"),
        (
            LIMIT,
            (Accepted, ModifyRejected),
            "OrderModifyRejected ACCEPTED max_position_size: too much",
        ),
        (
            LIMIT,
            (Accepted, CancelRejected),
            "OrderCancelRejected ACCEPTED max_position_size: too much",
        ),
        (LIMIT, (Accepted, Cancelled, CancelRejected), "OrderCanceled CANCELED"),
        (LIMIT, (Accepted, Cancelled, Executed), "OrderCanceled CANCELED"),
    ],
)
def test_every_event_of_the_gate_is_heard_in_nautilus_words(
    told: Any, order: str, events: tuple[type, ...], last: str
) -> None:
    assert told(order, *events)[-1] == last


def test_a_fill_that_the_engine_made_for_it_changes_its_position_too(
    acting: Any, bars: Any, session: Any, said: Any
) -> None:
    body = """
def on_event(self, event):
    self.say(type(event).__name__, self.portfolio.net_position(self.config.instrument_id))
"""
    place = session(acting(body), bars(2))
    place.start()
    bought = Executed(client_order_id="HANDOVER-1", ts_ns=HOUR_NS, **_executed())
    assert said(place.tell(HOUR_NS, bought).state)[-1] == "PositionOpened 1000"


def _executed() -> dict[str, Any]:
    return {name: FILL[name] for name in Executed.__struct_fields__ if name in FILL}


def test_an_event_about_an_order_of_nobody_is_left_alone(
    acting: Any, bars: Any, session: Any
) -> None:
    place = session(acting(LISTENER.format(order=MARKET)), bars(2))
    place.start()
    answer = place.tell(HOUR_NS, Accepted(client_order_id="nobody's", ts_ns=HOUR_NS))
    assert answer.asked == []


def test_commands_become_instructions(acting: Any, bars: Any, session: Any) -> None:
    body = """
def on_bar(self, bar):
    step = self.cache.bar_count(self.config.bar_type)
    if step == 1:
        self.first = self.submit("limit", 0.9)
        self.second = self.submit("limit", 0.8, side=OrderSide.BUY)
        self.third = self.submit("limit", 2.0, side=OrderSide.SELL)
    elif step == 2:
        self.modify_order(self.first, self.pair.make_qty(500), self.pair.make_price(0.95))
    elif step == 3:
        self.cancel_order(self.first)
    elif step == 4:
        self.cancel_all_orders(self.config.instrument_id)
"""
    place = session(acting(body), bars(6))
    place.start()
    place.play(0, 6)
    tickets = place.run.instructions[:3]
    names = [each.client_order_id for each in tickets]
    assert [each.type for each in tickets] == [OrderType.LIMIT] * 3
    assert [each.side for each in tickets] == [Side.BUY, Side.BUY, Side.SELL]
    assert place.run.instructions[3:] == [
        Modify(client_order_id=names[0], lots=500, limit_ticks=95_000),
        Cancel(client_order_id=names[0]),
        Cancel(client_order_id=names[1]),
        Cancel(client_order_id=names[2]),
    ]


def test_orders_of_one_instant_have_names_of_their_own(
    acting: Any, bars: Any, session: Any
) -> None:
    place = session(acting("def on_bar(self, bar):\n    self.submit('market')"), bars(4))
    place.start()
    place.play(0, 4)
    names = [each.client_order_id for each in place.run.instructions]
    assert len(set(names)) == 4


def test_what_the_venue_cannot_take_is_denied_with_a_reason(
    acting: Any, bars: Any, session: Any, said: Any
) -> None:
    body = LISTENER.format(order='self.submit("market", quote_quantity=True)')
    place = session(acting(body), bars(2))
    place.start()
    heard = said(place.bar(0).state)
    assert place.run.instructions == []
    assert heard[-1].startswith("OrderDenied DENIED a quantity in the quote currency")
