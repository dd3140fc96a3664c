"""What is reserved to leave: as good as gone for what opens, there for what closes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strategy_engine.core import money
from strategy_engine.matching import rules
from strategy_engine.matching.account import Account
from strategy_engine.matching.model import Action, Cause, Conditions, Decision, Rules, Side, Terms
from strategy_engine.matching.orderbook import OrderBook
from strategy_engine.matching.ticket import Executed, OrderType, Ticket

TERMS = Terms(symbol="EUR/USD.SIM", tick_nanos=10_000, lot_nanos=money.NANOS)
CAPITAL_NANOS = money.to_nanos(10_000)
HOW = Rules(allow_short=True, position_size_ppb=900_000_000)
HOUR_NS = 3_600 * money.NANOS
SEEDS = st.integers(0, 10_000)
RESERVES = st.integers(0, CAPITAL_NANOS)


def bars(seed: int, size: int = 60) -> list[tuple[int, int, int, int]]:
    chance = np.random.default_rng(seed)
    close = (110_000 * np.exp(np.cumsum(chance.normal(0, 0.01, size)))).astype(int).tolist()
    opened = [110_000, *close[:-1]]
    return [(o, max(o, c) + 200, min(o, c) - 200, c) for o, c in zip(opened, close, strict=True)]


@settings(max_examples=60, deadline=None)
@given(seed=SEEDS, reserve=RESERVES)
def test_a_signal_account_trades_as_if_what_is_reserved_had_left(seed, reserve):
    reserved = Account(CAPITAL_NANOS, [TERMS], HOW)
    reserved.reserve_nanos = reserve
    left = Account(CAPITAL_NANOS - reserve, [TERMS], HOW)
    choose = np.random.default_rng(seed + 1)

    for number, bar in enumerate(bars(seed)):
        times = number * HOUR_NS, (number + 1) * HOUR_NS
        found = [each.on_bar(TERMS.symbol, times, bar) for each in (reserved, left)]
        assert found[0] == found[1]
        decision = Decision(action=Action(int(choose.integers(0, 3))))
        for each in (reserved, left):
            each.submit(each.plan(TERMS.symbol, decision, times[1]))

    assert reserved.cash - reserve == left.cash
    assert reserved.free() == max(0, left.free())


@pytest.mark.parametrize("leverage_ppm", [None, 3_000_000])
@settings(max_examples=40, deadline=None)
@given(seed=SEEDS, reserve=RESERVES)
def test_an_order_book_trades_as_if_what_is_reserved_had_left(leverage_ppm, seed, reserve):
    conditions = Conditions(leverage_ppm=leverage_ppm)
    reserved = OrderBook(CAPITAL_NANOS, [TERMS], HOW, conditions)
    reserved.funds.reserve_nanos = reserve
    left = OrderBook(CAPITAL_NANOS - reserve, [TERMS], HOW, conditions)
    choose = np.random.default_rng(seed + 1)

    for number, bar in enumerate(bars(seed)):
        order = Ticket(
            client_order_id=f"O-{number}",
            symbol=TERMS.symbol,
            side=Side.BUY if choose.integers(0, 2) else Side.SELL,
            type=OrderType.MARKET,
            lots=int(choose.integers(1, 9_000)),
        )
        times = number * HOUR_NS, (number + 1) * HOUR_NS
        found = []
        for book in (reserved, left):
            events = book.submit(order, times[0]) + book.on_bar(TERMS.symbol, times, bar)
            found.append([each for each in events if isinstance(each, Executed)])
        assert found[0] == found[1]

    assert reserved.cash - reserve == left.cash


def test_a_position_is_closed_however_much_is_reserved():
    account = Account(CAPITAL_NANOS, [TERMS], HOW)
    first, second, third = bars(7, 3)
    account.on_bar(TERMS.symbol, (0, HOUR_NS), first)
    account.submit(account.plan(TERMS.symbol, Decision(action=Action.BUY), HOUR_NS))
    assert account.on_bar(TERMS.symbol, (HOUR_NS, 2 * HOUR_NS), second)
    account.reserve_nanos = 10**21

    account.submit(account.flatten(TERMS.symbol, 2 * HOUR_NS, Cause.HANDOVER))
    (fill,) = account.on_bar(TERMS.symbol, (2 * HOUR_NS, 3 * HOUR_NS), third)

    assert fill.lots_after == 0
    assert account.free() == 0


@given(nanos=st.integers(-(10**15), 10**15), reserve=st.integers(0, 10**21))
def test_what_is_spendable_is_never_more_than_there_is_nor_below_zero_beside_a_reserve(
    nanos, reserve
):
    found = rules.spendable(nanos, reserve)
    if reserve:
        assert found == max(0, nanos - reserve)
    else:
        assert found == nanos
