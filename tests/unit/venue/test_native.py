"""The gate and the order book of a native execution, order type by order type."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from strategy_engine.core import money
from strategy_engine.matching.exchange import Exchange
from strategy_engine.matching.model import DAY_NS, Cause, Conditions, Rules, Side, Terms
from strategy_engine.matching.ticket import (
    Accepted,
    Cancel,
    Cancelled,
    Contingency,
    Executed,
    Instruction,
    Modify,
    ModifyRejected,
    OrderType,
    Rejected,
    Ticket,
    TimeInForce,
)
from strategy_engine.venue import oversight, rules
from strategy_engine.venue.model import (
    NEVER,
    DenialCode,
    OrderStatus,
    RiskState,
    Span,
    Tenure,
)
from strategy_engine.venue.native import DAILY_LOSS, REPLACED, NativeVenue
from strategy_engine.venue.tape import RESTARTED

SYMBOL = "EUR/USD.SIM"
TERMS = Terms(symbol=SYMBOL, tick_nanos=10_000, lot_nanos=money.NANOS)
HOUR_NS = 3_600 * money.NANOS
CAPITAL_NANOS = money.to_nanos(100_000)
FLAT_BAR = (110_000, 110_000, 110_000, 110_000)

# What each type needs beside a side and a quantity, for a buyer at 1.10.
TERMS_OF: dict[OrderType, dict[str, int]] = {
    OrderType.MARKET: {},
    OrderType.LIMIT: {"limit_ticks": 110_000},
    OrderType.STOP_MARKET: {"trigger_ticks": 110_100},
    OrderType.STOP_LIMIT: {"trigger_ticks": 110_100, "limit_ticks": 110_200},
    OrderType.MARKET_TO_LIMIT: {},
    OrderType.MARKET_IF_TOUCHED: {"trigger_ticks": 109_900},
    OrderType.LIMIT_IF_TOUCHED: {"trigger_ticks": 109_900, "limit_ticks": 109_950},
    OrderType.TRAILING_STOP_MARKET: {"trailing_ticks": 100},
    OrderType.TRAILING_STOP_LIMIT: {"trailing_ticks": 100, "limit_offset_ticks": 10},
}


def venue(how: dict[str, Any] | None = None, **limits: Any) -> NativeVenue:
    made = Rules(**{"allow_short": True} | (how or {}))
    found = NativeVenue(
        "exec_1",
        capital_nanos=CAPITAL_NANOS,
        terms=[TERMS],
        how=made,
        conditions=Conditions(),
        epoch=1,
        seat=oversight.alone(**limits),
    )
    bar(found, 0)
    found.tape.take()
    found.tape.tell()
    return found


def bar(how: NativeVenue, number: int, ticks: tuple[int, int, int, int] = FLAT_BAR) -> None:
    how.on_bar(SYMBOL, (number * HOUR_NS, (number + 1) * HOUR_NS), ticks, 1_000)


def order(name: str = "O-1", kind: OrderType = OrderType.MARKET, **more: Any) -> Ticket:
    given: dict[str, Any] = {"side": Side.BUY, "lots": 1_000} | TERMS_OF[kind] | more
    return Ticket(client_order_id=name, symbol=given.pop("symbol", SYMBOL), type=kind, **given)


def ask(how: NativeVenue, *instructions: Instruction, hour: int = 1, **more: Any) -> None:
    now_ns = hour * HOUR_NS
    how.ask([(now_ns, each) for each in instructions], since_ns=0, now_ns=now_ns, **more)


def bought(how: NativeVenue, lots: int = 1_000) -> None:
    ask(how, order("O-entry", lots=lots))
    bar(how, 1)
    how.tape.take()
    how.tape.tell()


def refused(how: NativeVenue) -> list[str]:
    return [each.code for each in how.tape.untold if isinstance(each, Rejected)]


KINDS = sorted(OrderType)


@pytest.mark.parametrize("kind", KINDS)
def test_an_order_within_every_limit_waits_for_the_next_price_and_is_noted(kind: OrderType) -> None:
    how = venue()
    ask(how, order(kind=kind))
    (placing,) = how.tape.take().placings
    assert (placing.order_id, placing.status) == ("exec_1-O-1", OrderStatus.SUBMITTED)
    assert placing.opens
    assert how.tape.untold == []
    bar(how, 1)
    assert how.tape.untold[0] == Accepted(client_order_id="O-1", ts_ns=HOUR_NS)


def paused(how: NativeVenue) -> None:
    how.gate.is_running = False


def halted(how: NativeVenue) -> None:
    how.gate.risk_state = RiskState.HALTED


def reducing(how: NativeVenue) -> None:
    how.gate.risk_state = RiskState.REDUCING


def stale(how: NativeVenue) -> None:
    how.gate.highest_epoch = 2


def shadowed(how: NativeVenue) -> None:
    how.gate.serves = Tenure(others=NEVER)


def replaced(how: NativeVenue) -> None:
    how.gate.serves = Tenure(others=Span(until_ns=HOUR_NS - 1))


def nothing(_how: NativeVenue) -> None:
    pass


GATES = [
    ("not running", {}, paused, {}, DenialCode.NOT_RUNNING),
    ("halted", {}, halted, {}, DenialCode.HALTED),
    ("reducing", {}, reducing, {}, DenialCode.REDUCING),
    ("shadow", {}, shadowed, {}, DenialCode.SHADOW),
    ("replaced", {}, replaced, {}, DenialCode.REPLACED),
    ("stale epoch", {}, stale, {}, DenialCode.STALE_EPOCH),
    ("unlisted", {}, nothing, {"symbol": "GOLD.SIM"}, DenialCode.SYMBOL_NOT_ALLOWED),
    ("nothing", {}, nothing, {"lots": 0}, DenialCode.TOO_FEW_LOTS),
    (
        "too large",
        {"max_position_size": 1_000},
        nothing,
        {},
        DenialCode.MAX_POSITION_SIZE,
    ),
    ("no name", {}, nothing, {"name": ""}, DenialCode.INVALID_ORDER_ID),
    ("long name", {}, nothing, {"name": "O" * 101}, DenialCode.INVALID_ORDER_ID),
    ("odd name", {}, nothing, {"name": "O\x00"}, DenialCode.INVALID_ORDER_ID),
    ("the engine's", {}, nothing, {"name": "handover-1"}, DenialCode.INVALID_ORDER_ID),
    (
        "loss",
        {"daily_loss_limit": 0},
        nothing,
        {},
        DenialCode.DAILY_LOSS_LIMIT,
    ),
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rule", GATES, ids=[each[0] for each in GATES])
def test_every_rule_refuses_every_type_and_says_so_to_ledger_and_strategy(
    rule: tuple[Any, ...], kind: OrderType
) -> None:
    _, limits, prepare, asked, code = rule
    how = venue(None, **limits)
    prepare(how)
    ask(how, order(kind=kind, **asked))
    (event,) = how.tape.untold
    assert isinstance(event, Rejected)
    assert (event.code, event.denied) == (code, True)
    assert event.message
    assert how.tape.denials == 1
    placings = how.tape.take().placings
    assert [(each.status, each.denial_code) for each in placings] == (
        [] if code in rules.NAMELESS else [(OrderStatus.DENIED, code)]
    )
    bar(how, 1)
    assert how.book.working == ()
    assert how.is_flat


@pytest.mark.parametrize("kind", KINDS)
def test_what_only_reduces_passes_the_limits_of_size_and_loss(kind: OrderType) -> None:
    how = venue()
    bought(how)
    how.gate.seat = oversight.alone(max_position_size=0, daily_loss_limit=0)
    reducing(how)
    ask(how, order(kind=kind, side=Side.SELL), order("O-2", kind, side=Side.SELL, reduce_only=True))
    assert refused(how) == []


def test_a_name_that_was_given_once_is_refused_for_ever() -> None:
    how = venue()
    bought(how)
    for number in range(40):  # more than the order book remembers of what has ended
        ask(how, order(f"O-{number}", OrderType.LIMIT, limit_ticks=1))
        bar(how, number + 2)
        how.cancel(f"O-{number}", HOUR_NS, "test")
    how.tape.tell()
    ask(how, order("O-entry"))
    assert refused(how) == [DenialCode.DUPLICATE_ORDER_ID]
    assert len(how.book.working) == 0


def test_the_position_limit_counts_what_works_and_what_waits_but_not_what_is_linked() -> None:
    how = venue(None, max_position_size=2_300)  # 2,090 lots at 1.10
    ask(how, order("O-1"))
    bar(how, 1)
    ask(how, order("O-2", OrderType.LIMIT, limit_ticks=100_000), hour=2)
    how.tape.tell()
    ask(how, order("O-3"), hour=2)
    assert refused(how) == [DenialCode.MAX_POSITION_SIZE]
    how.tape.tell()
    linked = {"contingency": Contingency.OCO, "linked_ids": ("O-2",)}
    ask(how, order("O-4", **linked), hour=2)
    assert refused(how) == []


def test_a_bought_limit_is_judged_at_its_own_price_and_anything_else_at_the_dearest() -> None:
    cheap = order(kind=OrderType.LIMIT, limit_ticks=90_000)
    dear = order(kind=OrderType.LIMIT, limit_ticks=120_000, side=Side.SELL)
    stop = order(kind=OrderType.STOP_MARKET, trigger_ticks=115_000)
    assert [rules.price_at_most(each, 110_000) for each in (cheap, dear, stop, order())] == [
        90_000,
        120_000,
        115_000,
        110_000,
    ]


def test_the_days_entries_are_counted_with_the_orders_that_could_become_one() -> None:
    how = venue({"max_trades_per_day": 2})
    ask(how, order("O-1"), order("O-2", OrderType.LIMIT, limit_ticks=1), order("O-3"))
    assert refused(how) == [DenialCode.MAX_TRADES_PER_DAY]
    how.tape.tell()
    bar(how, 1)
    ask(how, order("O-4"), order("O-5", side=Side.SELL, reduce_only=True), hour=2)
    assert refused(how) == []  # adding to a position is no entry, and an exit is none
    bar(how, 2)
    ask(how, order("O-6"), hour=24)  # the next day, with one that still works
    assert refused(how) == []


def test_a_day_without_loss_left_opens_nothing_and_takes_back_what_would() -> None:
    how = venue(None, daily_loss_limit=-10)
    ask(how, order("O-1"), order("O-2", OrderType.LIMIT, limit_ticks=105_000))
    bar(how, 1)
    ask(how, order("O-3", OrderType.STOP_MARKET, side=Side.SELL, trigger_ticks=100_000), hour=2)
    bar(how, 2, (110_000, 110_000, 108_000, 108_000))  # 20 lost
    bar(how, 3, (108_000, 108_000, 104_000, 104_000))  # would have met the limit
    cancelled = [each for each in how.tape.untold if isinstance(each, Cancelled)]
    assert [(each.client_order_id, each.why) for each in cancelled] == [("O-2", DAILY_LOSS)]
    assert [each.order_id for each in how.book.working] == ["O-3"]
    assert how.book.positions[SYMBOL].lots == 1_000


def test_a_change_that_would_open_too_much_is_refused_and_the_order_stands() -> None:
    how = venue(None, max_position_size=1_200)
    ask(how, order("O-1", OrderType.LIMIT, limit_ticks=100_000))
    bar(how, 1)
    how.tape.tell()
    ask(how, Modify(client_order_id="O-1", lots=2_000), hour=2)
    assert how.tape.untold == [
        ModifyRejected(
            client_order_id="O-1",
            ts_ns=2 * HOUR_NS,
            code=DenialCode.MAX_POSITION_SIZE,
            message=how.tape.untold[0].message,
        )
    ]
    ask(how, Modify(client_order_id="O-1", lots=1_100), hour=2)
    bar(how, 2)
    assert [each.lots for each in how.book.working] == [1_100]


def test_no_more_orders_work_than_a_checkpoint_should_hold() -> None:
    how = venue()
    many = [
        order(f"O-{number}", OrderType.LIMIT, limit_ticks=1, lots=1)
        for number in range(rules.MOST_WORKING + 1)
    ]
    ask(how, *many)
    assert refused(how) == [DenialCode.TOO_MANY_ORDERS]


def test_an_order_that_claims_to_be_older_does_not_meet_prices_that_are_known() -> None:
    how = venue()
    how.ask([(0, order())], since_ns=HOUR_NS, now_ns=2 * HOUR_NS)
    bar(how, 1)  # it opened when the strategy had not been asked
    assert how.is_flat
    bar(how, 2)
    assert not how.is_flat


def test_what_a_second_start_asks_for_is_refused_but_cancels_are_done() -> None:
    how = venue()
    ask(how, order("O-1", OrderType.LIMIT, limit_ticks=100_000))
    bar(how, 1)
    how.tape.take()
    ask(how, order("O-2"), Cancel(client_order_id="O-1"), hour=2, is_restart=True)
    assert refused(how) == [RESTARTED]
    (placing,) = how.tape.take().placings
    assert (placing.status, placing.denial_code) == (OrderStatus.REJECTED, None)
    bar(how, 2)
    assert how.book.working == ()
    assert how.is_flat


def test_held_back_entries_are_cancelled_and_exits_go_on() -> None:
    how = venue()
    bought(how)
    ask(
        how,
        order("O-more", OrderType.LIMIT, limit_ticks=100_000),
        order("O-stop", OrderType.STOP_MARKET, side=Side.SELL, trigger_ticks=100_000),
        order("O-target", OrderType.LIMIT, side=Side.SELL, limit_ticks=120_000, reduce_only=True),
        hour=2,
    )
    how.cancel_entries(2 * HOUR_NS, "because")
    assert how.tape.untold == [
        Cancelled(client_order_id="O-more", ts_ns=2 * HOUR_NS, why="because")
    ]
    bar(how, 2)
    how.cancel_entries(3 * HOUR_NS, "because")
    assert [each.order_id for each in how.book.working] == ["O-stop", "O-target"]


def test_flatten_takes_everything_back_and_closes_at_the_next_open_even_while_halted() -> None:
    how = venue()
    bought(how)
    ask(how, order("O-2"), order("O-3", OrderType.LIMIT, limit_ticks=100_000), hour=2)
    halted(how)
    how.cancel_all(2 * HOUR_NS, "leaving")
    how.flatten(SYMBOL, 2 * HOUR_NS)
    bar(how, 2)
    taken = how.tape.take()
    (fill,) = taken.fills
    assert how.is_flat
    assert fill.cause is Cause.HANDOVER
    assert fill.order_id == f"exec_1-handover-{SYMBOL}-{2 * HOUR_NS}"
    assert taken.placings[-1].cause is Cause.HANDOVER
    ended = {each.order_id: each.status for each in taken.changes}
    assert ended["exec_1-O-2"] == ended["exec_1-O-3"] == OrderStatus.CANCELLED
    assert ended[fill.order_id] is OrderStatus.FILLED


def test_orders_for_the_close_and_for_the_day_end_with_the_session() -> None:
    how = venue()
    bought(how)
    closing = {"time_in_force": TimeInForce.AT_THE_CLOSE, "side": Side.SELL}
    daily = {"time_in_force": TimeInForce.DAY, "limit_ticks": 100_000}
    ask(how, order("O-2", **closing), order("O-3", OrderType.LIMIT, **daily), hour=2)
    bar(how, 2)
    how.end_session(4 * HOUR_NS)
    assert how.is_flat
    assert how.book.working == ()


def test_a_view_is_what_a_strategy_that_starts_again_must_know() -> None:
    how = venue()
    bought(how)
    ask(
        how,
        order("O-2", OrderType.TRAILING_STOP_MARKET, side=Side.SELL, reduce_only=True),
        hour=2,
    )
    bar(how, 2, (110_000, 111_000, 110_000, 111_000))
    reducing(how)
    ask(how, order("O-3"), hour=3)
    view = how.view()
    assert view.holdings == ((SYMBOL, 1_000, pytest.approx(1.10011)),)
    assert [each.client_order_id for each in view.working] == ["O-2", "O-3"]  # one was refused
    assert view.working[0].trigger_ticks == 110_900
    fees = sum(each.fees_open for each in how.book.positions.values())
    assert view.balance_nanos == CAPITAL_NANOS - fees


def test_names_are_counted_by_what_they_end_in() -> None:
    how = venue()
    for name in ("O-20170103-050000-001-000-7", "O-20170103-050000-001-000-9-E2", "mine"):
        ask(how, order(name, OrderType.LIMIT, limit_ticks=1))
    assert how.tape.orders_made == 10


@st.composite
def instructions(draw: Any) -> Instruction:
    name = f"O-{draw(st.integers(0, 30))}"
    match draw(st.sampled_from(["order", "order", "order", "modify", "cancel"])):
        case "modify":
            return Modify(client_order_id=name, lots=draw(st.integers(1, 3_000)))
        case "cancel":
            return Cancel(client_order_id=name)
    kind = draw(st.sampled_from(KINDS))
    away = draw(st.integers(-800, 800))
    prices = {
        field: value + away if field in {"limit_ticks", "trigger_ticks"} else value
        for field, value in TERMS_OF[kind].items()
    }
    return order(
        name,
        kind,
        side=draw(st.sampled_from(Side)),
        lots=draw(st.integers(0, 60_000)),
        reduce_only=draw(st.booleans()),
        time_in_force=draw(st.sampled_from([TimeInForce.GTC, TimeInForce.DAY, TimeInForce.IOC])),
        **prices,
    )


steps = st.lists(
    st.tuples(st.integers(-900, 900), st.lists(instructions(), max_size=3)), min_size=1, max_size=30
)
LIMITED = {
    "max_position_size": 60_000,
    "daily_loss_limit": -2_000,
}


def play(how: NativeVenue, moves: Any, start: int = 0, end: int | None = None) -> list[Any]:
    price, done = 110_000, []
    for number, (move, asked) in enumerate(moves):
        opened, price = price, max(1_000, price + move)
        if number < start or (end is not None and number >= end):
            continue
        ticks = (opened, max(opened, price) + 50, min(opened, price) - 50, price)
        bar(how, number + 1, ticks)
        how.tape.tell()
        ask(how, *asked, hour=number + 2)
        done.append((how.tape.take(), list(how.tape.untold)))
    return done


@settings(max_examples=60, deadline=None)
@given(moves=steps, cut=st.integers(0, 30))
def test_a_venue_that_is_dumped_and_loaded_goes_on_as_if_nothing_had_been(
    moves: Any, cut: int
) -> None:
    whole = venue({"max_trades_per_day": 3}, **LIMITED)
    first = venue({"max_trades_per_day": 3}, **LIMITED)
    second = venue({"max_trades_per_day": 3}, **LIMITED)
    done = play(whole, moves)
    before = play(first, moves, end=cut)
    symbols = {first.tape.order_id(name): symbol for name, symbol in first.tape.symbols.items()}
    second.load(json.loads(json.dumps(first.dump())), symbols)
    assert before + play(second, moves, start=cut) == done
    assert second.dump() == whole.dump()


@settings(max_examples=60, deadline=None)
@given(moves=steps)
def test_every_placed_order_ends_at_most_once_and_fills_add_up_to_the_position(moves: Any) -> None:
    how = venue(None, **LIMITED)
    taken = [each for each, _ in play(how, moves)]
    how.cancel_all(10**18, "over")
    taken.append(how.tape.take())
    ended = {OrderStatus.FILLED, OrderStatus.CANCELLED, OrderStatus.EXPIRED, OrderStatus.REJECTED}
    ends = [c.order_id for each in taken for c in each.changes if c.status in ended]
    placed = [
        p.order_id for each in taken for p in each.placings if p.status is OrderStatus.SUBMITTED
    ]
    fills = [fill for each in taken for fill in each.fills]
    signed = sum(fill.lots if fill.side is Side.BUY else -fill.lots for fill in fills)
    assert sorted(ends) == sorted(placed)
    assert signed == how.book.positions[SYMBOL].lots


@settings(max_examples=60, deadline=None)
@given(moves=steps)
def test_behind_a_gate_that_refuses_nothing_the_book_is_the_backtests(moves: Any) -> None:
    """The gate refuses names that were used, and orders for nothing; so there are none here."""
    used = iter(range(10_000))
    fresh = [
        (
            move,
            [
                replace(each, client_order_id=f"O-{next(used)}", lots=max(1, each.lots))
                if isinstance(each, Ticket)
                else each
                for each in asked
            ],
        )
        for move, asked in moves
    ]
    how = venue()
    plain = Exchange(CAPITAL_NANOS, [TERMS], Rules(allow_short=True))
    plain.meet(SYMBOL, (0, HOUR_NS), FLAT_BAR, 1_000)
    price = 110_000
    for number, (move, asked) in enumerate(fresh):
        opened, price = price, max(1_000, price + move)
        ticks = (opened, max(opened, price) + 50, min(opened, price) - 50, price)
        times = (number + 1) * HOUR_NS, (number + 2) * HOUR_NS
        plain.meet(SYMBOL, times, ticks, 1_000)
        plain.ask((times[1], each) for each in asked)
    seen = [each for _, told in _played(how, fresh) for each in told if isinstance(each, Executed)]
    assert seen == plain.seen
    assert how.book.dump() == plain.book.dump()


def _played(how: NativeVenue, moves: Any) -> list[tuple[int, list[Any]]]:
    price, told = 110_000, []
    for number, (move, asked) in enumerate(moves):
        opened, price = price, max(1_000, price + move)
        bar(how, number + 1, (opened, max(opened, price) + 50, min(opened, price) - 50, price))
        told.append((number, list(how.tape.untold)))
        how.tape.tell()
        ask(how, *asked, hour=number + 2)
    return told


def test_the_feeds_day_begins_with_the_first_bar_that_opens_in_it() -> None:
    how = venue(None, daily_loss_limit=-10)
    bought(how)
    bar(how, 2, (110_000, 110_000, 108_000, 108_000))
    ask(how, order("O-2"), hour=3)
    assert refused(how) == [DenialCode.DAILY_LOSS_LIMIT]
    how.on_bar(SYMBOL, (DAY_NS, DAY_NS + HOUR_NS), (108_000,) * 4, 1_000)
    how.tape.tell()
    how.ask([(DAY_NS + HOUR_NS, order("O-3"))], since_ns=DAY_NS, now_ns=DAY_NS + HOUR_NS)
    assert refused(how) == []


def test_an_entry_that_works_is_taken_back_when_others_serve_and_an_exit_goes_on() -> None:
    how = venue()
    bought(how)
    exit_ = order("O-exit", OrderType.LIMIT, side=Side.SELL, limit_ticks=120_000, reduce_only=True)
    ask(how, order("O-more", OrderType.LIMIT, limit_ticks=100_000), exit_, hour=2)
    bar(how, 2)
    how.gate.serves = Tenure(others=Span(until_ns=3 * HOUR_NS))

    bar(how, 3)

    gone = [each for each in how.tape.untold if isinstance(each, Cancelled)]
    assert [(each.client_order_id, each.why) for each in gone] == [("O-more", REPLACED)]
    assert [each.order_id for each in how.book.working] == ["O-exit"]


def test_what_was_decided_on_the_last_bar_of_a_tenure_meets_the_next_price() -> None:
    how = venue()
    how.gate.serves = Tenure(others=Span(until_ns=HOUR_NS))
    ask(how, order(), order("O-rests", OrderType.LIMIT, limit_ticks=100_000))

    bar(how, 1)
    assert how.book.positions[SYMBOL].lots == 1_000
    assert [each.order_id for each in how.book.working] == ["O-rests"]

    bar(how, 2)
    assert how.book.working == ()


def test_of_another_instrument_entries_work_on() -> None:
    how = venue()
    how.gate.serves = Tenure(others=NEVER, by_symbol={SYMBOL: Span()})
    ask(how, order(kind=OrderType.LIMIT, limit_ticks=100_000))

    for number in (1, 2, 3):
        bar(how, number)

    assert [each.order_id for each in how.book.working] == ["O-1"]
