"""A native strategy's live hours: bars, timers, history, state, failures, restarts."""

from typing import Any

import pytest

from strategy_engine.kernel.child import Conversation
from strategy_engine.matching.model import Side
from strategy_engine.matching.ticket import (
    OrderType,
    Ticket,
)
from strategy_engine.sandbox.protocol import messages

HOUR_NS = 3_600 * 1_000_000_000


def test_timers_follow_the_time_of_the_data(
    acting: Any, bars: Any, session: Any, said: Any
) -> None:
    body = """
def on_start(self):
    super().on_start()
    self.clock.set_timer("often", timedelta(minutes=30), callback=self.tick)

def tick(self, event):
    self.say(event.ts_event // 60_000_000_000)

def on_bar(self, bar):
    self.say("bar", bar.ts_event // 60_000_000_000)
"""
    place = session(acting(body), bars(2))
    place.start()
    place.play(0, 2)
    assert said(place.run.states[-1]) == ["30", "bar 60", "60", "90", "bar 120", "120"]


def test_a_timer_waits_for_the_last_bar_of_its_instant(
    acting: Any, bars: Any, session: Any, said: Any
) -> None:
    body = """
def on_start(self):
    super().on_start()
    self.clock.set_timer("hourly", timedelta(hours=1), callback=lambda _: self.say("timer"))

def on_bar(self, bar):
    self.say("bar")
"""
    place = session(acting(body), bars(2))
    place.start()
    assert said(place.bar(0, is_last=False).state) == ["bar"]
    assert said(place.tell(HOUR_NS).state) == ["bar", "timer"]


def test_history_is_there_for_a_strategy_that_asks(
    acting: Any, bars: Any, session: Any, said: Any
) -> None:
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
    place = session(acting(body), bars(12))
    place.start(10)
    place.bar(10)
    old = [f"old {hour}" for hour in range(5, 11)]
    assert said(place.run.states[-1]) == [*old, "average True", "new 11"]


def test_bars_of_another_length_are_missed_aloud(acting: Any, bars: Any, session: Any) -> None:
    body = """
def on_start(self):
    self.subscribe_bars(BarType.from_str("EUR/USD.SIM-5-MINUTE-LAST-EXTERNAL"))
"""
    place = session(acting(body), bars(2))
    (notice,) = place.start().notices
    assert "it wants the bars EUR/USD.SIM-5-MINUTE-LAST-EXTERNAL" in notice
    assert "there are: EUR/USD.SIM-1-HOUR-LAST-EXTERNAL" in notice
    assert place.bar(0).notices == []  # said once


@pytest.mark.filterwarnings("ignore:'d' is deprecated")  # NautilusTrader's own, with pandas 3
def test_bars_made_of_the_feeds_own_bars_arrive(
    acting: Any, bars: Any, session: Any, said: Any
) -> None:
    body = """
def on_start(self):
    self.subscribe_bars(BarType.from_str("EUR/USD.SIM-4-HOUR-LAST-INTERNAL@1-HOUR-EXTERNAL"))

def on_bar(self, bar):
    self.say(bar.ts_event // 3_600_000_000_000)
"""
    place = session(acting(body), bars(9))
    place.start()
    place.play(0, 9)
    assert said(place.run.states[-1]) == ["4", "8"]


def test_state_is_kept_when_it_is_new_only(acting: Any, bars: Any, session: Any) -> None:
    body = """
def on_bar(self, bar):
    if not self.heard:
        self.say("first")
"""
    place = session(acting(body), bars(3))
    place.start()
    assert [place.bar(index).state is None for index in range(3)] == [False, True, True]


def test_a_state_that_is_no_dict_of_bytes_is_an_answer(
    acting: Any, bars: Any, session: Any
) -> None:
    place = session(acting("def on_save(self):\n    return {'a': 1}"), bars(1))
    message = messages.NativeWarmUp(start_ns=0, bars=[], balance_nanos=1)
    answer = place.talk.answer(message)
    assert isinstance(answer, messages.Failed)
    assert answer.message == "on_save must return a dict of str to bytes"


