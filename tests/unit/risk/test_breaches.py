"""A breach begins once, lasts, takes those in who join, and ends once."""

from datetime import UTC, datetime

import pytest

from strategy_engine.risk import breaches, rules
from strategy_engine.risk.breaches import Breach, Changes
from strategy_engine.risk.rules import Finding, Measure, Observed, Seen
from strategy_engine.venue.limits import Scope

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
LATER = datetime(2026, 3, 2, 13, tzinfo=UTC)


def finding(
    value: float | None, *executions: str, measure: Measure = Measure.DAILY_LOSS
) -> Finding:
    observed = Observed(
        scope=Scope.LINE,
        subject="RSI",
        executions=executions or ("exec_1",),
        values={measure: Seen(value=value, n=100)},
    )
    limit = -100 if measure is Measure.DAILY_LOSS else 1
    bounds = rules.bounds_of([((Scope.LINE, "RSI"), {measure: limit})])
    return rules.judge(observed, bounds)[0]


@pytest.fixture
def lasting() -> dict[breaches.Key, Breach]:
    (begun,) = breaches.follow({}, [finding(-150.0)], NOW).begun
    return {begun.key: begun}


def test_a_limit_that_is_broken_begins_a_breach_with_its_figures(lasting):
    (begun,) = lasting.values()

    assert (begun.value, begun.limit, begun.sample) == (-150.0, -100, 100)
    assert (begun.scope, begun.subject, begun.executions) == (Scope.LINE, "RSI", ("exec_1",))
    assert begun.message == (
        "line RSI: the day's P&L is -150.00; daily_loss_limit of line RSI is -100"
    )
    assert (begun.began_at, begun.ended_at) == (NOW, None)


def test_a_breach_that_lasts_is_not_begun_again(lasting):
    assert breaches.follow(lasting, [finding(-170.0)], LATER) == Changes()


@pytest.mark.parametrize("value", [None, -97.0])
def test_what_is_not_known_or_hardly_over_does_not_end_it(lasting, value):
    assert breaches.follow(lasting, [finding(value)], LATER) == Changes()


def test_it_ends_when_the_value_is_within_again(lasting):
    (ended,) = breaches.follow(lasting, [finding(-10.0)], LATER).ended

    assert (ended.breach_id, ended.ended_at) == (next(iter(lasting.values())).breach_id, LATER)


def test_who_comes_to_a_line_that_has_lost_too_much_is_stopped_as_well(lasting):
    (joined,) = breaches.follow(lasting, [finding(-150.0, "exec_1", "exec_2")], LATER).joined

    assert joined.executions == ("exec_2",)
    assert joined.breach.executions == ("exec_1", "exec_2")
    known = {joined.breach.key: joined.breach}
    assert breaches.follow(known, [finding(-150.0, "exec_1", "exec_2")], LATER) == Changes()


def test_nobody_joins_what_only_alerts():
    first = finding(2.0, measure=Measure.EXPOSURE)
    (begun,) = breaches.follow({}, [first], NOW).begun

    again = finding(2.0, "exec_1", "exec_2", measure=Measure.EXPOSURE)

    assert breaches.follow({begun.key: begun}, [again], LATER) == Changes()


def test_what_is_within_begins_nothing():
    assert breaches.follow({}, [finding(-10.0), finding(None)], NOW) == Changes()


def test_the_breaches_of_executions_that_run_no_more_are_found():
    observed = Observed(
        scope=Scope.EXECUTION,
        subject="exec_9",
        executions=("exec_9",),
        values={Measure.SILENCE: Seen(value=99.0, n=1)},
    )
    bounds = rules.bounds_of([((Scope.EXECUTION, "exec_9"), {"max_silence_s": 5})])
    (begun,) = breaches.follow({}, rules.judge(observed, bounds), NOW).begun

    assert breaches.gone({begun.key: begun}, set()) == [begun]
    assert breaches.gone({begun.key: begun}, {(Scope.EXECUTION, "exec_9")}) == []


def test_a_breach_of_a_line_is_over_once_nobody_of_it_runs_and_all_have_ended(lasting):
    (begun,) = lasting.values()

    assert breaches.gone(lasting, {(Scope.LINE, "RSI")}) == []
    assert breaches.gone(lasting, {(Scope.LINE, "Other")}) == [begun]
    assert breaches.has_ended(begun, {"exec_1"})
    assert not breaches.has_ended(begun, {"exec_9"})


def test_of_a_correlation_nothing_is_known_once_one_of_the_two_has_ended():
    found = finding(2.0, "exec_1", "exec_2", measure=Measure.CORRELATION)
    (begun,) = breaches.follow({}, [found], NOW).begun
    both = {(Scope.EXECUTION, "exec_1"), (Scope.EXECUTION, "exec_2")}

    assert breaches.gone({begun.key: begun}, both) == []
    assert breaches.gone({begun.key: begun}, {(Scope.EXECUTION, "exec_1")}) == [begun]
    assert breaches.has_ended(begun, {"exec_2"})
    assert not breaches.has_ended(begun, set())


def test_a_breach_ends_with_its_limit_and_not_while_nobody_knows_the_limits(lasting):
    line = Scope.LINE, "RSI"
    bounds = rules.bounds_of([(line, {"daily_loss_limit": -100})])

    assert breaches.lifted(lasting, {line: bounds}, LATER) == ()
    assert breaches.lifted(lasting, {}, LATER) == ()
    (over,) = breaches.lifted(lasting, {line: {}}, LATER)
    assert over.ended_at == LATER
