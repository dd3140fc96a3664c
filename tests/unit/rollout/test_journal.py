"""What a decision makes of a deployment, on a real database."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from strategy_engine.core.clock import SteppedClock
from strategy_engine.core.errors import ConflictError, NotFoundError
from strategy_engine.infra import audit, database
from strategy_engine.infra.database import Database
from strategy_engine.registry import store as versions
from strategy_engine.registry.model import Content, Status, Strategy
from strategy_engine.registry.service import Registry
from strategy_engine.rollout import store
from strategy_engine.rollout.journal import SUBJECT, Journal
from strategy_engine.rollout.model import Deployment, Options, Progress, State, Trigger

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
async def opened(tmp_path, server):
    url = database.control_url(tmp_path, server)
    engine = database.sync_engine(url)
    database.control.create_all(engine)
    engine.dispose()
    found = Database(url)
    version = Strategy(
        strategy_id="strat_1",
        content=Content(strategy_name="RSI", version="1.0.0", code="class S: pass"),
        status=Status.APPROVED,
        created_at=NOW,
        updated_at=NOW,
    )
    deployment = Deployment(
        pipeline_id="pipe_1",
        strategy_id="strat_1",
        strategy_name="RSI",
        options=Options(),
        stages=("backtest",),
        left_out=(),
        requested_by="test",
        created_at=NOW,
        state=State.ROLLING_OUT,
    )
    async with found.write() as connection:
        await versions.insert(connection, version)
        await store.insert(connection, deployment)
    yield found
    await found.aclose()


@pytest.fixture
def journal(opened):
    clock = SteppedClock(NOW)
    return Journal(opened, Registry(opened, clock), clock, node_id="node-1")


async def rows(journal):
    async with journal.database.read() as connection:
        return await audit.history(connection, SUBJECT, "pipe_1")


def held(by):
    def change(deployment):
        return replace(deployment, progress=replace(deployment.progress, held_by=by))

    return change


async def test_a_decision_is_kept_with_who_made_it(journal):
    revised = await journal.revise(
        "pipe_1", held("alice"), actor="alice", action="pause", details={"comment": "lunch"}
    )
    assert revised == await journal.get("pipe_1")
    (row,) = await rows(journal)
    assert (row.actor, row.action, row.details) == ("alice", "pause", {"comment": "lunch"})
    assert (row.from_state, row.to_state) == (None, "rolling_out")


async def test_a_decision_that_changes_the_state_says_from_which(journal):
    await journal.revise("pipe_1", lambda now: now.on(Trigger.COMPLETE), action="complete")
    (row,) = await rows(journal)
    assert (row.actor, row.from_state, row.to_state) == ("engine", "rolling_out", "completed")


@pytest.mark.parametrize("change", [lambda _: None, lambda now: now])
async def test_a_decision_that_comes_to_nothing_leaves_no_row(journal, change):
    before = await journal.get("pipe_1")
    assert await journal.revise("pipe_1", change, action="pause") == before
    assert await rows(journal) == []


async def test_what_is_only_noted_is_kept_without_a_row(journal):
    await journal.revise("pipe_1", held("engine"))
    assert (await journal.get("pipe_1")).progress.held_by == "engine"
    assert await rows(journal) == []


async def test_a_decision_that_is_refused_changes_nothing(journal):
    def refuse(deployment):
        raise ConflictError("not now")

    with pytest.raises(ConflictError, match="not now"):
        await journal.revise("pipe_1", refuse, action="pause")
    assert (await journal.get("pipe_1")).progress == Progress()
    assert await rows(journal) == []


async def test_decisions_at_one_time_each_see_what_the_others_made(journal):
    def on(deployment):
        index = deployment.progress.index + 1
        return replace(deployment, progress=replace(deployment.progress, index=index))

    async with asyncio.TaskGroup() as group:
        for _ in range(10):
            group.create_task(journal.revise("pipe_1", on, action="skip_step"))
    assert (await journal.get("pipe_1")).progress.index == 10
    assert len(await rows(journal)) == 10


async def test_an_unknown_deployment_cannot_be_decided_about(journal):
    with pytest.raises(NotFoundError, match="pipe_2"):
        await journal.revise("pipe_2", held("alice"))
