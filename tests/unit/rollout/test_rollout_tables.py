from datetime import UTC, datetime

import pytest

from strategy_engine.core.errors import IllegalTransitionError
from strategy_engine.rollout.model import (
    ARROWS,
    ENDED,
    Deployment,
    Options,
    State,
    Trigger,
)


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
