from pathlib import Path

import numpy as np
import pytest
import talib
from hypothesis import given, settings
from hypothesis import strategies as st

from strategy_engine.core import money
from strategy_engine.market.service import Catalogue
from strategy_engine.matching.settings import settings as traded_by
from strategy_engine.pipeline import backtest, history

FULLY = traded_by({"position_size": 1.0}, {}, {})
ACTIONS = st.lists(st.sampled_from([0, 0, 0, 1, 2]), min_size=2, max_size=80)


@pytest.fixture(scope="module")
def sample():
    catalogue = Catalogue(Path("nowhere"))
    symbol = "EUR/USD.SIM"
    return history.history(
        [history.series(catalogue.instrument(symbol), catalogue.bars(symbol), "1h")]
    )


def rsi_decisions(make, part):
    rsi = talib.RSI(part.series[0].bars.close, 14)
    return {make.SYMBOL: make.choices(np.where(rsi < 30, 1, np.where(rsi > 70, 2, 0)))}


def test_the_rsi_rule_on_the_sample_year_earns_what_is_known_of_it(make, sample):
    chosen = rsi_decisions(make, sample)
    found = backtest.segments(backtest.replay(chosen, sample, FULLY), sample)
    full, out = found.full, found.out_of_sample
    assert (full.trade_count, found.in_sample.trade_count, out.trade_count) == (28, 15, 13)
    assert full.sharpe_ratio.value == pytest.approx(2.06, abs=0.01)
    assert full.max_drawdown.value == pytest.approx(-0.0238, abs=0.0005)
    assert full.win_rate.value == pytest.approx(24 / 28)
    assert full.alpha.value == pytest.approx(0.043, abs=0.001)
    assert out.sharpe_ratio.value == pytest.approx(1.90, abs=0.01)


def test_beside_the_hold_out_it_has_27_round_trips_and_12_of_them_out_of_sample(make, sample):
    seen, _ = history.hold_out(sample)
    chosen = rsi_decisions(make, seen)
    found = backtest.segments(backtest.replay(chosen, seen, FULLY), seen)
    assert (found.full.trade_count, found.out_of_sample.trade_count) == (27, 12)


@given(actions=ACTIONS)
@settings(deadline=None)
def test_the_profit_is_that_of_the_closed_trips_and_the_open_position(make, actions):
    part = make.history(make.wave(len(actions)))
    ledgered = backtest.replay({make.SYMBOL: make.choices(actions)}, part, FULLY)
    if ledgered.held[make.SYMBOL][-1] == 0:
        realised = sum(each.pnl_nanos for each in ledgered.round_trips)
        assert ledgered.pnl == pytest.approx(realised / money.NANOS, abs=1e-6)
    assert ledgered.entries() >= len(ledgered.round_trips)
    assert len(ledgered.equity) == len(actions)


@given(actions=ACTIONS)
@settings(deadline=None)
def test_a_prefix_of_the_decisions_has_the_prefix_of_the_equity(make, actions):
    whole = make.history(make.wave(len(actions)))
    half = len(actions) // 2
    chosen = make.choices(actions)
    part = whole.until(int(whole.timeline()[half - 1])) if half else whole
    both = [
        backtest.replay({make.SYMBOL: each}, bars, FULLY)
        for each, bars in ((chosen, whole), (chosen.slice(0, len(part.timeline())), part))
    ]
    assert both[0].equity[: both[1].equity.size].tolist() == both[1].equity.tolist()


def test_a_decision_fills_at_the_next_bar_s_open(make):
    part = make.history([1.0, 1.01, 1.02, 1.03])
    ledgered = backtest.replay({make.SYMBOL: make.choices([0, 1, 0, 0])}, part, FULLY)
    (fill,) = ledgered.fills
    assert fill.ts_ns == part.series[0].bars.ts_ns[2]
    assert fill.price_ticks == 101_000 + 11  # a basis point, rounded against the taker
    assert ledgered.fill_slots == (2,)
    assert ledgered.held[make.SYMBOL].tolist()[:2] == [0, 0]
    assert ledgered.held[make.SYMBOL][2] == fill.lots


def test_a_decision_one_bar_later_fills_one_bar_later(make):
    part = make.history([1.0, 1.01, 1.02, 1.03, 1.04])
    chosen = {make.SYMBOL: make.choices([0, 1, 0, 0, 0])}
    ledgered = backtest.replay(backtest.delayed(chosen, 1), part, FULLY)
    assert ledgered.fill_slots == (3,)


def test_higher_costs_cost(make):
    part = make.history(make.wave(200))
    chosen = {make.SYMBOL: make.choices([1, 0, 0, 2, 0] * 40)}
    cheap = backtest.replay(chosen, part, FULLY)
    dear = backtest.replay(chosen, part, backtest.with_costs(FULLY, 2))
    assert dear.pnl < cheap.pnl
    assert len(dear.round_trips) == len(cheap.round_trips) == 40


def test_two_symbols_share_one_account_in_order_of_time_then_symbol(make):
    part = history.history(
        [make.series([1.0, 1.0, 1.0, 1.0], symbol=name) for name in ("B.SIM", "A.SIM")]
    )
    chosen = {name: make.choices([1, 0, 0, 0], symbol=name) for name in ("A.SIM", "B.SIM")}
    ledgered = backtest.replay(chosen, part, FULLY)
    assert ledgered.fills[0].symbol == "A.SIM"
    assert ledgered.held["A.SIM"][-1] > 90_000
    assert ledgered.held["B.SIM"][-1] < 100  # what the first one's slippage and fee left


def test_a_trip_that_closes_on_the_border_s_first_bar_is_out_of_sample(make):
    part = make.history(make.wave(100))
    actions = [0] * 100
    actions[50], actions[59] = 1, 2  # closes at the open of bar 60
    ledgered = backtest.replay({make.SYMBOL: make.choices(actions)}, part, FULLY)
    found = backtest.segments(ledgered, part)
    assert backtest.border(ledgered.close_ns) == 60
    assert (found.in_sample.trade_count, found.out_of_sample.trade_count) == (0, 1)


def test_segments_compound_to_the_whole(make):
    part = make.history(make.wave(500))
    chosen = {make.SYMBOL: make.choices([1, 0, 0, 2, 0] * 100)}
    found = backtest.segments(backtest.replay(chosen, part, FULLY), part)
    joined = (1 + found.in_sample.total_return.value) * (1 + found.out_of_sample.total_return.value)
    assert joined - 1 == pytest.approx(found.full.total_return.value, abs=1e-12)


def test_the_benchmark_buys_equal_shares_and_waits_in_cash(make):
    late = make.START_NS + 2 * make.HOUR_NS
    part = history.history(
        [
            make.series([1.0, 2.0, 2.0, 2.0], symbol="A.SIM"),
            make.series([4.0, 2.0], symbol="B.SIM", start_ns=late),
        ]
    )
    assert backtest.benchmark_of(part) == pytest.approx([1.0, 1.5, 1.5, 1.25])


def test_daily_returns_compound_to_the_total(make):
    part = make.history(make.wave(24 * 20))
    chosen = {make.SYMBOL: make.choices([1, 0, 0, 2] * 120)}
    ledgered = backtest.replay(chosen, part, FULLY)
    days, returns = backtest.daily_returns(ledgered, part.days())
    assert days.size == returns.size == np.unique(part.days()).size
    assert np.prod(1 + returns) * ledgered.capital == pytest.approx(ledgered.equity[-1])
