"""Thresholds, for-durations, hysteresis, matches and their words: tables and properties."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategy_engine.alerts import judging, rules, wording
from strategy_engine.alerts.builtin import BUILT_IN
from strategy_engine.alerts.judging import Begin, Move, Reading
from strategy_engine.alerts.model import Alert, Severity, State, Trigger
from strategy_engine.alerts.rules import Match, Rule, Scope, Threshold
from strategy_engine.core.errors import InvalidError
from strategy_engine.infra.eventlog import BEGINNING, Event

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DEEP = Threshold(scope=Scope.EXECUTION, name="max_drawdown", below=-0.1, clear=-0.05)
RULE = Rule(rule_id="deep", name="Deep", severity=Severity.WARNING, threshold=DEEP)
FINITE = st.floats(allow_nan=False, allow_infinity=False, width=32)


def alert(state: State = State.FIRING, **changes: Any) -> Alert:
    made = Alert(
        alert_id="alert_1",
        key="deep:exec_1",
        rule_id="deep",
        severity=Severity.WARNING,
        state=state,
        subject_type="execution",
        subject_id="exec_1",
        title="",
        message="",
        details={},
        labels={},
        count=1,
        since=NOW,
        last_at=NOW,
        fired_at=None if state is State.PENDING else NOW,
    )
    return replace(made, **changes)


def reading(value: float | None, subject: str = "exec_1", **changes: Any) -> Reading:
    return Reading(
        scope=Scope.EXECUTION, subject_id=subject, metrics={"max_drawdown": value}, **changes
    )


def measured(
    rule: Rule, readings: Sequence[Reading], opened: Sequence[Alert], at_s: float = 0
) -> list[Begin | Move]:
    now = NOW + timedelta(seconds=at_s)
    return judging.measured([rule], readings, {rule.rule_id: opened}, now)


@pytest.mark.parametrize(
    ("value", "is_open", "holds"),
    [
        (-0.11, False, True),
        (-0.1, False, False),
        (-0.07, False, False),
        (-0.07, True, True),
        (-0.05, True, False),
        (0.0, True, False),
        (None, True, None),
        (float("nan"), False, None),
    ],
)
def test_a_threshold_holds_beyond_its_limit_and_ends_within_its_clear(value, is_open, holds):
    assert DEEP.holds(value, is_open=is_open) is holds


@given(value=FINITE, limit=FINITE, back=FINITE, above=st.booleans(), is_open=st.booleans())
def test_what_begins_an_alert_never_ends_it(value, limit, back, above, is_open):
    inner = min(limit, back) if above else max(limit, back)
    side = {"above": limit} if above else {"below": limit}
    threshold = Threshold(scope=Scope.ENGINE, name="m", clear=inner, **side)
    begins = threshold.holds(value, is_open=False)
    assert not begins or threshold.holds(value, is_open=True)


STEPS = [
    (None, True, 0, 0, State.FIRING),
    (None, True, 60, 0, State.PENDING),
    (None, False, 0, 0, None),
    (None, None, 0, 0, None),
    (State.PENDING, True, 60, 59.9, None),
    (State.PENDING, True, 60, 60, Trigger.FIRE),
    (State.PENDING, False, 60, 99, Trigger.LAPSE),
    (State.PENDING, None, 60, 99, None),
    (State.FIRING, True, 60, 99, None),
    (State.FIRING, False, 60, 99, Trigger.RESOLVE),
    (State.FIRING, None, 60, 99, None),
    (State.ACKNOWLEDGED, True, 60, 99, None),
    (State.ACKNOWLEDGED, False, 60, 99, Trigger.RESOLVE),
    (State.ACKNOWLEDGED, None, 60, 99, None),
]


@pytest.mark.parametrize(("state", "holds", "for_s", "after_s", "expected"), STEPS)
def test_what_a_condition_makes_of_its_alert(state, holds, for_s, after_s, expected):
    before = None if state is None else alert(state)
    now = NOW + timedelta(seconds=after_s)
    assert rules.step(before, holds=holds, for_s=for_s, now=now) is expected


@given(
    values=st.lists(st.sampled_from([-0.2, -0.07, 0.0, None]), max_size=40), for_s=st.integers(0, 3)
)
def test_an_alert_fires_exactly_when_its_condition_held_for_as_long_as_it_says(values, for_s):
    """Held against a plain reckoning of the same series, a second between two values."""
    threshold = replace(DEEP, clear=None, for_s=float(for_s))
    rule = replace(RULE, threshold=threshold)
    current: Alert | None = None
    held_since: int | None = None
    for second, value in enumerate(values):
        if value is not None:
            is_beyond = value < -0.1
            held_since = (second if held_since is None else held_since) if is_beyond else None
        for step in measured(rule, [reading(value)], [current] if current else [], second):
            at = NOW + timedelta(seconds=second)
            if isinstance(step, Begin):
                current = alert(step.state, since=at, last_at=at)
            elif step.trigger is Trigger.FIRE:
                current = replace(step.alert, state=State.FIRING, fired_at=at)
            else:
                current = None
        if value is not None:
            fires = held_since is not None and second - held_since >= for_s
            assert (current is not None and current.state is State.FIRING) is fires


def test_a_subject_that_is_no_longer_measured_ends_its_alert_and_one_unknown_does_not():
    (gone,) = measured(RULE, [], [alert()])
    unknown = measured(RULE, [reading(None)], [alert()])

    assert isinstance(gone, Move)
    assert (gone.trigger, gone.why) == (Trigger.RESOLVE, "it is no longer measured")
    assert unknown == []


def test_alerts_that_end_by_their_time_are_not_judged_by_measurements():
    assert measured(RULE, [], [alert(expires_at=NOW)]) == []


def test_only_the_subject_that_is_named_is_judged_by_any_of_its_names():
    rule = replace(RULE, threshold=replace(DEEP, subject="RSI"))
    found = measured(rule, [reading(-1.0), reading(-1.0, "exec_2", names=("strat_1", "RSI"))], [])

    (begin,) = found
    assert isinstance(begin, Begin)
    assert begin.cause.subject_id == "exec_2"
    assert begin.cause.message == "max_drawdown is -1, below -0.1"


def test_a_key_joins_what_its_template_leaves_out():
    rule = replace(RULE, key="{rule_id}:{line}")
    told = {"line": "RSI"}
    found = measured(rule, [reading(-1.0, told=told), reading(-1.0, "exec_2", told=told)], [])

    assert {each.cause.key for each in found if isinstance(each, Begin)} == {"deep:RSI"}


def event(topic: str, **payload: Any) -> Event:
    return Event(
        place=BEGINNING,
        number=1,
        is_published=True,
        topic=topic,
        at=NOW,
        subject_type="execution",
        subject_id="exec_1",
        execution_id="exec_1",
        payload=payload,
    )


@pytest.mark.parametrize(
    ("match", "payload", "fits"),
    [
        (Match(topic="strategy"), {}, True),
        (Match(topic="strategy.error"), {}, True),
        (Match(topic="strat"), {}, False),
        (Match(topic="strategy.error.x"), {}, False),
        (Match(topic="strategy", fields={"error": "boom"}), {"error": "boom"}, True),
        (Match(topic="strategy", fields={"error": "boo*"}), {"error": "boom"}, True),
        (Match(topic="strategy", fields={"error": "b[o]om"}), {"error": "boom"}, False),
        (Match(topic="strategy", fields={"error": "boom"}), {}, False),
        (Match(topic="strategy", fields={"a.b": 1}), {"a": {"b": 1.0}}, True),
        (Match(topic="strategy", fields={"a.b": 1}), {"a": 1}, False),
        (Match(topic="strategy", fields={"passed": True}), {"passed": 1}, False),
        (Match(topic="strategy", fields={"passed": None}), {}, True),
    ],
)
def test_an_event_fits_by_its_topic_and_its_fields(match, payload, fits):
    assert match.fits("strategy.error", payload) is fits


def test_what_alerts_do_raises_none():
    rule = Rule(rule_id="r", name="R", severity=Severity.INFO, match=Match(topic="alert"))
    assert judging.happened([rule], [event("alert.fire")]) == []


def test_a_rule_that_is_switched_off_finds_nothing():
    off = replace(RULE, is_enabled=False)
    quiet = Rule(
        rule_id="r", name="R", severity=Severity.INFO, match=Match(topic="flag"), is_enabled=False
    )
    assert measured(off, [reading(-1.0)], []) == []
    assert judging.happened([quiet], [event("flag.update")]) == []


@pytest.mark.parametrize(
    ("topic", "payload", "rule_ids"),
    [
        ("strategy.error", {"error": "raised"}, ["execution_error"]),
        (
            "strategy.error",
            {"error": "died; it was started again 3 times before"},
            ["execution_error", "restarts_exhausted"],
        ),
        ("strategy.execution.stopped", {"end_reason": "lost"}, ["execution_lost"]),
        ("strategy.execution.stopped", {"end_reason": "stopped"}, []),
        ("pipeline.failed", {"outcome": "rolled_back"}, ["rollout_undone"]),
        ("pipeline.failed", {"outcome": "rejected"}, []),
        ("execution.risk.halt", {}, ["risk_command"]),
    ],
)
def test_the_built_in_rules_hear_what_they_are_for(topic, payload, rule_ids):
    found = judging.happened(BUILT_IN, [event(topic, **payload)])
    assert [each.rule_id for each in found] == rule_ids


@pytest.mark.parametrize("built_in", BUILT_IN, ids=lambda each: each.rule_id)
def test_a_rule_is_read_back_as_it_was_written(built_in):
    read = wording.rule(wording.plain(built_in), rule_id=built_in.rule_id)
    assert replace(read, is_built_in=True) == built_in


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ({"severity": "loud"}, "severity"),
        ({"metric": {"name": "a b", "above": 1}}, "metric.name"),
        ({"metric": {"name": "a", "above": float("inf")}}, "metric.above"),
        ({"metric": {"name": "a", "above": 1, "scope": "world"}}, "metric.scope"),
        ({"metric": {"name": "a", "above": 1, "for_s": -1}}, "metric.for_s"),
        ({"metric": {"name": "a", "below": 1, "clear": 0.5}}, "metric.clear"),
        ({"event": {"topic": "Strategy"}}, "event.topic"),
        ({"event": {"topic": "flag", "fields": {"a": [1]}}}, "event.fields.a"),
        ({"labels": {str(number): "x" for number in range(21)}}, "labels"),
        ({"key": "{password}"}, "key"),
        ({"resolve_after_s": True}, "resolve_after_s"),
    ],
)
def test_what_is_no_rule_is_named(content, named):
    with pytest.raises(InvalidError) as caught:
        wording.rule(content, rule_id="r")
    assert caught.value.facts["field"] == named
