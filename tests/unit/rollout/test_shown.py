"""How far a rollout has come, as people see it."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from strategy_engine.rollout import plans, shown
from strategy_engine.rollout.model import (
    Deployment,
    DeploymentType,
    Options,
    Outcome,
    Progress,
    State,
    Undo,
)
from strategy_engine.rollout.shown import Weights

NOW = datetime(2026, 1, 1, tzinfo=UTC)
CANARY = Options(deployment_type=DeploymentType.CANARY)
STEPS = plans.plan(CANARY, ("A.SIM",), replaces=True)
UNDO = Undo(reason="slow", why="12 ms", actor="engine", decided_at=NOW)


def deployment(state=State.ROLLING_OUT, outcome=None, **progress):
    return Deployment(
        pipeline_id="pipe_1",
        strategy_id="strat_2",
        strategy_name="RSI",
        options=CANARY,
        stages=(),
        left_out=(),
        requested_by="bob",
        created_at=NOW,
        state=state,
        outcome=outcome,
        plan=tuple(plans.to_plain(STEPS)),
        replaces=("exec_1",),
        progress=Progress(**progress),
    )


# A letter a step: prepare, shadow, 5, 10, 25, 50 %, switch, hand over, finish.
@pytest.mark.parametrize(
    ("given", "states"),
    [
        (deployment(), "NWWWWWWWW"),
        (deployment(index=2, skipped=(1,)), "DSNWWWWWW"),
        (deployment(index=6, skipped=(2, 3, 4, 5)), "DDSSSSNWW"),
        (deployment(index=3, undo=UNDO), "DDDNWWWWW"),
        (deployment(State.FAILED, Outcome.ROLLED_BACK, index=3, undo=UNDO), "DDDTXXXXX"),
        (deployment(State.COMPLETED, Outcome.PROMOTED, index=8, skipped=(1,)), "DSDDDDDDD"),
        (deployment(State.COMPLETED, Outcome.ROLLED_BACK, index=8, undo=UNDO), "DDDDDDDDT"),
    ],
)
def test_each_step_says_where_the_rollout_stands_to_it(given, states):
    letters = {"done": "D", "now": "N", "waiting": "W", "skipped": "S", "stopped": "T"}
    found = [letters.get(state.value, "X") for _, state in shown.steps(given)]
    assert "".join(found) == states
    assert [step for step, _ in shown.steps(given)] == list(STEPS)


RESTORED = replace(UNDO, restored_at=NOW)
NOTHING_YET = Weights(new=0.0, baseline=0.0, before=1.0)
AT_TEN = Weights(new=0.1, baseline=0.1, before=0.8)
ALL = Weights(new=1.0, baseline=0.0, before=0.0)


@pytest.mark.parametrize(
    ("given", "weights"),
    [
        (deployment(), NOTHING_YET),
        (deployment(index=1, reached_at=NOW), NOTHING_YET),
        (deployment(index=3, reached_at=NOW), AT_TEN),
        (deployment(index=4), AT_TEN),
        (deployment(index=4, skipped=(1, 2, 3)), NOTHING_YET),
        (deployment(index=5, reached_at=NOW), Weights(new=0.5, baseline=0.5, before=0.0)),
        (deployment(index=7), ALL),
        (deployment(index=4, undo=UNDO), AT_TEN),
        (deployment(index=4, undo=RESTORED), NOTHING_YET),
        (deployment(State.COMPLETED, Outcome.PROMOTED, index=8), ALL),
        (deployment(State.COMPLETED, Outcome.PROMOTED, index=8, undo=RESTORED), NOTHING_YET),
    ],
)
def test_a_weight_is_in_force_once_it_was_in_place(given, weights):
    found = shown.weights(given)
    assert (found.new, found.baseline) == (weights.new, weights.baseline)
    assert found.before == pytest.approx(weights.before)


def test_where_nothing_is_replaced_there_are_no_weights():
    alone = replace(deployment(), replaces=())
    assert shown.weights(alone) == Weights(new=0.0, baseline=0.0, before=0.0)
