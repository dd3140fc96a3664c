"""Values on their way into and out of JSON."""

import json
import math
import unicodedata
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from enum import StrEnum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategy_engine.api import plain

ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.decimals()
    | st.text(st.characters())
    | st.datetimes(timezones=st.just(UTC))
    | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters()), inner),
    max_leaves=20,
)


class Colour(StrEnum):
    RED = "red"


@given(ANYTHING)
def test_anything_becomes_json_that_utf8_carries(value: Any) -> None:
    shown = plain.plain(value)
    assert json.loads(json.dumps(shown, allow_nan=False, ensure_ascii=False).encode()) == shown


@given(st.text(st.characters()))
def test_lines_hold_no_control_character_but_line_ends_and_tabs(value: str) -> None:
    assert not {each for each in plain.lines(value) if is_control(each)} - {"\n", "\t"}


@given(st.text(st.characters()))
def test_a_line_is_one_and_holds_no_control_character(value: str) -> None:
    shown = plain.line(value)
    assert len(shown.splitlines()) <= 1
    assert not any(is_control(each) for each in shown)


@given(ANYTHING)
def test_what_is_shown_holds_no_control_character(value: Any) -> None:
    assert not {each for each in leaves(plain.shown(value)) if is_control(each)} - {"\n", "\t"}


@given(st.lists(st.text("abc äöü 漢字 € 😀", min_size=1)))
def test_ordinary_lines_stay_as_they_are(parts: list[str]) -> None:
    assert plain.lines("\n".join(parts)) == "\n".join(parts)


def is_control(character: str) -> bool:
    return unicodedata.category(character) == "Cc"


def leaves(value: Any) -> str:
    if isinstance(value, dict):
        return "".join(name + leaves(each) for name, each in value.items())
    if isinstance(value, list):
        return "".join(leaves(each) for each in value)
    return str(value)


@given(ANYTHING)
def test_an_echo_is_short(value: Any) -> None:
    shown = plain.echo(value)
    assert len(json.dumps(shown, allow_nan=False)) <= 6 * plain.LONGEST_ECHO + 20


@given(ANYTHING)
def test_a_number_is_always_finite(value: Any) -> None:
    assert math.isfinite(plain.number(value))


@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**53), 2**53))
def test_a_finite_number_stays_what_it_is(value: float) -> None:
    assert plain.number(value) == value


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (Colour.RED, "red"),
        (Decimal("1.5"), 1.5),
        (Decimal("NaN"), None),
        (float("-inf"), None),
        ((1, {2}), [1, [2]]),
        ({1: "a"}, {"1": "a"}),
        (datetime(2025, 8, 24, 12, tzinfo=timezone(timedelta(hours=2))), "2025-08-24T10:00:00Z"),
        (b"x", "b'x'"),
    ],
)
def test_a_value_becomes_jsons_own_kind(value: Any, shown: Any) -> None:
    assert plain.plain(value) == shown


def test_what_holds_itself_ends_somewhere() -> None:
    loop: list[Any] = []
    loop.append(loop)
    assert json.dumps(plain.plain(loop))


JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=30,
)


@given(JSON)
def test_a_body_is_refused_only_for_what_it_holds(body: Any) -> None:
    if "\\u0000" in json.dumps(body):
        with pytest.raises(plain.UnfitError, match="NUL"):
            plain.check_body(body)
    else:
        plain.check_body(body)


def test_the_place_of_a_fault_is_named() -> None:
    with pytest.raises(plain.UnfitError, match=r"^parameters\.a\.1 is nan; send a finite number$"):
        plain.check_body({"parameters": {"a": [0, float("nan")]}})
