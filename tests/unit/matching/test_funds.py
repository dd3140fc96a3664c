"""What an account can carry: cash, pledged shorts, margin."""

import pytest

from strategy_engine.matching.model import NANOS, Conditions, Terms

TWICE = Conditions(leverage_ppm=2_000_000)
ONE = Terms(symbol="X", tick_nanos=10_000_000, lot_nanos=NANOS)
OTHER = Terms(symbol="Y", tick_nanos=10_000_000, lot_nanos=NANOS)


def test_cash_bounds_what_is_bought_and_the_rest_is_cancelled(exchange, said):
    traded = exchange(capital=1_000, fee_ppm=10_000)
    traded.flat_bar()
    traded.buy("a", lots=12)  # at 100.00 and one percent: nine cost 909, ten 1,010
    events = traded.flat_bar()
    assert traded.fills(events) == [("a", 9, 10_000)]
    assert (said(events)[-1], events[-1].why) == ("a cancelled", "insufficient_cash")
    assert traded.book.cash == 91 * NANOS


def test_a_short_pledges_its_value(exchange):
    traded = exchange(capital=1_000)
    traded.flat_bar()
    traded.sell("a", lots=6)
    traded.flat_bar()
    traded.sell("b", lots=6)
    events = traded.flat_bar()
    assert traded.fills(events) == [("b", 4, 10_000)]
    traded.buy("c", lots=1, symbol="X")
    assert traded.fills(traded.flat_bar()) == [("c", 1, 10_000)]  # closing needs no cash


def test_closing_frees_the_cash_that_opening_needs(exchange):
    traded = exchange(capital=1_000)
    traded.flat_bar()
    traded.buy("in", lots=10)
    traded.flat_bar()
    traded.sell("turn", lots=20)
    assert traded.fills(traded.flat_bar()) == [("turn", 10, 10_000), ("turn", 10, 10_000)]


def test_leverage_multiplies_what_may_be_held(exchange, said):
    traded = exchange(capital=1_000, conditions=TWICE)
    traded.flat_bar()
    traded.buy("a", lots=25)
    events = traded.flat_bar()
    assert traded.fills(events) == [("a", 20, 10_000)]
    assert events[-1].why == "insufficient_margin"
    assert traded.book.funds.free() == 0
    assert traded.book.cash == -1_000 * NANOS


def test_margin_counts_every_position_at_its_mark(exchange):
    traded = exchange(capital=1_000, conditions=TWICE, terms=(ONE, OTHER))
    traded.flat_bar()
    traded.flat_bar(symbol="Y")
    traded.buy("x", lots=10)
    traded.flat_bar()
    assert traded.book.funds.margin() == 500 * NANOS
    traded.flat_bar(9_500)  # 50 lost: equity 950, margin 475
    assert (traded.book.funds.margin(), traded.book.funds.free()) == (475 * NANOS, 475 * NANOS)
    traded.sell("y", symbol="Y", lots=20)
    assert traded.fills(traded.flat_bar(symbol="Y")) == [("y", 9, 10_000)]


def test_a_margin_account_that_lost_its_margin_opens_nothing_and_closes_freely(exchange, said):
    traded = exchange(capital=1_000, conditions=TWICE)
    traded.flat_bar()
    traded.buy("in", lots=18)
    traded.flat_bar()
    traded.flat_bar(5_500)  # 810 lost of 1,000
    traded.buy("more", lots=1)
    assert said(traded.flat_bar(5_500)) == ["more cancelled"]
    traded.sell("out", lots=18)
    assert traded.fills(traded.flat_bar(5_500)) == [("out", 18, 5_500)]
    assert traded.book.cash == traded.book.equity() == 190 * NANOS


def test_the_position_limit_cuts_what_is_opened(exchange):
    traded = exchange(max_position_nanos=500 * NANOS)
    traded.flat_bar()
    traded.buy("a", lots=3)
    traded.flat_bar()
    traded.buy("b", lots=3)
    events = traded.flat_bar()
    assert traded.fills(events) == [("b", 2, 10_000)]
    assert events[-1].why == "max_position_size"


@pytest.mark.parametrize("conditions", [Conditions(), TWICE])
def test_fees_and_slippage_are_paid_from_what_there_is(exchange, conditions):
    traded = exchange(capital=1_000, conditions=conditions, fee_ppm=5_000, slippage_ppm=5_000)
    traded.flat_bar()
    traded.buy("a", lots=1_000)
    (fill, _) = traded.flat_bar()
    assert fill.price_ticks == 10_050
    paid = fill.lots * fill.price_ticks * 10_000_000 + fill.fee_nanos
    assert traded.book.cash == 1_000 * NANOS - paid
    assert fill.lots == (9 if conditions is not TWICE else 19)
