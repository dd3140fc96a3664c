"""The indicators that a strategy has without an import: TA-Lib's, at the last bar.

Each takes numbers oldest first, as a list or an array, and returns NaN where the history is too
short. Source of the formulas: TA-Lib (https://ta-lib.org).
"""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from talib import _ta_lib as ta  # without the wrapper that looks for data frames at every call

_SMA_OF_BANDS = ta.MA_Type.SMA


def calculate_rsi(prices: ArrayLike, period: int = 14) -> float:
    """Return Wilder's relative strength index.

    Parameters
    ----------
    prices : array of float64, shape (n,)
    period : int
        Bars, at least 2.

    Returns
    -------
    float
        From 0 to 100; 0 when no price has moved (TA-Lib's convention).

    References
    ----------
    Wilder (1978), "New Concepts in Technical Trading Systems".
    """
    return _last(ta.RSI(_floats(prices), period))


def calculate_sma(prices: ArrayLike, period: int = 20) -> float:
    """Return the simple moving average of the last `period` prices.

    Parameters
    ----------
    prices : array of float64, shape (n,)
    period : int
        Bars, at least 1.
    """
    # Only these bars: a running sum from further back differs in its last digits with the history.
    return _last(ta.SMA(_floats(prices)[-period:], period))


def calculate_ema(prices: ArrayLike, period: int = 20) -> float:
    """Return the exponential moving average, smoothed by 2 / (period + 1).

    Parameters
    ----------
    prices : array of float64, shape (n,)
    period : int
        Bars, at least 1.
    """
    return _last(ta.EMA(_floats(prices), period))


def calculate_macd(
    prices: ArrayLike, fast: int = 12, slow: int = 26, signal: int = 9
) -> tuple[float, float, float]:
    """Return the MACD line, its signal line, and their difference (the histogram).

    Parameters
    ----------
    prices : array of float64, shape (n,)
    fast, slow, signal : int
        Bars of the two averages and of the signal line.

    References
    ----------
    Appel (2005), "Technical Analysis: Power Tools for Active Investors".
    """
    line, smoothed, histogram = ta.MACD(_floats(prices), fast, slow, signal)
    return _last(line), _last(smoothed), _last(histogram)


def calculate_bollinger(
    prices: ArrayLike, period: int = 20, deviations: float = 2.0
) -> tuple[float, float, float]:
    """Return the upper, middle and lower Bollinger band.

    Parameters
    ----------
    prices : array of float64, shape (n,)
    period : int
        Bars, at least 2.
    deviations : float
        Distance of the bands from the average, population standard deviations.

    References
    ----------
    Bollinger (2001), "Bollinger on Bollinger Bands".
    """
    last = _floats(prices)[-period:]
    upper, middle, lower = ta.BBANDS(last, period, deviations, deviations, _SMA_OF_BANDS)
    return _last(upper), _last(middle), _last(lower)


def calculate_atr(high: ArrayLike, low: ArrayLike, close: ArrayLike, period: int = 14) -> float:
    """Return Wilder's average true range, in the unit of the prices.

    Parameters
    ----------
    high, low, close : array of float64, shape (n,)
    period : int
        Bars, at least 1.

    References
    ----------
    Wilder (1978), "New Concepts in Technical Trading Systems".
    """
    return _last(ta.ATR(_floats(high), _floats(low), _floats(close), period))


def _floats(values: ArrayLike) -> NDArray[np.float64]:
    return np.asarray(values, dtype=np.float64)


def _last(values: NDArray[np.float64]) -> float:
    return values.item(-1) if values.size else math.nan


NAMES = (
    "calculate_atr",
    "calculate_bollinger",
    "calculate_ema",
    "calculate_macd",
    "calculate_rsi",
    "calculate_sma",
)
