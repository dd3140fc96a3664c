from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategy_engine.market.model import Trades
from strategy_engine.pipeline import backtest, history, rules
from strategy_engine.pipeline.asked import Longer
from strategy_engine.pipeline.model import Check, Level, StrategyFailedError, Verdict
from strategy_engine.pipeline.signals import ADVICE

VERDICTS = st.lists(st.sampled_from(list(Verdict)), max_size=6)


def checked(verdicts):
    return [Check(name=f"c{n}", verdict=each, message=f"m{n}") for n, each in enumerate(verdicts)]


@given(verdicts=VERDICTS)
def test_a_stage_is_as_good_as_its_worst_check(verdicts):
    result = rules.conclude("backtest", checked(verdicts), duration_ms=1, evidence={}, summary="ok")
    if Verdict.FAILED in verdicts:
        assert result.verdict is Verdict.FAILED
    elif Verdict.INCONCLUSIVE in verdicts:
        assert result.verdict is Verdict.INCONCLUSIVE
    else:
        assert result.message == "ok"
    assert result.passed == (set(verdicts) <= {Verdict.PASSED})
    assert len(result.findings) == len(result.evidence["checks"]) == len(verdicts)


def test_the_message_of_a_failed_stage_gives_three_reasons_and_counts_the_rest():
    result = rules.conclude(
        "backtest", checked([Verdict.FAILED] * 5), duration_ms=1, evidence={}, summary="ok"
    )
    assert result.message == "m0; m1; m2; and 2 more"
    assert {each.level for each in result.findings} == {Level.ERROR}


@given(digest=st.text("0123456789abcdef", min_size=64, max_size=64), size=st.integers(40, 300))
def test_cuts_lie_inside_the_history_and_are_drawn_from_the_digest(make, digest, size):
    part = make.history(make.wave(size))
    cuts = rules.cuts_by_digest(part, digest)
    assert cuts == rules.cuts_by_digest(part, digest)
    assert set(cuts) <= set(part.timeline().tolist())
    assert max(cuts) < part.timeline()[-1]


def test_other_contents_are_cut_elsewhere(make):
    part = make.history(make.wave(5_000))
    drawn = {tuple(rules.cuts_by_digest(part, f"{each:064x}")) for each in range(20)}
    assert len(drawn) == 20


def test_histories_end_at_the_bars_where_it_changed_its_mind(make):
    part = make.history(make.wave(100))
    actions = [0] * 100
    actions[30:33], actions[60] = [1, 1, 1], 2
    chosen = make.signals(make.choices(actions))
    changes = {int(part.timeline()[at]) for at in (30, 60)}
    assert set(rules.cuts_at_decisions(chosen, part, "d" * 64)) <= changes
    assert rules.cuts_at_decisions(make.signals(make.choices([0] * 100)), part, "d") == []


def truncated(make, actions, cut):
    part = make.history(make.wave(len(actions)))
    chosen = make.signals(make.choices(actions))
    end = int(part.timeline()[len(cut) - 1])
    other = make.signals(make.choices(cut))
    return rules.truncations(chosen, [(end, part.until(end), other)])


@given(actions=st.lists(st.sampled_from([0, 1, 2]), min_size=2, max_size=50), data=st.data())
def test_a_strategy_of_the_past_alone_passes_any_cut(make, actions, data):
    cut = data.draw(st.integers(1, len(actions)))
    found = truncated(make, actions, actions[:cut])
    assert rules.judge_lookahead(found).verdict is Verdict.PASSED


def test_another_decision_without_the_later_bars_is_lookahead(make):
    found = rules.judge_lookahead(truncated(make, [0, 0, 1, 0], [0, 0, 0]))
    assert found.verdict is Verdict.FAILED
    assert "it said HOLD at 2017-01-02 01:00 UTC of EUR/USD.SIM" in found.message
    assert "with the later bars there BUY" in found.message


def test_failing_without_the_later_bars_is_lookahead(make):
    part = make.history(make.wave(10))
    error = StrategyFailedError("it raised IndexError at bar 4")
    chosen = make.signals(make.choices([0] * 10))
    found = rules.truncations(chosen, [(int(part.timeline()[4]), part, error)])
    assert "it raised IndexError at bar 4" in rules.judge_lookahead(found).message
    assert rules.judge_lookahead(found).verdict is Verdict.FAILED


def warm_up(make, own, longer, lookback=1):
    part = make.history(np.ones(len(own)))
    chosen = make.signals(make.choices(longer))
    asked = Longer(lookback=lookback, part=part, start=lookback - 1, chosen=chosen)
    return rules.warm_up_of(make.signals(make.choices(own)), asked)


@pytest.mark.parametrize(
    ("own", "longer", "verdict"),
    [
        ([1] * 100, [1] * 100, Verdict.PASSED),
        ([1] * 100, [1] * 99 + [0], Verdict.PASSED),  # exactly 1 %
        ([1] * 100, [1] * 98 + [0, 0], Verdict.FAILED),
        ([0] * 100, [0] * 100, Verdict.PASSED),
        ([0] * 100, [0] * 99 + [1], Verdict.FAILED),  # of one that acted, one differs
    ],
)
def test_at_most_one_decision_in_a_hundred_may_feel_the_window(make, own, longer, verdict):
    found = rules.judge_warm_up(warm_up(make, own, longer), ADVICE.warm_up)
    assert found.verdict is verdict
    assert ("lookback" in found.message) == (verdict is Verdict.FAILED)


