import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategy_engine.kernel import indicators

# The example of StockCharts' ChartSchool ("RSI"). It prints 70.53, from prices it had before it
# rounded them; by hand, from these: gains 3.34, losses 1.40, 100 - 100 / (1 + 3.34 / 1.40).
WILDER = [
    44.34, 44.09, 44.15, 43.61, 44.33, 44.83, 45.10, 45.42,
    45.84, 46.08, 45.89, 46.03, 45.61, 46.28, 46.28,
]  # fmt: skip
PRICES = st.lists(st.floats(1, 1_000), min_size=1, max_size=60)


def test_rsi_is_wilders_worked_example() -> None:
    assert indicators.calculate_rsi(WILDER, 14) == pytest.approx(100 - 100 / (1 + 3.34 / 1.40))


@given(PRICES, st.integers(2, 20))
def test_rsi_stays_within_its_bounds_or_says_nan_when_short(
    prices: list[float], period: int
) -> None:
    rsi = indicators.calculate_rsi(prices, period)
    assert math.isnan(rsi) if len(prices) <= period else -1e-9 <= rsi <= 100 + 1e-9


@given(PRICES, st.integers(1, 20))
def test_the_simple_average_is_the_mean_of_the_last_prices(
    prices: list[float], period: int
) -> None:
    sma = indicators.calculate_sma(prices, period)
    if len(prices) < period:
        assert math.isnan(sma)
    else:
        assert sma == pytest.approx(np.mean(prices[-period:]))


@given(PRICES, st.lists(st.floats(1, 1_000), max_size=30), st.integers(2, 10))
def test_the_simple_average_and_the_bands_do_not_depend_on_older_history(
    prices: list[float], older: list[float], period: int
) -> None:
    if len(prices) >= period:
        longer = older + prices
        assert indicators.calculate_sma(longer, period) == indicators.calculate_sma(prices, period)
        assert indicators.calculate_bollinger(longer, period) == indicators.calculate_bollinger(
            prices, period
        )


def test_the_exponential_average_starts_with_the_mean_and_moves_by_its_share() -> None:
    assert indicators.calculate_ema([1.0, 2.0, 3.0], 3) == 2.0
    assert indicators.calculate_ema([1.0, 2.0, 3.0, 6.0], 3) == 4.0  # 2 + (6 - 2) * 2 / (3 + 1)


def test_the_bands_lie_population_deviations_around_the_mean() -> None:
    upper, middle, lower = indicators.calculate_bollinger([1.0, 2.0, 3.0, 4.0], 4, 2.0)
    assert middle == 2.5
    assert upper - middle == pytest.approx(2 * np.std([1, 2, 3, 4]))
    assert middle - lower == pytest.approx(upper - middle)


def test_macd_of_a_straight_line_is_its_slope_times_the_lag_between_the_averages() -> None:
    line, signal, histogram = indicators.calculate_macd(np.arange(300.0), 12, 26, 9)
    assert line == pytest.approx(7.0)  # lags are (n - 1) / 2: 12.5 - 5.5
    assert signal == pytest.approx(7.0)
    assert histogram == pytest.approx(0.0)


def test_the_average_true_range_counts_gaps() -> None:
    high, low, close = [10.0, 21.0, 21.0], [9.0, 20.0, 20.0], [9.5, 20.5, 20.5]
    # True ranges: 21 - 9.5 = 11.5 over the gap, then 1.
    assert indicators.calculate_atr(high, low, close, 2) == pytest.approx((11.5 + 1.0) / 2)


@pytest.mark.parametrize("size", [0, 1, 2])
def test_a_short_history_gives_nan_everywhere(size: int) -> None:
    prices = np.arange(1.0, size + 1)
    answers = [
        indicators.calculate_rsi(prices),
        indicators.calculate_sma(prices),
        indicators.calculate_ema(prices),
        indicators.calculate_atr(prices, prices, prices),
        *indicators.calculate_macd(prices),
        *indicators.calculate_bollinger(prices),
    ]
    assert all(isinstance(each, float) and math.isnan(each) for each in answers)


def test_a_list_and_an_array_and_whole_numbers_give_the_same() -> None:
    prices = [*range(1, 20), 5, 9]
    for values in (np.array(prices), np.array(prices, dtype=np.float32), tuple(prices)):
        assert indicators.calculate_rsi(values) == indicators.calculate_rsi(prices)
