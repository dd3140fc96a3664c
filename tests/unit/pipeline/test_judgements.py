from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategy_engine.matching.settings import settings
from strategy_engine.performance import formulas, measure, var
from strategy_engine.performance.model import RoundTrip
from strategy_engine.pipeline import judgements
from strategy_engine.pipeline.backtest import Segments
from strategy_engine.pipeline.criteria import criteria
from strategy_engine.pipeline.judgements import Gate, judge
from strategy_engine.pipeline.model import Verdict
from strategy_engine.pipeline.risk import Company, WorstDay

DEFAULTS = criteria({})
FLOATS = st.floats(-1e6, 1e6)


def metrics(days=100, trades=20, wins=15, drift=0.002, seed=1):
    """Return the metrics of a series that earns, beside a benchmark that does not."""
    random = np.random.default_rng(seed)
    returns = drift + 0.005 * random.standard_normal(days)
    equity = 100_000 * np.cumprod(1 + returns)
    return measure.measure(
        equity,
        day=np.arange(days),
        ts_ns=np.arange(days),
        capital=100_000.0,
        round_trips=[
            RoundTrip(entry_ns=n, exit_ns=n + 1, pnl=10.0 if n < wins else -5.0)
            for n in range(trades)
        ],
        benchmark_price=np.cumprod(1 + 0.005 * random.standard_normal(days)),
        periods=252,
    )


def segments(**changes):
    found = metrics(**changes)
    return Segments(full=found, in_sample=found, out_of_sample=found)


def by_name(checks):
    return {each.name: each for each in checks}


@given(value=FLOATS, limit=FLOATS)
def test_at_least_takes_the_limit_itself_and_above_does_not(value, limit):
    gate = Gate(name="n", words="w", value=value, limit=limit, criterion="c")
    assert (judge(gate).verdict is Verdict.PASSED) == (value >= limit)
    assert (judge(replace(gate, strict=True)).verdict is Verdict.PASSED) == (value > limit)
    assert (judge(replace(gate, at_least=False)).verdict is Verdict.PASSED) == (value <= limit)


def test_a_failed_gate_says_what_was_found_the_limit_and_what_to_do():
    gate = Gate(
        name="n", words="Sharpe ratio", value=0.4, limit=1.0, criterion="min_x", sample="9 days"
    )
    assert judge(gate).message == (
        "Sharpe ratio 0.40 (9 days), at least 1.00; improve the strategy, or set min_x with a"
        " reason"
    )


@pytest.mark.parametrize("change", [{"value": None}, {"too_small": "3 are fewer than 30"}])
def test_what_cannot_be_computed_is_inconclusive(change):
    gate = Gate(name="n", words="w", value=5.0, limit=1.0, criterion="c", sample="s")
    found = judge(replace(gate, **change))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "cannot be judged" in found.message


def test_a_good_version_passes_every_criterion_on_both_parts():
    found = judgements.judge_merit(segments(), DEFAULTS)
    assert {each.verdict for each in found} == {Verdict.PASSED}
    assert len(found) == 8


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"drift": -0.002}, "sharpe_ratio_full"),
        ({"drift": -0.002}, "alpha_out_of_sample"),
        ({"drift": -0.01}, "max_drawdown_full"),
        ({"wins": 5}, "win_rate_out_of_sample"),
    ],
)
def test_each_criterion_can_fail(change, name):
    found = by_name(judgements.judge_merit(segments(**change), DEFAULTS))
    assert found[name].verdict is Verdict.FAILED


def test_fewer_than_thirty_days_say_nothing_of_sharpe_and_alpha():
    found = by_name(judgements.judge_merit(segments(days=29), DEFAULTS))
    verdicts = {name: each.verdict for name, each in found.items()}
    assert verdicts["sharpe_ratio_full"] is Verdict.INCONCLUSIVE
    assert verdicts["alpha_full"] is Verdict.INCONCLUSIVE
    assert verdicts["win_rate_full"] is Verdict.PASSED
    assert "29 daily returns are fewer than 30" in found["sharpe_ratio_full"].message


def test_fewer_than_ten_trades_say_nothing_of_the_win_rate():
    found = by_name(judgements.judge_merit(segments(trades=9, wins=9), DEFAULTS))
    assert found["win_rate_full"].verdict is Verdict.INCONCLUSIVE
    assert found["sharpe_ratio_full"].verdict is Verdict.PASSED


def test_float_noise_is_no_alpha():
    flat = replace(metrics(), alpha=replace(metrics().alpha, value=1e-10))
    part = Segments(full=flat, in_sample=flat, out_of_sample=flat)
    assert by_name(judgements.judge_merit(part, DEFAULTS))["alpha_full"].verdict is Verdict.FAILED


