"""An execution's course goes on from wherever it was kept, and knows no flows."""

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategy_engine.matching.model import DAY_NS
from strategy_engine.risk import course
from strategy_engine.risk.course import Course, Point

CAPITAL = Decimal(10_000)
HOUR_NS = DAY_NS // 24
changes = st.lists(st.integers(-200, 200), min_size=1, max_size=80)


def points(made: list[int], flows: dict[int, int] | None = None) -> list[Point]:
    pnl, contributed, found = Decimal(0), CAPITAL, []
    for number, change in enumerate(made):
        pnl += change
        contributed += (flows or {}).get(number, 0)
        found.append(
            Point(
                close_ns=(number + 1) * 6 * HOUR_NS,
                equity=contributed + pnl,
                contributed=contributed,
            )
        )
    return found


@given(changes, st.integers(0, 80))
def test_what_was_kept_and_read_again_goes_on_as_if_it_had_not_been(made, where):
    whole = course.go_on(Course(), points(made))

    kept = json.loads(json.dumps(course.go_on(Course(), points(made)[:where]).to_plain()))
    again = course.go_on(Course.from_plain(kept), points(made)[where:])

    assert again == whole


@given(changes)
def test_the_peak_is_the_highest_profit(made):
    found = course.go_on(Course(), points(made))

    assert found.peak_pnl == max(each.pnl for each in points(made))


@given(changes, st.integers(0, 79), st.integers(0, 50_000))
def test_capital_that_enters_is_no_return(made, when, flow):
    found = course.go_on(Course(), points(made, {when: flow}))

    assert found.peak_pnl == course.go_on(Course(), points(made)).peak_pnl
    assert all(worth > 0 for _, worth in found.days)


def test_days_return_what_their_ends_differ_by_and_the_last_is_not_over():
    found = course.go_on(Course(), points([0, 0, 0, 0, 100, 0, 0, 0, 0, 0, 0, -101, 5]))

    assert course.daily(found) == {1: pytest.approx(0.01), 2: pytest.approx(-101 / 10_100)}


def test_only_so_many_days_are_kept():
    long = [
        Point(close_ns=(day + 1) * DAY_NS, equity=CAPITAL, contributed=CAPITAL)
        for day in range(course.MOST_DAYS + 50)
    ]

    found = course.go_on(Course(), long)

    assert len(found.days) == course.MOST_DAYS
    assert found.days[-1][0] == course.MOST_DAYS + 49
