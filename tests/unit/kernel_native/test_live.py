"""What a native strategy hears and asks for, told by the engine message by message."""

from typing import Any

import msgspec
import pytest

from strategy_engine.kernel.child import Conversation
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
    Ticket,
    Triggered,
    Updated,
)
from strategy_engine.sandbox.protocol import messages

HOUR_NS = 3_600 * 1_000_000_000

HEAD = """
from datetime import timedelta
from nautilus_trader.config import StrategyConfig
from nautilus_trader.indicators import ExponentialMovingAverage
from nautilus_trader.model.data import BarType
from nautilus_trader.model.enums import OrderSide, TimeInForce
from nautilus_trader.model.identifiers import InstrumentId
from nautilus_trader.trading.strategy import Strategy


class MyConfig(StrategyConfig, frozen=True):
    instrument_id: InstrumentId
    bar_type: BarType


class Base(Strategy):
    def __init__(self, config: MyConfig) -> None:
        super().__init__(config)
        self.heard = []
        self.order = None

    @property
    def pair(self):
        return self.cache.instrument(self.config.instrument_id)

    def on_start(self):
        self.subscribe_bars(self.config.bar_type)

    def submit(self, kind, *prices, side=OrderSide.BUY, **more):
        make = getattr(self.order_factory, kind)
        order = make(self.config.instrument_id, side, self.pair.make_qty(1000),
                     *(self.pair.make_price(each) for each in prices), **more)
        self.submit_order(order)
        return order

    def say(self, *words):
        self.heard.append(" ".join(str(each) for each in words))

    def on_save(self):
        return {"heard": chr(10).join(self.heard).encode()}

    def on_load(self, state):
        self.heard = state["heard"].decode().splitlines()
"""


def strategy(body: str) -> str:
    indented = "\n".join(f"    {line}" if line else "" for line in body.strip("\n").splitlines())
    return f"{HEAD}\nclass My(Base):\n{indented}\n"


def said(state: bytes | None) -> list[str]:
    assert state is not None
    return msgspec.msgpack.decode(state, type=dict[str, bytes])["heard"].decode().splitlines()


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
def told(floor: Any, bars: Any, session: Any) -> Any:
    """Return what a strategy with one order hears of events about it."""

    def told(order: str, *events: type, **fields: Any) -> list[str]:
        place = session(floor(strategy(LISTENER.format(order=order))), bars(3))
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
    floor: Any, bars: Any, session: Any
) -> None:
    body = """
def on_event(self, event):
    self.say(type(event).__name__, self.portfolio.net_position(self.config.instrument_id))
"""
    place = session(floor(strategy(body)), bars(2))
    place.start()
    bought = Executed(client_order_id="HANDOVER-1", ts_ns=HOUR_NS, **_executed())
    assert said(place.tell(HOUR_NS, bought).state)[-1] == "PositionOpened 1000"


def _executed() -> dict[str, Any]:
    return {name: FILL[name] for name in Executed.__struct_fields__ if name in FILL}


def test_an_event_about_an_order_of_nobody_is_left_alone(
    floor: Any, bars: Any, session: Any
) -> None:
    place = session(floor(strategy(LISTENER.format(order=MARKET))), bars(2))
    place.start()
    answer = place.tell(HOUR_NS, Accepted(client_order_id="nobody's", ts_ns=HOUR_NS))
    assert answer.asked == []


def test_commands_become_instructions(floor: Any, bars: Any, session: Any) -> None:
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
    place = session(floor(strategy(body)), bars(6))
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


def test_orders_of_one_instant_have_names_of_their_own(floor: Any, bars: Any, session: Any) -> None:
    place = session(floor(strategy("def on_bar(self, bar):\n    self.submit('market')")), bars(4))
    place.start()
    place.play(0, 4)
    names = [each.client_order_id for each in place.run.instructions]
    assert len(set(names)) == 4


def test_what_the_venue_cannot_take_is_denied_with_a_reason(
    floor: Any, bars: Any, session: Any
) -> None:
    body = LISTENER.format(order='self.submit("market", quote_quantity=True)')
    place = session(floor(strategy(body)), bars(2))
    place.start()
    heard = said(place.bar(0).state)
    assert place.run.instructions == []
    assert heard[-1].startswith("OrderDenied DENIED a quantity in the quote currency")


