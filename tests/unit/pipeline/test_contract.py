import numpy as np
import pytest

from strategy_engine.core.errors import EngineError
from strategy_engine.matching.model import PPB
from strategy_engine.pipeline import contract, history
from strategy_engine.pipeline.model import StrategyFailedError, Verdict
from strategy_engine.pipeline.signals import ADVICE


@pytest.fixture
def real(make):
    return make.history(make.wave(600))


def by_name(real):
    return {each.name: each for each in contract.odd_samples(real)}


def test_the_shortest_history_is_asked_first(real):
    sizes = [each.part.bar_count() for each in contract.odd_samples(real)]
    assert sizes[0] == 1
    assert sizes[1] == 20


def test_flat_prices_never_move(real):
    bars = by_name(real)["flat_prices"].part.series[0].bars
    assert np.unique([bars.open, bars.high, bars.low, bars.close]).size == 1


def test_volume_is_missing_and_prices_are_there(real):
    bars = by_name(real)["nan_volume"].part.series[0].bars
    assert np.isnan(bars.volume).all()
    assert np.isfinite(bars.close).all()


@pytest.mark.parametrize(("name", "factor"), [("price_jump_up", 2.0), ("price_jump_down", 0.5)])
def test_a_price_jumps_between_two_bars(real, name, factor):
    bars = by_name(real)[name].part.series[0].bars
    half = len(bars) // 2
    assert bars.open[half] / bars.close[half - 1] == pytest.approx(factor, rel=0.02)


def test_gaps_leave_bars_out_and_time_in_order(real):
    bars = by_name(real)["gaps"].part.series[0].bars
    assert len(bars) < contract.ODD_BARS
    assert np.all(np.diff(bars.ts_ns) > 0)
    assert np.diff(bars.ts_ns).max() > 20 * bars.timeframe_ns


def test_every_odd_bar_could_be_traded(real):
    for sample in contract.odd_samples(real):
        open_, high, low, close = sample.part.series[0].ticks()
        assert np.all(low >= 1)
        assert np.all((low <= open_) & (open_ <= high) & (low <= close) & (close <= high))


def test_a_twin_mirrors_the_one_symbol(real):
    pair = contract.with_twin(real)
    assert [each.symbol for each in pair.series] == ["EUR/USD.SIM", contract.TWIN]
    own, twin = (each.bars for each in pair.series)
    assert np.corrcoef(np.diff(own.close), np.diff(twin.close))[0, 1] < -0.9
    assert np.all(twin.high >= twin.low)


def test_two_symbols_of_one_s_own_need_no_twin(make):
    both = history.history([make.series(make.wave(50), symbol=f"{x}.SIM") for x in "ABC"])
    assert [each.symbol for each in contract.with_twin(both).series] == ["A.SIM", "B.SIM"]
    assert [each.symbol for each in contract.alone(both, "C.SIM").series] == ["C.SIM"]


def test_two_instruments_hardly_feel_each_other(make):
    calm = contract.undisturbed(make.job(parameters={"max_trades_per_day": 1}).settings).rules
    assert calm.position_size_ppb == PPB // 10
    assert calm.max_trades_per_day is None


def test_a_restart_is_tried_in_a_position_and_outside():
    held = {"A": np.array([0, 0, 0, 5, 5, 5, 0, 0, 0])}
    points = contract.restart_points(held)
    assert held["A"][points["while it holds a position"]] == 5
    assert held["A"][points["while it holds nothing"]] == 0
    assert list(contract.restart_points({"A": np.zeros(9, dtype=int)})) == [
        "while it holds nothing"
    ]


def test_a_sample_that_raised_is_told_with_its_line(real):
    sample = by_name(real)["flat_prices"]
    found = contract.judge_sample(
        sample, StrategyFailedError("it raised X", where="line 3: x"), ADVICE
    )
    assert found.verdict is Verdict.FAILED
    assert found.message.startswith("a price that never moves: it raised X; it must answer 'HOLD'")
    assert found.where == "line 3: x"


def test_a_sample_that_killed_its_child_is_told_without_that_advice(real, make):
    found = contract.judge_sample(by_name(real)["gaps"], make.died("it was silent"), ADVICE)
    assert found.message == "missing bars and a price gap: it was silent"


