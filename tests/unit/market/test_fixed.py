from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategy_engine.market import fixed

WIDE, NARROW = 16, 9  # decimals of NautilusTrader's two builds


def column(units: list[int], decimals: int, *, held: int) -> pa.Array:
    width = 16 if held == WIDE else 8
    raw = [each * 10 ** (held - decimals) for each in units]
    return pa.array([each.to_bytes(width, "little", signed=True) for each in raw], pa.binary(width))


@given(
    units=st.lists(st.integers(-(10**14), 10**14), min_size=1, max_size=30),
    decimals=st.integers(1, WIDE),
)
def test_a_wide_number_is_the_nearest_float_of_its_decimal(units: list[int], decimals: int) -> None:
    found = fixed.numbers(column(units, decimals, held=WIDE), decimals)
    assert found.tolist() == [float(Decimal(each).scaleb(-decimals)) for each in units]


@given(
    units=st.lists(st.integers(-(10**9), 10**9), min_size=1, max_size=30),
    decimals=st.integers(0, NARROW),
    kind=st.sampled_from(["bytes", "int64"]),
)
def test_a_narrow_number_is_the_nearest_float_of_its_decimal(
    units: list[int], decimals: int, kind: str
) -> None:
    given_ = column(units, decimals, held=NARROW)
    if kind == "int64":
        given_ = pa.array([each * 10 ** (NARROW - decimals) for each in units], pa.int64())
    found = fixed.numbers(given_, decimals)
    assert found.tolist() == [float(Decimal(each).scaleb(-decimals)) for each in units]


def test_a_part_of_a_column_is_read_from_its_own_place() -> None:
    whole = column([1, 22, 333, 4444], 2, held=WIDE)
    assert fixed.numbers(whole.slice(1, 2), 2).tolist() == [0.22, 3.33]
    assert fixed.numbers(whole.slice(4), 2).tolist() == []


@pytest.mark.parametrize(
    ("given_", "decimals", "says"),
    [
        (pa.array([1.5]), 2, "values are double"),
        (pa.array([b"12"], pa.binary(2)), 2, "values are fixed_size_binary"),
        (pa.array([1, None], pa.int64()), 2, "1 values are null"),
        (column([5], 3, held=WIDE), 2, "0.005.* more than the 2 decimals"),
        (column([1], 0, held=WIDE), 17, "a precision of 17 decimals does not fit a scale of 16"),
        (pa.array([1], pa.int64()), 10, "a precision of 10 decimals does not fit a scale of 9"),
        (column([2**120], 16, held=WIDE), 16, "beyond any price"),
    ],
)
def test_what_is_no_such_column_is_told(given_: Any, decimals: int, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        fixed.numbers(given_, decimals)


@pytest.mark.parametrize("kind", [pa.uint64(), pa.int64(), pa.timestamp("ns", "UTC")])
def test_times_are_nanoseconds_of_any_such_type(kind: pa.DataType) -> None:
    given_ = pa.array(np.array([5, 7]), pa.int64()).cast(kind)
    assert fixed.times(given_).tolist() == [5, 7]


@pytest.mark.parametrize(
    ("given_", "says"),
    [
        (pa.array([5], pa.int32()), "times are int32"),
        (pa.array([5, None], pa.uint64()), "1 times are null"),
        (pa.array([2**63], pa.uint64()), "before 1970 or after 2262"),
        (pa.array([-1], pa.int64()), "before 1970 or after 2262"),
    ],
)
def test_times_that_are_none_are_told(given_: pa.Array, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        fixed.times(given_)
