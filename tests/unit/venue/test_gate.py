"""Every limit, every kernel, every type of order: what breaks it is denied, the rest goes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from strategy_engine.core import money
from strategy_engine.matching.model import BUY, SELL, Conditions, Decision, Rules, Side, Terms
from strategy_engine.matching.model import Action as Signal
from strategy_engine.matching.ticket import (
    Cancel,
    CancelRejected,
    Modify,
    ModifyRejected,
    OrderType,
    Rejected,
    Ticket,
)
from strategy_engine.venue import limits
from strategy_engine.venue.limits import Scope
from strategy_engine.venue.model import DenialCode
from strategy_engine.venue.native import NativeVenue
from strategy_engine.venue.oversight import Oversight, Seat, Who
from strategy_engine.venue.paper import PaperVenue

SYMBOL = "EUR/USD.SIM"
TERMS = Terms(symbol=SYMBOL, tick_nanos=10_000, lot_nanos=money.NANOS)  # 0.00001, 1 unit
HOUR_NS = 3_600 * money.NANOS
MINUTE_NS = 60 * money.NANOS
FLAT_BAR = (100_000, 100_000, 100_000, 100_000)  # 1.00: a lot is worth 1
CAPITAL = 100_000
LOTS = 1_000
C = DenialCode

# What each type needs beside a side and a quantity; the dearest price of each is 1.01 at most.
TERMS_OF: dict[OrderType, dict[str, int]] = {
    OrderType.MARKET: {},
    OrderType.LIMIT: {"limit_ticks": 100_000},
    OrderType.STOP_MARKET: {"trigger_ticks": 101_000},
    OrderType.STOP_LIMIT: {"trigger_ticks": 101_000, "limit_ticks": 101_000},
    OrderType.MARKET_TO_LIMIT: {},
    OrderType.MARKET_IF_TOUCHED: {"trigger_ticks": 99_000},
    OrderType.LIMIT_IF_TOUCHED: {"trigger_ticks": 99_000, "limit_ticks": 99_000},
    OrderType.TRAILING_STOP_MARKET: {"trailing_ticks": 1_000},
    OrderType.TRAILING_STOP_LIMIT: {"trailing_ticks": 1_000, "limit_offset_ticks": 10},
}
WORTH = {  # of 1,000 lots, at the price that a notional is judged at
    OrderType.STOP_MARKET: 1_010,
    OrderType.STOP_LIMIT: 1_010,
    OrderType.LIMIT_IF_TOUCHED: 990,
}
NAMES_A_PRICE = set(OrderType) - {
    OrderType.LIMIT,
    OrderType.MARKET,
    OrderType.MARKET_TO_LIMIT,
}  # other than the last one
ASLEEP = set(OrderType) - {OrderType.MARKET, OrderType.MARKET_TO_LIMIT, OrderType.LIMIT}


def at(hour: int) -> tuple[int, int]:
    return (hour - 1) * HOUR_NS, hour * HOUR_NS


class Native:
    """A native execution that sends orders of one type."""

    def __init__(self, seat: Seat, kind: OrderType, name: str = "exec_1") -> None:
        self.kind, self.seat, self.count = kind, seat, 0
        self.venue = NativeVenue(
            name,
            capital_nanos=money.to_nanos(CAPITAL),
            terms=[TERMS],
            how=Rules(allow_short=True, fee_ppm=0, slippage_ppm=0),
            conditions=Conditions(leverage_ppm=10_000_000),
            epoch=1,
            seat=seat,
        )
        self.bar(1)

    def bar(self, hour: int, ticks: tuple[int, int, int, int] = FLAT_BAR) -> None:
        self.venue.on_bar(SYMBOL, at(hour), ticks, 10**9)
        self.venue.publish(at(hour)[1])

    def hold(self, lots: int, hour: int = 1) -> None:
        """Come to hold lots, whatever the limits are by then."""
        kind, self.kind = self.kind, OrderType.MARKET
        assert self.send(lots, at_ns=at(hour)[1]) is None
        self.kind = kind
        self.bar(hour + 1)

    def send(
        self, lots: int = LOTS, *, at_ns: int = HOUR_NS, side: Side = Side.BUY, **more: Any
    ) -> str | None:
        self.count += 1
        self.venue.tape.tell()
        order = Ticket(
            client_order_id=f"O-{self.count}",
            symbol=SYMBOL,
            side=side,
            type=self.kind,
            lots=lots,
            **TERMS_OF[self.kind] | more,
        )
        self.venue.ask([(at_ns, order)], since_ns=0, now_ns=at_ns)
        return self.refusal()

    def refusal(self) -> str | None:
        told = [
            each.code
            for each in self.venue.tape.untold
            if isinstance(each, Rejected | ModifyRejected | CancelRejected)
        ]
        self.venue.publish(HOUR_NS)
        return told[0] if told else None

    def worth(self, lots: int = LOTS) -> int:
        return WORTH.get(self.kind, 1_000) * lots // 1_000


class SignalKernel:
    """An execution of the signal kernel; its orders are all at the market."""

    kind = OrderType.MARKET

    def __init__(self, seat: Seat, _kind: OrderType, name: str = "exec_1") -> None:
        self.seat = seat
        self.venue = PaperVenue(
            name,
            capital_nanos=money.to_nanos(CAPITAL),
            terms=[TERMS],
            how=Rules(
                allow_short=True, fee_ppm=0, slippage_ppm=0, stop_loss_ppb=0, take_profit_ppb=0
            ),
            epoch=1,
            seat=seat,
        )
        self.bar(1)

    def bar(self, hour: int, ticks: tuple[int, int, int, int] = FLAT_BAR) -> None:
        self.venue.on_bar(SYMBOL, at(hour), ticks)
        self.venue.publish(at(hour)[1])

    def hold(self, lots: int, hour: int = 1) -> None:
        assert self.send(lots, at_ns=at(hour)[1]) is None
        self.bar(hour + 1)

    def send(
        self, lots: int = LOTS, *, at_ns: int = HOUR_NS, side: Side = Side.BUY, **_more: Any
    ) -> str | None:
        """Decide for the share that `lots` more are, on top of what is held."""
        book = self.venue.account.books[SYMBOL]
        book.last_target = None  # the same share again is an order again
        signed = book.lots + (lots if side is Side.BUY else -lots)
        share = signed * book.mark * TERMS.tick_nanos * 1_000_000_000
        equity = self.venue.account.equity()
        decision = Decision(action=Signal.TARGET, size_ppb=-(-share // equity))
        placed = self.venue.decide(SYMBOL, decision, at_ns)
        self.venue.publish(at_ns)
        return placed.denials[0].denial.code if placed.denials else None

    def worth(self, lots: int = LOTS) -> int:
        return lots


type Kernel = Native | SignalKernel
KERNELS: list[tuple[Callable[..., Kernel], OrderType]] = [
    (SignalKernel, OrderType.MARKET),
    *((Native, kind) for kind in sorted(OrderType)),
]
IDS = ["signal", *(f"native {kind}" for kind in sorted(OrderType))]
every_order = pytest.mark.parametrize(("make", "kind"), KERNELS, ids=IDS)
ME = Who(execution_id="exec_1", strategy_id="strat_1", line="RSI", account="main")
MATE = Who(execution_id="exec_2", strategy_id="strat_2", line="RSI", account="main")
SUBJECTS = {
    Scope.VERSION: "strat_1",
    Scope.EXECUTION: "exec_1",
    Scope.LINE: "RSI",
    Scope.ACCOUNT: "main",
    Scope.ENGINE: "",
}
scopes = pytest.mark.parametrize("scope", sorted(Scope))


@dataclass
class World:
    """One node, and who trades there."""

    make: Callable[..., Kernel]
    kind: OrderType

    def __post_init__(self) -> None:
        self.oversight = Oversight()
        self.me = self.make(self.oversight.seat(ME, {}), self.kind)

    def limit(self, scope: Scope = Scope.LINE, **given: Any) -> None:
        """Set limits of a scope, while everything runs."""
        key = scope, SUBJECTS[scope]
        if scope in {Scope.VERSION, Scope.EXECUTION}:
            self.me.seat.set_own({key: limits.parse(given)})
        else:
            self.oversight.set_limits({key: limits.parse(given)})

    def mate(self) -> Kernel:
        return Native(self.oversight.seat(MATE, {}), OrderType.MARKET, "exec_2")


@every_order
@scopes
def test_a_position_may_come_to_its_limit_and_no_further(
    make: Any, kind: OrderType, scope: Scope
) -> None:
    just, beyond = World(make, kind), World(make, kind)
    just.limit(scope, max_position_size=just.me.worth())
    beyond.limit(scope, max_position_size=beyond.me.worth() - 1)

    assert just.me.send() is None
    assert beyond.me.send() == C.MAX_POSITION_SIZE


@every_order
@pytest.mark.parametrize("scope", [Scope.LINE, Scope.ACCOUNT, Scope.ENGINE])
def test_a_position_of_several_executions_counts_all_of_them(
    make: Any, kind: OrderType, scope: Scope
) -> None:
    just, beyond = World(make, kind), World(make, kind)
    for each in (just, beyond):
        each.mate().hold(LOTS)
    just.limit(scope, max_position_size=LOTS + just.me.worth())
    beyond.limit(scope, max_position_size=LOTS + beyond.me.worth() - 1)

    assert just.me.send() is None
    assert beyond.me.send() == C.MAX_POSITION_SIZE


@every_order
def test_an_order_that_waits_counts_as_if_it_were_filled(make: Any, kind: OrderType) -> None:
    world = World(make, kind)
    world.limit(max_position_size=LOTS + world.me.worth() - 1, allow_self_match=True)
    assert world.mate().send() is None

    assert world.me.send() == C.MAX_POSITION_SIZE


@every_order
@scopes
def test_an_order_may_be_for_its_quantity_and_no_more(
    make: Any, kind: OrderType, scope: Scope
) -> None:
    just, beyond = World(make, kind), World(make, kind)
    just.limit(scope, max_order_quantity=LOTS)
    beyond.limit(scope, max_order_quantity=LOTS - 0.5)

    assert just.me.send() is None
    assert beyond.me.send() == C.MAX_ORDER_QUANTITY


@every_order
@scopes
def test_an_order_may_be_worth_its_notional_and_no_more(
    make: Any, kind: OrderType, scope: Scope
) -> None:
    just, beyond = World(make, kind), World(make, kind)
    just.limit(scope, max_order_notional=just.me.worth())
    beyond.limit(scope, max_order_notional=beyond.me.worth() - 0.01)

    assert just.me.send() is None
    assert beyond.me.send() == C.MAX_ORDER_NOTIONAL


@every_order
@scopes
def test_so_many_orders_go_in_a_minute_and_the_next_when_it_is_over(
    make: Any, kind: OrderType, scope: Scope
) -> None:
    world = World(make, kind)
    world.limit(scope, max_orders_per_minute=2)

    sent = [world.me.send(at_ns=HOUR_NS + second * money.NANOS) for second in (0, 1, 59)]
    later = world.me.send(at_ns=HOUR_NS + MINUTE_NS)

    assert sent == [None, None, C.MAX_ORDERS_PER_MINUTE]
    assert later is None


@every_order
@pytest.mark.parametrize("scope", [Scope.LINE, Scope.ACCOUNT, Scope.ENGINE])
def test_the_orders_of_several_executions_are_counted_together(
    make: Any, kind: OrderType, scope: Scope
) -> None:
    world = World(make, kind)
    world.limit(scope, max_orders_per_minute=1)
    assert world.mate().send() is None

    assert world.me.send() == C.MAX_ORDERS_PER_MINUTE


@every_order
@scopes
def test_a_price_may_be_as_far_from_the_last_as_its_collar(
    make: Any, kind: OrderType, scope: Scope
) -> None:
    just, beyond = World(make, kind), World(make, kind)
    just.limit(scope, price_collar=0.01)
    beyond.limit(scope, price_collar=0.0099)

    assert just.me.send() is None
    assert beyond.me.send() == (C.PRICE_COLLAR if kind in NAMES_A_PRICE else None)


@pytest.mark.parametrize("price", [97_000, 103_000])
def test_a_limit_far_from_the_market_is_outside_of_its_collar(price: int) -> None:
    world = World(Native, OrderType.LIMIT)
    world.limit(price_collar=0.02)

    assert world.me.send(limit_ticks=price) == C.PRICE_COLLAR


@every_order
@scopes
def test_exposure_may_come_to_its_share_of_equity(make: Any, kind: OrderType, scope: Scope) -> None:
    just, beyond = World(make, kind), World(make, kind)
    just.limit(scope, max_leverage=just.me.worth(50_000) / CAPITAL)
    beyond.limit(scope, max_leverage=(beyond.me.worth(50_000) - 1) / CAPITAL)

    assert just.me.send(50_000) is None
    assert beyond.me.send(50_000) == C.MAX_LEVERAGE


@every_order
@pytest.mark.parametrize("scope", [Scope.LINE, Scope.ACCOUNT, Scope.ENGINE])
def test_the_leverage_of_several_executions_is_of_their_equity_together(
    make: Any, kind: OrderType, scope: Scope
) -> None:
    just, beyond = World(make, kind), World(make, kind)
    for each in (just, beyond):
        each.mate().hold(20_000)
    gross = 20_000 + just.me.worth(50_000)
    just.limit(scope, max_leverage=gross / (2 * CAPITAL))
    beyond.limit(scope, max_leverage=(gross - 1) / (2 * CAPITAL))

    assert just.me.send(50_000) is None
    assert beyond.me.send(50_000) == C.MAX_LEVERAGE


@every_order
@scopes
def test_only_allowed_instruments_are_opened(make: Any, kind: OrderType, scope: Scope) -> None:
    allowed, other = World(make, kind), World(make, kind)
    allowed.limit(scope, allowed_symbols=["GOLD.SIM", SYMBOL])
    other.limit(scope, allowed_symbols=["GOLD.SIM"])

    assert allowed.me.send() is None
    assert other.me.send() == C.SYMBOL_NOT_ALLOWED


@every_order
@scopes
def test_nothing_is_opened_outside_of_hours(make: Any, kind: OrderType, scope: Scope) -> None:
    inside, outside = World(make, kind), World(make, kind)
    inside.limit(scope, trading_hours=["01:00-01:01"])
    outside.limit(scope, trading_hours=["00:59-01:00"])

    assert inside.me.send() is None
    assert outside.me.send() == C.TRADING_HOURS


@every_order
@scopes
def test_nothing_is_opened_once_the_days_loss_is_reached(
    make: Any, kind: OrderType, scope: Scope
) -> None:
    just, beyond = World(make, kind), World(make, kind)
    for each in (just, beyond):
        each.me.hold(10_000)
        each.me.bar(3, (100_000, 100_000, 99_000, 99_000))  # 100 lost
    just.limit(scope, daily_loss_limit=-100.01)
    beyond.limit(scope, daily_loss_limit=-100)

    assert just.me.send(100, at_ns=3 * HOUR_NS) is None
    assert beyond.me.send(100, at_ns=3 * HOUR_NS) == C.DAILY_LOSS_LIMIT


@every_order
@pytest.mark.parametrize("scope", [Scope.LINE, Scope.ACCOUNT, Scope.ENGINE])
@pytest.mark.parametrize("is_gone", [False, True])
def test_the_days_loss_of_others_counts_even_if_they_have_ended(
    make: Any, kind: OrderType, scope: Scope, *, is_gone: bool
) -> None:
    world = World(make, kind)
    mate = world.mate()
    mate.hold(10_000)
    mate.bar(3, (100_000, 100_000, 99_000, 99_000))
    if is_gone:
        world.oversight.leave("exec_2")
    world.limit(scope, daily_loss_limit=-100)

    assert world.me.send() == C.DAILY_LOSS_LIMIT


@every_order
@pytest.mark.parametrize("scope", [Scope.EXECUTION, Scope.LINE, Scope.ACCOUNT, Scope.ENGINE])
def test_nothing_at_all_goes_that_an_emergency_stop_is_about(
    make: Any, kind: OrderType, scope: Scope
) -> None:
    world = World(make, kind)
    world.me.hold(LOTS)
    world.oversight.kill.stop(scope, SUBJECTS[scope], "a drill")

    entry = world.me.send(at_ns=2 * HOUR_NS)
    exit_ = world.me.send(100, at_ns=2 * HOUR_NS, side=Side.SELL)
    world.oversight.kill.release(scope, SUBJECTS[scope])
    after = world.me.send(at_ns=2 * HOUR_NS)

    assert (entry, exit_, after) == (C.KILLED, C.KILLED, None)


@every_order
def test_an_order_does_not_meet_one_of_another_version_of_its_line(
    make: Any, kind: OrderType
) -> None:
    world = World(make, kind)
    mate = world.mate()
    assert mate.send(side=Side.SELL) is None

    same_side = world.me.send(100, side=Side.SELL) if make is SignalKernel else None
    against = World(make, kind)
    assert against.mate().send(side=Side.SELL) is None

    assert same_side is None
    assert against.me.send() == (None if kind in ASLEEP else C.SELF_MATCH)


@every_order
def test_a_match_with_a_line_of_its_own_may_be_allowed(make: Any, kind: OrderType) -> None:
    world = World(make, kind)
    world.limit(Scope.LINE, allow_self_match=True)
    assert world.mate().send(side=Side.SELL) is None

    assert world.me.send() is None


def test_another_execution_of_the_same_version_is_no_rival() -> None:
    world = World(SignalKernel, OrderType.MARKET)
    twin = Who(execution_id="exec_3", strategy_id="strat_1", line="RSI", account="main")
    other = Native(world.oversight.seat(twin, {}), OrderType.MARKET, "exec_3")
    assert other.send(side=Side.SELL) is None

    assert world.me.send() is None


@pytest.mark.parametrize(("theirs", "code"), [(100_100, None), (99_900, C.SELF_MATCH)])
def test_limits_meet_only_where_their_prices_cross(theirs: int, code: str | None) -> None:
    world = World(Native, OrderType.LIMIT)
    mate = world.mate()
    assert isinstance(mate, Native)
    mate.kind = OrderType.LIMIT
    assert mate.send(side=Side.SELL, limit_ticks=theirs) is None

    assert world.me.send() == code


def test_what_waited_for_a_bar_that_is_over_is_not_met() -> None:
    world = World(Native, OrderType.MARKET)
    mate = SignalKernel(world.oversight.seat(MATE, {}), OrderType.MARKET, "exec_2")
    assert mate.send(side=Side.SELL) is None  # it meets the bar after the first

    assert world.me.send(at_ns=HOUR_NS - 1) is None
    assert world.me.send(at_ns=2 * HOUR_NS) is None


@every_order
def test_what_only_reduces_passes_every_limit(make: Any, kind: OrderType) -> None:
    world = World(make, kind)
    world.me.hold(LOTS)
    world.mate().send(side=Side.BUY)
    world.limit(
        Scope.ENGINE,
        max_position_size=0,
        daily_loss_limit=0,
        max_order_quantity=0,
        max_order_notional=0,
        max_orders_per_minute=0,
        price_collar=0,
        max_leverage=0,
        allowed_symbols=[],
        trading_hours=[],
    )

    assert world.me.send(LOTS, at_ns=2 * HOUR_NS, side=Side.SELL) is None
    assert world.me.send(LOTS, at_ns=2 * HOUR_NS) is not None


@scopes
def test_so_many_cancels_go_in_a_minute_and_the_order_stands(scope: Scope) -> None:
    world = World(Native, OrderType.LIMIT)
    me = world.me
    assert isinstance(me, Native)
    world.limit(scope, max_cancels_per_minute=1)
    for _ in range(3):
        assert me.send(limit_ticks=99_000) is None

    def cancel(name: str, at_ns: int) -> str | None:
        me.venue.tape.tell()
        me.venue.ask([(at_ns, Cancel(client_order_id=name))], since_ns=0, now_ns=at_ns)
        return me.refusal()

    assert cancel("O-1", HOUR_NS) is None
    assert cancel("O-2", HOUR_NS + 1) == C.MAX_CANCELS_PER_MINUTE
    assert cancel("O-3", HOUR_NS + MINUTE_NS) is None
    me.bar(3)
    assert [each.order_id for each in me.venue.book.working] == ["O-2"]


@pytest.mark.parametrize(
    ("limit", "change", "code"),
    [
        ({"max_order_quantity": LOTS}, {"lots": LOTS + 1}, C.MAX_ORDER_QUANTITY),
        ({"max_order_notional": 1_000}, {"lots": LOTS + 100}, C.MAX_ORDER_NOTIONAL),
        ({"max_position_size": 1_000}, {"lots": LOTS + 100}, C.MAX_POSITION_SIZE),
        ({"max_leverage": 0.01}, {"lots": LOTS + 100}, C.MAX_LEVERAGE),
        ({"price_collar": 0.02}, {"limit_ticks": 90_000}, C.PRICE_COLLAR),
        ({"max_orders_per_minute": 1}, {"lots": LOTS - 1}, C.MAX_ORDERS_PER_MINUTE),
        ({"trading_hours": ["02:00-03:00"]}, {"lots": LOTS - 1}, C.TRADING_HOURS),
    ],
)
def test_a_change_is_held_to_the_limits_of_an_order(
    limit: dict[str, Any], change: dict[str, int], code: str
) -> None:
    world = World(Native, OrderType.LIMIT)
    me = world.me
    assert isinstance(me, Native)
    assert me.send(limit_ticks=99_000) is None
    me.bar(1)
    me.venue.tape.tell()
    world.limit(**limit)

    me.venue.ask([(HOUR_NS, Modify(client_order_id="O-1", **change))], since_ns=0, now_ns=HOUR_NS)

    assert me.refusal() == code


@every_order
def test_a_limit_that_is_lifted_holds_nobody_any_more(make: Any, kind: OrderType) -> None:
    world = World(make, kind)
    world.limit(max_order_quantity=1)
    first = world.me.send()
    world.oversight.set_limits({})

    assert (first, world.me.send()) == (C.MAX_ORDER_QUANTITY, None)


def test_a_denial_names_the_limit_and_whose_it_is() -> None:
    world = World(SignalKernel, OrderType.MARKET)
    world.limit(Scope.LINE, max_position_size=500)
    assert isinstance(world.me, SignalKernel)

    placed = world.me.venue.decide(SYMBOL, BUY, HOUR_NS)

    assert placed.denials[0].denial.message == (
        "the position would be 10,000.00; max_position_size of line RSI is 500.00"
    )


def test_a_shadow_counts_for_nothing_until_it_holds_something() -> None:
    world = World(SignalKernel, OrderType.MARKET)
    line = world.oversight.sums(Scope.LINE, "RSI")
    world.me.seat.is_shadow = True
    world.me.bar(2)
    as_shadow = line.equity_nanos
    world.me.seat.is_shadow = False
    world.me.bar(3)

    assert (as_shadow, line.equity_nanos) == (0, money.to_nanos(CAPITAL))


def test_an_exit_of_a_reversal_goes_where_the_entry_may_not() -> None:
    world = World(SignalKernel, OrderType.MARKET)
    world.me.hold(LOTS)
    world.limit(max_orders_per_minute=0)
    assert isinstance(world.me, SignalKernel)

    placed = world.me.venue.decide(SYMBOL, SELL, 2 * HOUR_NS)

    assert [each.opens for each in placed.orders] == [False]
    assert [each.denial.code for each in placed.denials] == [C.MAX_ORDERS_PER_MINUTE]
