"""Plain values and their lines, or one clear refusal."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategy_engine.cli import yamlfile

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("abcxyz", min_size=1), inner)
    ),
    max_leaves=12,
)


@given(PLAIN)
def test_json_is_read_as_what_it_is(value: Any) -> None:
    assert yamlfile.read(json.dumps(value, ensure_ascii=False)).value == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("on", "on"),
        ("1e-3", 0.001),
        ("010", 10),
        ("0x10", 16),
        ("0o10", 8),
        ("2024-01-01", "2024-01-01"),
        ("1:30", "1:30"),
        ("1.2.0", "1.2.0"),
        ("1.2", 1.2),
        ("'1.2'", "1.2"),
        ("~", None),
        ("", None),
        ("TRUE", True),
        ("-5", -5),
        ("|\n  5\n", "5\n"),
        ("1_000", "1_000"),
    ],
)
def test_scalars_are_read_by_the_core_rules_of_yaml_1_2(text: str, value: Any) -> None:
    read = yamlfile.read(f"a: {text}").value["a"]
    assert read == value
    assert type(read) is type(value)


def test_every_value_knows_the_line_of_its_name() -> None:
    document = yamlfile.read("a: 1\nb:\n  - x: 2\n    y:\n      3\n")

    assert document.line_of(("b", 0, "y")) == 4
    assert document.line_of(("b", 0, "missing")) == 3
    assert document.line_of(("elsewhere",)) == 1


def test_an_anchor_repeats_and_a_merge_fills_in() -> None:
    document = yamlfile.read("base: &b {x: 1, y: 2}\nuse:\n  y: 3\n  <<: *b\nagain: *b\n")

    assert document.value["use"] == {"y": 3, "x": 1}
    assert document.value["again"] == {"x": 1, "y": 2}


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", 3, "a is given twice"),
        ("a: 1\n b: 2\n", 2, "no YAML"),
        ("a: 1\n---\nb: 2\n", 2, "no YAML"),
        ("a: !!python/object:os.system 1\n", 1, "tag"),
        ("a: !secret x\n", 1, "tag"),
        ("? [1, 2]\n: 3\n", 1, "a name must be a text"),
        ("a: .inf\n", 1, "no finite number"),
        ("a: " + "9" * 60, 1, "60 digits"),
        ("a: &a [*a]\n", 1, "levels"),
        ("[" * 5_000, 1, "levels|no YAML"),
        ("a: 1\n<<: 3\n", 2, "<< takes"),
        ("a: \x01", 1, "no YAML"),
        ("x" * (yamlfile.LONGEST + 1), 1, "characters"),
    ],
)
def test_what_is_no_plain_value_is_refused_with_its_line(
    text: str, line: int, message: str
) -> None:
    with pytest.raises(yamlfile.YamlError, match=message) as caught:
        yamlfile.read(text)
    assert caught.value.line == line


def test_aliases_that_multiply_are_refused_before_they_fill_the_memory() -> None:
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    with pytest.raises(yamlfile.YamlError, match="more than 100,000 values"):
        yamlfile.read("\n".join(lines))