def test_a_stop_closes_what_the_strategy_closes(acting: Any, bars: Any, session: Any) -> None:
    body = """
def on_bar(self, bar):
    if self.portfolio.is_flat(self.config.instrument_id):
        self.submit("market")

def on_stop(self):
    self.close_all_positions(self.config.instrument_id)
"""
    place = session(acting(body), bars(2))
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
    acting: Any, bars: Any, failure: tuple[str, str, int | None]
) -> None:
    body, phase, bar_index = failure
    place = acting(body)
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
    acting: Any, bars: Any, session: Any, raw: Any, said: Any
) -> None:
    history = bars(8)
    whole = acting(REMEMBERS).live(history)
    place = session(acting(REMEMBERS), history)
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
    acting: Any, bars: Any, session: Any
) -> None:
    body = "def on_bar(self, bar):\n    self.say('bar')\n    self.submit('market')"
    place = session(acting(body), bars(6))
    place.start()
    place.bar(0)
    answer = place.talk.answer(
        messages.NativeWarmUp(start_ns=4 * HOUR_NS, bars=[bars(4)], balance_nanos=1)
    )
    assert isinstance(answer, messages.NativeActed)
    assert answer.asked == []


ASKS_AT_ITS_START = """
def on_start(self):
    super().on_start()
    self.submit("limit", 0.5)
    self.submit("limit", 0.4)
"""


def test_orders_of_a_start_after_a_restart_at_the_same_instant_get_names_of_their_own(
    acting: Any, bars: Any, session: Any, raw: Any
) -> None:
    place = session(acting(ASKS_AT_ITS_START), bars(4))
    place.start()
    first = place.run.steps[-1]
    place.start(0, working=raw([first[0][1]]), orders_made=len(first))  # the other has ended
    second = place.run.steps[-1]
    names = [each.client_order_id for _, each in first + second]
    assert len(set(names)) == len(names) == 4
    assert [each.rpartition("-")[2] for each in names] == ["1", "2", "3", "4"]


def test_an_order_of_a_pause_is_refused_so_that_nothing_stays_in_flight(
    acting: Any, bars: Any, session: Any, said: Any
) -> None:
    body = """
def on_bar(self, bar):
    self.say("in flight", len(self.cache.orders_inflight()))
    if self.order is None:
        self.order = self.submit("limit", 0.5)

def on_order_rejected(self, event):
    self.say(event.reason)
    self.order = None
"""
    place = session(acting(body), bars(6))
    place.start()
    answer = place.talk.answer(
        messages.NativeWarmUp(start_ns=2 * HOUR_NS, bars=[bars(2)], balance_nanos=1)
    )
    refused = "paused: it was asked for while the execution was paused"
    assert said(answer.state) == ["in flight 0", refused] * 2
    assert len(place.bar(2).asked) == 1


BALANCES = """
def on_start(self):
    super().on_start()
    self.sold = False

def on_bar(self, bar):
    if self.submits and not self.sold:
        self.sold = True
        self.submit("market", side=OrderSide.SELL)
    account = self.portfolio.account(self.config.instrument_id.venue)
    self.say(account.balance_total(), account.balance_free())
"""


def test_cash_that_flows_is_in_the_account_that_a_strategy_sees(
    acting: Any, bars: Any, session: Any, said: Any
) -> None:
    place = session(acting(f"submits = False\n{BALANCES}"), bars(4))
    place.start()
    place.bar(0)
    place.bar(1, flowed_nanos=-99_000 * 10**9)
    place.bar(2, flowed_nanos=250_500_000_000)
    assert said(place.run.states[-1]) == [
        "100000.00 USD 100000.00 USD",
        "1000.00 USD 1000.00 USD",
        "1250.50 USD 1250.50 USD",
    ]


def test_cash_that_flows_between_two_bars_is_told_at_once(
    acting: Any, bars: Any, session: Any, said: Any
) -> None:
    place = session(acting(f"submits = False\n{BALANCES}"), bars(2))
    place.start()
    place.bar(0)
    message = messages.OrderEvents(now_ns=HOUR_NS, flowed_nanos=5 * 10**9)
    place.hear(place.talk.answer(message), 0)
    place.bar(1)
    assert said(place.run.states[-1])[-1] == "100005.00 USD 100005.00 USD"


def test_more_may_leave_than_a_short_was_sold_for(
    acting: Any, bars: Any, session: Any, said: Any
) -> None:
    place = session(acting(f"submits = True\n{BALANCES}"), bars(6))
    place.start()
    place.play(0, 3)
    before = said(place.run.states[-1])[-1].split()[0]
    place.bar(3, flowed_nanos=-100_100 * 10**9)
    place.play(4, 6)
    after = said(place.run.states[-1])[-1].split()[0]
    assert float(after) == pytest.approx(float(before) - 100_100)
    assert float(after) < 0
