"""Budget: a tick of metrics over 200 executions with a year each costs <= 1/20 of the batch.

A tick takes the close of one more bar into each execution, and then asks each for its metrics, as
an execution is asked every ten seconds. The batch formulas measure the same histories as a whole.
Both are timed in this run, on the histories of a year of minute bars; a year of hourly bars, and a
tick that brings no bar, are told as well. The last figures of both must agree to 1e-9.
"""

import argparse
import json
import math
import sys
import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from strategy_engine.performance import measure
from strategy_engine.performance.model import Estimate, Metrics, RoundTrip
from strategy_engine.performance.service import LiveMetrics

LEAST_RATIO = 20.0
EXECUTIONS = 200
BATCHES = 20
CAPITAL = 100_000.0
MINUTE_NS = 60_000_000_000
TOLERANCE = 1e-9

type Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class History:
    """One year of an execution, and one bar more."""

    close_ns: NDArray[np.int64]
    equity: Floats
    benchmark: Floats
    trips: list[RoundTrip]
    per_year: float


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object on the last line")
    parser.add_argument("--executions", type=int, default=EXECUTIONS)
    parser.add_argument("--different", type=int, default=4, help="histories that are made")
    options = parser.parse_args()
    minutes = compare(525_600, 1, options.executions, options.different)
    hours = compare(8_760, 60, options.executions, options.different)
    print(f"{'a year of':<14}{'batch s':>10}{'tick s':>10}{'ratio':>9}{'no bar s':>10}")
    for name, found in (("minute bars", minutes), ("hourly bars", hours)):
        print(
            f"{name:<14}{found['batch_s']:>10.3f}{found['tick_s']:>10.4f}"
            f"{found['ratio']:>9.0f}{found['idle_s']:>10.5f}"
        )
    is_equal = max(minutes["difference"], hours["difference"]) <= TOLERANCE
    is_ok = minutes["ratio"] >= LEAST_RATIO and is_equal
    print(f"largest difference {max(minutes['difference'], hours['difference']):.1e}")
    print(f"budget 1/{LEAST_RATIO:g} of the batch formulas: {'kept' if is_ok else 'BROKEN'}")
    if options.json:
        figures = {"executions": options.executions, "minutes": minutes, "hours": hours}
        print(json.dumps({"ok": is_ok, "least_ratio": LEAST_RATIO, **figures}))
    return 0 if is_ok else 1


def compare(bars: int, minutes: int, executions: int, different: int) -> dict[str, float]:
    """Return what a tick and the batch formulas cost, and how far they are apart."""
    histories = [history(bars, minutes, seed) for seed in range(different)]
    states = [fed(each) for each in histories]
    live = [copied(states[n % different], histories[n % different]) for n in range(executions)]
    start = time.perf_counter()
    for n, each in enumerate(live):
        add(each, histories[n % different], bars)
    found = [each.final_metrics() for each in live]
    tick_s = time.perf_counter() - start
    start = time.perf_counter()
    for each in live:
        each.metrics()
    idle_s = time.perf_counter() - start
    some = min(executions, BATCHES)  # the rest would only take as long again
    start = time.perf_counter()
    whole = [batch(histories[n % different]) for n in range(some)]
    batch_s = (time.perf_counter() - start) * executions / some
    return {
        "batch_s": batch_s,
        "tick_s": tick_s,
        "ratio": batch_s / tick_s,
        "idle_s": idle_s,
        "difference": max(apart(one, whole[n % different % some]) for n, one in enumerate(found)),
    }


def history(bars: int, minutes: int, seed: int) -> History:
    """Return a year of bars and one more, with a round trip every two hundred bars."""
    random = np.random.default_rng(seed)
    market = random.normal(0.0, 2e-4 * math.sqrt(minutes), bars + 1)
    returns = 0.5 * market + random.standard_t(4, bars + 1) * 1e-4 * math.sqrt(minutes)
    close_ns = np.arange(1, bars + 2, dtype=np.int64) * minutes * MINUTE_NS
    exits = close_ns[100:-1:200]
    return History(
        close_ns=close_ns,
        equity=CAPITAL * np.cumprod(1.0 + returns),
        benchmark=np.cumprod(1.0 + market),
        trips=[
            RoundTrip(entry_ns=int(at - 50 * minutes * MINUTE_NS), exit_ns=int(at), pnl=float(made))
            for at, made in zip(exits, random.normal(1.0, 50.0, exits.size), strict=True)
        ],
        per_year=525_600 / minutes,
    )


def fed(each: History) -> LiveMetrics:
    """Return live metrics that all but the last bar went into."""
    live = LiveMetrics(capital=CAPITAL, periods_per_year=each.per_year)
    for place in range(each.close_ns.size - 1):
        add(live, each, place)
    return live


def copied(state: LiveMetrics, each: History) -> LiveMetrics:
    """Return metrics that go on where others stand, as after a restart."""
    live = LiveMetrics(capital=CAPITAL, periods_per_year=each.per_year)
    live.load(state.dump())
    for trip in each.trips:
        live.add_round_trip(trip)
    return live


def add(live: LiveMetrics, each: History, place: int) -> None:
    live.add_close(
        int(each.close_ns[place]),
        equity=float(each.equity[place]),
        benchmark=float(each.benchmark[place]),
    )


def batch(each: History) -> Metrics:
    """Return the metrics of a whole history by the batch formulas."""
    return measure.measure_bars(
        each.equity,
        ts_ns=each.close_ns,
        capital=CAPITAL,
        round_trips=each.trips,
        benchmark_price=each.benchmark,
        benchmark_start=1.0,
        periods_per_year=each.per_year,
    )


def apart(found: Metrics, expected: Metrics) -> float:
    """Return the largest difference of any figure, relative where it is above 1."""
    worst = 0.0
    for name in Metrics.__slots__:
        one, other = getattr(found, name), getattr(expected, name)
        pairs = [(one, other)]
        if isinstance(one, Estimate):
            pairs = [(getattr(one, part), getattr(other, part)) for part in Estimate.__slots__]
        for left, right in pairs:
            if (left is None) != (right is None):
                return math.inf
            if left is not None and right is not None:
                worst = max(worst, abs(left - right) / max(1.0, abs(right)))
    return worst


if __name__ == "__main__":
    sys.exit(main())