def test_timers_follow_the_time_of_the_data(floor: Any, bars: Any, session: Any) -> None:
    body = """
def on_start(self):
    super().on_start()
    self.clock.set_timer("often", timedelta(minutes=30), callback=self.tick)

def tick(self, event):
    self.say(event.ts_event // 60_000_000_000)

def on_bar(self, bar):
    self.say("bar", bar.ts_event // 60_000_000_000)
"""
    place = session(floor(strategy(body)), bars(2))
    place.start()
    place.play(0, 2)
    assert said(place.run.states[-1]) == ["30", "bar 60", "60", "90", "bar 120", "120"]


def test_a_timer_waits_for_the_last_bar_of_its_instant(floor: Any, bars: Any, session: Any) -> None:
    body = """
def on_start(self):
    super().on_start()
    self.clock.set_timer("hourly", timedelta(hours=1), callback=lambda _: self.say("timer"))

def on_bar(self, bar):
    self.say("bar")
"""
    place = session(floor(strategy(body)), bars(2))
    place.start()
    assert said(place.bar(0, is_last=False).state) == ["bar"]
    assert said(place.tell(HOUR_NS).state) == ["bar", "timer"]


def test_history_is_there_for_a_strategy_that_asks(floor: Any, bars: Any, session: Any) -> None:
    body = """
def on_start(self):
    self.average = ExponentialMovingAverage(3)
    self.register_indicator_for_bars(self.config.bar_type, self.average)
    since = self.clock.utc_now() - timedelta(hours=5)
    self.request_bars(self.config.bar_type, start=since, callback=self.arrived)

def arrived(self, _):
    self.say("average", self.average.initialized)
    self.subscribe_bars(self.config.bar_type)

def on_historical_data(self, bar):
    self.say("old", bar.ts_event // 3_600_000_000_000)

def on_bar(self, bar):
    self.say("new", bar.ts_event // 3_600_000_000_000)
"""
    place = session(floor(strategy(body)), bars(12))
    place.start(10)
    place.bar(10)
    old = [f"old {hour}" for hour in range(5, 11)]
    assert said(place.run.states[-1]) == [*old, "average True", "new 11"]


def test_bars_of_another_length_are_missed_aloud(floor: Any, bars: Any, session: Any) -> None:
    body = """
def on_start(self):
    self.subscribe_bars(BarType.from_str("EUR/USD.SIM-5-MINUTE-LAST-EXTERNAL"))
"""
    place = session(floor(strategy(body)), bars(2))
    (notice,) = place.start().notices
    assert "it wants the bars EUR/USD.SIM-5-MINUTE-LAST-EXTERNAL" in notice
    assert "there are: EUR/USD.SIM-1-HOUR-LAST-EXTERNAL" in notice
    assert place.bar(0).notices == []  # said once


@pytest.mark.filterwarnings("ignore:'d' is deprecated")  # NautilusTrader's own, with pandas 3
def test_bars_made_of_the_feeds_own_bars_arrive(floor: Any, bars: Any, session: Any) -> None:
    body = """
def on_start(self):
    self.subscribe_bars(BarType.from_str("EUR/USD.SIM-4-HOUR-LAST-INTERNAL@1-HOUR-EXTERNAL"))

def on_bar(self, bar):
    self.say(bar.ts_event // 3_600_000_000_000)
"""
    place = session(floor(strategy(body)), bars(9))
    place.start()
    place.play(0, 9)
    assert said(place.run.states[-1]) == ["4", "8"]


def test_state_is_kept_when_it_is_new_only(floor: Any, bars: Any, session: Any) -> None:
    body = """
def on_bar(self, bar):
    if not self.heard:
        self.say("first")
"""
    place = session(floor(strategy(body)), bars(3))
    place.start()
    assert [place.bar(index).state is None for index in range(3)] == [False, True, True]


def test_a_state_that_is_no_dict_of_bytes_is_an_answer(floor: Any, bars: Any, session: Any) -> None:
    place = session(floor(strategy("def on_save(self):\n    return {'a': 1}")), bars(1))
    message = messages.NativeWarmUp(start_ns=0, bars=[], balance_nanos=1)
    answer = place.talk.answer(message)
    assert isinstance(answer, messages.Failed)
    assert answer.message == "on_save must return a dict of str to bytes"


