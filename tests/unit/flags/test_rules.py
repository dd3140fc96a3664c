"""What a flag says, to whom, and what it may not say."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategy_engine.core.errors import InvalidError
from strategy_engine.flags import rules
from strategy_engine.flags.model import Content, Flag, FlagType, Reason, Rule, Subject

NOW = datetime(2026, 1, 5, tzinfo=UTC)
BAR_NS = 1_700_000_000_000_000_000
SUBJECT = Subject(
    execution_id="exec_1", strategy_id="strat_1", strategy_name="RSI", version="1.4.2"
)
BOOLEAN = Content(
    type=FlagType.BOOLEAN, default=False, owner="alice", expires_at=NOW + timedelta(days=30)
)


def flag(*given: Rule, key="new_exit", **changes) -> Flag:
    content = replace(BOOLEAN, rules=given, **changes)
    return Flag(key=key, content=content, created_at=NOW, created_by="alice", updated_at=NOW)


def says(made: Flag, subject=SUBJECT, *, close_ns=BAR_NS, now=NOW):
    return rules.evaluate(made, subject, close_ns=close_ns, now=now)


def test_without_a_rule_a_flag_says_its_default():
    assert (says(flag()).value, says(flag()).reason) == (False, Reason.DEFAULT)


@pytest.mark.parametrize(
    ("condition", "is_met"),
    [
        ({}, True),
        ({"strategy_name": "RSI"}, True),
        ({"strategy_name": "MACD"}, False),
        ({"strategy_id": "strat_1"}, True),
        ({"strategy_id": "strat_2"}, False),
        ({"execution_id": "exec_1"}, True),
        ({"execution_id": "exec_2"}, False),
        ({"versions": ">=1.2.0,<2.0.0"}, True),
        ({"versions": ">=1.5.0"}, False),
        ({"versions": "1.4.2"}, True),
        ({"versions": "> 1.4.2-rc.1, <= 1.4.2"}, True),
        ({"strategy_name": "RSI", "versions": "<1.0.0"}, False),
        ({"share_of_executions": 1.0}, True),
        ({"share_of_executions": 0.0}, False),
        ({"share_of_decisions": 1.0}, True),
        ({"share_of_decisions": 0.0}, False),
        ({"strategy_name": "MACD", "share_of_executions": 1.0}, False),
    ],
)
def test_a_rule_holds_when_everything_it_names_does(condition, is_met):
    assert says(flag(Rule(value=True, **condition))).value is is_met


def test_the_first_rule_that_holds_is_the_one_that_counts():
    made = flag(
        Rule(value="a", strategy_name="MACD"),
        Rule(value="b", execution_id="exec_1"),
        Rule(value="c"),
        type=FlagType.STRING,
        default="d",
    )

    found = says(made)

    assert (found.value, found.rule, found.reason) == ("b", 1, Reason.RULE)


def test_an_expired_or_archived_flag_says_its_default():
    made = flag(Rule(value=True))
    end = made.content.expires_at

    assert says(made, now=end - timedelta(microseconds=1)).value is True
    assert (says(made, now=end).value, says(made, now=end).reason) == (False, Reason.ENDED)
    assert says(replace(made, archived_at=NOW)).value is False


def test_what_is_not_known_of_the_asker_matches_no_rule():
    nobody = Subject(execution_id="", strategy_id="", strategy_name="", version="")
    made = flag(
        Rule(value=True, versions=">=0.0.0"),
        Rule(value=True, share_of_executions=1.0),
        Rule(value=True, share_of_decisions=1.0),
    )

    assert says(made, nobody).value is False
    assert says(flag(Rule(value=True, share_of_decisions=1.0)), close_ns=None).value is False


def test_a_share_of_executions_is_about_that_share_of_them():
    made = flag(Rule(value=True, share_of_executions=0.3))

    hit = sum(says(made, replace(SUBJECT, execution_id=f"exec_{n}")).value for n in range(5_000))

    assert 0.27 < hit / 5_000 < 0.33


def test_a_share_of_executions_is_the_same_at_every_decision_and_one_of_decisions_is_not():
    by_execution = flag(Rule(value=True, share_of_executions=0.5))
    by_decision = flag(Rule(value=True, share_of_decisions=0.5))
    bars = range(BAR_NS, BAR_NS + 400)

    assert len({says(by_execution, close_ns=bar).value for bar in bars}) == 1
    assert 140 < sum(says(by_decision, close_ns=bar).value for bar in bars) < 260


def test_two_flags_share_out_executions_independently():
    one = [rules.place("one", f"exec_{n}") < 0.5 for n in range(2_000)]
    other = [rules.place("other", f"exec_{n}") < 0.5 for n in range(2_000)]

    both = sum(a and b for a, b in zip(one, other, strict=True))

    assert 420 < both < 580


def test_a_place_never_moves_between_releases():
    # printf 'new_exit\\x1fexec_1' | sha256sum: its first 53 bits as a fraction
    assert rules.place("new_exit", "exec_1") == 0x845732EDAAA9E / (1 << 53)
    assert rules.place("new_exit", "exec_1", BAR_NS) == pytest.approx(
        0.025392362431561066, abs=1e-15
    )


@given(
    st.text(max_size=20),
    st.text(max_size=20),
    st.one_of(st.none(), st.integers(0, 2**63)),
)
def test_a_place_lies_on_the_scale(key, execution_id, close_ns):
    assert 0 <= rules.place(key, execution_id, close_ns) < 1


@given(st.text(min_size=1, max_size=20), st.floats(0, 1), st.floats(0, 1))
def test_a_larger_share_holds_whom_a_smaller_one_held(execution_id, one, other):
    small, large = sorted((one, other))
    subject = replace(SUBJECT, execution_id=execution_id)
    in_small = says(flag(Rule(value=True, share_of_executions=small)), subject).value
    in_large = says(flag(Rule(value=True, share_of_executions=large)), subject).value

    assert in_large or not in_small


@given(st.text(min_size=1, max_size=20), st.floats(0, 1))
def test_every_execution_has_one_value_and_the_same_one_when_asked_again(execution_id, share):
    made = flag(
        Rule(value="a", share_of_executions=share / 2),
        Rule(value="b", share_of_executions=share),
        type=FlagType.STRING,
        default="c",
    )
    subject = replace(SUBJECT, execution_id=execution_id)
    where = rules.place("new_exit", execution_id)

    assert says(made, subject) == says(made, subject)
    assert says(made, subject).value == (
        "a" if where < share / 2 else "b" if where < share else "c"
    )


def test_equal_values_of_other_types_are_not_the_same_reading():
    assert rules.is_same({"a": 1}, {"a": 1})
    assert not rules.is_same({"a": True}, {"a": 1})
    assert not rules.is_same({"a": 1}, {"a": 1, "b": 2})
    assert not rules.is_same({"a": 1}, {})


def check(**changes):
    rules.check(replace(BOOLEAN, **changes))


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (FlagType.BOOLEAN, True),
        (FlagType.STRING, ""),
        (FlagType.STRING, "x" * rules.LONGEST_TEXT),
        (FlagType.NUMBER, 0),
        (FlagType.NUMBER, -1.5),
        (FlagType.NUMBER, 2**53),
    ],
)
def test_a_value_of_the_flags_type_is_taken(kind, value):
    check(type=kind, default=value, rules=(Rule(value=value),))


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (FlagType.BOOLEAN, 1),
        (FlagType.BOOLEAN, "true"),
        (FlagType.STRING, 1),
        (FlagType.STRING, "x" * (rules.LONGEST_TEXT + 1)),
        (FlagType.STRING, "a\x00b"),
        (FlagType.STRING, "\ud800"),
        (FlagType.NUMBER, True),
        (FlagType.NUMBER, "1"),
        (FlagType.NUMBER, float("nan")),
        (FlagType.NUMBER, float("inf")),
        (FlagType.NUMBER, 2**53 + 1),
    ],
)
def test_a_value_of_another_type_is_refused_by_name(kind, value):
    good = {FlagType.BOOLEAN: True, FlagType.STRING: "x", FlagType.NUMBER: 1}[kind]
    with pytest.raises(InvalidError) as default:
        check(type=kind, default=value)
    with pytest.raises(InvalidError) as ruled:
        check(type=kind, default=good, rules=(Rule(value=good), Rule(value=value)))

    assert default.value.facts["field"] == "default"
    assert ruled.value.facts["field"] == "rules.1.value"


@pytest.mark.parametrize(
    ("rule", "field"),
    [
        ({"share_of_executions": 1.01}, "rules.0.share_of_executions"),
        ({"share_of_decisions": -0.1}, "rules.0.share_of_decisions"),
        ({"share_of_decisions": float("nan")}, "rules.0.share_of_decisions"),
        ({"versions": ">=1.2"}, "versions"),
        ({"versions": ""}, "versions"),
        ({"versions": "~1.2.0"}, "versions"),
        ({"strategy_name": ""}, "rules.0.strategy_name"),
        ({"execution_id": "x" * 101}, "rules.0.execution_id"),
    ],
)
def test_a_rule_that_cannot_hold_is_refused(rule, field):
    with pytest.raises(InvalidError) as told:
        check(rules=(Rule(value=True, **rule),))

    assert told.value.facts["field"] == field


@pytest.mark.parametrize("days", [-1, 0, 367])
def test_a_flag_ends_ahead_and_within_a_year(days):
    with pytest.raises(InvalidError, match="expires_at"):
        rules.check_expiry(NOW + timedelta(days=days), NOW)


def test_a_flag_has_an_owner_and_not_too_many_rules():
    with pytest.raises(InvalidError, match="owner"):
        check(owner=" ")
    with pytest.raises(InvalidError, match="rules"):
        check(rules=(Rule(value=True),) * (rules.MOST_RULES + 1))


@pytest.mark.parametrize("key", ["", "A", "1a", "a b", "a/b", "ä", "x" * 61])
def test_a_key_is_something_that_code_and_an_audit_can_hold(key):
    with pytest.raises(InvalidError, match="key"):
        rules.check_key(key)


def test_a_plain_key_is_taken():
    for key in ("a", "new_exit", "desk.new-exit.2", "x" * 60):
        rules.check_key(key)
