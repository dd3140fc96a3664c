"""Bars from the bus: what they say, their order, and the arrays that they are appended to."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategy_engine.core.errors import InvalidError
from strategy_engine.market import busrules
from strategy_engine.market.busrules import Standing
from strategy_engine.market.growing import GrowingBars
from strategy_engine.market.model import COLUMNS, Bars
from strategy_engine.market.recorded import BusBar

HOUR_NS = 3_600_000_000_000
TYPE = "EUR/USD.SIM-1-HOUR-LAST-EXTERNAL"
PAYLOAD = {
    "type": "Bar",
    "bar_type": TYPE,
    "open": "1.10000",
    "high": "1.20000",
    "low": "1.00000",
    "close": "1.15000",
    "volume": "1000",
    "ts_event": "1700000000000000000",
    "ts_init": "1700000000000000001",
}
BAR = BusBar(
    bar_type=TYPE,
    close_ns=1_700_000_000_000_000_000,
    open=1.1,
    high=1.2,
    low=1.0,
    close=1.15,
    volume=1_000.0,
)


@pytest.mark.parametrize(
    "ts_event",
    [
        "1700000000000000000",
        1_700_000_000_000_000_000,
        "2023-11-14T22:13:20Z",
        "2023-11-14T22:13:20.000000+00:00",
    ],
)
def test_a_bar_is_read_whatever_its_producer_writes_times_as(ts_event):
    assert busrules.bar_of(PAYLOAD | {"ts_event": ts_event}) == BAR


def test_a_bar_made_of_other_bars_is_one_of_its_own_type():
    assert busrules.bar_of(PAYLOAD | {"bar_type": f"{TYPE}@1-MINUTE-EXTERNAL"}) == BAR


@pytest.mark.parametrize(
    "changes",
    [
        {"type": "QuoteTick"},
        {"open": "nan"},
        {"close": None},
        {"volume": True},
        {"volume": "-1"},
        {"high": "1.1"},
        {"low": "1.12"},
        {"ts_event": None},
        {"ts_event": "yesterday"},
        {"ts_event": -5},
        {"ts_event": 1.5},
        {"ts_event": "9" * 30},
        {"ts_event": "9999-12-31T00:00:00Z"},
        {"ts_event": "1969-12-31T00:00:00Z"},
        {"ts_event": "2023-11-14T22:13:20"},
        {"ts_event": float("inf")},
        {"ts_event": float("nan")},
        {"open": float("inf")},
        {"volume": 10**400},
    ],
    ids=str,
)
def test_what_is_no_possible_bar_is_refused(changes):
    with pytest.raises(InvalidError):
        busrules.bar_of(PAYLOAD | changes)


# --- the order of one type


def bar(close_ns: int, bar_type: str = TYPE) -> BusBar:
    return BusBar(
        bar_type=bar_type, close_ns=close_ns, open=1.0, high=1.0, low=1.0, close=1.0, volume=0.0
    )


@given(st.lists(st.tuples(st.sampled_from("AB"), st.integers(1, 20)), max_size=60))
def test_of_each_type_only_later_bars_are_taken_and_every_other_is_counted(places):
    bars = [bar(close_ns, bar_type) for bar_type, close_ns in places]

    taken, dropped = busrules.in_order(bars, {"A": 3})

    for bar_type, start in (("A", 3), ("B", 0)):
        times = [start] + [each.close_ns for each in taken if each.bar_type == bar_type]
        assert all(earlier < later for earlier, later in pairwise(times))
    assert len(taken) + dropped.total() == len(bars)


def test_a_repeated_bar_and_an_old_one_are_counted_apart():
    taken, dropped = busrules.in_order([bar(5), bar(5), bar(4), bar(6)], {})
    assert [each.close_ns for each in taken] == [5, 6]
    assert dropped == {"bars_repeated": 1, "bars_out_of_order": 1}


# --- the order of several instruments


def standing(symbol: str, next_ns: int | None, last_ns: int = 0) -> Standing:
    return Standing(symbol=symbol, duration_ns=10, next_ns=next_ns, last_ns=last_ns)


def test_a_single_instrument_never_waits():
    assert busrules.next_symbol([standing("A", 20)], is_late=False) == "A"


def test_without_a_bar_there_is_none_even_late():
    assert busrules.next_symbol([standing("A", None)], is_late=True) is None


def test_a_bar_waits_for_those_of_earlier_names_at_the_same_time():
    both = [standing("A", None, last_ns=10), standing("B", 20, last_ns=10)]
    assert busrules.next_symbol(both, is_late=False) is None
    assert busrules.next_symbol(both, is_late=True) == "B"


def test_a_bar_does_not_wait_for_a_later_name_that_misses_nothing():
    both = [standing("A", 20, last_ns=10), standing("B", None, last_ns=10)]
    assert busrules.next_symbol(both, is_late=False) == "A"


def test_a_bar_waits_for_a_later_name_that_misses_an_earlier_bar():
    both = [standing("A", 20, last_ns=10), standing("B", None, last_ns=0)]
    assert busrules.next_symbol(both, is_late=False) is None


@given(
    st.dictionaries(st.sampled_from("ABCD"), st.one_of(st.none(), st.integers(1, 30)), min_size=1),
    st.booleans(),
)
def test_what_is_next_is_always_the_first_of_what_waits(nexts, is_late):
    standings = [standing(name, next_ns) for name, next_ns in nexts.items()]
    chosen = busrules.next_symbol(standings, is_late=is_late)
    waiting = [(next_ns, name) for name, next_ns in nexts.items() if next_ns is not None]
    assert chosen in {None, min(waiting)[1] if waiting else None}
    if is_late and waiting:
        assert chosen == min(waiting)[1]


# --- arrays that grow


def history(count: int) -> Bars:
    times = np.arange(count, dtype=np.int64) * HOUR_NS
    prices = np.linspace(1.0, 2.0, count) if count else np.zeros(0)
    return Bars(
        ts_ns=times,
        open=prices,
        high=prices,
        low=prices,
        close=prices,
        volume=prices,
        timeframe_ns=HOUR_NS,
    )


@given(past=st.integers(0, 30), added=st.integers(0, 3_000))
def test_what_is_appended_is_read_like_a_history(past, added):
    growing = GrowingBars(history(past))

    for number in range(past, past + added):
        assert growing.append(bar((number + 1) * HOUR_NS))

    shown = growing.bars
    assert len(growing) == len(shown) == past + added
    assert shown.ts_ns.tolist() == [number * HOUR_NS for number in range(past + added)]
    assert growing.last_close_ns == (past + added) * HOUR_NS


def test_a_view_that_was_handed_out_stays_as_it_was():
    growing = GrowingBars(history(5))
    growing.append(bar(6 * HOUR_NS))
    before = growing.bars
    copied: dict[str, Any] = {name: getattr(before, name).copy() for name in COLUMNS}

    for number in range(6, 2_000):
        growing.append(bar((number + 1) * HOUR_NS))

    assert len(before) == 6
    for name, column in copied.items():
        np.testing.assert_array_equal(getattr(before, name), column)


@pytest.mark.parametrize("close_ns", [0, HOUR_NS, 5 * HOUR_NS])
def test_a_bar_that_is_not_later_changes_nothing(close_ns):
    growing = GrowingBars(history(5))
    assert not growing.append(bar(close_ns))
    assert len(growing.bars) == 5
