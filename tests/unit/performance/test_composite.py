"""Several ledgers as one account: what flows between them is nobody's gain."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strategy_engine.performance import composite, measure
from strategy_engine.performance.composite import HOUR_NS, Course

SEEDS = st.integers(0, 2**32 - 1)
FIRST = 480_000  # hours since 1970
NO_TRIPS = {
    "entry_ns": np.empty(0, np.int64),
    "exit_ns": np.empty(0, np.int64),
    "pnl": np.empty(0),
}


def course(returns, flow=None, *, opening=1e4, first=FIRST, index=None) -> Course:
    """Return a ledger that makes these returns and has these flows after them."""
    flow = np.zeros(returns.size) if flow is None else flow
    equity, now = np.empty(returns.size), opening
    for place, (made, moved) in enumerate(zip(returns, flow, strict=True)):
        now = now * (1.0 + made) + moved
        equity[place] = now
    return Course(
        opening=opening,
        hour=first + np.arange(returns.size, dtype=np.int64),
        equity=equity,
        contributed=opening + np.cumsum(flow),
        benchmark=np.ones(returns.size) if index is None else index,
        **NO_TRIPS,
    )


@settings(deadline=None, max_examples=50)
@given(seed=SEEDS, hours=st.integers(1, 300))
def test_one_ledger_is_measured_as_it_is_by_itself(seed, hours):
    random = np.random.default_rng(seed)
    index = np.cumprod(1.0 + random.normal(0.0, 0.01, hours))
    flow = np.where(random.random(hours) < 0.1, random.normal(0.0, 500.0, hours), 0.0)
    one = course(random.normal(0.0, 0.01, hours), flow, index=index)

    found = composite.measured([one])

    expected = measure.measure_bars(
        one.equity,
        ts_ns=(one.hour + 1) * HOUR_NS,
        capital=one.opening,
        round_trips=(),
        benchmark_price=index,
        benchmark_start=1.0,
        periods_per_year=composite.hours_per_year(one.hour),
        flow=flow,
    )
    assert found.to_dict() == pytest.approx(expected.to_dict(), rel=1e-9, abs=1e-9)


@settings(deadline=None, max_examples=50)
@given(seed=SEEDS, hours=st.integers(2, 200))
def test_what_flows_from_one_ledger_to_another_is_none_of_their_sums(seed, hours):
    random = np.random.default_rng(seed)
    returns = random.normal(0.0, 0.01, hours)
    moved = random.uniform(-50.0, 50.0, hours)
    gives, takes = course(returns, -moved), course(returns, moved, opening=3e4)

    found = composite.compose([gives, takes])

    assert found.worth == pytest.approx(np.cumprod(1.0 + returns), rel=1e-9)


@settings(deadline=None, max_examples=50)
@given(seed=SEEDS, parts=st.lists(st.integers(1, 60), min_size=1, max_size=5))
def test_ledgers_that_follow_each_other_are_one_history(seed, parts):
    random = np.random.default_rng(seed)
    returns = random.normal(0.0, 0.01, sum(parts))
    courses, at = [], 0
    for size in parts:
        opening = float(random.uniform(1e3, 1e6))  # whatever each was given
        courses.append(course(returns[at : at + size], opening=opening, first=FIRST + at))
        at += size

    found = composite.compose(courses)

    assert found.worth == pytest.approx(np.cumprod(1.0 + returns), rel=1e-9)
    assert composite.measured(courses).total_return.value == pytest.approx(found.worth[-1] - 1.0)


def test_the_order_of_ledgers_does_not_matter_and_each_weighs_by_what_it_has():
    small, large = course(np.array([0.10]), opening=1e3), course(np.array([0.0]), opening=9e3)

    one, other = composite.compose([small, large]), composite.compose([large, small])

    assert one.worth[0] == other.worth[0] == pytest.approx(1.01)
    assert one.held[0] == 1e4


def test_a_ledger_without_a_bar_in_an_hour_stands_still_in_it():
    hourly = course(np.array([0.0, 0.1, 0.0]))
    sparse = course(np.array([0.0, 0.0]))
    sparse = Course(
        **{name: getattr(sparse, name) for name in Course.__slots__}
        | {"hour": np.array([FIRST, FIRST + 2], dtype=np.int64)}
    )

    found = composite.compose([hourly, sparse])

    assert found.worth.tolist() == pytest.approx([1.0, 1.05, 1.05])


def test_one_that_is_empty_or_ruined_leaves_the_others_to_themselves():
    ruined = course(np.array([-1.0, 0.0, 0.0]))
    other = course(np.array([0.0, 0.1, 0.1]))

    found = composite.compose([ruined, other, course(np.empty(0))])

    assert found.worth.tolist() == pytest.approx([0.5, 0.55, 0.605])


def test_nothing_is_nothing():
    assert composite.measured([]).total_return.value is None
    assert composite.compose([]).worth.size == 0


@pytest.mark.parametrize(
    ("week", "expected"),
    [
        (range(24 * 7), 24 * 365),  # every hour of every day
        ([24 * d + h for d in range(5) for h in range(7)], 7 * 252),  # a session from Monday on
        (range(-2, 24 * 5 - 2), 24 * 252),  # from Sunday evening to Friday evening
    ],
)
def test_a_year_has_hours_like_the_weeks_that_were_seen(week, expected):
    monday = 24 * 4  # 1970-01-05
    hour = np.array([monday + each + 168 * w for w in range(4) for each in week], dtype=np.int64)
    assert composite.hours_per_year(hour) == pytest.approx(expected)
