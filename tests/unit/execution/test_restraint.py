"""What a risk command makes of an execution, over every state that it may be in."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from itertools import permutations, product

import pytest

from strategy_engine.execution import engagement, outbox_rows, restraint
from strategy_engine.execution.model import (
    UNENDED,
    Desired,
    Execution,
    ExecutionConfig,
    ExecutionStatus,
    Role,
)
from strategy_engine.infra.bus import commands, topics
from strategy_engine.venue.model import RiskState

NOW = datetime(2025, 8, 24, 10, 0, tzinfo=UTC)
EXECUTION = Execution(
    execution_id="exec_1",
    strategy_id="strat_1",
    role=Role.STABLE,
    status=ExecutionStatus.RUNNING,
    desired=Desired.RUN,
    config=ExecutionConfig(),
    capital=Decimal(100_000),
    created_at=NOW,
    updated_at=NOW,
)
STRENGTH = (Desired.RUN, Desired.PAUSE, Desired.DRAIN, Desired.FLATTEN, Desired.STOP)
RISK = (RiskState.ACTIVE, RiskState.REDUCING, RiskState.HALTED)


def restrained(execution: Execution, topic: str) -> Execution | None:
    return restraint.restrain(execution, topic, "drawdown", at=NOW)


@pytest.mark.parametrize("topic", commands.COMMANDS)
def test_a_command_never_lets_go_of_anything_whatever_is_wanted_already(topic):
    for desired, risk_state, status in product(Desired, RiskState, UNENDED):
        before = replace(EXECUTION, desired=desired, risk_state=risk_state, status=status)
        after = restrained(before, topic) or before
        assert STRENGTH.index(after.desired) >= STRENGTH.index(desired)
        assert RISK.index(after.risk_state) >= RISK.index(risk_state)
        assert restrained(after, topic) is None


@pytest.mark.parametrize(
    ("topic", "desired", "risk_state"),
    [
        ("risk.pause", Desired.PAUSE, RiskState.ACTIVE),
        ("risk.reduce", Desired.RUN, RiskState.REDUCING),
        ("risk.halt", Desired.FLATTEN, RiskState.HALTED),
    ],
)
def test_what_each_command_asks_of_an_execution_that_runs(topic, desired, risk_state):
    after = restrained(EXECUTION, topic)
    assert after is not None
    assert (after.desired, after.risk_state) == (desired, risk_state)


@pytest.mark.parametrize("topic", commands.COMMANDS)
def test_what_has_ended_and_what_only_validates_is_left_alone(topic):
    for status in set(ExecutionStatus) - UNENDED:
        assert restrained(replace(EXECUTION, status=status), topic) is None
    assert restrained(replace(EXECUTION, role=Role.VALIDATION), topic) is None


def test_why_it_is_so_names_the_command_and_is_as_long_as_its_column():
    after = restraint.restrain(EXECUTION, "risk.halt", "x" * 500, at=NOW)
    assert after is not None
    assert after.desired_why.startswith("risk.halt: xxx")
    assert len(after.desired_why) == 200


def test_a_reduction_does_not_claim_to_be_why_it_is_paused():
    paused = replace(EXECUTION, desired=Desired.PAUSE, desired_why="by hand")
    after = restrained(paused, "risk.reduce")
    assert after is not None
    assert after.desired_why == "by hand"


@pytest.mark.parametrize(
    ("topic", "desired", "is_held_back"),
    [
        ("risk.pause", Desired.RUN, False),
        ("risk.pause", Desired.PAUSE, True),
        ("risk.pause", Desired.DRAIN, True),
        ("risk.halt", Desired.PAUSE, False),
        ("risk.halt", Desired.STOP, True),
    ],
)
def test_a_version_follows_once_no_execution_of_it_does_more(topic, desired, is_held_back):
    execution, effect = replace(EXECUTION, desired=desired), restraint.EFFECTS[topic]
    assert restraint.is_held_back(execution, effect) is is_held_back


# --- what others are told of its life


def names(before: Execution, after: Execution) -> list[str]:
    return [topics.of(each).name for each in outbox_rows.events(before, after)]


def test_an_execution_is_told_to_have_started_the_first_time_only():
    starting = replace(EXECUTION, status=ExecutionStatus.STARTING)
    ready = replace(EXECUTION, start_time=NOW)
    again = replace(starting, start_time=NOW)
    assert names(starting, ready) == [topics.STARTED]
    assert names(again, ready) == []


def test_an_end_in_order_is_told_as_stopped():
    before = replace(EXECUTION, start_time=NOW)
    after = replace(before, status=ExecutionStatus.STOPPED, final_pnl=Decimal("1.5"))
    (event,) = outbox_rows.events(before, after)
    assert isinstance(event, topics.ExecutionStopped)
    assert (event.event_id, event.final_pnl, event.status) == ("exec_1.stopped", 1.5, "stopped")


def test_an_end_in_error_is_told_as_the_error_and_then_as_stopped():
    before = replace(EXECUTION, start_time=NOW)
    after = replace(before, status=ExecutionStatus.ERROR, error="e" * 9_000)
    error, stopped = outbox_rows.events(before, after)
    assert isinstance(error, topics.StrategyError)
    assert len(error.error) == 4_000
    assert isinstance(stopped, topics.ExecutionStopped)
    assert stopped.status == "error"


def test_a_pause_is_told_to_nobody():
    before = replace(EXECUTION, start_time=NOW)
    assert names(before, replace(before, status=ExecutionStatus.PAUSED)) == []


def test_a_validation_run_is_told_to_nobody():
    before = replace(EXECUTION, role=Role.VALIDATION)
    assert names(before, replace(before, start_time=NOW)) == []
    assert names(before, replace(before, status=ExecutionStatus.ERROR)) == []


def restraint_over(**fields) -> restraint.Restraint:
    return restraint.Restraint(deed_id="deed_1", why="risk.pause: drawdown", **fields)


RESTRAINTS = [
    restraint_over(),
    restraint_over(kills=True),
    restraint_over(is_paused=True),
    restraint_over(risk_state=RiskState.REDUCING, reduce_factor=Decimal("0.5")),
    restraint_over(risk_state=RiskState.HALTED, flattens=True),
]


@pytest.mark.parametrize("held_to", RESTRAINTS)
def test_beside_its_row_a_restraint_never_lets_go_of_anything(held_to):
    for desired, risk_state in product(Desired, RiskState):
        row = engagement.of(replace(EXECUTION, desired=desired, risk_state=risk_state))
        found = restraint.held(row, [held_to])
        assert STRENGTH.index(found.desired) >= STRENGTH.index(desired)
        assert RISK.index(found.risk_state) >= RISK.index(risk_state)
        assert STRENGTH.index(found.desired) >= STRENGTH.index(held_to.desired)
        assert RISK.index(found.risk_state) >= RISK.index(held_to.risk_state)


def test_of_several_restraints_the_strictest_counts_in_whatever_order_they_come():
    row = engagement.of(EXECUTION)
    found = [restraint.held(row, order) for order in permutations(RESTRAINTS)]
    assert {(each.desired, each.risk_state) for each in found} == {
        (Desired.FLATTEN, RiskState.HALTED)
    }


@pytest.mark.parametrize("held_to", RESTRAINTS)
def test_a_row_that_a_deed_was_brought_into_says_all_that_the_restraint_does(held_to):
    written = restraint.applied(EXECUTION, held_to, at=NOW) or EXECUTION
    row, held = engagement.of(written), restraint.held(engagement.of(EXECUTION), [held_to])
    assert (row.desired, row.risk_state) == (held.desired, held.risk_state)
    assert restraint.applied(written, held_to, at=NOW) is None
