"""What ended executions have freed goes to their line once, when nothing else moves its capital."""

from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from types import SimpleNamespace

import pytest

from strategy_engine.execution import leavings as closings
from strategy_engine.execution.model import (
    Closing,
    Desired,
    Execution,
    ExecutionConfig,
    ExecutionStatus,
    Observation,
    Role,
)
from strategy_engine.infra.database import Database
from strategy_engine.rollout import exclusive, model
from strategy_engine.rollout import leavings as rooms
from strategy_engine.rollout.leavings import Leavings
from strategy_engine.rollout.model import Deployment, Options, Outcome, Progress, State, Undo

D = Decimal
NOW = datetime(2026, 1, 1, tzinfo=UTC)
ENDED = Execution(
    execution_id="gone",
    strategy_id="strat_1",
    role=Role.STABLE,
    status=ExecutionStatus.STOPPED,
    desired=Desired.STOP,
    config=ExecutionConfig(),
    capital=D(100_000),
    created_at=NOW,
    updated_at=NOW,
    pnl=D("-20.5"),
    tied=D(9_990),
)

ROLLING = Deployment(
    pipeline_id="pipe_1",
    strategy_id="strat_2",
    strategy_name="Line",
    options=Options(),
    stages=(),
    left_out=(),
    requested_by="somebody",
    created_at=NOW,
    state=State.ROLLING_OUT,
    replaces=("gone",),
)
BACK = Progress(undo=Undo(reason="rolled_back", why="", actor="somebody", decided_at=NOW))


def answering(found):
    async def answer(*given):
        return found

    return answer


class NoDatabase:
    @asynccontextmanager
    async def read(self):
        yield None


@dataclass
class Executions:
    rows: dict[str, Execution]
    settled: list[str] = field(default_factory=list)
    asked: list[tuple[str, Closing]] = field(default_factory=list)

    async def get(self, execution_id):
        return self.rows[execution_id]

    async def closed(self):
        return [(each, "Line") for each in self.rows.values() if each.closing is Closing.CLOSED]

    async def settle(self, execution_id, *, actor):
        assert actor == "engine"
        self.settled.append(execution_id)

    async def flatten(self, execution_id, *, actor, how):
        assert actor == "a trader"
        self.asked.append((execution_id, how))


class Records:
    async def holdings(self, execution_ids):
        return {each: {"A.SIM": D(10)} for each in execution_ids}


class Registry:
    async def get(self, strategy_id):
        return SimpleNamespace(content=SimpleNamespace(strategy_name="Line"))


def room(executions):
    opened: Database = NoDatabase()
    return Leavings(database=opened, registry=Registry(), executions=executions, records=Records())


@pytest.fixture
def moved(monkeypatch):
    """Say who moves the line, and whose money they count."""
    said = SimpleNamespace(movers=[], sharing=set())

    async def movers(connection, line):
        return said.movers

    async def sharing(connection, line):
        return said.sharing

    monkeypatch.setattr(exclusive, "movers", movers)
    monkeypatch.setattr(rooms, "_sharing", sharing)
    return said


async def test_what_was_freed_waits_until_nothing_moves_the_lines_capital(moved):
    executions = Executions({"gone": replace(ENDED, closing=Closing.CLOSED)})
    moved.movers = ["a deployment"]
    await room(executions).look_after_all()
    assert executions.settled == []
    moved.movers = []
    await room(executions).look_after_all()
    assert executions.settled == ["gone"]


@pytest.mark.parametrize(("mine", "how"), [(True, Closing.CALLED_IN), (False, Closing.ASKED)])
async def test_who_shares_the_capital_counts_what_is_freed_by_itself(moved, mine, how):
    executions = Executions({"gone": ENDED})
    moved.sharing = {"gone"} if mine else {"another"}
    found = await room(executions).flatten("gone", actor="a trader")
    assert (found.closes, executions.asked) == (True, [("gone", how)])


@pytest.mark.parametrize(
    ("changes", "is_counted"),
    [
        ({}, True),  # it has still to count what the line has
        ({"progress": Progress(capital=D(-5))}, True),  # profits were withdrawn
        ({"replaces": ()}, False),  # it waits for its turn
        ({"state": State.COMPLETED, "outcome": Outcome.PROMOTED}, False),
        ({"state": State.COMPLETED, "outcome": Outcome.PROMOTED, "progress": BACK}, True),
        ({"strategy_name": "Another"}, False),
    ],
)
async def test_a_rollout_counts_what_those_that_it_replaces_free_until_it_has_ended(
    monkeypatch, changes, is_counted
):
    deployment = replace(ROLLING, **changes)
    of_state = {
        "unfinished": [deployment] if deployment.state not in model.ENDED else [],
        "tended": [deployment] if deployment.is_tended else [],
    }
    for name, found in of_state.items():
        monkeypatch.setattr(rooms.deployments, name, answering(found))
    for store in (rooms.experiments, rooms.allocations):
        monkeypatch.setattr(store, "unended", answering([]))
    executions = Executions({"gone": ENDED})
    await room(executions).flatten("gone", actor="a trader")
    assert executions.asked == [("gone", Closing.CALLED_IN if is_counted else Closing.ASKED)]


def test_what_is_freed_is_what_was_tied_and_what_prices_made_of_it():
    final = Observation(
        execution_id="gone",
        epoch=2,
        trade_count=1,
        fill_count=2,
        capital=D(100_000),
        pnl=D("30.25"),
        performance_metrics={},
    )
    assert closings.freed(ENDED, final) == D("10040.75")
    assert closings.freed(ENDED, None) == 9_990
    later = replace(ENDED, pnl=final.pnl, tied=closings.freed(ENDED, final))
    assert closings.freed(later, final) == D("10040.75")
    assert closings.freed(replace(ENDED, tied=None), final) == D("50.75")


@pytest.mark.parametrize(
    ("changes", "is_heir"),
    [
        ({}, False),
        ({"status": ExecutionStatus.RUNNING, "desired": Desired.RUN}, True),
        ({"status": ExecutionStatus.PAUSED, "desired": Desired.PAUSE}, True),
        ({"status": ExecutionStatus.RUNNING, "desired": Desired.DRAIN}, False),
        ({"status": ExecutionStatus.RUNNING, "desired": Desired.RUN, "failure": "it"}, False),
        (
            {
                "status": ExecutionStatus.RUNNING,
                "desired": Desired.RUN,
                "role": Role.CANDIDATE,
            },
            False,
        ),
    ],
)
def test_only_a_stable_one_that_goes_on_inherits(changes, is_heir):
    assert closings.is_heir(replace(ENDED, **changes)) is is_heir
