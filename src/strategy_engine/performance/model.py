"""Measurements: a number beside its sample, and the metrics of one history."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields

from strategy_engine.core import errors

type Interval = tuple[float, float]

FLAT = 1e-12  # a standard deviation below this share of the series' scale is float noise


def _finite(value: float | None) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A number, the size of the sample behind it, and its 95 % interval where it has one.

    `value` is None where the number is undefined: too few observations, no variance, no trades.
    """

    value: float | None
    n: int
    low: float | None = None
    high: float | None = None

    @classmethod
    def of(cls, value: float | None, *, n: int, interval: Interval | None = None) -> "Estimate":
        """Return the estimate with everything that is not finite made undefined."""
        clean = _finite(value)
        low, high = (None, None) if interval is None or clean is None else interval
        return cls(value=clean, n=n, low=_finite(low), high=_finite(high))


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundTrip:
    """A position from its opening to its closing; `pnl` is after costs, in account currency."""

    entry_ns: int
    exit_ns: int
    pnl: float

    def __post_init__(self) -> None:
        if self.exit_ns < self.entry_ns:
            raise errors.InvalidError(
                f"a round trip closes at {self.exit_ns} ns, before its entry at {self.entry_ns} ns",
                field="exit_ns",
                value=self.exit_ns,
            )
        if not math.isfinite(self.pnl):
            raise errors.InvalidError(
                f"a round trip's pnl is {self.pnl}; it must be a finite number", field="pnl"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Moments:
    """Mean and central power sums of a series: all that its Sharpe ratio and interval need."""

    n: int = 0
    mean: float = 0.0
    m2: float = 0.0  # sum of squared deviations from the mean
    m3: float = 0.0
    m4: float = 0.0

    @property
    def deviation(self) -> float | None:
        """Return the sample standard deviation (ddof 1); None below two values."""
        return math.sqrt(self.m2 / (self.n - 1)) if self.n > 1 else None

    @property
    def is_flat(self) -> bool:
        """Whether the series has no variance beyond float noise, or too few values to tell.

        The scale is at least 1, because a return is what is left of a ratio near 1.
        """
        deviation = self.deviation
        return deviation is None or deviation < FLAT * max(1.0, abs(self.mean))

    @property
    def skewness(self) -> float:
        """Return the population skewness; 0 for a flat series."""
        variance = self.m2 / self.n if not self.is_flat else 0.0
        return self.m3 / self.n / (variance * math.sqrt(variance)) if variance else 0.0

    @property
    def kurtosis(self) -> float:
        """Return the population kurtosis (a normal series has 3); 3 for a flat series."""
        variance = self.m2 / self.n if not self.is_flat else 0.0
        return self.m4 / self.n / (variance * variance) if variance else 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Trades:
    """Sums over the closed round trips of a history."""

    wins: int
    gross_profit: float  # account currency
    gross_loss: float  # account currency, >= 0
    held_ns: int  # sum over round trips
    covered_ns: int  # the time in which at least one was open
    pnl: Moments


@dataclass(frozen=True, slots=True, kw_only=True)
class Regression:
    """The line through (benchmark, strategy) excess returns, per period, with HAC errors."""

    n: int
    alpha: float
    beta: float
    alpha_error: float | None  # None: the fit leaves no residual to judge by
    beta_error: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Sufficient statistics of one history, however they were gathered."""

    bars: int
    days: int
    first_ns: int
    last_ns: int
    growth: float | None  # final equity / capital - 1
    max_drawdown: float | None
    excess: Moments  # returns over the risk-free rate
    downside: float  # sum of squared negative excess returns
    trades: Trades
    active: Moments | None = None  # returns over the benchmark's
    daily: Sequence[float] = ()  # simple returns of UTC or trading days, lowest first
    line: Regression | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """The performance of one history.

    Fractions, never percent; `max_drawdown` is signed; ratios, `alpha` and `volatility` are a
    year's; `expectancy` is in account currency, `avg_trade_duration` in minutes; `var_95` and
    `cvar_95` are what a bad day costs, a loss being positive.
    """

    total_return: Estimate
    sharpe_ratio: Estimate
    sortino_ratio: Estimate
    max_drawdown: Estimate
    win_rate: Estimate
    profit_factor: Estimate
    expectancy: Estimate
    avg_trade_duration: Estimate
    exposure: Estimate
    volatility: Estimate
    alpha: Estimate
    alpha_t: Estimate
    beta: Estimate
    information_ratio: Estimate
    calmar_ratio: Estimate
    cagr: Estimate
    var_95: Estimate
    cvar_95: Estimate
    trade_count: int
    day_count: int
    return_count: int
    duration_days: int

    def to_dict(self) -> dict[str, float]:
        """Return every field as a number: 0.0 until it is defined."""
        return {field.name: _number(getattr(self, field.name)) for field in fields(self)}

    def estimates(self) -> dict[str, tuple[int, float | None, float | None]]:
        """Return the sample size and the interval of every estimate, by name."""
        found = ((field.name, getattr(self, field.name)) for field in fields(self))
        return {
            name: (each.n, each.low, each.high)
            for name, each in found
            if isinstance(each, Estimate)
        }

    def to_detailed_dict(self) -> dict[str, dict[str, float | None] | int]:
        """Return every estimate as its value, n, low and high; None where undefined."""
        return asdict(self)


def _number(value: Estimate | int) -> float:
    if isinstance(value, Estimate):
        return 0.0 if value.value is None else value.value
    return value
