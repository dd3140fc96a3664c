"""Folding snapshots into buckets: the table, its laws, and when a clock may delete."""

from datetime import UTC, datetime, timedelta
from functools import reduce
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategy_engine.execution.model import ALWAYS_NUMBERS
from strategy_engine.performance import rollups
from strategy_engine.performance.rollups import FOLDS, Bucket, Fold, Pace, Resolution, Span

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE, HOUR = rollups.STEPS[Resolution.MINUTE], rollups.STEPS[Resolution.HOUR]
TICK = timedelta(seconds=10)

NAMES = (*FOLDS, "sharpe_ratio", "bar_count")
# Whole numbers, so that sums are exact and laws can be asked for without a tolerance.
values = st.one_of(st.none(), st.integers(-(10**6), 10**6).map(float))
measured = st.dictionaries(st.sampled_from(NAMES), values)
ticks = st.lists(st.tuples(st.integers(0, 2_000), measured), min_size=1, max_size=40).map(
    lambda found: [(NOON + number * TICK, metrics) for number, metrics in found]
)


def fold(snapshots: list[tuple[datetime, dict[str, Any]]]) -> Bucket:
    return reduce(rollups.merge, (rollups.of_snapshot(*each) for each in snapshots))


def by_bucket(
    snapshots: list[tuple[datetime, dict[str, Any]]],
    step: timedelta,
    into: dict[datetime, Bucket] | None = None,
) -> dict[datetime, Bucket]:
    whole = dict(into or {})
    for at, metrics in snapshots:
        start = rollups.start_of(at, step)
        whole[start] = rollups.add(whole.get(start), at, metrics)
    return whole


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("sharpe_ratio", 3.0),
        ("total_return", 3.0),
        ("bar_count", 3.0),
        ("a_metric_of_tomorrow", 3.0),
        ("max_drawdown", 1.0),
        ("decision_latency_ms", 4.0),
        ("decision_cpu_ms", 4.0),
        ("decision_latency_p99_ms", 8.0),
        ("decision_cpu_p99_ms", 8.0),
    ],
)
def test_a_bucket_keeps_of_each_metric_what_it_needs(name, kept):
    snapshots = [(NOON + n * TICK, {name: value}) for n, value in enumerate((1.0, 8.0, 3.0))]
    bucket = fold(snapshots)
    assert bucket.metrics == {name: kept}
    assert (bucket.samples, bucket.last_at) == (3, NOON + 2 * TICK)


def test_every_fold_is_used_by_a_metric_or_is_that_of_all_others():
    assert set(FOLDS.values()) | {Fold.LAST} == set(Fold)
    assert Fold.LAST not in FOLDS.values()
    assert "max_drawdown" in ALWAYS_NUMBERS


def test_a_figure_that_became_undefined_is_so_but_what_was_extreme_stays():
    bucket = fold(
        [
            (NOON, {"sharpe_ratio": 1.0, "max_drawdown": -0.5, "decision_cpu_ms": 2.0}),
            (NOON + TICK, {"sharpe_ratio": None, "max_drawdown": None}),
        ]
    )
    assert bucket.metrics == {"sharpe_ratio": None, "max_drawdown": -0.5, "decision_cpu_ms": 2.0}


def test_a_mean_is_over_the_snapshots_that_have_the_figure():
    values = (1.0, None, float("nan"), 4.0)
    bucket = fold([(NOON + n * TICK, {"decision_cpu_ms": v}) for n, v in enumerate(values)])
    assert bucket.metrics["decision_cpu_ms"] == 2.5
    assert bucket.samples == 4


def test_of_two_snapshots_at_one_instant_the_second_is_the_later():
    bucket = fold([(NOON, {"sharpe_ratio": 1.0}), (NOON, {"sharpe_ratio": 2.0})])
    assert bucket.metrics == {"sharpe_ratio": 2.0}


@given(ticks, st.lists(st.integers(0, 40)))
def test_any_partition_into_batches_gives_the_same_buckets(snapshots, cuts):
    ends = sorted({0, len(snapshots), *(cut for cut in cuts if cut < len(snapshots))})
    for step in (MINUTE, HOUR):
        whole: dict[datetime, Bucket] = {}
        for first, last in pairwise(ends):
            whole = by_bucket(snapshots[first:last], step, into=whole)
        assert whole == by_bucket(snapshots, step)


@given(ticks, st.randoms(use_true_random=False))
def test_the_order_in_which_snapshots_come_does_not_matter_if_no_two_are_of_one_instant(
    snapshots, random
):
    distinct = list({at: (at, metrics) for at, metrics in snapshots}.values())
    shuffled = random.sample(distinct, len(distinct))
    assert by_bucket(shuffled, HOUR) == by_bucket(distinct, HOUR)


@given(ticks)
def test_rollups_of_rollups_are_the_rollups_of_the_rows(snapshots):
    ordered = sorted(snapshots, key=lambda each: each[0])
    hours: dict[datetime, Bucket] = {}
    for start, bucket in by_bucket(ordered, MINUTE).items():
        hour = rollups.start_of(start, HOUR)
        hours[hour] = rollups.merge(hours[hour], bucket) if hour in hours else bucket
    assert hours == by_bucket(ordered, HOUR)


