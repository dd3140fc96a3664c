import itertools
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategy_engine.core.errors import IllegalTransitionError
from strategy_engine.execution.model import (
    ARROWS,
    MET_BY,
    UNENDED,
    Desired,
    Execution,
    ExecutionConfig,
    ExecutionStatus,
    Role,
    Trigger,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)

# status: what each trigger leads to, in the order of `Trigger`; "-" is no arrow
#          ready    pause   resume   stop     complete break  take_over lose
TABLE = """
starting   running  paused  -        stopped  -        error  starting  starting
running    -        paused  -        stopped  stopped  error  starting  starting
paused     -        -       running  stopped  stopped  error  starting  starting
stopped    -        -       -        -        -        -      -         -
error      -        -       -        -        -        -      -         -
"""
EXPECTED = {
    (ExecutionStatus(status), trigger): cell
    for status, *cells in (line.split() for line in TABLE.strip().splitlines())
    for trigger, cell in zip(Trigger, cells, strict=True)
}


def execution(**changes: Any) -> Execution:
    given: dict[str, Any] = {
        "execution_id": "exec_1",
        "strategy_id": "strat_1",
        "role": Role.STABLE,
        "status": ExecutionStatus.RUNNING,
        "desired": Desired.RUN,
        "config": ExecutionConfig(),
        "capital": Decimal(100_000),
        "created_at": NOW,
        "updated_at": NOW,
    }
    return Execution(**given | changes)


@pytest.mark.parametrize(("status", "trigger"), list(itertools.product(ExecutionStatus, Trigger)))
def test_every_trigger_in_every_status_leads_where_the_table_says(status, trigger):
    expected = EXPECTED[status, trigger]
    if expected == "-":
        with pytest.raises(IllegalTransitionError):
            execution(status=status).on(trigger)
    else:
        assert execution(status=status).on(trigger).status == expected


def test_what_has_ended_is_never_left_again():
    assert {status for status, _ in ARROWS} == UNENDED


@pytest.mark.parametrize("desired", Desired)
def test_what_has_ended_meets_every_desire(desired):
    assert MET_BY[desired] >= set(ExecutionStatus) - UNENDED


def test_an_execution_that_still_starts_is_not_settled():
    assert not execution(status=ExecutionStatus.STARTING).is_settled
    assert execution(status=ExecutionStatus.RUNNING).is_settled
    assert not execution(status=ExecutionStatus.RUNNING, desired=Desired.PAUSE).is_settled


@given(
    st.builds(
        ExecutionConfig,
        capital=st.none() | st.floats(1, 1e9),
        symbols=st.none() | st.lists(st.text(min_size=1), min_size=1).map(tuple),
        speed=st.none() | st.floats(0, 1e6),
        risk_override=st.booleans(),
        start_ns=st.none() | st.integers(0, 2**62),
    )
)
def test_a_config_comes_back_from_its_plain_form(config):
    assert ExecutionConfig.from_plain(config.to_plain()) == config