def test_windows_are_compared_from_where_both_are_full(make):
    found = warm_up(make, [1, 1, 0, 1], [0, 0, 0, 1], lookback=3)
    assert (found.compared_bars, found.acting, found.mismatches) == (2, 1, 0)


def test_a_history_shorter_than_the_longer_window_is_said_and_passes(make):
    found = rules.judge_warm_up(warm_up(make, [1, 1], [0, 0], lookback=9), "")
    assert found.verdict is Verdict.PASSED
    assert "not compared" in found.message


@pytest.mark.parametrize(
    ("actions", "parameters", "word"),
    [
        ([0, 0, 0], {}, "loosen its entry condition"),
        ([2, 2, 2], {}, "SELL opens a short only with allow_short"),
        ([1, 0, 0], {"position_size": 1e-9}, "raise position_size"),
        ([0, 0, 1], {}, "no entry came to a whole lot"),
    ],
)
def test_a_backtest_without_a_trade_fails_and_says_what_to_do(make, actions, parameters, word):
    part, job = make.history([1.0, 1.0, 1.0]), make.job(parameters=parameters)
    chosen = make.signals(make.choices(actions))
    ledgered = backtest.replay(chosen, part, job.settings)
    found = rules.judge_trading(ledgered, chosen, part, job.settings)
    assert found.verdict is Verdict.FAILED
    assert "no trade in 3 bars" in found.message
    assert word in found.message


def test_one_entry_is_a_trade(make):
    part, job = make.history(np.ones(4)), make.job()
    chosen = make.signals(make.choices([1, 0, 0, 0]))
    ledgered = backtest.replay(chosen, part, job.settings)
    assert rules.judge_trading(ledgered, chosen, part, job.settings).verdict is Verdict.PASSED


def with_trades_on(part, first, last):
    (series,) = part.series
    ts_ns = series.bars.close_ns[first:last]
    some = np.ones(ts_ns.size)
    trades = Trades(ts_ns=ts_ns, price=some, size=some)
    return history.History(series=(replace(series, trades=trades),))


@pytest.mark.parametrize(("first", "last"), [(0, 200), (1, 200), (0, 198), (1, 199)])
def test_ticks_that_reach_as_far_as_the_bars_pass(make, first, last):
    part = with_trades_on(make.history(np.ones(200)), first, last)
    (found,) = rules.judge_ticks(part, make.START_NS)
    assert found.verdict is Verdict.PASSED


@pytest.mark.parametrize(("first", "last", "outside"), [(0, 100, 99), (100, 200, 100)])
def test_ticks_that_end_or_begin_amid_the_bars_fail_the_backtest(make, first, last, outside):
    part = with_trades_on(make.history(np.ones(200)), first, last)
    (found,) = rules.judge_ticks(part, make.START_NS)
    assert found.verdict is Verdict.FAILED
    assert f"{outside} of its 200 bars lie outside" in found.message
    assert "duration_days" in found.message


@pytest.mark.parametrize(
    ("since", "verdict", "outside"),
    [(50, Verdict.FAILED, "50 of its 150"), (99, Verdict.PASSED, "")],
)
def test_bars_before_the_days_that_are_tested_may_be_without_ticks(make, since, verdict, outside):
    part = with_trades_on(make.history(np.ones(200)), 100, 200)
    (found,) = rules.judge_ticks(part, int(part.timeline()[since]))
    assert (found.verdict, outside in found.message) == (verdict, True)


def test_bars_without_any_ticks_are_not_asked_for_them(make):
    assert rules.judge_ticks(make.history(np.ones(20)), make.START_NS) == []


def trades_on(make, parameters):
    """Return two entries on the first whole day and one on the next, and what they may be."""
    part = make.history(np.ones(60))
    chosen = make.signals(make.choices([0] * 4 + [1, 2, 1, 2] + [0] * 24 + [1, 2] + [0] * 26))
    ledgered = backtest.replay(chosen, part, make.job().settings)
    return ledgered, make.job(parameters=parameters).settings


def test_without_a_limit_nobody_counts_the_entries_of_a_day(make):
    assert rules.judge_entries(*trades_on(make, {})) == []


def test_as_many_entries_in_a_day_as_there_may_be_pass(make):
    (found,) = rules.judge_entries(*trades_on(make, {"max_trades_per_day": 2}))
    assert found.verdict is Verdict.PASSED
    assert found.message == "at most 2 positions opened in a day, limit 2"


def test_more_entries_in_a_day_than_the_live_gate_allows_fail_with_the_day(make):
    (found,) = rules.judge_entries(*trades_on(make, {"max_trades_per_day": 1}))
    assert found.verdict is Verdict.FAILED
    assert (
        "at most 2 positions opened in a day, limit 1, broken on 1 days, first on 2017-01-02"
        in (found.message)
    )
    assert "max_trades_per_day" in found.message