def test_a_payoff_profile_is_judged_by_what_trades_earn():
    wanted = criteria({"payoff_profile": True})
    few_wins = segments(wins=9)  # 9 × 10 against 11 × 5
    found = by_name(judgements.judge_merit(few_wins, wanted))
    assert "win_rate_full" not in found
    assert found["profit_factor_full"].verdict is Verdict.PASSED
    assert found["expectancy_full"].verdict is Verdict.PASSED
    poor = by_name(judgements.judge_merit(segments(wins=6), wanted))
    assert poor["profit_factor_full"].verdict is Verdict.FAILED
    assert poor["expectancy_full"].verdict is Verdict.FAILED


def test_a_payoff_profile_that_never_lost_passes():
    found = by_name(judgements.judge_merit(segments(wins=20), criteria({"payoff_profile": True})))
    assert found["profit_factor_full"].verdict is Verdict.PASSED


def production(wanted, *, days=600, trades=120, trials=1, span=900, dearer=None, found=None):
    part = found or segments(days=days, trades=trades, wins=trades)
    random = np.random.default_rng(1)
    excess = formulas.moments(0.002 + 0.005 * random.standard_normal(days))
    return by_name(
        judgements.judge_production(
            part, dearer or part.full, excess, wanted, trials=trials, duration_days=span
        )
    )


def test_the_default_profile_adds_nothing():
    assert production(DEFAULTS) == {}


def test_the_production_profile_judges_six_more():
    found = production(criteria({}, "production"))
    assert sorted(found) == [
        "doubled_costs_sharpe",
        "dsr",
        "out_of_sample_ratio",
        "psr",
        "total_trades",
        "years",
    ]
    assert {each.verdict for each in found.values()} == {Verdict.PASSED}


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"trades": 99}, "total_trades"),
        ({"span": 700}, "years"),
        ({"dearer": metrics(drift=-0.01)}, "doubled_costs_sharpe"),
        ({"days": 40, "trials": 10_000}, "dsr"),
        (
            {
                "found": Segments(
                    full=metrics(), in_sample=metrics(), out_of_sample=metrics(drift=-0.001)
                )
            },
            "out_of_sample_ratio",
        ),
    ],
)
def test_each_of_them_can_fail(change, name):
    assert production(criteria({}, "production"), **change)[name].verdict is Verdict.FAILED


def test_a_loss_in_sample_has_no_ratio():
    poor = Segments(full=metrics(), in_sample=metrics(drift=-0.01), out_of_sample=metrics())
    found = production(criteria({}, "production"), found=poor)
    assert found["out_of_sample_ratio"].verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize(
    ("limits", "missing"),
    [
        ({}, "no max_position_size and no daily_loss_limit;"),
        ({"max_position_size": 1}, "declares no daily_loss_limit;"),
        ({"daily_loss_limit": -1}, "declares no max_position_size;"),
    ],
)
def test_undeclared_limits_are_named(limits, missing):
    found = judgements.judge_declared(settings({}, limits, {}))
    assert found.verdict is Verdict.FAILED
    assert missing in found.message


def test_declared_limits_are_judged_by_what_the_backtest_did():
    declared = settings({}, {"max_position_size": 1_000, "daily_loss_limit": -50}, {})
    assert judgements.judge_declared(declared).verdict is Verdict.PASSED

    def verdicts(largest, loss):
        day = WorstDay(day="2017-05-01", loss=loss)
        return [each.verdict for each in judgements.judge_limits(declared, largest, day)]

    assert verdicts(1_000.0, -50.0) == [Verdict.PASSED, Verdict.PASSED]
    assert verdicts(1_000.01, -50.0) == [Verdict.FAILED, Verdict.PASSED]
    assert verdicts(1_000.0, -50.01) == [Verdict.PASSED, Verdict.FAILED]


def test_value_at_risk_is_a_gate_only_where_a_limit_is_declared():
    tail = var.tail_risk(np.linspace(-0.02, 0.02, 100))
    drawdown = metrics().max_drawdown
    assert [each.name for each in judgements.judge_tail(tail, drawdown, DEFAULTS)] == [
        "max_drawdown"
    ]

    def verdict(limit, returns=tail):
        wanted = criteria({"max_var": limit})
        return by_name(judgements.judge_tail(returns, drawdown, wanted))["value_at_risk"].verdict

    assert verdict(0.019) is Verdict.PASSED
    assert verdict(0.017) is Verdict.FAILED
    assert verdict(0.5, var.tail_risk(np.zeros(10))) is Verdict.INCONCLUSIVE


def test_company_is_a_gate_only_where_a_limit_is_declared():
    beside = Company(
        correlations={"exec_1": 0.8, "exec_2": None},
        shared_days={"exec_1": 60, "exec_2": 3},
        marginal_var=0.01,
    )
    assert list(judgements.judge_company(beside, DEFAULTS)) == []
    wanted = criteria({"max_correlation": 0.7, "max_marginal_var": 0.02})
    verdicts = [each.verdict for each in judgements.judge_company(beside, wanted)]
    assert verdicts == [Verdict.FAILED, Verdict.INCONCLUSIVE, Verdict.PASSED]
