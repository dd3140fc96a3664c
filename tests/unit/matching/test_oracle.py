"""The signal path against an independent second opinion, over random price paths."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from strategy_engine.matching.account import Account
from strategy_engine.matching.model import BUY, HOLD, NANOS, PPB, PPM, SELL, Rules, Side, Terms

from .oracle import Bars, Costs, Oracle

HOUR_NS = 3_600 * NANOS
INSTRUMENTS = (
    Terms(symbol="X", tick_nanos=10_000_000, lot_nanos=NANOS),
    Terms(symbol="X", tick_nanos=10_000, lot_nanos=1_000 * NANOS),
    Terms(symbol="X", tick_nanos=10_000_000, lot_nanos=1_000),
)
WORDS = {0: HOLD, 1: BUY, -1: SELL}
RULES = st.builds(
    Rules,
    position_size_ppb=st.integers(0, PPB),
    stop_loss_ppb=st.none() | st.integers(1, PPB // 20),
    take_profit_ppb=st.none() | st.integers(1, PPB // 20),
    slippage_ppm=st.integers(0, 2_000),
    fee_ppm=st.integers(0, 2_000),
    allow_short=st.booleans(),
)


def path(seed: int, size: int, rough: float) -> Bars:
    """A random walk with gaps between bars, wicks beyond bodies, and now and then a jump."""
    random = np.random.default_rng(seed)
    steps = random.normal(0, rough, size) * np.where(random.random(size) < 0.05, 8, 1)
    close = np.maximum(500, np.rint(10_000 * np.exp(np.cumsum(steps)))).astype(np.int64)
    gaps = np.rint(random.normal(0, rough, size) * 3_000).astype(np.int64)
    opened = np.maximum(500, np.concatenate([[10_000], close[:-1]]) + gaps)
    wicks = np.abs(np.rint(random.normal(0, rough, (2, size)) * 5_000)).astype(np.int64)
    return Bars(
        open=opened,
        high=np.maximum(opened, close) + wicks[0],
        low=np.maximum(1, np.minimum(opened, close) - wicks[1]),
        close=close,
    )


def costs(how: Rules, terms: Terms) -> Costs:
    return Costs(
        size=Fraction(how.position_size_ppb, PPB),
        stop=how.stop_loss_ppb and Fraction(how.stop_loss_ppb, PPB),
        target=how.take_profit_ppb and Fraction(how.take_profit_ppb, PPB),
        slippage=Fraction(how.slippage_ppm, PPM),
        fee=Fraction(how.fee_ppm, PPM),
        lot_value=Fraction(terms.tick_nanos, NANOS) * Fraction(terms.lot_nanos, NANOS),
        allow_short=how.allow_short,
    )


def played(bars: Bars, words: np.ndarray, account: Account) -> list[tuple[int, int, int, int, str]]:
    trades = []
    columns = zip(bars.open, bars.high, bars.low, bars.close, strict=True)
    for index, (bar, word) in enumerate(zip(columns, words, strict=True)):
        times = index * HOUR_NS, (index + 1) * HOUR_NS
        for fill in account.on_bar("X", times, tuple(int(price) for price in bar)):
            sign = 1 if fill.side is Side.BUY else -1
            trades.append((index, sign, fill.lots, fill.price_ticks, fill.cause.value))
            inside = fill.cause.value != "signal"
            assert fill.ts_ns == times[inside]
        account.submit(account.plan("X", WORDS[int(word)], times[1]))
    return trades


@settings(max_examples=400)
@given(
    seed=st.integers(0, 2**32),
    rough=st.sampled_from([0.001, 0.005, 0.02]),
    talkative=st.sampled_from([0.05, 0.3, 1.0]),
    how=RULES,
    terms=st.sampled_from(INSTRUMENTS),
    capital=st.integers(1, 1_000_000),
)
@example(seed=1, rough=0.02, talkative=1.0, how=Rules(), terms=INSTRUMENTS[0], capital=100_000)
def test_a_second_opinion_finds_the_same_fills_and_the_same_cash(
    *, seed, rough, talkative, how, terms, capital
):
    bars = path(seed, 120, rough)
    random = np.random.default_rng(seed + 1)
    words = random.integers(-1, 2, 120) * (random.random(120) < talkative)
    account = Account(capital * NANOS, [terms], how)
    trades = played(bars, words, account)
    second = Oracle(bars, words, capital, costs(how, terms))
    expected = [(each.bar, each.sign, each.lots, each.price, each.why) for each in second.run()]
    assert trades == expected
    assert Fraction(account.cash, NANOS) == second.cash


@pytest.mark.parametrize("why", ["signal", "stop_loss", "take_profit"])
def test_the_second_opinion_is_asked_about_every_kind_of_fill(why):
    bars = path(7, 120, 0.02)
    words = np.random.default_rng(8).integers(-1, 2, 120)
    oracle = Oracle(bars, words, 100_000, costs(Rules(allow_short=True), INSTRUMENTS[0]))
    assert why in {each.why for each in oracle.run()}
