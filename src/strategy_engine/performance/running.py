"""Metrics of a live history, kept up to date in constant time by the bar and the round trip."""

import bisect
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from strategy_engine.core import errors
from strategy_engine.performance import formulas, measure, model, regression

# What a dumped history is made of, without its parameters and its round trips.
_DUMPED = (
    "_equity",
    "_peak",
    "_worth",
    "_scale",
    "_price",
    "_drawdown",
    "_downside",
    "_bars",
    "_days",
    "_first_ns",
    "_last_ns",
    "_is_ruined",
    "_day_worth",
    "_daily",
)
_DUMPED_PARTS = ("_excess", "_active", "_line")


class Accumulator:
    """The mean and central power sums of values that come one by one.

    References
    ----------
    Welford (1962), Technometrics 4(3); Terriberry (2007), "Computing higher-order moments
    online".
    """

    __slots__ = ("_m2", "_m3", "_m4", "_mean", "_n")

    def __init__(self) -> None:
        self._n = 0
        self._mean = self._m2 = self._m3 = self._m4 = 0.0

    @property
    def n(self) -> int:
        """Return how many values were taken in."""
        return self._n

    def add(self, value: float) -> None:
        """Take one more value in."""
        before, self._n = self._n, self._n + 1
        n = self._n
        delta = value - self._mean
        step = delta / n
        square = step * step
        term = delta * step * before
        self._mean += step
        self._m4 += (
            term * square * (n * n - 3 * n + 3) + 6.0 * square * self._m2 - 4.0 * step * self._m3
        )
        self._m3 += term * step * (n - 2) - 3.0 * step * self._m2
        self._m2 += term

    def moments(self) -> model.Moments:
        """Return what the values so far amount to."""
        return model.Moments(n=self._n, mean=self._mean, m2=self._m2, m3=self._m3, m4=self._m4)

    def dump(self) -> Sequence[float]:
        """Return what `load` goes on from."""
        return self._n, self._mean, self._m2, self._m3, self._m4

    def load(self, dumped: Sequence[float]) -> None:
        """Go on where another one was dumped."""
        n, self._mean, self._m2, self._m3, self._m4 = dumped
        self._n = int(n)


class Line:
    """The regression of returns on a benchmark's, for pairs that come one by one.

    A period's pull on alpha's error is a fixed mix of (1, x, x^2, y, x y), whose weights are known
    only at the end. So the sums of that vector's products with itself some lags ago are kept, and
    give every autocovariance of the pulls for whatever line comes out.
    """

    __slots__ = ("_mean_x", "_mean_y", "_n", "_products", "_recent", "_sxx", "_sxy", "_syy")

    def __init__(self) -> None:
        self._n = 0
        self._mean_x = self._mean_y = self._sxx = self._sxy = self._syy = 0.0
        self._recent = np.zeros((regression.MAX_LAG + 1, 5))
        self._products = np.zeros((regression.MAX_LAG + 1, 5, 5))

    def add(self, y: float, x: float) -> None:
        """Take one more pair of excess returns in, the benchmark's last."""
        self._n += 1
        from_x, from_y = x - self._mean_x, y - self._mean_y
        self._mean_x += from_x / self._n
        self._mean_y += from_y / self._n
        self._sxx += from_x * (x - self._mean_x)
        self._sxy += from_x * (y - self._mean_y)
        self._syy += from_y * (y - self._mean_y)
        self._recent[1:] = self._recent[:-1]
        self._recent[0] = (1.0, x, x * x, y, x * y)
        self._products += self._recent[:, :, None] * self._recent[0]

    def regression(self) -> model.Regression | None:
        """Return the line through the pairs so far, as `regression.regress` does."""
        n = self._n
        if n <= 1 or regression.is_flat(self._sxx, n=n, mean=self._mean_x):
            return None
        beta = self._sxy / self._sxx
        alpha = self._mean_y - beta * self._mean_x
        residual_squares = self._syy - beta * self._sxy
        if regression.is_exact(residual_squares, syy=self._syy, n=n):
            return model.Regression(n=n, alpha=alpha, beta=beta, alpha_error=None, beta_error=None)
        slope = 1.0 / self._sxx  # a pull is (level + slope * x) * residual
        return model.Regression(
            n=n,
            alpha=alpha,
            beta=beta,
            alpha_error=self._error(
                alpha,
                beta,
                level=1.0 / n + self._mean_x * self._mean_x * slope,
                slope=-self._mean_x * slope,
            ),
            beta_error=self._error(alpha, beta, level=-self._mean_x * slope, slope=slope),
        )

    def dump(self) -> Sequence[Any]:
        """Return what `load` goes on from."""
        sums = (self._n, self._mean_x, self._mean_y, self._sxx, self._sxy, self._syy)
        return *sums, _packed(self._recent), _packed(self._products)

    def load(self, dumped: Sequence[Any]) -> None:
        """Go on where another one was dumped."""
        *sums, recent, products = dumped
        self._n, self._mean_x, self._mean_y, self._sxx, self._sxy, self._syy = sums
        self._recent = _unpacked(recent, self._recent.shape)
        self._products = _unpacked(products, self._products.shape)

    def _error(self, alpha: float, beta: float, *, level: float, slope: float) -> float:
        mix = np.array((-level * alpha, -level * beta - slope * alpha, -slope * beta, level, slope))
        lag = regression.lags(self._n)
        return regression.error_of(self._products[: lag + 1] @ mix @ mix, n=self._n)


