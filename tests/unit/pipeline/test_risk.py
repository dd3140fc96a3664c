import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strategy_engine.matching.settings import settings as traded_by
from strategy_engine.pipeline import backtest, history, risk

FULLY = traded_by({"position_size": 1.0, "stop_loss": 0, "take_profit": 0}, {}, {})
ACTIONS = st.lists(st.sampled_from([0, 0, 1, 2]), min_size=5, max_size=120)


def ledger_of(make, closes, actions, how=FULLY):
    part = make.history(closes)
    chosen = make.signals(make.choices(actions))
    return part, chosen, backtest.replay(chosen, part, how)


def terms_of(part):
    return {each.symbol: each.terms for each in part.series}


def test_the_largest_position_is_what_was_paid_at_entry(make):
    part, _, ledgered = ledger_of(make, [1.0, 1.0, 1.5, 2.0, 2.0], [1, 0, 0, 2, 0])
    (entry, _) = ledgered.fills
    paid = entry.lots * entry.price_ticks / 100_000
    assert risk.largest_position(ledgered, terms_of(part)) == pytest.approx(paid)


@given(actions=ACTIONS, limit=st.integers(100, 50_000))
@settings(deadline=None)
def test_a_declared_position_limit_is_never_broken(make, actions, limit):
    how = traded_by({"position_size": 1.0}, {"max_position_size": limit}, {})
    part, _, ledgered = ledger_of(make, make.wave(len(actions)), actions, how)
    assert risk.largest_position(ledgered, terms_of(part)) <= limit


def test_the_worst_day_is_counted_from_where_the_utc_day_began(make):
    closes = [1.0] * 24 + [1.0, 0.9, 0.95] + [0.95] * 20
    _, _, ledgered = ledger_of(make, closes, [1] + [0] * 46)
    found = risk.worst_day(ledgered)
    assert found.day == "2017-01-02"
    assert found.loss == pytest.approx(-0.1 * 100_000, rel=0.01)  # at its lowest, not at its end


def test_a_history_that_never_fell_has_no_worst_day(make):
    _, _, ledgered = ledger_of(make, [1.0] * 30, [0] * 30)
    assert risk.worst_day(ledgered).loss == 0.0


def test_a_gap_costs_a_tenth_of_what_is_held(make):
    part, chosen, ledgered = ledger_of(make, [1.0] * 10, [1] + [0] * 9)
    gap = {each.name: each for each in risk.stresses(ledgered, chosen, part, FULLY)}["gap"]
    assert gap.share_of_equity == pytest.approx(-0.1, abs=0.001)
    assert gap.loss == pytest.approx(-10_000, rel=0.01)
    assert gap.at.startswith("2017-01-02")


def test_a_lost_feed_costs_what_the_price_falls_in_a_day(make):
    closes = [1.0] * 10 + [0.8] * 40
    part, chosen, ledgered = ledger_of(make, closes, [1] + [0] * 49)
    found = {each.name: each for each in risk.stresses(ledgered, chosen, part, FULLY)}
    assert found["feed_loss"].loss == pytest.approx(-20_000, rel=0.01)


def test_nothing_held_is_nothing_lost(make):
    part, chosen, ledgered = ledger_of(make, make.wave(50), [0] * 50)
    assert {each.loss for each in risk.stresses(ledgered, chosen, part, FULLY)} == {0.0}


def test_three_times_the_volatility_is_three_times_the_moves_around_the_same_drift(make):
    each = make.series(make.wave(500))
    wild = risk._wilder(each)
    calm, moved = (np.diff(np.log(one.bars.close)) for one in (each, wild))
    assert moved.std() == pytest.approx(3 * calm.std(), rel=0.01)
    assert wild.bars.close[-1] == pytest.approx(each.bars.close[-1], rel=1e-4)
    assert np.all(wild.bars.high >= np.maximum(wild.bars.open, wild.bars.close))
    assert np.all(wild.bars.low <= np.minimum(wild.bars.open, wild.bars.close))


@given(actions=ACTIONS)
@settings(deadline=None)
def test_stress_never_earns(make, actions):
    part, chosen, ledgered = ledger_of(make, make.wave(len(actions)), actions)
    assert all(each.loss <= 0 for each in risk.stresses(ledgered, chosen, part, FULLY))


def running(days, returns, name="exec_1", capital=100_000.0):
    return risk.RunningReturns(
        execution_id=name, days=np.asarray(days), returns=np.asarray(returns), capital=capital
    )


def test_a_copy_of_itself_is_wholly_alike_and_adds_its_own_bad_day_once_more():
    days, returns = np.arange(100), np.sin(np.arange(100)) / 100
    found = risk.company(days, returns, 100_000, [running(days, returns)], 30)
    assert found.correlations["exec_1"] == pytest.approx(1.0)
    own = risk.company(days, returns, 100_000, [running(days, np.zeros(100))], 30)
    assert found.marginal_var == pytest.approx(own.marginal_var)


def test_its_mirror_image_takes_from_the_bad_day():
    days, returns = np.arange(100), np.sin(np.arange(100)) / 100
    found = risk.company(days, returns, 50_000, [running(days, -returns)], 30)
    assert found.correlations["exec_1"] == pytest.approx(-1.0)
    assert found.marginal_var < 0


def test_only_shared_days_count_and_too_few_say_nothing():
    days, returns = np.arange(100), np.sin(np.arange(100)) / 100
    late = running(np.arange(80, 200), np.cos(np.arange(120)) / 100)
    found = risk.company(days, returns, 100_000, [late], 30)
    assert found.shared_days == {"exec_1": 20}
    assert found.correlations == {"exec_1": None}
    assert found.marginal_var is None


def test_beside_nothing_there_is_nothing_to_say():
    found = risk.company(np.arange(50), np.zeros(50), 100_000, [], 30)
    assert (dict(found.correlations), found.marginal_var) == ({}, None)


def test_two_symbols_gap_together(make):
    part = history.history([make.series([1.0] * 6, symbol=f"{x}.SIM") for x in "AB"])
    half = traded_by({"position_size": 0.5, "stop_loss": 0, "take_profit": 0}, {}, {})
    chosen = make.signals(*(make.choices([1] + [0] * 5, symbol=f"{x}.SIM") for x in "AB"))
    ledgered = backtest.replay(chosen, part, half)
    assert risk.stresses(ledgered, chosen, part, half)[0].loss == pytest.approx(-10_000, rel=0.01)