def test_what_was_never_asked_is_inconclusive(real, make):
    sample = by_name(real)["gaps"]
    verdicts = [
        contract.judge_sample(sample, None, ADVICE),
        contract.judge_signals({}),
        contract.judge_repetition(None, None, real),
        contract.judge_restarts(None, None, real),
        contract.judge_sharing({}, None, real, ({}, {})),
        contract.judge_second(None, None, real),
    ]
    assert {each.verdict for each in verdicts} == {Verdict.INCONCLUSIVE}


def test_an_illegal_signal_is_told_from_another_failure():
    illegal = StrategyFailedError("it returned 'MAYBE'", error="ContractError")
    other = StrategyFailedError("it raised KeyError", error="KeyError")
    assert contract.judge_signals({"a": other, "b": illegal}).verdict is Verdict.FAILED
    assert contract.judge_signals({"a": other}).verdict is Verdict.INCONCLUSIVE


def test_decisions_that_change_between_processes_fail_with_both(make, real):
    one, other = (make.signals(make.choices([0, each, 0])) for each in (1, 2))
    assert contract.judge_repetition(one, one, real).verdict is Verdict.PASSED
    found = contract.judge_repetition(one, other, real)
    assert found.verdict is Verdict.FAILED
    assert "BUY in one process and SELL in another" in found.message
    assert "2017-01-02 00:00 UTC" in found.message


def test_failing_in_one_process_of_two_is_not_deterministic(make, real):
    one = make.signals(make.choices([0, 1, 0]))
    found = contract.judge_repetition(one, StrategyFailedError("it raised X"), real)
    assert found.verdict is Verdict.FAILED
    assert "failed in another: it raised X" in found.message


def restarts(answers, note=""):
    return contract.Restarted(answers=answers, note=note)


def test_what_is_to_be_known_of_a_restart_is_told(make, real):
    one = make.signals(make.choices([0, 1, 0]))
    found = contract.judge_restarts(one, restarts({"now": one}, "2 of them differed"), real)
    assert found.message == "restarted now: the same decisions; 2 of them differed"


def test_decisions_that_change_by_a_restart_fail(make, real):
    one, other = (make.signals(make.choices([0, each, 0])) for each in (1, 0))
    assert contract.judge_restarts(one, restarts({"now": one}), real).verdict is Verdict.PASSED
    found = contract.judge_restarts(one, restarts({"now": one, "then": other}), real)
    assert found.verdict is Verdict.FAILED
    assert "restarted then, it said HOLD" in found.message
    assert "without a restart BUY" in found.message


def test_failing_after_a_restart_fails(make, real):
    one = make.signals(make.choices([0, 1, 0]))
    error = StrategyFailedError("it raised X")
    found = contract.judge_restarts(one, restarts({"now": error}), real)
    assert (found.verdict, "after a restart now" in found.message) == (Verdict.FAILED, True)


def sharing(make, lots):
    apart = {"A.SIM": make.signals(make.choices([0, 1, 0], symbol="A.SIM"))}
    together = make.signals(make.choices([0, 2, 0], symbol="A.SIM"))
    pair = make.history([1.0, 1.0, 1.0], symbol="A.SIM")
    held = {"A.SIM": np.array([0, 0, 5])}, {"A.SIM": np.array(lots)}
    return contract.judge_sharing(apart, together, pair, held)


def test_another_decision_beside_another_instrument_is_shared_state(make):
    found = sharing(make, [0, 0, 7])
    assert found.verdict is Verdict.FAILED
    assert "alone it says BUY at bar 1 of A.SIM, beside another instrument SELL" in found.message


def test_another_decision_after_another_position_is_the_common_account_s_doing(make):
    assert sharing(make, [0, 5, 5]).verdict is Verdict.PASSED


def test_a_second_instance_that_chooses_otherwise_is_shared_state(make, real):
    one, other = (make.signals(make.choices([0, each, 0])) for each in (1, 2))
    assert contract.judge_second(one, one, real).verdict is Verdict.PASSED
    found = contract.judge_second(one, other, real)
    assert found.verdict is Verdict.FAILED
    assert "a second instance in one process said SELL at 2017-01-02 00:00 UTC" in found.message
    raised = contract.judge_second(one, StrategyFailedError("it raised X"), real)
    assert "a second instance in one process failed: it raised X" in raised.message


def test_a_strategy_that_takes_no_second_instrument_is_not_blamed(make):
    error: EngineError = StrategyFailedError("it raised KeyError: 'TWIN.SIM'")
    found = contract.judge_sharing({}, error, make.history([1.0]), ({}, {}))
    assert found.verdict is Verdict.PASSED
    assert "could not be asked of a second instrument" in found.message
