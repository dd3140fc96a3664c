"""Strategies to try the engine with: sources as a user submits them, and where each one ends."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One example strategy.

    Parameters
    ----------
    fails_at : str or None
        The stage that rejects it on the sample data with the default gates; None: it passes all.
    reason : str
        Why, in words.
    """

    name: str
    file: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    risk_limits: Mapping[str, Any] = field(default_factory=dict)
    fails_at: str | None
    reason: str

    def source(self) -> str:
        """Return its code."""
        return resources.files(__name__).joinpath("sources", self.file).read_text(encoding="utf-8")


_LIMITS = {"max_position_size": 15_000, "daily_loss_limit": -2_000}

EXAMPLES = (
    Example(
        name="RSI mean reversion",
        file="rsi_mean_reversion.py",
        parameters={
            "rsi_period": 14,
            "oversold_threshold": 25,
            "overbought_threshold": 75,
            "position_size": 0.03,
        },
        risk_limits=_LIMITS,
        fails_at=None,
        reason="buys weakness and sells strength in a market that returns to its mean",
    ),
    Example(
        name="Moving average cross",
        file="ma_cross.py",
        parameters={"fast": 10, "slow": 20, "position_size": 0.1},
        risk_limits=_LIMITS,
        fails_at="performance_validation",
        reason="follows trends in a market that returns to its mean: its Sharpe ratio is below 1",
    ),
    Example(
        name="Reads the future",
        file="reads_the_future.py",
        risk_limits=_LIMITS,
        fails_at="backtest",
        reason="trades only on a later bar in its own memory; there is none, so it never trades",
    ),
    Example(
        name="Non-deterministic",
        file="non_deterministic.py",
        risk_limits=_LIMITS,
        fails_at="unit_tests",
        reason="two runs over the same bars decide differently",
    ),
    Example(
        name="Never trades",
        file="never_trades.py",
        risk_limits=_LIMITS,
        fails_at="backtest",
        reason="no bar of the history meets its condition: there is no trade to judge",
    ),
    Example(
        name="Syntax error",
        file="syntax_error.py",
        risk_limits=_LIMITS,
        fails_at="syntax_check",
        reason="a colon is missing in line 2",
    ),
    Example(
        name="Endless loop",
        file="endless_loop.py",
        risk_limits=_LIMITS,
        fails_at="unit_tests",
        reason="its first decision never comes; the child is ended after its time",
    ),
    Example(
        name="Memory hog",
        file="memory_hog.py",
        risk_limits=_LIMITS,
        fails_at="unit_tests",
        reason="asks for more memory at every bar until the child's limit refuses it",
    ),
    Example(
        name="Raises after 100 bars",
        file="raises_after_100_bars.py",
        risk_limits=_LIMITS,
        fails_at="unit_tests",
        reason="raises IndexError at its 101st decision",
    ),
    Example(
        name="Target position",
        file="target_position.py",
        parameters={"period": 20, "deviations": 2.0, "steps": 4, "most": 0.1},
        risk_limits=_LIMITS,
        fails_at="performance_validation",
        reason="wins often and little: 331 round trips pay more in costs than they earn",
    ),
    Example(
        name="Stop and target",
        file="stop_and_target.py",
        parameters={"channel": 55, "trend": 200, "stop_ranges": 2.0, "target_ranges": 4.0},
        risk_limits=_LIMITS,
        fails_at="performance_validation",
        reason="buys breakouts in a market that returns to its mean",
    ),
    Example(
        name="Stateful",
        file="stateful.py",
        parameters={"falls": 3, "hold_bars": 8},
        risk_limits=_LIMITS,
        fails_at="performance_validation",
        reason="its many small trades pay more in costs than they earn",
    ),
)
