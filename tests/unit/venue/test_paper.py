import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strategy_engine.core import money
from strategy_engine.matching.account import Account
from strategy_engine.matching.model import (
    BUY,
    DAY_NS,
    HOLD,
    SELL,
    Action,
    Cause,
    Decision,
    Rules,
    Terms,
)
from strategy_engine.venue import oversight
from strategy_engine.venue.model import DenialCode, RiskState
from strategy_engine.venue.paper import NOTHING_HAPPENED, NOTHING_PLACED, PaperVenue

SYMBOL = "EUR/USD.SIM"
TERMS = Terms(symbol=SYMBOL, tick_nanos=10_000, lot_nanos=money.NANOS)
HOUR_NS = 3_600 * money.NANOS
FLAT_BAR = (110_000, 110_000, 110_000, 110_000)


def venue(rules: dict[str, Any] | None = None, **limits: Any) -> PaperVenue:
    how = Rules(**rules or {})
    return PaperVenue(
        "exec_1",
        capital_nanos=money.to_nanos(100_000),
        terms=[TERMS],
        how=how,
        epoch=1,
        seat=oversight.alone(**limits),
    )


def bar(number: int) -> tuple[int, int]:
    return number * HOUR_NS, (number + 1) * HOUR_NS


def bought(how: PaperVenue) -> None:
    how.on_bar(SYMBOL, bar(0), FLAT_BAR)
    how.decide(SYMBOL, BUY, HOUR_NS)
    how.on_bar(SYMBOL, bar(1), FLAT_BAR)


def test_a_decision_becomes_an_order_with_an_id_that_any_replay_gives_again():
    paper = venue()
    paper.on_bar(SYMBOL, bar(0), FLAT_BAR)

    placed = paper.decide(SYMBOL, BUY, HOUR_NS)

    assert [order.order_id for order in placed.orders] == [f"exec_1-{SYMBOL}-{HOUR_NS}-0"]
    assert placed.denials == ()


def test_a_bar_fills_what_waits_and_names_the_order_it_filled():
    paper = venue()
    paper.on_bar(SYMBOL, bar(0), FLAT_BAR)
    (order,) = paper.decide(SYMBOL, BUY, HOUR_NS).orders

    happened = paper.on_bar(SYMBOL, bar(1), FLAT_BAR)

    assert [fill.order_id for fill in happened.fills] == [order.order_id]
    assert happened.cancelled == ()


def test_a_protective_fill_has_an_id_of_its_own():
    paper = venue({"stop_loss_ppb": 10_000_000})
    bought(paper)

    (fill,) = paper.on_bar(SYMBOL, bar(2), (110_000, 110_000, 100_000, 100_000)).fills

    assert fill.cause is Cause.STOP_LOSS
    assert fill.order_id == f"exec_1-{SYMBOL}-{3 * HOUR_NS}-stop_loss"


def test_an_order_that_finds_no_room_at_the_open_is_cancelled():
    paper = venue()
    paper.on_bar(SYMBOL, bar(0), FLAT_BAR)
    (order,) = paper.decide(SYMBOL, BUY, HOUR_NS).orders
    paper.account.cash = 0

    happened = paper.on_bar(SYMBOL, bar(1), FLAT_BAR)

    assert happened.fills == ()
    assert happened.cancelled == (order.order_id,)


def test_nothing_is_made_of_a_quiet_bar_and_a_hold():
    paper = venue()

    assert paper.on_bar(SYMBOL, bar(0), FLAT_BAR) is NOTHING_HAPPENED
    assert paper.decide(SYMBOL, HOLD, HOUR_NS) is NOTHING_PLACED


def test_a_reversal_is_two_orders_and_the_second_is_judged_as_if_the_first_had_filled():
    paper = venue(
        {"allow_short": True, "position_size_ppb": 900_000_000},
        max_position_size=95_000,
    )
    bought(paper)

    placed = paper.decide(SYMBOL, SELL, 2 * HOUR_NS)

    assert [order.opens for order in placed.orders] == [False, True]
    assert placed.denials == ()


def test_an_entry_that_is_refused_is_not_counted_as_one_of_the_day():
    paper = venue({"max_trades_per_day": 1})
    paper.on_bar(SYMBOL, bar(0), FLAT_BAR)
    paper.risk_state = RiskState.REDUCING

    refused = paper.decide(SYMBOL, BUY, HOUR_NS)
    paper.risk_state = RiskState.ACTIVE
    taken = paper.decide(SYMBOL, BUY, HOUR_NS)

    assert [each.denial.code for each in refused.denials] == [DenialCode.REDUCING]
    assert len(taken.orders) == 1


def test_a_target_that_was_refused_is_asked_for_again():
    half = Decision(action=Action.TARGET, size_ppb=500_000_000)
    paper = venue()
    paper.on_bar(SYMBOL, bar(0), FLAT_BAR)
    paper.risk_state = RiskState.REDUCING
    paper.decide(SYMBOL, half, HOUR_NS)
    paper.risk_state = RiskState.ACTIVE

    assert len(paper.decide(SYMBOL, half, 2 * HOUR_NS).orders) == 1


