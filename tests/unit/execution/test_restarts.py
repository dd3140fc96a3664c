"""When an execution whose process ended is started again: the whole table, and its laws."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategy_engine.execution import restarts
from strategy_engine.execution.restarts import (
    FIRST_BACK_OFF_S,
    LONGEST_BACK_OFF_S,
    MOST_CRASHES,
    MOST_LOSSES,
    STEADY_S,
    Record,
    after_crash,
    after_loss,
)


def test_a_child_that_crashes_again_and_again_rests_longer_each_time_and_then_no_more():
    record, rests = Record(), []
    while not record.is_exhausted:
        record = after_crash(record, now_s=0.0)
        rests.append(record.back_off_s)
    assert rests == [0.5, 1.0, 2.0, 4.0]
    assert record.crashes == MOST_CRASHES


def test_a_loss_costs_no_rest_at_first_and_ends_nothing_that_gets_on_between():
    record = after_loss(Record(), has_played=False)
    assert (record.losses, record.back_off_s) == (1, 0.0)
    for _ in range(100):
        record = after_loss(record, has_played=True)
    assert (record.losses, record.back_off_s, record.is_exhausted) == (1, 0.0, False)


def test_losses_without_a_bar_between_them_end_it():
    record = Record()
    for _ in range(MOST_LOSSES - 1):
        record = after_loss(record, has_played=False)
    assert not record.is_exhausted
    assert after_loss(record, has_played=False).is_exhausted


@pytest.mark.parametrize(("after_s", "crashes"), [(STEADY_S, 1), (STEADY_S - 1, 3)])
def test_crashes_are_forgotten_after_a_steady_time_and_only_then(after_s, crashes):
    record = after_crash(after_crash(Record(), now_s=5.0), now_s=6.0)
    assert after_crash(record, now_s=6.0 + after_s).crashes == crashes


def test_a_loss_forgets_no_crash():
    record = after_crash(Record(), now_s=3.0)
    lost = after_loss(record, has_played=True)
    assert (lost.crashes, lost.last_crash_s) == (1, 3.0)


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("crash"), st.floats(0, 2 * STEADY_S)),
            st.tuples(st.just("loss"), st.booleans()),
        )
    )
)
def test_a_rest_is_never_longer_than_the_longest_and_a_crash_always_rests(events):
    record, now_s = Record(), 0.0
    for kind, value in events:
        if kind == "crash":
            now_s += value
            record = after_crash(record, now_s)
            assert record.back_off_s >= FIRST_BACK_OFF_S
        else:
            record = after_loss(record, has_played=value)
        assert 0.0 <= record.back_off_s <= LONGEST_BACK_OFF_S
        assert restarts.Record() != record
