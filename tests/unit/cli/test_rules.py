import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategy_engine.cli import rules
from strategy_engine.client import problems
from strategy_engine.core.errors import InvalidError, NotFoundError

NAMES = st.text("abcdefghijklmnopqrstuvwxyz_", min_size=1, max_size=12)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(NAMES, VALUES, max_size=5))
def test_values_written_as_json_come_back_as_they_were(values: dict[str, object]) -> None:
    pairs = [f"{name}={json.dumps(value)}" for name, value in values.items()]

    assert rules.assignments(pairs, "--param") == values


@pytest.mark.parametrize(
    ("pair", "value"),
    [("a=EUR/USD.SIM", "EUR/USD.SIM"), ("a=", ""), ("a=b=c", "b=c"), ("a= 14 ", 14), ("a=-5", -5)],
)
def test_a_value_that_is_no_json_is_text(pair: str, value: object) -> None:
    assert rules.assignments([pair], "--param") == {"a": value}


@pytest.mark.parametrize("pair", ["rsi_period", "=14", " =1", ""])
def test_a_pair_without_name_or_value_is_refused_with_how_to_write_it(pair: str) -> None:
    with pytest.raises(InvalidError, match="--param n=14"):
        rules.assignments([pair], "--param")


def test_a_name_given_twice_is_refused() -> None:
    with pytest.raises(InvalidError, match="--risk a is given twice"):
        rules.assignments(["a=1", "a=2"], "--risk")


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "1e999", "[1, NaN]"])
def test_a_number_that_json_cannot_carry_is_refused(text: str) -> None:
    with pytest.raises(InvalidError, match="no finite number"):
        rules.assignments([f"a={text}"], "--param")


def test_what_is_asked_wrongly_here_exits_2_and_what_fails_there_exits_1() -> None:
    assert rules.exit_code(InvalidError("bad")) == 2
    assert rules.exit_code(NotFoundError("gone")) == 1
    assert rules.exit_code(problems.refusal(422, {"detail": "refused"})) == 1


@given(st.text())
def test_printable_text_holds_no_control_character_but_line_ends_and_tabs(text: str) -> None:
    shown = rules.printable(text)

    assert all(each.isprintable() or each in "\n\t" for each in shown)
    assert len(shown) == len(text)


@given(st.text("abc äöü 漢字 €\n\t"))
def test_ordinary_text_is_printed_as_it_is(text: str) -> None:
    assert rules.printable(text) == text