@given(*[st.tuples(st.integers(0, 5).map(lambda n: NOON + n * TICK), measured)] * 3)
def test_merging_is_associative(first, second, third):
    a, b, c = (rollups.of_snapshot(*each) for each in (first, second, third))
    assert rollups.merge(rollups.merge(a, b), c) == rollups.merge(a, rollups.merge(b, c))


@given(ticks)
def test_a_bucket_has_every_snapshot_of_its_time_and_there_is_none_without_one(snapshots):
    whole = by_bucket(snapshots, MINUTE)
    assert sum(bucket.samples for bucket in whole.values()) == len(snapshots)
    assert whole.keys() == {rollups.start_of(at, MINUTE) for at, _ in snapshots}
    for start, bucket in whole.items():
        assert start <= bucket.last_at < start + MINUTE


@given(
    st.datetimes(datetime(1700, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)),
    st.sampled_from([MINUTE, HOUR]),
)
def test_a_time_is_in_the_bucket_that_starts_at_a_whole_minute_or_hour(at, step):
    start, end = rollups.start_of(at, step), rollups.end_of(at, step)
    assert start <= at < start + step
    assert start.second == start.microsecond == 0
    assert step == MINUTE or start.minute == 0
    assert end - step < at <= end
    assert rollups.start_of(end, step) == end


def test_what_is_kept_how_long_is_the_contract_s():
    assert rollups.cutoff(Resolution.SNAPSHOT, NOON) == NOON - timedelta(hours=48)
    assert rollups.cutoff(Resolution.MINUTE, NOON) == NOON - timedelta(days=90)
    assert rollups.cutoff(Resolution.HOUR, NOON) is None


@pytest.mark.parametrize(
    ("ago", "hours", "limit", "chosen"),
    [
        (2, 2, 720, Resolution.SNAPSHOT),
        (2, 2, 719, Resolution.MINUTE),
        (48, 1, 1_000, Resolution.SNAPSHOT),
        (48.01, 1, 1_000, Resolution.MINUTE),
        (90 * 24, 1, 1_000, Resolution.MINUTE),
        (90 * 24.01, 1, 1_000, Resolution.HOUR),
        (2, 2, 119, Resolution.HOUR),
        (90_000, 90_000, 1, Resolution.HOUR),
        (1, -1, 1, Resolution.SNAPSHOT),
    ],
)
def test_the_finest_resolution_that_has_the_whole_span_in_few_enough_points_is_chosen(
    ago, hours, limit, chosen
):
    start = NOON - timedelta(hours=ago)
    asked = Span(start=start, end=start + timedelta(hours=hours), limit=limit)
    assert rollups.choose(asked, now=NOON, interval=TICK) is chosen


def looked(*steps: tuple[float, float]) -> Pace:
    """Return the pace after steps of (seconds of the wall, seconds that passed)."""
    pace, wall, steady_s = Pace.begin(NOON, 100.0), NOON, 100.0
    for wall_s, passed_s in steps:
        wall, steady_s = wall + timedelta(seconds=wall_s), steady_s + passed_s
        pace = pace.look(wall, steady_s)
    return pace


MINUTES = [(60.0, 60.0)]


@pytest.mark.parametrize(
    ("steps", "is_trusted"),
    [
        ([], False),
        (MINUTES * 9, False),
        (MINUTES * 10, True),
        ([(61.0, 60.0)] * 10, True),  # it is a little fast
        ([*MINUTES * 10, (3_660.0, 60.0)], False),  # set forward by an hour
        ([*MINUTES * 10, (3_660.0, 60.0), *MINUTES * 9], False),
        ([*MINUTES * 10, (3_660.0, 60.0), *MINUTES * 10], True),  # so it is the time after all
        ([*MINUTES * 10, (3_660.0, 60.0), (-3_540.0, 60.0)], False),
        ([*MINUTES * 10, (-3_540.0, 60.0)], False),  # set back by an hour
        ([*MINUTES * 10, (-3_540.0, 60.0), *MINUTES * 10], True),
    ],
)
def test_the_clock_is_deleted_by_only_once_it_has_run_evenly_for_ten_minutes(steps, is_trusted):
    assert looked(*steps).is_trusted is is_trusted


drifts = st.one_of(st.just(0.0), st.floats(-59, 59), st.floats(61, 1e6), st.floats(-1e6, -61))


@given(st.lists(st.tuples(drifts, st.integers(1, 300)), max_size=20))
def test_a_clock_is_trusted_exactly_when_ten_minutes_have_passed_since_it_jumped(steps):
    quiet_s = 0
    for drift, passed_s in steps:
        quiet_s = quiet_s + passed_s if abs(drift) < 60 else 0
    pace = looked(*((passed_s + drift, passed_s) for drift, passed_s in steps))
    assert pace.is_trusted is (quiet_s >= rollups.PATIENCE_S)
