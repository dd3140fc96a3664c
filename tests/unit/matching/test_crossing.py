"""Positions that pass between accounts at their mark: nothing is won, lost or paid by it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategy_engine.core import money
from strategy_engine.matching import crossing
from strategy_engine.matching.account import Account
from strategy_engine.matching.model import Cause, Order, Rules, Side, Terms

SYMBOL = "AAA.SIM"
ODD = Terms(symbol=SYMBOL, tick_nanos=7, lot_nanos=300_000_000)
EVEN = Terms(symbol=SYMBOL, tick_nanos=10_000_000, lot_nanos=money.NANOS)
CAPITAL = money.to_nanos(100_000)


def account(terms: Terms = EVEN, lots: int = 0, entry: int = 9_000, **how: int) -> Account:
    made = Account(CAPITAL, [terms], Rules(allow_short=True, **how))
    if lots:
        book = made.books[SYMBOL]
        made.cash += book.enlarge(lots, entry, 100, 1)[0]
    made.books[SYMBOL].mark = 10_000
    return made


def trade(where: Account, lots: int, at_ns: int = 5):
    return crossing.cross(where, crossing.order(where, SYMBOL, lots, at_ns, "an order"))


@given(
    terms=st.sampled_from([EVEN, ODD]),
    held=st.integers(-500, 500).filter(bool),
    entry=st.integers(1, 30_000),
    taken=st.integers(1, 500),
)
def test_what_one_gives_the_other_gets_to_the_last_digit(terms, held, entry, taken):
    giver, taker = account(terms, held, entry), account(terms)
    moved = min(taken, abs(held)) * (1 if held > 0 else -1)
    equity, cash = giver.equity() + taker.equity(), giver.cash + taker.cash

    gone, come = trade(giver, -moved), trade(taker, moved)

    assert giver.cash + taker.cash == cash
    assert abs(giver.equity() + taker.equity() - equity) <= 1  # a mark's own rounding
    assert (gone.lots, gone.price_ticks) == (come.lots, come.price_ticks) == (abs(moved), 10_000)
    assert {gone.side, come.side} == {Side.BUY, Side.SELL}
    assert giver.books[SYMBOL].lots + taker.books[SYMBOL].lots == held


def test_who_gives_realises_and_who_takes_begins_at_the_mark():
    giver, taker = account(lots=10), account()
    gone, come = trade(giver, -10), trade(taker, 10)

    assert (gone.opens, come.opens) == (False, True)
    assert gone.pnl_nanos == money.to_nanos(100) - money.to_nanos("0.09")  # its entry's fee
    assert (gone.round_trip.exit_ns, come.round_trip) == (5, None)
    assert (gone.fee_nanos, come.fee_nanos, come.pnl_nanos) == (0, 0, 0)
    assert {gone.slippage_ticks, come.slippage_ticks} == {0}
    assert {gone.cause, come.cause} == {Cause.HANDOVER}
    assert taker.books[SYMBOL].entry_price == 100


def test_what_is_taken_over_is_protected_from_its_mark_on_by_the_takers_rules():
    giver, taker = account(lots=10), account(stop_loss_ppb=100_000_000, take_profit_ppb=None)
    trade(giver, -10)
    trade(taker, 10)

    book = taker.books[SYMBOL]
    assert (book.stop, book.target) == (9_000, None)
    assert (giver.books[SYMBOL].stop, giver.books[SYMBOL].target) == (None, None)


@pytest.mark.parametrize(
    ("held", "offered", "limit", "taken"),
    [
        (0, 10, None, (10,)),
        (0, -10, None, (-10,)),
        (4, 10, None, (10,)),
        (-4, 10, None, (4, 6)),
        (-10, 10, None, (10,)),
        (-20, 10, None, (10,)),
        (20, -10, None, (-10,)),
        (0, 10, 600, (6,)),
        (0, 10, 50, ()),
        (-4, 10, 500, (4, 5)),
        (4, 10, 860, (5,)),  # its own cost 360 at entry
        (0, 0, None, ()),
    ],
)
def test_there_is_room_up_to_the_largest_position_and_one_fill_does_one_thing(
    held, offered, limit, taken
):
    nanos = None if limit is None else money.to_nanos(limit)
    assert crossing.room(account(lots=held, max_position_nanos=nanos), SYMBOL, offered) == taken


def test_who_may_not_be_short_takes_no_short_over_but_closes_with_it():
    taker = Account(CAPITAL, [EVEN], Rules())
    taker.books[SYMBOL].mark = 10_000
    assert crossing.room(taker, SYMBOL, -5) == ()
    trade(taker, 3)
    assert crossing.room(taker, SYMBOL, -5) == (-3,)


def test_what_waits_to_be_closed_already_is_not_given():
    giver = account(lots=10)
    order = Order(symbol=SYMBOL, side=Side.SELL, lots=4, opens=False, decided_ns=4)
    giver.submit([order])
    assert crossing.leaving(giver, SYMBOL) == 6
    giver.submit([order, order])
    assert crossing.leaving(giver, SYMBOL) == 0


def test_a_copy_stands_alone():
    mine = account(lots=10)
    mine.reserve_nanos = 7
    made = crossing.copy(mine)
    trade(made, -10)

    assert (mine.books[SYMBOL].lots, made.books[SYMBOL].lots) == (10, 0)
    assert (made.reserve_nanos, made.rules) == (7, mine.rules)
