"""Exposure, tails and correlation of several executions, and a backtest's envelope."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strategy_engine.performance import var
from strategy_engine.risk import figures
from strategy_engine.risk.figures import Expected, Share


def share(name: str, daily: dict[int, float] | None = None, **holdings: float) -> Share:
    return Share(execution_id=name, line=name, equity=100.0, holdings=holdings, daily=daily or {})


def made(seed: int, days: range) -> dict[int, float]:
    values = np.random.default_rng(seed).normal(0.0, 0.01, len(days))
    return dict(zip(days, values.tolist(), strict=True))


def test_exposure_counts_long_and_short_without_their_signs():
    shares = [share("a", EUR=60.0, GOOGL=-30.0), share("b", EUR=-50.0)]

    assert figures.exposure(shares).value == 140.0


def test_concentration_is_the_largest_net_position_of_gross_exposure():
    shares = [share("a", EUR=60.0, GOOGL=-30.0), share("b", EUR=-50.0)]

    found = figures.concentration(shares)

    assert (found.value, found.told) == (pytest.approx(30 / 140), "GOOGL")
    assert figures.concentration([share("a")]).value == 0.0


def test_the_tail_of_one_execution_is_the_formulas_of_its_days():
    daily = made(1, range(100))

    found = figures.tails([share("a", daily)])

    returns = np.array(list(daily.values()))
    historical, parametric = var.historical_var(returns), var.parametric_var(returns)
    assert historical is not None
    assert parametric is not None
    assert found.value == pytest.approx(max(historical, parametric))
    assert found.n == 100
    assert f"historical {historical:.2%}" in found.told
    assert f"parametric {parametric:.2%}" in found.told


def test_opposite_executions_have_no_tail_together():
    daily = made(2, range(60))
    opposite = {day: -value for day, value in daily.items()}

    found = figures.tails([share("a", daily), share("b", opposite)])

    assert found.value == pytest.approx(0.0, abs=1e-12)


def test_the_tail_is_of_the_days_that_all_have():
    shares = [share("a", made(1, range(50))), share("b", made(2, range(30, 80)))]

    assert figures.tails(shares).n == 20
    assert figures.tails([share("a")]).value is None


@given(st.lists(st.integers(0, 25), min_size=2, max_size=6))
@settings(max_examples=30)
def test_the_highest_correlation_is_that_of_the_pairs_one_by_one(starts):
    shares = [
        share(f"exec_{number}", made(number % 3, range(start, start + 40)))
        for number, start in enumerate(starts)
    ]

    found = figures.correlation(shares, fewest=20)

    pairs = {}
    for i, first in enumerate(shares):
        for second in shares[i + 1 :]:
            days = sorted(set(first.daily) & set(second.daily))
            if len(days) >= 20:
                one, other = ([each.daily[day] for day in days] for each in (first, second))
                pairs[first.execution_id, second.execution_id] = var.correlation(
                    np.array(one), np.array(other)
                )
    if not pairs:
        assert found.value is None
        return
    assert found.value == pytest.approx(max(value for value in pairs.values() if value is not None))
    assert pairs[found.executions] == pytest.approx(found.value)


def test_versions_of_one_line_are_no_pair():
    daily = made(1, range(50))
    shares = [share("a", daily), share("b", daily), share("c", made(2, range(50)))]
    alike = [replace(each, line="RSI") for each in shares[:2]]

    assert figures.correlation(shares).executions == ("a", "b")
    assert figures.correlation(alike).value is None
    assert "c" in figures.correlation([*alike, shares[2]]).executions


def test_of_one_execution_only_its_own_pairs_count():
    daily = made(1, range(50))
    shares = [share("a", daily), share("b", daily), share("c", made(2, range(50)))]

    assert figures.correlation(shares, of="c").value < 0.9
    assert figures.correlation(shares, of="b").value == pytest.approx(1.0)


def test_flat_returns_and_too_few_days_correlate_with_nothing():
    flat = dict.fromkeys(range(50), 0.0)

    assert figures.correlation([share("a", flat), share("b", made(1, range(50)))]).value is None
    few = figures.correlation([share("a", made(1, range(9))), share("b", made(1, range(9)))])
    assert (few.value, few.n) == (None, 9)
    assert figures.correlation([share("a", made(1, range(50)))]).value is None
    assert figures.correlation([]).value is None


EVIDENCE = {"sharpe_ratio": {"value": 1.6, "n": 250}, "volatility": {"value": 0.16, "n": 250}}


def test_a_backtests_days_are_worked_out_from_its_evidence():
    found = figures.expected(EVIDENCE, 256)

    assert found == Expected(mean=pytest.approx(0.001), deviation=pytest.approx(0.01), n=250)


@pytest.mark.parametrize(
    "evidence",
    [
        {},
        {"sharpe_ratio": {"value": None, "n": 250}, "volatility": {"value": 0.1, "n": 250}},
        {"sharpe_ratio": {"value": 1.0, "n": 29}, "volatility": {"value": 0.1, "n": 29}},
        {"sharpe_ratio": {"value": 1.0, "n": 250}, "volatility": {"value": 0.0, "n": 250}},
    ],
)
def test_evidence_that_says_too_little_expects_nothing(evidence):
    assert figures.expected(evidence, 256) is None


def test_live_returns_as_the_backtests_hardly_ever_leave_its_envelope():
    backtest = Expected(mean=0.0005, deviation=0.01, n=500)
    rng = np.random.default_rng(6)
    left = sum(
        any((figures.envelope(days[:n], backtest).value or 0.0) > 1.0 for n in range(10, 260, 5))
        for days in rng.normal(backtest.mean, backtest.deviation, (200, 260)).tolist()
    )

    assert left <= 200 * figures.ALPHA


def test_live_returns_that_lose_day_after_day_leave_it():
    backtest = Expected(mean=0.0005, deviation=0.01, n=500)

    found = figures.envelope([-0.01] * 40, backtest)

    assert found.value is not None
    assert found.value > 1.0
    assert "below the +2.00% expected" in found.told
    assert figures.envelope([], backtest).value is None
