"""What a deed is about, what it holds an execution to, and that it can be written and read back."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategy_engine.core.errors import InvalidError
from strategy_engine.execution.guard import Subject
from strategy_engine.risk import deeds
from strategy_engine.risk.model import Action, Deed, Done
from strategy_engine.venue.limits import Scope
from strategy_engine.venue.model import RiskState

NOW = datetime(2025, 8, 24, 10, 0, tzinfo=UTC)
STOP = Deed(
    deed_id="stop_1",
    action=Action.EMERGENCY_STOP,
    scope=Scope.ENGINE,
    subject="",
    reason="prices are wrong",
    actor="ann",
    at=NOW,
)
SUBJECT = Subject(execution_id="exec_1", strategy_id="strat_1", line="RSI", account="desk 7")
NAMES = {
    Scope.VERSION: "strat_1",
    Scope.EXECUTION: "exec_1",
    Scope.LINE: "RSI",
    Scope.ACCOUNT: "desk 7",
    Scope.ENGINE: "",
}


@pytest.mark.parametrize("scope", Scope)
def test_a_deed_is_about_who_its_scope_names_and_nobody_else(scope):
    deed = replace(STOP, action=Action.HALT, scope=scope, subject=NAMES[scope])
    assert deeds.covers(deed, SUBJECT)
    others = Subject(execution_id="exec_2", strategy_id="strat_2", line="MACD", account="desk 8")
    assert deeds.covers(deed, others) is (scope is Scope.ENGINE)


def test_a_validation_run_is_no_matter_of_risk():
    assert not deeds.covers(STOP, replace(SUBJECT, is_real=False))


@pytest.mark.parametrize(
    ("action", "flattens", "held"),
    [
        (Action.ALERT, False, (RiskState.ACTIVE, False, False, False)),
        (Action.REDUCE, False, (RiskState.REDUCING, False, False, False)),
        (Action.PAUSE, False, (RiskState.ACTIVE, True, False, False)),
        (Action.HALT, False, (RiskState.HALTED, False, True, False)),
        (Action.EMERGENCY_STOP, False, (RiskState.ACTIVE, False, False, True)),
        (Action.EMERGENCY_STOP, True, (RiskState.HALTED, False, True, True)),
    ],
)
def test_what_each_action_holds_an_execution_to(action, flattens, held):
    factor = Decimal("0.5") if action is Action.REDUCE else None
    found = deeds.restraint_of(replace(STOP, action=action, flattens=flattens, factor=factor))
    assert (found.risk_state, found.is_paused, found.flattens, found.kills) == held
    assert found.reduce_factor == factor


def test_what_lasts_of_a_deed_that_rows_say_is_what_no_row_says():
    lasting = deeds.lasting_of(replace(STOP, flattens=True))
    assert lasting.kills
    assert not lasting.flattens
    assert lasting.risk_state is RiskState.ACTIVE


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"scope": Scope.VERSION, "subject": "strat_1"}, "scope"),
        ({"subject": "RSI"}, "subject"),
        ({"scope": Scope.LINE}, "subject"),
        ({"scope": Scope.LINE, "subject": "x" * 101}, "subject"),
        ({"scope": Scope.LINE, "subject": "a\nb"}, "subject"),
        ({"reason": " "}, "reason"),
        ({"reason": "x" * 201}, "reason"),
        ({"is_drill": True}, "is_drill"),
        ({"factor": Decimal("0.5")}, "factor"),
        ({"action": Action.REDUCE}, "factor"),
        ({"action": Action.REDUCE, "factor": Decimal(1)}, "factor"),
        ({"action": Action.REDUCE, "factor": Decimal(-1)}, "factor"),
    ],
)
def test_a_deed_that_makes_no_sense_is_refused_with_its_field(changes, field):
    with pytest.raises(InvalidError) as refused:
        deeds.check(replace(STOP, **changes))
    assert refused.value.facts["field"] == field


@given(
    action=st.sampled_from(Action),
    subject=st.text(st.characters(categories=["L", "N", "P"]), min_size=1, max_size=100),
    reason=st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=200),
    factor=st.decimals(0, "0.999", places=3),
    flattens=st.booleans(),
)
def test_a_deed_that_is_written_down_is_read_back_as_it_was(
    action, subject, reason, factor, flattens
):
    deed = replace(
        STOP,
        action=action,
        scope=Scope.LINE,
        subject=subject,
        reason=reason,
        factor=factor if action is Action.REDUCE else None,
        flattens=flattens,
    )
    assert deeds.parse(deeds.plain(deed)) == deed


def test_what_came_of_a_deed_is_read_back_as_it_was():
    done = Done(
        deed_id="stop_1",
        executions=("exec_1", "exec_2"),
        cancelled=3,
        open=("exec_2",),
        took_s=0.004,
        holding=("exec_1",),
        is_journaled=False,
    )
    assert deeds.parse_done(deeds.plain_done(done)) == done


@pytest.mark.parametrize("given", [{}, {"deed_id": 1}, deeds.plain(STOP) | {"at": "yesterday"}])
def test_what_is_no_deed_is_refused(given):
    with pytest.raises(InvalidError):
        deeds.parse(given)
