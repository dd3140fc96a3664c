"""What a strategy may import at home and in the engine alike."""

from strategy_engine.kernel.indicators import (
    calculate_atr,
    calculate_bollinger,
    calculate_ema,
    calculate_macd,
    calculate_rsi,
    calculate_sma,
)
from strategy_engine.kernel.signal import Signal

__all__ = [
    "Signal",
    "calculate_atr",
    "calculate_bollinger",
    "calculate_ema",
    "calculate_macd",
    "calculate_rsi",
    "calculate_sma",
]
