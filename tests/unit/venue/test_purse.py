"""Capital that moves between two bars: how much may, and what it leaves behind."""

from hypothesis import given
from hypothesis import strategies as st

from strategy_engine.core import money
from strategy_engine.matching.account import Account
from strategy_engine.matching.model import BUY, DAY_NS, SELL, Rules, Terms
from strategy_engine.venue import purse
from strategy_engine.venue.model import DenialCode
from strategy_engine.venue.paper import PaperVenue
from strategy_engine.venue.purse import Purse, Split

TERMS = Terms(symbol="EUR/USD.SIM", tick_nanos=10_000, lot_nanos=money.NANOS)
CAPITAL_NANOS = money.to_nanos(1_000)
HOUR_NS = 3_600 * money.NANOS
AMOUNTS = st.integers(-(10**21), 10**21)


@given(wanted=AMOUNTS, free=AMOUNTS)
def test_what_is_to_enter_enters_and_what_is_to_leave_leaves_as_far_as_it_is_free(wanted, free):
    moved = purse.split(wanted, free)

    assert moved.amount_nanos - moved.reserve_nanos == wanted  # none is forgotten
    assert moved.reserve_nanos >= 0
    assert moved.amount_nanos >= -max(0, free)
    if wanted >= 0:
        assert moved == Split(amount_nanos=wanted, reserve_nanos=0)
    elif moved.reserve_nanos:
        assert -moved.amount_nanos == max(0, free)


@given(st.lists(st.integers(-(10**13), 10**13), max_size=20))
def test_however_often_cash_moves_the_days_profit_stays_as_it_was(flows):
    account = Account(CAPITAL_NANOS, [TERMS], Rules())
    held = Purse(account)
    held.come_to(DAY_NS)
    account.cash += 123  # what the day has brought
    moved = [held.move(each) for each in flows]

    assert held.day_pnl_nanos == 123
    assert account.cash == CAPITAL_NANOS + 123 + sum(moved)
    assert account.cash >= 0


def venue(**how: object) -> PaperVenue:
    rules = Rules(**{"position_size_ppb": 500_000_000, "allow_short": True} | how)
    made = PaperVenue("exec_1", capital_nanos=CAPITAL_NANOS, terms=[TERMS], how=rules, epoch=1)
    made.on_bar(TERMS.symbol, (0, HOUR_NS), (100_000, 100_000, 100_000, 100_000))
    return made


def test_an_order_is_sized_by_what_is_not_to_leave():
    whole, half = venue(), venue()
    half.purse.reserve(CAPITAL_NANOS // 2)

    (first,) = whole.decide(TERMS.symbol, BUY, HOUR_NS).orders
    (second,) = half.decide(TERMS.symbol, BUY, HOUR_NS).orders

    assert (first.lots, second.lots) == (500, 250)


def test_the_gate_refuses_what_would_open_with_cash_that_is_to_leave():
    going = venue(max_position_nanos=CAPITAL_NANOS)
    going.decide(TERMS.symbol, BUY, HOUR_NS)
    going.on_bar(TERMS.symbol, (HOUR_NS, 2 * HOUR_NS), (100_000, 100_000, 100_000, 100_000))
    going.purse.reserve(CAPITAL_NANOS - 600 * money.NANOS)

    placed = going.decide(TERMS.symbol, SELL, 2 * HOUR_NS)

    assert [each.opens for each in placed.orders] == [False, True]  # closed first, its cash counts
    assert placed.orders[1].lots == 299

    going.cancel()
    going.purse.reserve(10**21)
    placed = going.decide(TERMS.symbol, SELL, 2 * HOUR_NS)
    assert [each.opens for each in placed.orders] == [False]  # nothing is left to open with


def test_a_target_in_lots_beyond_the_cash_is_denied_with_no_negative_amount():
    going = venue()
    going.purse.move(-CAPITAL_NANOS)
    going.account.reserve_nanos = 10**21
    going.account.rules = Rules(position_size_ppb=0)
    order = venue().decide(TERMS.symbol, BUY, HOUR_NS).orders[0]

    denied = going._place([order]).denials[0].denial

    assert denied.code is DenialCode.INSUFFICIENT_CASH
    assert denied.message.endswith("free cash is 0.00")
