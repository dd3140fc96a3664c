from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strategy_engine.matching.account import Account, dump, load
from strategy_engine.matching.model import (
    BUY,
    DAY_NS,
    HOLD,
    NANOS,
    PPB,
    SELL,
    Action,
    Cause,
    Decision,
    Fill,
    Rules,
    Side,
    Terms,
)

HOUR_NS = 3_600 * NANOS
INSTRUMENTS = (
    Terms(symbol="A", tick_nanos=10_000_000, lot_nanos=NANOS),  # cents, whole shares
    Terms(symbol="B", tick_nanos=10_000, lot_nanos=1_000 * NANOS),  # a currency pair
    Terms(symbol="C", tick_nanos=10_000_000, lot_nanos=10),  # a coin: a lot is a fraction of a cent
)


def target(share: float, **fields: Any) -> Decision:
    return Decision(action=Action.TARGET, size_ppb=round(share * PPB), **fields)


def bar_of(opened: int, moves: tuple[int, int, int]) -> tuple[int, int, int, int]:
    up, down, close = moves
    high, low = opened + up, max(1, opened - down)
    return opened, high, low, min(high, max(low, opened + close))


DECISIONS = st.one_of(
    st.sampled_from([HOLD, BUY, SELL]),
    st.builds(
        Decision,
        action=st.sampled_from([Action.BUY, Action.SELL]),
        size_ppb=st.integers(1, PPB),
        stop_loss_ppb=st.none() | st.integers(0, PPB // 5),
        take_profit_ppb=st.none() | st.integers(0, PPB // 5),
    ),
    st.builds(Decision, action=st.just(Action.TARGET), size_ppb=st.integers(-PPB, PPB)),
)
STEPS = st.lists(
    st.tuples(
        st.sampled_from(INSTRUMENTS),
        st.integers(50, 20_000),
        st.tuples(st.integers(0, 900), st.integers(0, 900), st.integers(-900, 900)),
        DECISIONS,
    ),
    min_size=1,
    max_size=40,
)
RULES = st.builds(
    Rules,
    position_size_ppb=st.integers(0, PPB),
    stop_loss_ppb=st.none() | st.integers(0, PPB // 5),
    take_profit_ppb=st.none() | st.integers(0, PPB // 5),
    slippage_ppm=st.integers(0, 5_000),
    fee_ppm=st.integers(0, 5_000),
    allow_short=st.booleans(),
    max_trades_per_day=st.none() | st.integers(0, 3),
    max_position_nanos=st.none() | st.integers(0, 50_000 * NANOS),
)
CAPITALS = st.integers(1, 200_000 * NANOS)


class Tape:
    """Plays steps into an account and remembers every fill."""

    def __init__(self, account: Account) -> None:
        self.account = account
        self.hour = 0
        self.fills: list[Fill] = []

    def play(self, step: Any) -> list[Fill]:
        terms, opened, moves, decision = step
        times = self.hour * HOUR_NS, (self.hour + 1) * HOUR_NS
        fills = self.account.on_bar(terms.symbol, times, bar_of(opened, moves))
        self.hour += 1
        self.fills += fills
        self.account.submit(self.account.plan(terms.symbol, decision, times[1]))
        return fills


@settings(max_examples=150)
@given(STEPS, RULES, CAPITALS)
def test_equity_is_capital_and_profits_and_what_is_open_to_the_digit(
    steps: Any, how: Rules, capital: int
) -> None:
    account = Account(capital, INSTRUMENTS, how)
    tape = Tape(account)
    for step in steps:
        tape.play(step)
        books = account.books.values()
        signs = {book: 1 if book.lots > 0 else -1 for book in books}
        unrealised = sum(
            book.value_nanos() - signs[book] * book.entry_nanos for book in books if book.lots
        )
        fees_open = sum(book.fees_open for book in books)
        realised = sum(fill.pnl_nanos for fill in tape.fills)
        assert account.equity() == capital + realised + unrealised - fees_open


@settings(max_examples=150)
@given(STEPS, RULES, CAPITALS)
def test_without_shorts_a_fill_never_takes_more_than_the_cash(
    steps: Any, how: Rules, capital: int
) -> None:
    account = Account(capital, INSTRUMENTS, replace(how, allow_short=False))
    tape = Tape(account)
    for step in steps:
        tape.play(step)
        assert account.cash >= 0
        assert all(book.lots >= 0 for book in account.books.values())


@settings(max_examples=100)
@given(STEPS, RULES, CAPITALS)
def test_a_position_at_entry_is_never_above_its_limit(steps: Any, how: Rules, capital: int) -> None:
    limit = 7_000 * NANOS
    account = Account(capital, INSTRUMENTS, replace(how, max_position_nanos=limit))
    tape = Tape(account)
    for step in steps:
        tape.play(step)
        assert all(book.entry_nanos <= limit for book in account.books.values())


@settings(max_examples=100)
@given(STEPS, RULES, CAPITALS)
def test_round_trips_carry_the_whole_realised_profit_of_flat_books(
    steps: Any, how: Rules, capital: int
) -> None:
    account = Account(capital, INSTRUMENTS, how)
    tape = Tape(account)
    for step in steps:
        tape.play(step)
    for symbol, book in account.books.items():
        own = [fill for fill in tape.fills if fill.symbol == symbol]
        trips = sum(fill.round_trip.pnl_nanos for fill in own if fill.round_trip)
        assert sum(fill.pnl_nanos for fill in own) == trips + (book.trip_pnl if book.lots else 0)
        assert own == [] or own[-1].lots_after == book.lots
        if not book.lots:
            assert (book.entry_nanos, book.entry_tick_lots, book.fees_open) == (0, 0, 0)


@settings(max_examples=100)
@given(STEPS, RULES, CAPITALS, st.integers(0, 40))
def test_an_account_put_down_at_any_moment_goes_on_as_if_it_had_not_been(
    steps: Any, how: Rules, capital: int, moment: int
) -> None:
    through, first = (Tape(Account(capital, INSTRUMENTS, how)) for _ in range(2))
    for step in steps[:moment]:
        through.play(step)
        first.play(step)
    kept = msgspec.msgpack.decode(msgspec.msgpack.encode(dump(first.account)))
    second = Tape(Account(1, INSTRUMENTS, how))
    second.hour = first.hour
    load(second.account, kept)
    for step in steps[moment:]:
        assert second.play(step) == through.play(step)
        assert second.account.equity() == through.account.equity()
    assert dump(second.account) == dump(through.account)


@settings(max_examples=100)
@given(STEPS, RULES, CAPITALS, st.integers(0, 3))
def test_new_entries_a_day_stay_within_their_cap(
    steps: Any, how: Rules, capital: int, cap: int
) -> None:
    account = Account(capital, INSTRUMENTS, replace(how, max_trades_per_day=cap))
    entries = 0
    held = dict.fromkeys(account.books, 0)
    tape = Tape(account)
    for step in steps:
        for fill in tape.play(step):
            entries += fill.opens and not held[fill.symbol]
            held[fill.symbol] = fill.lots_after
    assert entries <= cap * (tape.hour // 24 + 1)


def test_a_round_trip_by_hand(market: Any) -> None:
    traded = market()
    traded.bar(10_000, 10_000, 10_000, 10_000)
    traded.decide(BUY)  # a tenth of 100,000 at 100.00: 100 shares
    (bought,) = traded.bar(10_000, 10_100, 9_950, 10_050)
    assert (bought.side, bought.lots, bought.price_ticks) == (Side.BUY, 100, 10_001)
    assert bought.fee_nanos == 1_000_100_000  # 0.01 % of 10,001.00
    assert traded.account.cash == 100_000 * NANOS - 10_001 * NANOS - 1_000_100_000
    traded.decide(SELL)
    (sold,) = traded.bar(10_200, 10_250, 10_150, 10_200)
    assert (sold.side, sold.lots, sold.price_ticks) == (Side.SELL, 100, 10_198)  # 101.9898, down
    # 197.00 earned, 1.0001 and 1.0198 paid.
    assert sold.pnl_nanos == 197 * NANOS - 1_000_100_000 - 1_019_800_000
    assert sold.round_trip is not None
    assert sold.round_trip.pnl_nanos == sold.pnl_nanos
    assert traded.account.cash == traded.account.equity() == 100_000 * NANOS + sold.pnl_nanos


def test_a_short_round_trip_by_hand(market: Any, free_of_costs: dict[str, int]) -> None:
    traded = market(allow_short=True, **free_of_costs)
    traded.bar(10_000, 10_000, 10_000, 10_000)
    traded.decide(SELL)
    (sold,) = traded.bar(10_000, 10_000, 9_900, 9_900)
    assert (sold.side, sold.lots_after) == (Side.SELL, -100)
    assert traded.account.equity() == 100_100 * NANOS
    traded.decide(BUY)
    closed, opened = traded.bar(9_900, 9_900, 9_900, 9_900)
    assert (closed.opens, closed.pnl_nanos, closed.lots_after) == (False, 100 * NANOS, 0)
    assert (opened.opens, opened.lots_after) == (True, 101)  # a tenth of 100,100 at 99.00


def test_the_stop_comes_first_when_a_bar_touches_both(market: Any) -> None:
    traded = market(slippage_ppm=0)
    traded.bar(10_000, 10_000, 10_000, 10_000)
    traded.decide(BUY)
    traded.bar(10_000, 10_000, 10_000, 10_000)
    (sold,) = traded.bar(10_000, 11_500, 9_000, 11_000)
    assert (sold.cause, sold.price_ticks) == (Cause.STOP_LOSS, 9_500)


@pytest.mark.parametrize(
    ("first", "opened", "cause", "price"),
    [
        (BUY, 9_000, Cause.STOP_LOSS, 8_991),  # a stop is a market order: it slips
        (BUY, 11_500, Cause.TAKE_PROFIT, 11_500),  # a target is a limit order: it does not
        (SELL, 11_000, Cause.STOP_LOSS, 11_011),
        (SELL, 8_500, Cause.TAKE_PROFIT, 8_500),
    ],
)
def test_a_gap_fills_at_the_open(
    market: Any, first: Decision, opened: int, cause: Cause, price: int
) -> None:
    traded = market(allow_short=True, slippage_ppm=1_000)
    traded.bar(10_000, 10_000, 10_000, 10_000)
    traded.decide(first)
    traded.bar(10_000, 10_000, 10_000, 10_000)
    (fill,) = traded.bar(opened, opened, opened, opened)
    assert (fill.cause, fill.price_ticks, fill.lots_after) == (cause, price, 0)


def test_the_bar_of_the_entry_can_already_stop_it(market: Any) -> None:
    traded = market(slippage_ppm=0)
    traded.bar(10_000, 10_000, 10_000, 10_000)
    traded.decide(BUY)
    bought, sold = traded.bar(10_000, 10_000, 9_400, 9_900)
    assert (bought.cause, sold.cause) == (Cause.SIGNAL, Cause.STOP_LOSS)
    assert sold.price_ticks == 9_500


def test_a_decisions_own_protection_replaces_the_executions(market: Any) -> None:
    traded = market(slippage_ppm=0)
    traded.bar(10_000, 10_000, 10_000, 10_000)
    traded.decide(Decision(action=Action.BUY, stop_loss_ppb=PPB // 100, take_profit_ppb=0))
    traded.bar(10_000, 10_000, 10_000, 10_000)
    assert (traded.book.stop, traded.book.target) == (9_900, None)


def test_repeating_a_decision_adds_nothing(market: Any) -> None:
    traded = market()
    traded.bar(10_000, 10_000, 10_000, 10_000)
    assert traded.decide(BUY) == 1
    traded.bar(10_000, 10_000, 10_000, 10_000)
    assert traded.decide(BUY) == 0
    assert traded.decide(HOLD) == 0


def test_selling_without_shorts_only_closes(market: Any) -> None:
    traded = market()
    traded.bar(10_000, 10_000, 10_000, 10_000)
    assert traded.decide(SELL) == 0
    traded.decide(BUY)
    traded.bar(10_000, 10_000, 10_000, 10_000)
    assert traded.decide(SELL) == 1
    traded.bar(10_000, 10_000, 10_000, 10_000)
    assert traded.book.lots == 0


def test_a_target_is_reached_in_both_directions(market: Any, free_of_costs: dict[str, int]) -> None:
    traded = market(allow_short=True, stop_loss_ppb=None, take_profit_ppb=None, **free_of_costs)
    held = []
    for share in (0.5, 0.5, 0.8, 0.2, -0.4, -0.1, 0.0, 0.0):
        traded.bar(10_000, 10_000, 10_000, 10_000)
        traded.decide(target(share))
        traded.bar(10_000, 10_000, 10_000, 10_000)
        held.append(traded.book.lots)
    assert held == [500, 500, 800, 200, -400, -100, 0, 0]


def test_an_unchanged_target_is_not_rebalanced(market: Any, free_of_costs: dict[str, int]) -> None:
    traded = market(stop_loss_ppb=None, take_profit_ppb=None, **free_of_costs)
    traded.bar(10_000, 10_000, 10_000, 10_000)
    traded.decide(target(0.5))
    traded.bar(10_000, 12_000, 10_000, 12_000)
    assert traded.decide(target(0.5)) == 0
    assert traded.decide(target(0.4)) == 1


def test_a_negative_target_is_flat_without_shorts(market: Any) -> None:
    traded = market()
    traded.bar(10_000, 10_000, 10_000, 10_000)
    traded.decide(target(0.5))
    traded.bar(10_000, 10_000, 10_000, 10_000)
    traded.decide(target(-0.5))
    traded.bar(10_000, 10_000, 10_000, 10_000)
    assert traded.book.lots == 0


def test_a_partial_close_realises_its_share(market: Any, free_of_costs: dict[str, int]) -> None:
    traded = market(stop_loss_ppb=None, take_profit_ppb=None, **free_of_costs)
    traded.bar(10_000, 10_000, 10_000, 10_000)
    traded.decide(target(0.5))
    traded.bar(10_000, 11_000, 10_000, 11_000)
    traded.decide(target(0.1))
    (sold,) = traded.bar(11_000, 11_000, 11_000, 11_000)
    assert sold.lots == 500 - 95  # a tenth of 105,000 at 110.00
    assert sold.pnl_nanos == sold.lots * 10 * NANOS
    assert sold.round_trip is None
    assert traded.book.entry_price == 100.0


def test_the_days_cap_holds_back_entries_and_never_exits(market: Any) -> None:
    traded = market(max_trades_per_day=1)
    traded.bar(10_000, 10_000, 10_000, 10_000)
    assert traded.decide(BUY) == 1
    traded.bar(10_000, 10_000, 10_000, 10_000)
    assert traded.decide(SELL) == 1
    traded.bar(10_000, 10_000, 10_000, 10_000)
    assert traded.decide(BUY) == 0
    while traded.now_ns < DAY_NS:
        traded.bar(10_000, 10_000, 10_000, 10_000)
    assert traded.decide(BUY) == 1


def test_a_target_that_the_days_cap_held_back_is_taken_up_the_next_day(market: Any) -> None:
    traded = market(max_trades_per_day=1)
    traded.bar(10_000, 10_000, 10_000, 10_000)
    for share in (0.5, 0.0):
        assert traded.decide(target(share)) == 1
        traded.bar(10_000, 10_000, 10_000, 10_000)
    while traded.now_ns < DAY_NS:
        assert traded.decide(target(0.5)) == 0
        traded.bar(10_000, 10_000, 10_000, 10_000)
    assert traded.decide(target(0.5)) == 1


def test_a_price_limit_of_the_cash_counts_the_open_and_the_fee(market: Any) -> None:
    traded = market(1_000, position_size_ppb=PPB, fee_ppm=10_000, slippage_ppm=0)
    traded.bar(10_000, 10_000, 10_000, 10_000)
    traded.decide(BUY)  # ten shares at 100
    (bought,) = traded.bar(11_000, 11_000, 11_000, 11_000)
    assert bought.lots == 9  # at 110 and one percent: ten would cost 1,111
    assert traded.account.cash >= 0


def test_an_entry_that_nothing_is_left_for_does_not_fill(market: Any) -> None:
    traded = market(50)
    traded.bar(10_000, 10_000, 10_000, 10_000)
    assert traded.decide(Decision(action=Action.BUY, size_ppb=PPB)) == 0


def test_flatten_closes_what_is_held_and_says_why(market: Any) -> None:
    traded = market()
    traded.bar(10_000, 10_000, 10_000, 10_000)
    assert traded.account.flatten("X", 0, Cause.HANDOVER) == []
    traded.decide(BUY)
    traded.bar(10_000, 10_000, 10_000, 10_000)
    traded.account.submit(traded.account.flatten("X", traded.now_ns, Cause.HANDOVER))
    (closed,) = traded.bar(10_000, 10_000, 10_000, 10_000)
    assert (closed.cause, closed.lots_after) == (Cause.HANDOVER, 0)
