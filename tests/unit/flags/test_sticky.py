"""What a strategy is shown of flags, decision by decision."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategy_engine.flags.live import pinned
from strategy_engine.flags.sticky import Sticky, read_none
from strategy_engine.infra.outages import DatabaseAwayError

EUR, USD = "EUR/USD.SIM", "USD/JPY.SIM"


class Source:
    """Flags that a test sets; None: they cannot be read, and never were."""

    def __init__(self, **values):
        self.values = values

    def __call__(self, close_ns):
        return self.values


def test_without_flags_nothing_is_told_and_nothing_kept():
    sticky = Sticky()

    reading = sticky.read(EUR, 1, is_held=False)

    assert (reading.values, reading.is_new, sticky.news(EUR, reading.values)) == ({}, False, None)
    assert sticky.dump() == {}
    assert read_none(1) == {}


def test_values_stay_while_a_position_is_open_and_are_read_again_when_it_is_closed():
    source = Source(a=1)
    sticky = Sticky(source)
    assert sticky.read(EUR, 1, is_held=False).values == {"a": 1}
    source.values = {"a": 2}

    held = sticky.read(EUR, 2, is_held=True)
    closed = sticky.read(EUR, 3, is_held=False)

    assert (held.values, held.is_new) == ({"a": 1}, False)
    assert (closed.values, closed.is_new) == ({"a": 2}, True)


def test_instruments_are_sticky_apart():
    source = Source(a=1)
    sticky = Sticky(source)
    sticky.read(EUR, 1, is_held=False)
    sticky.read(USD, 1, is_held=False)
    source.values = {"a": 2}

    assert sticky.read(EUR, 2, is_held=True).values == {"a": 1}
    assert sticky.read(USD, 2, is_held=False).values == {"a": 2}


def test_the_last_known_values_stay_where_flags_cannot_be_read():
    source = Source(a=1)
    sticky = Sticky(source)
    sticky.read(EUR, 1, is_held=False)
    source.values = None

    assert sticky.read(EUR, 2, is_held=False).values == {"a": 1}


def test_the_last_known_values_survive_a_restart_that_cannot_read_flags():
    before = Sticky(Source(a=1, b="x", c=True))
    before.read(EUR, 1, is_held=False)
    source = Source()
    source.values = None
    after = Sticky(source)

    after.load(json.loads(json.dumps(before.dump())))

    reading = after.read(EUR, 2, is_held=False)
    assert (reading.values, reading.is_new) == ({"a": 1, "b": "x", "c": True}, False)
    assert after.news(EUR, reading.values) == {"a": 1, "b": "x", "c": True}


def test_nothing_is_decided_while_flags_were_never_read():
    source = Source()
    source.values = None

    with pytest.raises(DatabaseAwayError, match="feature flags"):
        Sticky(source).read(EUR, 1, is_held=False)


def test_a_position_keeps_its_values_through_a_restart():
    before = Sticky(Source(a=1))
    before.read(EUR, 1, is_held=False)
    after = Sticky(Source(a=2))

    after.load(json.loads(json.dumps(before.dump())))

    assert after.read(EUR, 2, is_held=True).values == {"a": 1}


def test_a_process_is_told_once_of_what_has_not_changed():
    sticky = Sticky(Source(a=1))

    assert sticky.news(EUR, sticky.read(EUR, 1, is_held=False).values) == {"a": 1}
    assert sticky.news(EUR, sticky.read(EUR, 2, is_held=False).values) is None
    assert sticky.news(USD, sticky.read(USD, 2, is_held=False).values) == {"a": 1}


def test_a_value_that_changes_only_its_type_is_told():
    source = Source(a=1)
    sticky = Sticky(source)
    sticky.news(EUR, sticky.read(EUR, 1, is_held=False).values)
    source.values = {"a": True}

    assert sticky.news(EUR, sticky.read(EUR, 2, is_held=False).values) == {"a": True}


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=40))
def test_readings_that_are_new_tell_the_whole_story(steps):
    source, told, last = Source(), {}, None
    sticky = Sticky(source)
    for close_ns, (value, is_held) in enumerate(steps):
        source.values = {"a": value}
        reading = sticky.read(EUR, close_ns, is_held=is_held)
        if reading.is_new:
            told[close_ns] = reading.values
        assert told[max(told)] == reading.values
        assert last is None or not is_held or reading.values == last
        last = reading.values


def test_pinned_values_are_the_same_for_every_decision():
    read = pinned({"a": 1})

    assert read(1) == read(2) == {"a": 1}
