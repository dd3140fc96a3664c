from datetime import UTC, datetime

import pytest

from strategy_engine.core.errors import IllegalTransitionError, NotBuiltError
from strategy_engine.rollout import plans
from strategy_engine.rollout.model import (
    ARROWS,
    ENDED,
    Deployment,
    DeploymentType,
    Options,
    State,
    Trigger,
)
from strategy_engine.rollout.plans import Step


def deployment(state: State) -> Deployment:
    return Deployment(
        pipeline_id="pipe_1",
        strategy_id="strat_1",
        strategy_name="RSI",
        options=Options(),
        stages=("syntax_check",),
        left_out=(),
        requested_by="local",
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        state=state,
    )


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("trigger", Trigger)
def test_only_arrows_in_the_table_move_a_deployment(state, trigger):
    if (state, trigger) in ARROWS:
        assert deployment(state).on(trigger).state is ARROWS[state, trigger]
    else:
        with pytest.raises(IllegalTransitionError):
            deployment(state).on(trigger)


def test_completed_and_failed_are_the_only_ends():
    assert {state for state in State if not any(origin is state for origin, _ in ARROWS)} == ENDED


@pytest.mark.parametrize("kind", DeploymentType)
def test_with_nothing_running_every_type_deploys_and_waits_for_a_start(kind):
    assert plans.plan(kind, replaces=False) == (Step.DEPLOY,)


def test_direct_stops_the_old_before_the_new_takes_capital():
    assert plans.plan(DeploymentType.DIRECT, replaces=True) == (
        Step.STOP_ENTRIES,
        Step.HAND_OVER,
        Step.DEPLOY,
        Step.START,
    )


@pytest.mark.parametrize("kind", [each for each in DeploymentType if each not in plans.PLANS])
def test_a_type_that_cannot_replace_yet_is_refused_with_what_to_do(kind):
    with pytest.raises(NotBuiltError, match="use direct"):
        plans.plan(kind, replaces=True)


@pytest.mark.parametrize("bars", [0, plans.PROVEN_BARS - 1, plans.PROVEN_BARS])
def test_a_replacement_that_was_not_proven_says_so(bars):
    told = plans.started_message(bars)
    assert f"{bars} bars decided" in told
    assert ("too slow to have proved it" in told) is (bars < plans.PROVEN_BARS)