def test_the_days_loss_stops_entries_until_the_feeds_next_day():
    paper = venue(
        {"position_size_ppb": 900_000_000, "stop_loss_ppb": None},
        daily_loss_limit=-1_000,
    )
    bought(paper)
    paper.on_bar(SYMBOL, bar(2), (108_000, 108_000, 108_000, 108_000))
    out = paper.decide(SYMBOL, SELL, 3 * HOUR_NS)
    paper.on_bar(SYMBOL, bar(3), (108_000, 108_000, 108_000, 108_000))
    same_day = paper.decide(SYMBOL, BUY, 4 * HOUR_NS)
    paper.on_bar(SYMBOL, (DAY_NS, DAY_NS + HOUR_NS), (108_000, 108_000, 108_000, 108_000))
    next_day = paper.decide(SYMBOL, BUY, DAY_NS + HOUR_NS)

    assert len(out.orders) == 1  # the way out is always open
    assert [each.denial.code for each in same_day.denials] == [DenialCode.DAILY_LOSS_LIMIT]
    assert len(next_day.orders) == 1


def test_a_loss_over_night_counts_for_the_day_that_it_opens():
    paper = venue(
        {"position_size_ppb": 900_000_000, "stop_loss_ppb": None},
        daily_loss_limit=-1_000,
    )
    bought(paper)

    paper.on_bar(SYMBOL, (DAY_NS, DAY_NS + HOUR_NS), (108_000, 108_000, 108_000, 108_000))

    assert paper.day_pnl_nanos < money.to_nanos(-1_000)


def test_flatten_goes_out_of_a_position_even_while_halted():
    paper = venue()
    bought(paper)
    paper.risk_state = RiskState.HALTED

    placed = paper.flatten(SYMBOL, 2 * HOUR_NS)
    (fill,) = paper.on_bar(SYMBOL, bar(2), FLAT_BAR).fills

    assert [order.cause for order in placed.orders] == [Cause.HANDOVER]
    assert fill.lots_after == 0


def test_cancelling_entries_leaves_exits_waiting():
    paper = venue({"allow_short": True})
    bought(paper)
    exit_, entry = paper.decide(SYMBOL, SELL, 2 * HOUR_NS).orders

    assert paper.cancel(only_entries=True) == (entry.order_id,)
    assert paper.cancel() == (exit_.order_id,)


moves = st.lists(
    st.tuples(
        st.integers(-900, 900),
        st.sampled_from([HOLD, BUY, SELL, Decision(action=Action.TARGET, size_ppb=300_000_000)]),
    ),
    min_size=1,
    max_size=60,
)


def replay(paper: Any, steps: list[tuple[int, Decision]], start: int = 0) -> None:
    price = 110_000
    for number, (move, decision) in enumerate(steps):
        opened, price = price, max(1_000, price + move)
        ticks = (opened, max(opened, price) + 50, min(opened, price) - 50, price)
        if number >= start:
            paper.on_bar(SYMBOL, bar(number), ticks)
            paper.decide(SYMBOL, decision, bar(number)[1])


@settings(max_examples=60)
@given(steps=moves, cut=st.integers(0, 60))
def test_a_venue_that_is_dumped_and_loaded_goes_on_as_if_nothing_had_been(steps, cut):
    whole, first, second = venue({"allow_short": True}), venue({"allow_short": True}), venue()
    second.account.rules = whole.account.rules
    replay(whole, steps)
    replay(first, steps[:cut])
    second.load(json.loads(json.dumps(first.dump())))
    replay(second, steps, start=cut)

    assert second.dump() == whole.dump()


class Plain:
    """The account as a backtest drives it, without gate or names."""

    def __init__(self) -> None:
        self.account = Account(money.to_nanos(100_000), [TERMS], Rules(allow_short=True))

    def on_bar(self, *given: Any) -> None:
        self.account.on_bar(*given)

    def decide(self, symbol: str, decision: Decision, now_ns: int) -> None:
        self.account.submit(self.account.plan(symbol, decision, now_ns))


@settings(max_examples=60)
@given(steps=moves)
def test_behind_a_gate_that_refuses_nothing_the_account_is_the_backtests(steps):
    paper, plain = venue({"allow_short": True}), Plain()
    replay(paper, steps)
    replay(plain, steps)

    assert paper.account.cash == plain.account.cash
    assert paper.account.equity() == plain.account.equity()
    assert paper.account.books[SYMBOL].lots == plain.account.books[SYMBOL].lots


def test_a_copy_that_hears_of_a_newer_one_places_nothing():
    paper = venue()
    paper.on_bar(SYMBOL, bar(0), FLAT_BAR)
    paper.highest_epoch = 2

    placed = paper.decide(SYMBOL, BUY, HOUR_NS)

    assert placed.orders == ()
    assert [each.denial.code for each in placed.denials] == [DenialCode.STALE_EPOCH]
    with pytest.raises(KeyError):
        paper.decide("GOOGL.SIM", BUY, HOUR_NS)
