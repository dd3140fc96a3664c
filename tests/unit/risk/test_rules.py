"""Every limit of the monitor, judged just inside, at and just beyond it."""

import pytest

from strategy_engine.risk import rules
from strategy_engine.risk.model import Action
from strategy_engine.risk.rules import Bound, Measure, Observed, Seen, State
from strategy_engine.venue.limits import Scope

# measure, limit, a value within, one too near for a breach to end, one beyond, and what follows
TABLE = (
    (Measure.DAILY_LOSS, -1_000.0, -900.0, -960.0, -1_000.0, Action.PAUSE),
    (Measure.SOFT_DRAWDOWN, -0.10, -0.05, -0.099, -0.10, Action.REDUCE),
    (Measure.MAX_DRAWDOWN, -0.20, -0.15, -0.199, -0.20, Action.HALT),
    (Measure.LOSSES, 4, 3, None, 4, Action.PAUSE),
    (Measure.EXPOSURE, 50_000.0, 40_000.0, 50_000.0, 50_001.0, Action.ALERT),
    (Measure.CONCENTRATION, 0.5, 0.4, 0.5, 0.51, Action.ALERT),
    (Measure.VAR, 0.02, 0.01, 0.02, 0.021, Action.ALERT),
    (Measure.CORRELATION, 0.8, 0.5, 0.8, 0.81, Action.ALERT),
    (Measure.SILENCE, 10.0, 1.0, 10.0, 10.5, Action.PAUSE),
    (Measure.STALENESS, 10.0, 1.0, 10.0, 10.5, Action.PAUSE),
    (Measure.SLIPPAGE, 3.0, 1.0, 3.0, 3.1, Action.ALERT),
    (Measure.ENVELOPE, 1.0, 0.4, 1.0, 1.1, Action.ALERT),
)
ENOUGH = 1_000
NEAR = [row for row in TABLE if row[3] is not None]
COUNTED = [each for each in rules.RULES if each.fewest]
SUBJECT = Scope.EXECUTION, "exec_1"


def found(measure: Measure, value: float | None, limit: float, n: int = ENOUGH) -> rules.Finding:
    observed = Observed(
        scope=Scope.EXECUTION,
        subject="exec_1",
        executions=("exec_1",),
        values={measure: Seen(value=value, n=n)},
    )
    (finding,) = rules.judge(observed, rules.bounds_of([(SUBJECT, {measure: limit})]))
    return finding


def test_every_measure_is_in_the_table():
    assert [row[0] for row in TABLE] == list(Measure) == [each.measure for each in rules.RULES]


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row[0])
def test_what_is_within_its_limit_leads_to_nothing(row):
    measure, limit, within, *_ = row
    assert found(measure, within, limit).state is State.WITHIN


@pytest.mark.parametrize("row", NEAR, ids=lambda row: row[0])
def test_what_is_hardly_within_its_limit_neither_begins_nor_ends_a_breach(row):
    measure, limit, _, near, *_ = row
    assert found(measure, near, limit).state is State.EASING


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row[0])
def test_what_is_beyond_its_limit_is_broken_and_says_value_and_limit(row):
    measure, limit, _, _, beyond, action = row

    finding = found(measure, beyond, limit)

    assert finding.state is State.BROKEN
    assert finding.bound.action is action
    assert f"{measure} of execution exec_1 is {limit:g}" in finding.message


@pytest.mark.parametrize("rule", COUNTED, ids=lambda each: each.measure)
def test_too_few_observations_lead_to_nothing_and_say_how_many_there_are(rule):
    beyond = {row[0]: row[4] for row in TABLE}[rule.measure]
    limit = {row[0]: row[1] for row in TABLE}[rule.measure]

    finding = found(rule.measure, beyond, limit, n=rule.fewest - 1)

    assert finding.state is State.UNKNOWN
    assert f"{rule.fewest - 1} observations, {rule.fewest} are needed" in finding.message
    assert found(rule.measure, beyond, limit, n=rule.fewest).state is State.BROKEN


@pytest.mark.parametrize("value", [None, float("nan"), float("inf")])
def test_a_value_that_is_none_is_not_known(value):
    assert found(Measure.EXPOSURE, value, 1.0).state is State.UNKNOWN


def test_the_tightest_of_several_sets_holds_and_says_whose_it_is():
    bounds = rules.bounds_of(
        [
            ((Scope.VERSION, "strat_1"), {"max_drawdown": -0.2, "daily_loss_limit": -500}),
            ((Scope.EXECUTION, "exec_1"), {"max_drawdown": -0.1, "daily_loss_limit": -900}),
        ]
    )

    assert (bounds[Measure.MAX_DRAWDOWN].limit, bounds[Measure.MAX_DRAWDOWN].scope) == (
        -0.1,
        Scope.EXECUTION,
    )
    assert (bounds[Measure.DAILY_LOSS].limit, bounds[Measure.DAILY_LOSS].subject) == (
        -500,
        "strat_1",
    )


def test_a_set_says_what_its_limits_lead_to_and_by_how_much_positions_are_cut():
    given = {
        "max_correlation": 0.7,
        "actions": {"max_correlation": "reduce"},
        "reduce_factor": 0.25,
    }

    bound = rules.bounds_of([((Scope.ENGINE, ""), given)])[Measure.CORRELATION]

    assert bound == Bound(
        limit=0.7, scope=Scope.ENGINE, subject="", action=Action.REDUCE, factor=0.25
    )


def test_without_any_limit_silence_and_staleness_only_alert():
    bounds = rules.bounds_of([], with_undeclared=True)

    assert set(bounds) == {Measure.SILENCE, Measure.STALENESS, Measure.ENVELOPE}
    assert {each.action for each in bounds.values()} == {Action.ALERT}
    assert rules.bounds_of([]) == {}


def test_a_declared_limit_replaces_what_holds_without_one():
    bounds = rules.bounds_of([(SUBJECT, {"max_silence_s": 600.0})], with_undeclared=True)

    assert (bounds[Measure.SILENCE].limit, bounds[Measure.SILENCE].action) == (600.0, Action.PAUSE)


def test_of_what_is_broken_at_once_the_strictest_action_is_taken():
    broken = [
        found(Measure.SOFT_DRAWDOWN, -0.3, -0.1),
        found(Measure.MAX_DRAWDOWN, -0.3, -0.2),
        found(Measure.EXPOSURE, 9.0, 1.0),
    ]

    assert rules.strictest(broken) == {SUBJECT: broken[1]}
