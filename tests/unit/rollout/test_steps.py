"""What a pipeline's end does to a deployment and its version, on a real database."""

import asyncio
import functools
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from strategy_engine.core.clock import SteppedClock
from strategy_engine.infra import audit, database
from strategy_engine.infra.database import Database
from strategy_engine.pipeline import model as pipeline
from strategy_engine.registry import store as versions
from strategy_engine.registry.model import Content, Status, Strategy
from strategy_engine.registry.service import Registry
from strategy_engine.rollout import store, verbs
from strategy_engine.rollout.journal import SUBJECT, Journal
from strategy_engine.rollout.model import Defaults, Deployment, Options, Outcome, State
from strategy_engine.rollout.steps import Steps
from strategy_engine.rollout.verbs import Asked, Verb

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Told:
    """A pipeline that answers what a test says, and remembers what it was asked."""

    def __init__(self) -> None:
        self.requests = []
        self.answer = None  # none: it never comes to an end by itself
        self.is_begun, self.ended = asyncio.Event(), []

    async def run_stage(self, pipeline_id, strategy, stage, request):
        self.requests.append(request)
        self.is_begun.set()
        if self.answer is None:
            try:
                await asyncio.Event().wait()
            finally:
                self.ended.append(stage)
        return self.answer

    async def end_run(self, key):
        self.ended.append(key)


@pytest.fixture
async def opened(tmp_path, server):
    url = database.control_url(tmp_path, server)
    engine = database.sync_engine(url)
    database.control.create_all(engine)
    engine.dispose()
    found = Database(url)
    content = Content(strategy_name="RSI", version="1.0.0", code="class S: pass")
    version = Strategy(
        strategy_id="strat_1",
        content=content,
        status=Status.TESTING,
        created_at=NOW,
        updated_at=NOW,
    )
    deployment = Deployment(
        pipeline_id="pipe_1",
        strategy_id="strat_1",
        strategy_name="RSI",
        options=Options(duration_days=90),
        stages=("backtest",),
        left_out=(),
        requested_by="test",
        created_at=NOW,
        state=State.RUNNING,
        started_at=NOW,
    )
    async with found.write() as connection:
        await versions.insert(connection, version)
        await store.insert(connection, deployment)
    yield found
    await found.aclose()


@pytest.fixture
def told():
    return Told()


@pytest.fixture
def steps(opened, told):
    clock = SteppedClock(NOW)
    defaults = Defaults(stages=("backtest",), approval_required=False, auto_rollback=True)
    journal = Journal(opened, Registry(opened, clock), clock, node_id="node-1")
    return Steps(
        journal=journal,
        pipeline=told,
        line=None,
        controller=None,
        defaults=defaults,
        end_run=told.end_run,
    )


@pytest.fixture
def abort(opened):
    """What a person's word does to the deployment."""
    clock = SteppedClock(NOW)
    journal = Journal(opened, Registry(opened, clock), clock, node_id="node-1")
    asked = Asked(actor="alice", now=NOW, comment="wrong file")
    return functools.partial(
        journal.revise,
        "pipe_1",
        lambda now: verbs.after(now, Verb.ABORT, asked),
        actor="alice",
        action="abort",
    )


async def put(opened, **fields):
    async with opened.write() as connection:
        before = await store.get(connection, "pipe_1")
        await store.update(connection, replace(before, **fields))


async def status(opened):
    async with opened.read() as connection:
        return (await versions.get(connection, "strat_1")).status


def found(verdict, **evidence):
    return pipeline.StageResult(
        stage="backtest",
        passed=False,
        verdict=verdict,
        duration_ms=1.0,
        message="it was killed",
        evidence=evidence,
    )


