"""Streams of orders and prices at random: no position, loss or rate is ever beyond its limit."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from hypothesis.stateful import run_state_machine_as_test as play

from strategy_engine.core import money
from strategy_engine.matching.model import Action, Conditions, Decision, Rules, Side, Terms
from strategy_engine.matching.ticket import Cancel, Instruction, Modify, OrderType, Ticket
from strategy_engine.venue import limits
from strategy_engine.venue.limits import Scope
from strategy_engine.venue.native import NativeVenue
from strategy_engine.venue.oversight import Oversight, Seat, Who
from strategy_engine.venue.paper import PaperVenue

SYMBOL = "EUR/USD.SIM"
TERMS = Terms(symbol=SYMBOL, tick_nanos=10_000, lot_nanos=money.NANOS)
SECOND_NS = money.NANOS
MINUTE_NS = 60 * SECOND_NS
PRICE = 100_000  # 1.00: a lot is worth 1
CAPITAL_NANOS = money.to_nanos(1_000_000)
NATIVE, SIGNAL = "native", "signal"
OWN_ORDERS, LINE_ORDERS, OWN_CANCELS = 4, 6, 3
OWN_SIZE, LINE_SIZE, LINE_LOSS = 5_000, 8_000, 40
HOW = Rules(allow_short=True, fee_ppm=0, slippage_ppm=0, stop_loss_ppb=0, take_profit_ppb=0)
OWN = {
    "max_position_size": OWN_SIZE,
    "max_orders_per_minute": OWN_ORDERS,
    "max_cancels_per_minute": OWN_CANCELS,
}
LINE = {
    "max_position_size": LINE_SIZE,
    "daily_loss_limit": -LINE_LOSS,
    "max_orders_per_minute": LINE_ORDERS,
    "allow_self_match": True,
}
KINDS = (OrderType.MARKET, OrderType.LIMIT, OrderType.STOP_MARKET)
LOTS = st.integers(1, 2_500) | st.integers(1, 9_000)


class Still(RuleBasedStateMachine):
    """A native and a signal execution of one line, at a price that stands still."""

    def __init__(self) -> None:
        super().__init__()
        self.now_ns, self.number, self.price = 0, 0, PRICE
        self.has_decided = False  # a signal is given once a bar
        self.sent: list[tuple[str, int]] = []  # who, and when it went
        self.cancels: list[int] = []
        self.oversight = Oversight()
        self.oversight.set_limits({(Scope.LINE, "RSI"): limits.parse(LINE)})
        common: dict[str, Any] = {"capital_nanos": CAPITAL_NANOS, "terms": [TERMS], "how": HOW}
        margin = Conditions(leverage_ppm=10_000_000)
        self.native = NativeVenue(
            NATIVE, **common, conditions=margin, epoch=1, seat=self.seat(NATIVE)
        )
        self.signal = PaperVenue(SIGNAL, **common, epoch=1, seat=self.seat(SIGNAL))

    def seat(self, name: str) -> Seat:
        who = Who(execution_id=name, strategy_id=name, line="RSI", account="RSI")
        return self.oversight.seat(who, {(Scope.VERSION, name): limits.parse(OWN)})

    # -- what happens

    @initialize()
    def begin(self) -> None:
        """Let there be a first price."""
        self.meet()

    @rule()
    def bar(self) -> None:
        """Let everything that waits meet the price, and ten seconds pass."""
        self.meet()

    def meet(self) -> None:
        self.has_decided = False
        times = self.now_ns, self.now_ns + 10 * SECOND_NS
        self.now_ns = times[1]
        self.native.on_bar(SYMBOL, times, (self.price,) * 4, 10**9)
        self.native.publish(self.now_ns)
        self.signal.on_bar(SYMBOL, times, (self.price,) * 4)
        self.signal.publish(self.now_ns)
        self.native.tape.tell()

    @rule(seconds=st.sampled_from([1, 29, 50, 60]))
    def wait(self, seconds: int) -> None:
        """Let time pass in which nothing is traded."""
        self.now_ns += seconds * SECOND_NS

    @rule(
        kind=st.sampled_from(KINDS),
        side=st.sampled_from(Side),
        lots=LOTS,
        reduce_only=st.booleans(),
        away=st.integers(-300, 300),
    )
    def order(
        self, kind: OrderType, side: Side, lots: int, away: int, *, reduce_only: bool
    ) -> None:
        """Let the native strategy send an order."""
        self.number += 1
        price = self.price + away
        order = Ticket(
            client_order_id=f"O-{self.number}",
            symbol=SYMBOL,
            side=side,
            type=kind,
            lots=lots,
            reduce_only=reduce_only,
            limit_ticks=price if kind is OrderType.LIMIT else None,
            trigger_ticks=price if kind is OrderType.STOP_MARKET else None,
        )
        self.ask(order)

    @rule(number=st.integers(0, 30), lots=LOTS)
    def change(self, number: int, lots: int) -> None:
        """Let it change an order, or one that there is none of."""
        self.ask(Modify(client_order_id=f"O-{number}", lots=lots))

    @rule(number=st.integers(0, 30))
    def cancel(self, number: int) -> None:
        """Let it take an order back, or one that there is none of."""
        before = self.native.gate.cancels.at(self.now_ns)
        self.ask(Cancel(client_order_id=f"O-{number}"))
        if self.native.gate.cancels.at(self.now_ns) > before:
            self.cancels.append(self.now_ns)

    @precondition(lambda self: not self.has_decided)
    @rule(lots=st.integers(-9_000, 9_000))
    def decide(self, lots: int) -> None:
        """Let the signal strategy want a share of its equity."""
        self.has_decided = True
        self.signal.account.books[SYMBOL].last_target = None
        decision = Decision(action=Action.TARGET, size_ppb=lots * 1_000)
        placed = self.heard(
            SIGNAL, lambda: self.signal.decide(SYMBOL, decision, self.now_ns).orders
        )
        self.signal.publish(self.now_ns)
        if any(each.opens for each in placed):
            self.an_entry_went(SIGNAL)

    def ask(self, instruction: Instruction) -> None:
        given = [(self.now_ns, instruction)]
        now_ns = self.now_ns
        self.heard(NATIVE, lambda: self.native.ask(given, since_ns=now_ns - 1, now_ns=now_ns))
        placings = self.native.tape.take().placings
        self.native.publish(self.now_ns)
        if any(each.opens and each.denial_code is None for each in placings):
            self.an_entry_went(NATIVE)

    def heard[T](self, name: str, act: Callable[[], T]) -> T:
        rate = self.native.gate.orders if name == NATIVE else self.signal.orders
        before = rate.at(self.now_ns)
        done = act()
        self.sent += [(name, self.now_ns)] * (rate.at(self.now_ns) - before)
        return done

    # -- what must hold

    def an_entry_went(self, name: str) -> None:
        minute = [who for who, at_ns in self.sent if at_ns > self.now_ns - MINUTE_NS]
        assert minute.count(name) <= OWN_ORDERS
        assert len(minute) <= LINE_ORDERS
        assert self.day_pnl() > -money.to_nanos(LINE_LOSS)

    def day_pnl(self) -> int:
        return self.native.day_pnl_nanos + self.signal.day_pnl_nanos

    def held(self) -> tuple[int, int]:
        return self.native.book.positions[SYMBOL].lots, self.signal.account.books[SYMBOL].lots

    @invariant()
    def positions_are_within_their_limits(self) -> None:
        held = self.held()
        assert max(abs(each) for each in held) * self.price <= OWN_SIZE * PRICE
        assert sum(max(0, each) for each in held) * self.price <= LINE_SIZE * PRICE
        assert sum(max(0, -each) for each in held) * self.price <= LINE_SIZE * PRICE

    @invariant()
    def cancels_are_within_their_rate(self) -> None:
        assert len([each for each in self.cancels if each > self.now_ns - MINUTE_NS]) <= OWN_CANCELS

    @invariant()
    def the_sums_are_those_of_the_members(self) -> None:
        line = self.oversight.sums(Scope.LINE, "RSI")
        seats = self.native.gate.seat.standing, self.signal.seat.standing
        assert line.equity_nanos == sum(each.equity_nanos for each in seats)
        assert line.gross_nanos == sum(each.gross_nanos for each in seats)
        assert line.orders == sum(each.orders for each in seats)


class Moving(Still):
    """The same, at a price that falls and rises: the day's loss comes to its limit."""

    @rule(ticks=st.integers(-600, 600))
    def move(self, ticks: int) -> None:
        """Let the next bar be at another price, within a tenth."""
        self.price = min(110_000, max(90_000, self.price + ticks))
        held = self.held()
        self.meet()
        if self.native.day_pnl_nanos + self.signal.day_pnl_nanos > -money.to_nanos(LINE_LOSS):
            return
        self.meet()  # entries that worked are taken back before it
        after = self.held()
        self.meet()
        assert abs(self.held()[0]) <= max(abs(after[0]), abs(held[0]))

    @invariant()
    def positions_are_within_their_limits(self) -> None:
        """A position is worth what the market says; its lots were within when they were bought."""
        held = self.held()
        assert max(abs(each) for each in held) * 90_000 <= OWN_SIZE * PRICE
        assert sum(max(0, each) for each in held) * 90_000 <= LINE_SIZE * PRICE
        assert sum(max(0, -each) for each in held) * 90_000 <= LINE_SIZE * PRICE


@pytest.mark.parametrize("machine", [Still, Moving])
def test_no_stream_of_orders_leaves_a_position_a_loss_or_a_rate_beyond_its_limit(
    machine: type[RuleBasedStateMachine],
) -> None:
    play(machine, settings=settings(max_examples=60, stateful_step_count=40, deadline=None))


@pytest.mark.soak
@pytest.mark.parametrize("machine", [Still, Moving])
def test_no_long_stream_of_orders_does_either(machine: type[RuleBasedStateMachine]) -> None:
    play(machine, settings=settings(max_examples=1_500, stateful_step_count=80, deadline=None))