class TradeTally:
    """Sums over round trips that come in the order of their exits."""

    __slots__ = ("_covered_ns", "_held_ns", "_loss", "_open", "_pnl", "_profit", "_wins")

    def __init__(self) -> None:
        self._pnl = Accumulator()
        self._wins = self._held_ns = self._covered_ns = 0
        self._profit = self._loss = 0.0
        self._open: list[tuple[int, int]] = []  # disjoint spans of time, in order

    def add(self, trip: model.RoundTrip) -> None:
        """Take one more round trip in.

        Raises
        ------
        InvalidError
            If it closed before one that is already counted.
        """
        if self._open and trip.exit_ns < self._open[-1][1]:
            raise errors.InvalidError(
                f"a round trip closed at {trip.exit_ns} ns comes after one closed at "
                f"{self._open[-1][1]} ns; add them in the order of their exits",
                field="exit_ns",
                value=trip.exit_ns,
            )
        self._pnl.add(trip.pnl)
        self._wins += trip.pnl > 0.0
        self._profit += max(0.0, trip.pnl)
        self._loss += max(0.0, -trip.pnl)
        self._held_ns += trip.exit_ns - trip.entry_ns
        self._cover(trip.entry_ns, trip.exit_ns)

    def trades(self) -> model.Trades:
        """Return what the round trips so far amount to."""
        return model.Trades(
            wins=self._wins,
            gross_profit=self._profit,
            gross_loss=self._loss,
            held_ns=self._held_ns,
            covered_ns=self._covered_ns,
            pnl=self._pnl.moments(),
        )

    def _cover(self, start: int, end: int) -> None:
        while self._open and self._open[-1][1] >= start:
            first, last = self._open.pop()
            self._covered_ns -= last - first
            start = min(start, first)
        self._open.append((start, end))
        self._covered_ns += end - start