async def test_every_stage_is_asked_for_the_deployment_s_days(steps, told):
    told.answer = found(pipeline.Verdict.FAILED)
    await steps.run_stage("pipe_1", "backtest")
    assert [each.duration_days for each in told.requests] == [90]


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (found(pipeline.Verdict.FAILED), Outcome.REJECTED),
        (found(pipeline.Verdict.INCONCLUSIVE), Outcome.REJECTED),
        (found(pipeline.Verdict.INCONCLUSIVE, engines_fault=True), Outcome.ABORTED),
    ],
)
async def test_a_stage_that_came_to_nothing_for_want_of_the_engine_is_no_rejection(
    steps, told, opened, answer, outcome
):
    told.answer = answer
    verdict = await steps.run_stage("pipe_1", "backtest")
    assert verdict["verdict"] == answer.verdict.value
    state = await steps.finish_validation(
        "pipe_1", "backtest", verdict["message"], engines_fault=verdict["engines_fault"]
    )
    assert state == State.FAILED
    async with opened.read() as connection:
        ended = await store.get(connection, "pipe_1")
        version = await versions.get(connection, "strat_1")
        assert await store.ended_counts(connection) == {outcome: 1}
        assert await store.validated_count(connection) == (outcome is Outcome.REJECTED)
    assert (ended.outcome, ended.message) == (outcome, "backtest: it was killed")
    assert ended.ended_at == NOW
    assert version.status is Status.DRAFT


async def test_a_stage_ends_with_all_that_it_runs_when_its_deployment_is_aborted(
    steps, told, opened, abort
):
    running = asyncio.create_task(steps.run_stage("pipe_1", "backtest"))
    await told.is_begun.wait()
    ended = await abort()
    verdict = await running

    assert told.ended == ["backtest", "pipe_1/backtest"]
    assert (ended.state, ended.outcome) == (State.FAILED, Outcome.ABORTED)
    assert await status(opened) is Status.DRAFT
    assert verdict["passed"] is False
    assert await steps.finish_validation("pipe_1", "backtest", verdict["message"]) == "failed"
    async with opened.read() as connection:
        assert await store.get(connection, "pipe_1") == ended
        (row,) = await audit.history(connection, SUBJECT, "pipe_1")
    assert (row.actor, row.action, row.from_state) == ("alice", "abort", "running")


async def test_what_an_engine_that_died_left_running_of_an_aborted_one_is_ended(
    steps, told, opened, abort
):
    await abort()  # and the engine died before it heard of it
    verdict = await steps.run_stage("pipe_1", "backtest")

    assert (told.requests, told.ended) == ([], ["pipe_1/backtest"])
    assert verdict["passed"] is False
    assert await steps.begin("pipe_1") == ["backtest"]
    assert await steps.state("pipe_1") == State.FAILED


async def test_one_that_is_aborted_in_its_queue_begins_no_stage(steps, told, opened, abort):
    await put(opened, state=State.QUEUED)
    await abort()
    for stage in await steps.begin("pipe_1"):
        await steps.run_stage("pipe_1", stage)

    assert told.requests == []
    assert await status(opened) is Status.DRAFT


async def test_aborting_while_it_waits_for_a_person_leaves_its_version_approved(
    steps, opened, abort
):
    async with opened.write() as connection:
        version = await versions.get(connection, "strat_1")
        await versions.update(connection, replace(version, status=Status.APPROVED))
    await put(opened, state=State.AWAITING_APPROVAL)
    assert not await steps.is_answered("pipe_1")
    await abort()

    assert await steps.is_answered("pipe_1")
    assert await steps.after_approval("pipe_1") == State.FAILED
    assert await status(opened) is Status.APPROVED


async def test_aborting_a_revalidation_leaves_its_version_as_it_is(steps, opened, abort):
    async with opened.write() as connection:
        version = await versions.get(connection, "strat_1")
        await versions.update(connection, replace(version, status=Status.RUNNING))
    await put(opened, revalidates=True)
    await abort()

    assert await status(opened) is Status.RUNNING


async def test_of_a_word_and_a_last_stage_at_one_instant_one_counts(steps, opened, abort):
    async with asyncio.TaskGroup() as group:
        finishing = group.create_task(steps.finish_validation("pipe_1", None, ""))
        aborting = group.create_task(abort())

    aborted = (await aborting).outcome is Outcome.ABORTED
    async with opened.read() as connection:
        ended = await store.get(connection, "pipe_1")
    assert aborted or finishing.result() == State.ROLLING_OUT
    assert ended.state in {State.FAILED, State.ROLLING_OUT}
    expected = Status.DRAFT if ended.outcome is Outcome.ABORTED else Status.APPROVED
    assert await status(opened) is expected
