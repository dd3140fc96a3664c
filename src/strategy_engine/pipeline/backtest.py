"""The engine's own account of a backtest: fills, equity and metrics from decisions alone. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from strategy_engine.core import money
from strategy_engine.matching.account import Account
from strategy_engine.matching.model import Fill, RoundTrip, Rules
from strategy_engine.matching.settings import Settings
from strategy_engine.performance import formulas, measure
from strategy_engine.performance import model as performance
from strategy_engine.pipeline import history as histories
from strategy_engine.pipeline import replays
from strategy_engine.pipeline.decisions import Choices
from strategy_engine.pipeline.history import Floats, History, Ints, Series
from strategy_engine.pipeline.replays import Lane


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Ledgered:
    """What a history came to under the fill rules. Money in account currency where it is float.

    Parameters
    ----------
    fill_slots, trip_slots : tuple of int
        Where on the timeline each fill and each round trip's end happened.
    equity : array of float64, shape (n,)
        At every instant of the timeline, after its last bar.
    held : mapping of str to array of int64
        Lots of a symbol after each of its own bars.
    """

    capital: float
    close_ns: Ints
    equity: Floats
    fills: tuple[Fill, ...]
    fill_slots: tuple[int, ...]
    round_trips: tuple[RoundTrip, ...]
    trip_slots: tuple[int, ...]
    held: Mapping[str, Ints]

    @property
    def pnl(self) -> float:
        """Return what was won or lost, open positions at their marks."""
        return float(self.equity[-1]) - self.capital if self.equity.size else 0.0

    def entries(self) -> int:
        """Return how many fills opened or enlarged a position."""
        return sum(each.opens for each in self.fills)


@dataclass(frozen=True, slots=True, kw_only=True)
class Segments:
    """The metrics of the whole history, of its first part, and of the rest."""

    full: performance.Metrics
    in_sample: performance.Metrics
    out_of_sample: performance.Metrics


def replay(chosen: Mapping[str, Choices], part: History, settings: Settings) -> Ledgered:
    """Let an account live through the bars and the decisions on them.

    Parameters
    ----------
    chosen : mapping of str to Choices
        For every symbol of the history, one decision a bar.
    """
    account = Account(settings.capital_nanos, [each.terms for each in part.series], settings.rules)
    times = part.timeline()
    lanes = [Lane(each, chosen[each.symbol], account, times) for each in part.series]
    fills = replays.play(lanes, account)
    trips = [(each.fill.round_trip, each.slot) for each in fills]
    return Ledgered(
        capital=settings.capital_nanos / money.NANOS,
        close_ns=times,
        equity=replays.equity(
            [(np.asarray(each.close_ns), each.value_nanos()) for each in lanes],
            fills,
            settings.capital_nanos,
            times,
        ),
        fills=tuple(each.fill for each in fills),
        fill_slots=tuple(each.slot for each in fills),
        round_trips=tuple(trip for trip, _ in trips if trip is not None),
        trip_slots=tuple(at for trip, at in trips if trip is not None),
        held={each.symbol: each.held() for each in lanes},
    )


def with_costs(settings: Settings, factor: int) -> Settings:
    """Return the settings with slippage and fees so many times as high."""
    rules: Rules = settings.rules
    dearer = replace(
        rules, slippage_ppm=rules.slippage_ppm * factor, fee_ppm=rules.fee_ppm * factor
    )
    return replace(settings, rules=dearer)


def delayed(chosen: Mapping[str, Choices], bars: int) -> dict[str, Choices]:
    """Return the decisions as they arrive when every one takes so many bars longer."""
    return {symbol: each.delayed(bars) for symbol, each in chosen.items()}


def border(times: Ints) -> int:
    """Return where the out-of-sample part of a timeline begins."""
    return int(times.size * histories.IN_SAMPLE)


def segments(ledgered: Ledgered, part: History) -> Segments:
    """Return the metrics of the whole, of the first 60 % of the bars, and of the last 40 %.

    A round trip belongs to the part it closed in; the last part starts from the equity and the
    price at its border.
    """
    size, middle = ledgered.close_ns.size, border(ledgered.close_ns)
    benchmark = benchmark_of(part)
    return Segments(
        full=_metrics(ledgered, part, benchmark, slice(0, size)),
        in_sample=_metrics(ledgered, part, benchmark, slice(0, middle)),
        out_of_sample=_metrics(ledgered, part, benchmark, slice(middle, size)),
    )


def whole(ledgered: Ledgered, part: History) -> performance.Metrics:
    """Return the metrics of the whole history."""
    return _metrics(ledgered, part, benchmark_of(part), slice(0, ledgered.close_ns.size))


def benchmark_of(part: History) -> Floats:
    """Return what buying and holding the traded symbols in equal shares is worth, from 1.

    Before a symbol's first bar its share waits in cash.
    """
    times = part.timeline()
    total = np.zeros(times.size)
    for each in part.series:
        total += _held_on(each, times)
    return total / len(part.series)


def daily_returns(ledgered: Ledgered, days: Ints) -> tuple[Ints, Floats]:
    """Return the days of a history, and the return of each; after ruin there are none."""
    ends = formulas.day_ends(days)
    returns = formulas.simple_returns(ledgered.equity[ends], start=ledgered.capital)
    return days[ends][: returns.size], returns


def _held_on(each: Series, times: Ints) -> Floats:
    if not len(each.bars):
        return np.ones(times.size)
    at = np.searchsorted(each.bars.close_ns, times, side="right") - 1
    return np.where(at < 0, 1.0, each.bars.close[np.maximum(at, 0)] / each.bars.open[0])


def _metrics(
    ledgered: Ledgered, part: History, benchmark: Floats, span: slice
) -> performance.Metrics:
    start, stop = span.start, span.stop
    return measure.measure(
        ledgered.equity[span],
        day=part.days()[span],
        ts_ns=ledgered.close_ns[span],
        capital=float(ledgered.equity[start - 1]) if start else ledgered.capital,
        round_trips=[
            performance.RoundTrip(
                entry_ns=trip.entry_ns,
                exit_ns=trip.exit_ns,
                pnl=trip.pnl_nanos / money.NANOS,
            )
            for trip, at in zip(ledgered.round_trips, ledgered.trip_slots, strict=True)
            if start <= at < stop
        ],
        benchmark_price=benchmark[span],
        periods=part.calendar.periods_per_year,
        benchmark_start=float(benchmark[start - 1]) if start else 1.0,
    )