class Running:
    """A live history and its metrics, equal to `measure.measure_bars` of the same bars.

    Parameters
    ----------
    capital : float
        Equity before the first bar, > 0, account currency.
    periods_per_year : float
        Bars in a year.
    benchmark_start : float, optional
        The first open; by default the first price.
    risk_free : float
        The yearly risk-free rate.
    """

    def __init__(
        self,
        *,
        capital: float,
        periods_per_year: float,
        benchmark_start: float | None = None,
        risk_free: float = 0.0,
    ) -> None:
        measure.check_positive(capital, field="capital")
        self._periods = periods_per_year
        self._risk_free = risk_free / periods_per_year
        self._capital = self._equity = self._peak = self._worth = capital
        self._scale: float | None = 1.0
        self._price = benchmark_start
        self._drawdown = self._downside = 0.0
        self._bars = self._days = self._first_ns = self._last_ns = 0
        self._excess, self._active = Accumulator(), Accumulator()
        self._line, self._trips = Line(), TradeTally()
        self._is_ruined = False
        self._day_worth = capital  # at the end of the day before
        self._daily: list[float] = []  # returns of the days that are over, lowest first

    def add_bar(
        self,
        equity: float,
        *,
        ts_ns: int,
        benchmark_price: float | None = None,
        before_flows: float | None = None,
    ) -> None:
        """Take the close of one more bar in.

        Parameters
        ----------
        equity : float, account currency
            Marked to market, net of costs.
        ts_ns : int
            Close of the bar, nanoseconds since 1970; never falls.
        benchmark_price : float, optional
            With every bar, or with none.
        before_flows : float, optional, account currency
            Equity without what flowed in or out since the last bar; by default nothing did.

        Raises
        ------
        InvalidError
            If time runs back, equity is not finite, or the price is not positive.
        """
        self._check(equity, ts_ns=ts_ns, price=benchmark_price)
        if self._is_next_day(ts_ns):
            self._end_day()
        self._count(ts_ns)
        made = equity if before_flows is None else before_flows
        self._worth, self._scale = formulas.carried(
            self._worth, self._scale, made=made, equity=equity
        )
        self._peak = max(self._peak, self._worth)
        self._drawdown = min(self._drawdown, self._worth / self._peak - 1.0)
        if not self._is_ruined:
            value = made / self._equity - 1.0 if self._equity > 0.0 else 0.0
            self._add_return(value, price=benchmark_price)
        self._is_ruined = self._is_ruined or self._worth <= 0.0
        self._equity = equity

    def add_round_trip(self, trip: model.RoundTrip) -> None:
        """Take one more closed round trip in, in the order of their exits."""
        self._trips.add(trip)

    def metrics(self) -> model.Metrics:
        """Return the metrics of the history so far."""
        active = self._active.moments()
        evidence = model.Evidence(
            bars=self._bars,
            days=self._days,
            first_ns=self._first_ns,
            last_ns=self._last_ns,
            growth=self._worth / self._capital - 1.0 if self._bars else None,
            max_drawdown=self._drawdown if self._bars else None,
            excess=self._excess.moments(),
            downside=self._downside,
            daily=self._days_so_far(),
            trades=self._trips.trades(),
            active=active if active.n else None,
            line=self._line.regression(),
        )
        return measure.conclude(evidence, periods=self._periods)

    def dump(self) -> dict[str, Any]:
        """Return all but the round trips: what `load` goes on from, to the last digit."""
        plain = {name: getattr(self, name) for name in _DUMPED}
        plain["_daily"] = self._daily.copy()
        return plain | {name: getattr(self, name).dump() for name in _DUMPED_PARTS}

    def load(self, dumped: dict[str, Any]) -> None:
        """Go on where a history with the same parameters was dumped; its round trips come anew."""
        for name in _DUMPED:
            setattr(self, name, dumped[name])
        self._daily = list(dumped["_daily"])
        for name in _DUMPED_PARTS:
            getattr(self, name).load(dumped[name])

    def _is_next_day(self, ts_ns: int) -> bool:
        day, last = (ts_ns - 1) // formulas.NANOS_PER_DAY, self._last_ns - 1
        return self._bars > 0 and day != last // formulas.NANOS_PER_DAY

    def _end_day(self) -> None:
        if self._day_worth > 0.0:  # what follows ruin has no return
            bisect.insort(self._daily, self._worth / self._day_worth - 1.0)
            self._day_worth = self._worth

    def _days_so_far(self) -> list[float]:
        days = self._daily.copy()
        if self._bars and self._day_worth > 0.0:
            bisect.insort(days, self._worth / self._day_worth - 1.0)
        return days

    def _count(self, ts_ns: int) -> None:
        if self._bars == 0:
            self._first_ns = ts_ns
        if self._bars == 0 or self._is_next_day(ts_ns):
            self._days += 1
        self._bars += 1
        self._last_ns = ts_ns

    def _add_return(self, value: float, *, price: float | None) -> None:
        excess = value - self._risk_free
        below = min(0.0, excess)
        self._excess.add(excess)
        self._downside += below * below
        if price is None:
            return
        market = price / (price if self._price is None else self._price) - 1.0
        self._active.add(value - market)
        self._line.add(excess, market - self._risk_free)
        self._price = price

    def _check(self, equity: float, *, ts_ns: int, price: float | None) -> None:
        if not math.isfinite(equity):
            raise errors.InvalidError(f"equity is {equity}; it must be finite", field="equity")
        if self._bars and ts_ns < self._last_ns:
            raise errors.InvalidError(
                f"a bar closes at {ts_ns} ns, before the last one at {self._last_ns} ns",
                field="ts_ns",
                value=ts_ns,
            )
        if price is not None:
            measure.check_positive(price, field="benchmark_price")
        if self._bars and not self._is_ruined and (price is None) != (self._active.n == 0):
            raise errors.InvalidError(
                "give benchmark_price with every bar, or with none", field="benchmark_price"
            )


def _packed(numbers: NDArray[np.float64]) -> bytes:
    return numbers.astype("<f8").tobytes()


def _unpacked(packed: bytes, shape: tuple[int, ...]) -> NDArray[np.float64]:
    return np.frombuffer(packed, dtype="<f8").astype(np.float64).reshape(shape)
