import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategy_engine.pipeline import wording


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("plain, and über 8 ≥ 7", "plain, and über 8 ≥ 7"),
        ("a\nb", "a | b"),
        ("a  \r\n\n  b\n", "a | b"),
        ("a\u2028b\x85c", "a | b | c"),
        ("a\tb\xa0c", "a b c"),
        ("\x1b[2Jgone\x07", "\ufffd[2Jgone\ufffd"),
        ("\n", ""),
    ],
)
def test_a_text_becomes_one_line(said, shown):
    assert wording.one_line(said) == shown


@given(st.text())
def test_whatever_was_said_is_one_printable_line_and_stays_it(said):
    shown = wording.one_line(said)
    assert shown.isprintable()
    assert wording.one_line(shown) == shown


def test_every_text_in_plain_json_is_tidied():
    assert wording.tidied({"a": ["x\ny", {"b": ("\x1b", 1.5, None, True)}]}) == {
        "a": ["x | y", {"b": ["\ufffd", 1.5, None, True]}]
    }
