from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategy_engine.core import clock, ids, money
from strategy_engine.core.errors import IllegalTransitionError
from strategy_engine.core.transitions import next_state, triggers_from


class Light(StrEnum):
    RED = "red"
    GREEN = "green"


class Push(StrEnum):
    GO = "go"
    HALT = "halt"


ARROWS = {(Light.RED, Push.GO): Light.GREEN, (Light.GREEN, Push.HALT): Light.RED}


@pytest.mark.parametrize("state", Light)
@pytest.mark.parametrize("trigger", Push)
def test_only_arrows_in_a_table_move_a_state(state, trigger):
    if (state, trigger) in ARROWS:
        assert next_state(ARROWS, state, trigger) is ARROWS[state, trigger]
    else:
        with pytest.raises(IllegalTransitionError, match="the arrows are") as caught:
            next_state(ARROWS, state, trigger)
        assert caught.value.facts["accepted"] == list(triggers_from(ARROWS, state))


def test_an_identifier_says_of_what_it_is_and_is_never_the_same():
    made = {ids.new_id(ids.STRATEGY) for _ in range(1_000)}
    assert len(made) == 1_000
    assert all(each.startswith("strat_") for each in made)


@given(st.integers(-(10**30), 10**30), st.integers(1, 10**20))
def test_division_rounds_half_to_even_exactly(numerator, denominator):
    assert money.divide_half_even(numerator, denominator) == round(Fraction(numerator, denominator))


@given(st.integers(-(10**24), 10**24))
def test_money_survives_the_way_to_decimal_and_back(nanos):
    assert money.to_nanos(money.to_decimal(nanos)) == nanos


def test_money_is_read_as_it_is_written_not_as_a_binary_fraction():
    assert money.to_nanos(0.1) == 100_000_000
    assert money.to_decimal(1) == Decimal("0.000000001")


@given(st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)))
def test_time_survives_the_way_to_nanoseconds_and_back(moment):
    assert clock.from_nanos(clock.to_nanos(moment)) == moment


def test_a_stepped_clock_stands_still_until_it_is_moved():
    start = datetime(2026, 1, 1, tzinfo=UTC)
    stepped = clock.SteppedClock(start)
    stepped.advance(1.5)
    assert stepped.now() == start + timedelta(seconds=1.5)
    assert stepped.monotonic_s() == 1.5
