"""Rollups of metrics: how snapshots fold into buckets, what may go, which answers. Pure.

A snapshot is folded into its minute and its hour at one time, so neither has to wait until the
other is complete, and a snapshot that comes late still finds its place.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from strategy_engine.core import ids

type Sums = Mapping[str, tuple[float, int]]  # of a metric: the sum of its numbers, and how many


def line_id(strategy_name: str) -> str:
    """Return what snapshots of a line are kept by; its name may be longer than that."""
    return ids.derived("line", strategy_name)


class Resolution(StrEnum):
    """How far apart the points of a history are."""

    SNAPSHOT = "10s"  # as they were taken, every 10 s unless the interval is set otherwise
    MINUTE = "1m"
    HOUR = "1h"


class Fold(StrEnum):
    """What a bucket keeps of a metric."""

    LAST = "last"
    MIN = "min"
    MAX = "max"
    MEAN = "mean"


STEPS = {Resolution.MINUTE: timedelta(minutes=1), Resolution.HOUR: timedelta(hours=1)}

KEPT_FOR: dict[Resolution, timedelta | None] = {
    Resolution.SNAPSHOT: timedelta(hours=48),
    Resolution.MINUTE: timedelta(days=90),
    Resolution.HOUR: None,  # for ever
}

# Every metric that is not here is LAST: ratios, returns and counts speak of the whole run up to a
# moment, so the last one of a bucket has all that came before it in it already.
FOLDS: dict[str, Fold] = {
    "max_drawdown": Fold.MIN,  # signed: the deepest
    "decision_latency_ms": Fold.MEAN,  # a median of recent decisions: what was usual
    "decision_cpu_ms": Fold.MEAN,
    "decision_latency_p99_ms": Fold.MAX,  # a tail: the worst must not be averaged away
    "decision_cpu_p99_ms": Fold.MAX,
}

JUMP_S = 60.0  # wall and steady time may part by so much between two looks
PATIENCE_S = 600.0  # how long they must agree before anything is deleted by the wall's time


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """What one or more snapshots of an execution amount to.

    Parameters
    ----------
    last_at : datetime
        When the latest of them was taken.
    samples : int
        How many they are.
    metrics : mapping
        Those of the latest, but folded where `FOLDS` says so.
    sums : mapping
        What the means in `metrics` are made of.
    """

    last_at: datetime
    samples: int
    metrics: Mapping[str, Any]
    sums: Sums


def of_snapshot(at: datetime, metrics: Mapping[str, Any]) -> Bucket:
    """Return the bucket of one snapshot."""
    sums = {
        name: (float(metrics[name]), 1)
        for name, fold in FOLDS.items()
        if fold is Fold.MEAN and is_number(metrics.get(name))
    }
    return Bucket(last_at=at, samples=1, metrics=metrics, sums=sums)


def merge(first: Bucket, second: Bucket) -> Bucket:
    """Return what two buckets amount to; of the same instant, the second one is the later."""
    later = second if second.last_at >= first.last_at else first
    sums = _added(first.sums, second.sums)
    folded = {
        name: value
        for name, fold in FOLDS.items()
        if (value := _folded(fold, name, first, second, sums)) is not None
    }
    return Bucket(
        last_at=later.last_at,
        samples=first.samples + second.samples,
        metrics={**later.metrics, **folded},
        sums=sums,
    )


def add(bucket: Bucket | None, at: datetime, metrics: Mapping[str, Any]) -> Bucket:
    """Return what a bucket, if there is one, amounts to with one more snapshot."""
    one = of_snapshot(at, metrics)
    return one if bucket is None else merge(bucket, one)


def start_of(at: datetime, step: timedelta) -> datetime:
    """Return the start of the bucket that a time is in; buckets are counted from 1970."""
    epoch = datetime.fromtimestamp(0, UTC)
    return epoch + (at - epoch) // step * step


def end_of(at: datetime, step: timedelta) -> datetime:
    """Return the end of the last bucket that starts before a time."""
    start = start_of(at, step)
    return at if start == at else start + step


def cutoff(resolution: Resolution, now: datetime) -> datetime | None:
    """Return the time before which what is rolled up may go; None where nothing ever may."""
    kept_for = KEPT_FOR[resolution]
    return None if kept_for is None else now - kept_for


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """What the wall's clock and the steady one said last, and since when they agree."""

    wall: datetime
    steady_s: float
    agree_since_s: float

    @classmethod
    def begin(cls, wall: datetime, steady_s: float) -> "Pace":
        """Return the pace of a first look: nothing is known of the time before."""
        return cls(wall=wall, steady_s=steady_s, agree_since_s=steady_s)

    def look(self, wall: datetime, steady_s: float) -> "Pace":
        """Return the pace at a later look; a clock that was set agrees from now on only."""
        drift_s = (wall - self.wall).total_seconds() - (steady_s - self.steady_s)
        since_s = self.agree_since_s if abs(drift_s) <= JUMP_S else steady_s
        return Pace(wall=wall, steady_s=steady_s, agree_since_s=since_s)

    @property
    def is_trusted(self) -> bool:
        """Whether the wall's time may be deleted by."""
        return self.steady_s - self.agree_since_s >= PATIENCE_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """The part of a history that is asked for: [start, end), and at most `limit` points of it."""

    start: datetime
    end: datetime
    limit: int


def is_number(value: object) -> bool:
    """Say whether a metric is one: it may be undefined, or not finite."""
    return isinstance(value, int | float) and math.isfinite(value)


def choose(asked: Span, *, now: datetime, interval: timedelta) -> Resolution:
    """Return the finest resolution that still has the whole span, in at most `limit` points.

    Parameters
    ----------
    interval : timedelta
        Between two snapshots.
    """
    for resolution, step in ((Resolution.SNAPSHOT, interval), *STEPS.items()):
        oldest = cutoff(resolution, now)
        is_kept = oldest is None or asked.start >= oldest
        if is_kept and asked.end - asked.start <= asked.limit * step:
            return resolution
    return Resolution.HOUR


def _added(first: Sums, second: Sums) -> Sums:
    added = dict(first)
    for name, (total, count) in second.items():
        before, number = added.get(name, (0.0, 0))
        added[name] = (before + total, number + count)
    return added


def _folded(fold: Fold, name: str, first: Bucket, second: Bucket, sums: Sums) -> float | None:
    if fold is Fold.MEAN:
        total, count = sums.get(name, (0.0, 0))
        return total / count if count else None
    found = [each.metrics[name] for each in (first, second) if is_number(each.metrics.get(name))]
    if not found:
        return None
    return float(min(found) if fold is Fold.MIN else max(found))