def test_a_stop_closes_what_the_strategy_closes(floor: Any, bars: Any, session: Any) -> None:
    body = """
def on_bar(self, bar):
    if self.portfolio.is_flat(self.config.instrument_id):
        self.submit("market")

def on_stop(self):
    self.close_all_positions(self.config.instrument_id)
"""
    place = session(floor(strategy(body)), bars(2))
    place.start()
    place.play(0, 2)
    place.stop()
    ((_, closing),) = place.run.stopping
    assert (closing.side, closing.lots, closing.reduce_only) == (Side.SELL, 1000, True)


RAISES = """
def {hook}(self, *_):
    raise ValueError('no')
"""
FAILURES = [
    (RAISES.format(hook="on_start"), "hook", None),
    (RAISES.format(hook="on_bar"), "decide", 0),
    (
        RAISES.format(hook="on_order_submitted")
        + "\ndef on_bar(self, bar):\n    self.submit('market')\n",
        "decide",
        0,
    ),
]


@pytest.mark.parametrize("failure", FAILURES)
def test_an_exception_is_an_answer_with_its_line(
    floor: Any, bars: Any, failure: tuple[str, str, int | None]
) -> None:
    body, phase, bar_index = failure
    place = floor(strategy(body))
    tested = place.talk().answer(messages.NativeBacktest(bars=[bars(2)]))
    lived = place.talk().answer(messages.NativeWarmUp(start_ns=0, bars=[], balance_nanos=1))
    if bar_index is not None:
        talk = place.talk()
        talk.answer(messages.NativeWarmUp(start_ns=0, bars=[], balance_nanos=1))
        lived = talk.answer(
            messages.NativeBar(
                symbol="EUR/USD.SIM", open_ns=0, close_ns=HOUR_NS, ohlcv=(1.1, 1.1, 1.1, 1.1, 0)
            )
        )
    assert isinstance(lived, messages.Failed)
    assert lived == tested
    assert (lived.phase, lived.error, lived.bar_index) == (phase, "ValueError", bar_index)
    assert lived.where.endswith("raise ValueError('no')")


def test_a_message_before_the_code_is_a_mistake_of_the_engine() -> None:
    with pytest.raises(RuntimeError, match="must send Load"):
        Conversation().answer(messages.OrderEvents(now_ns=1))


REMEMBERS = """
def on_start(self):
    super().on_start()
    self.say("start", self.portfolio.net_position(self.config.instrument_id),
             len(self.cache.orders_open()))

def on_bar(self, bar):
    hour = bar.ts_event // 3_600_000_000_000
    if hour == 2:
        self.submit("market")
        self.submit("limit", 0.5)
    if hour == 6:
        self.cancel_all_orders(self.config.instrument_id)
        self.close_all_positions(self.config.instrument_id)
"""


def test_a_restart_goes_on_with_position_orders_state_and_names(
    floor: Any, bars: Any, session: Any, raw: Any
) -> None:
    history = bars(8)
    whole = floor(strategy(REMEMBERS)).live(history)
    place = session(floor(strategy(REMEMBERS)), history)
    place.start()
    place.play(0, 4)
    tickets = [each for each in place.run.instructions if isinstance(each, Ticket)]
    held = messages.NativeHolding(symbol="EUR/USD.SIM", lots=1000, entry_price=1.1)
    place.start(
        4,
        state=place.run.states[-1],
        holdings=[held],
        working=raw([each for each in tickets if each.type is OrderType.LIMIT]),
        orders_made=len(tickets),
    )
    place._first = 0
    place.play(4, 8)
    assert said(place.run.states[-1]) == ["start 0 0", "start 1000 1"]
    assert place.run.steps == whole.steps


def test_bars_of_a_pause_are_caught_up_without_an_order(
    floor: Any, bars: Any, session: Any
) -> None:
    body = "def on_bar(self, bar):\n    self.say('bar')\n    self.submit('market')"
    place = session(floor(strategy(body)), bars(6))
    place.start()
    place.bar(0)
    answer = place.talk.answer(
        messages.NativeWarmUp(start_ns=4 * HOUR_NS, bars=[bars(4)], balance_nanos=1)
    )
    assert isinstance(answer, messages.NativeActed)
    assert answer.asked == []
