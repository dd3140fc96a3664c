"""What others are told of a deployment: its end, once, and nothing of what is no end."""

from dataclasses import replace
from datetime import UTC, datetime
from itertools import product

import pytest

from strategy_engine.infra.bus import topics
from strategy_engine.rollout import outbox_rows
from strategy_engine.rollout.model import ENDED, Deployment, Options, Outcome, State

NOW = datetime(2025, 8, 24, 10, 0, tzinfo=UTC)
DEPLOYMENT = Deployment(
    pipeline_id="pipe_1",
    strategy_id="strat_1",
    strategy_name="Line",
    options=Options(),
    stages=("syntax_check",),
    left_out=(),
    requested_by="tester",
    created_at=NOW,
)


def told(before: State | None, after: Deployment) -> list[topics.Payload]:
    return outbox_rows.events(before, after, version="1.0.0", at=NOW)


@pytest.mark.parametrize("state", sorted(set(State) - ENDED))
def test_nothing_is_told_before_the_end(state):
    assert told(State.RUNNING, replace(DEPLOYMENT, state=state)) == []


def test_every_way_to_fail_is_told_with_where_and_how():
    ways = (Outcome.REJECTED, Outcome.ABORTED, Outcome.ROLLED_BACK, Outcome.TIMED_OUT)
    for outcome, stage in product(ways, ("backtest", None)):
        failed = replace(
            DEPLOYMENT, state=State.FAILED, outcome=outcome, current_stage=stage, message="why"
        )
        (event,) = told(State.RUNNING, failed)
        assert isinstance(event, topics.PipelineFailed)
        assert (event.event_id, event.stage) == ("pipe_1.failed", stage)
        assert (event.outcome, event.message) == (outcome.value, "why")


def test_a_promotion_is_told_as_deployed_with_its_version():
    promoted = replace(DEPLOYMENT, state=State.COMPLETED, outcome=Outcome.PROMOTED, ended_at=NOW)
    (event,) = told(State.ROLLING_OUT, promoted)
    assert isinstance(event, topics.StrategyDeployed)
    assert (event.event_id, event.version) == ("pipe_1.deployed", "1.0.0")
    assert (event.deployment_type, event.deployed_at) == ("direct", NOW)


def test_a_version_that_was_live_and_passed_again_is_no_new_deployment():
    again = replace(DEPLOYMENT, state=State.COMPLETED, outcome=Outcome.REVALIDATED)
    assert told(State.RUNNING, again) == []


@pytest.mark.parametrize("state", sorted(ENDED))
def test_an_end_that_was_there_already_is_not_told_again(state):
    assert told(state, replace(DEPLOYMENT, state=state, outcome=Outcome.PROMOTED)) == []
