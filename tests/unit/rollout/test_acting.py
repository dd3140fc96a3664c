"""Verbs on a real database: who said what is kept, and what is made anew is made once."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from strategy_engine.core.clock import SteppedClock
from strategy_engine.core.errors import ConflictError, IllegalTransitionError, NotFoundError
from strategy_engine.execution.model import (
    UNENDED,
    Desired,
    Execution,
    ExecutionConfig,
    ExecutionStatus,
    Role,
)
from strategy_engine.infra import audit, database
from strategy_engine.infra.database import Database
from strategy_engine.registry import store as versions
from strategy_engine.registry.model import Content, Status, Strategy
from strategy_engine.registry.service import Registry
from strategy_engine.rollout import plans, store
from strategy_engine.rollout.acting import Acting
from strategy_engine.rollout.journal import SUBJECT, Journal
from strategy_engine.rollout.model import (
    Defaults,
    Deployment,
    DeploymentType,
    Options,
    Outcome,
    Progress,
    State,
)
from strategy_engine.rollout.service import Rollouts
from strategy_engine.rollout.verbs import Asked, Verb

NOW = datetime(2026, 1, 1, tzinfo=UTC)
CANARY = Options(deployment_type=DeploymentType.CANARY, keep_warm="1h")
ASKED = Asked(actor="alice", now=NOW, comment="because")


class Running:
    """Executions and their ledgers in a dictionary."""

    def __init__(self) -> None:
        self.kept: dict[str, Execution] = {}

    def add(self, name, strategy_id, role, status=ExecutionStatus.RUNNING) -> None:
        self.kept[name] = Execution(
            execution_id=name,
            strategy_id=strategy_id,
            role=role,
            status=status,
            desired=Desired.RUN,
            config=ExecutionConfig(),
            capital=Decimal(50_000),
            created_at=NOW,
            updated_at=NOW,
        )

    async def get_many(self, names):
        return [self.kept[each] for each in names if each in self.kept]

    async def unended_of(self, strategy_id):
        mine = [each for each in self.kept.values() if each.strategy_id == strategy_id]
        return [each for each in mine if each.status in UNENDED]

    async def accounts(self, names):
        return {}

    async def holdings(self, names):
        return {each: {} for each in names}


class Carried:
    """Remembers what it was given to carry, and what it was woken for."""

    def __init__(self) -> None:
        self.enqueued: list[str] = []
        self.woken: list[str] = []

    async def enqueue(self, deployment) -> None:
        self.enqueued.append(deployment.pipeline_id)

    async def resume(self, deployment) -> None:
        raise AssertionError

    async def announce(self, pipeline_id) -> None:
        self.woken.append(pipeline_id)


class Alone:
    """A line with nothing at work."""

    async def plan(self, strategy, options):
        return plans.plan(options, (), replaces=False), ()

    async def notice(self, strategy):
        return "it trades B.SIM, as it declares"


def version(number, status):
    return Strategy(
        strategy_id=f"strat_{number}",
        content=Content(strategy_name="RSI", version=f"{number}.0.0", code="class S: pass"),
        status=status,
        created_at=NOW,
        updated_at=NOW,
    )


def deployment(**fields):
    usual = {
        "pipeline_id": "pipe_1",
        "strategy_id": "strat_2",
        "strategy_name": "RSI",
        "options": CANARY,
        "stages": ("backtest",),
        "left_out": (),
        "requested_by": "bob",
        "created_at": NOW,
        "state": State.ROLLING_OUT,
        "plan": tuple(plans.to_plain(plans.plan(CANARY, ("A.SIM",), replaces=True))),
        "replaces": ("exec_1",),
        "progress": Progress(index=3, began_at=NOW, candidate="exec_2", baseline="exec_3"),
    }
    return Deployment(**usual | fields)


@pytest.fixture
async def opened(tmp_path, server):
    url = database.control_url(tmp_path, server)
    engine = database.sync_engine(url)
    database.control.create_all(engine)
    engine.dispose()
    found = Database(url)
    async with found.write() as connection:
        await versions.insert(connection, version(1, Status.STOPPED))
        await versions.insert(connection, version(2, Status.RUNNING))
    yield found
    await found.aclose()


class World:
    def __init__(self, opened) -> None:
        clock = SteppedClock(NOW)
        self.database, self.running, self.carried = opened, Running(), Carried()
        self.journal = Journal(opened, Registry(opened, clock), clock, node_id="node-1")
        self.rollouts = Rollouts(
            journal=self.journal,
            pipeline=None,
            line=Alone(),
            acting=Acting(journal=self.journal, executions=self.running, records=self.running),
            carrier=self.carried,
            defaults=Defaults(stages=("backtest",), approval_required=False, auto_rollback=True),
        )

    async def put(self, found) -> None:
        async with self.database.write() as connection:
            await store.insert(connection, found)

    async def rows(self, pipeline_id="pipe_1"):
        async with self.database.read() as connection:
            return await audit.history(connection, SUBJECT, pipeline_id)

    async def status(self, strategy_id, status) -> None:
        async with self.database.write() as connection:
            found = await versions.get(connection, strategy_id)
            await versions.update(connection, replace(found, status=status))


@pytest.fixture
def world(opened):
    return World(opened)


@pytest.mark.parametrize(
    ("verb", "told"),
    [
        (Verb.PROMOTE, {}),
        (Verb.SKIP_STEP, {"skipped": ["weight_10"]}),
        (
            Verb.PROMOTE_FULL,
            {"skipped": ["weight_10", "weight_25", "weight_50"]},
        ),
        (Verb.PAUSE, {}),
        (Verb.ABORT, {"reason": "aborted", "message": "aborted by alice: because"}),
        (Verb.ROLLBACK, {"reason": "rolled_back", "message": "rolled back by alice: because"}),
    ],
)
async def test_a_verb_is_kept_with_who_why_and_at_which_step_and_wakes_the_rollout(
    world, verb, told
):
    await world.put(deployment())
    acted = await world.rollouts.act("pipe_1", verb, ASKED)
    assert acted.deployment == await world.journal.get("pipe_1")
    (row,) = await world.rows()
    assert (row.actor, row.action) == ("alice", verb.value)
    step = {"step": "weight_10", "weight": 0.1}
    assert row.details == {"comment": "because", "is_unchecked": False} | step | told
    assert world.carried.woken == ["pipe_1"]


async def test_a_verb_that_is_said_again_leaves_no_second_row(world):
    await world.put(deployment())
    for _ in range(3):
        await world.rollouts.act("pipe_1", Verb.PAUSE, ASKED)
    assert len(await world.rows()) == 1


async def test_of_two_people_at_once_who_skip_one_step_one_is_heard(world):
    await world.put(deployment())
    named = replace(ASKED, step=3)
    async with asyncio.TaskGroup() as group:
        for _ in range(5):
            group.create_task(world.rollouts.act("pipe_1", Verb.SKIP_STEP, named))
    found = await world.journal.get("pipe_1")
    assert (found.progress.index, found.progress.skipped) == (4, (3,))
    assert len(await world.rows()) == 1


async def test_a_dry_run_changes_nothing_and_wakes_nobody(world):
    before = deployment()
    await world.put(before)
    for verb in set(Verb) - {Verb.RETRY, Verb.APPROVE, Verb.REJECT}:
        foreseen = await world.rollouts.act("pipe_1", verb, ASKED, dry_run=True)
        assert foreseen.effects.sentences, verb
    assert await world.journal.get("pipe_1") == before
    assert await world.rows() == []
    assert (world.carried.woken, world.carried.enqueued) == ([], [])


async def test_a_dry_run_of_a_retry_makes_nothing_anew(world):
    await world.put(deployment(state=State.FAILED))
    foreseen = await world.rollouts.act("pipe_1", Verb.RETRY, ASKED, dry_run=True)
    assert "deployed anew" in foreseen.effects.sentences[0]
    assert world.carried.enqueued == []


async def test_waiving_every_gate_of_a_rolling_one_twice_is_kept_once(world):
    rolling = Options(deployment_type=DeploymentType.ROLLING)
    steps = plans.plan(rolling, ("A.SIM", "B.SIM"), replaces=True)
    await world.put(deployment(options=rolling, plan=tuple(plans.to_plain(steps))))
    for _ in range(2):
        await world.rollouts.act("pipe_1", Verb.PROMOTE_FULL, ASKED)
    assert len(await world.rows()) == 1


@pytest.mark.parametrize("dry_run", [True, False])
async def test_a_verb_on_an_unknown_deployment_is_refused(world, dry_run):
    with pytest.raises(NotFoundError, match="pipe_9"):
        await world.rollouts.act("pipe_9", Verb.PAUSE, ASKED, dry_run=dry_run)


async def test_a_retry_deploys_the_same_version_with_the_same_options_once(world):
    await world.status("strat_2", Status.DRAFT)
    await world.put(deployment(state=State.FAILED, outcome=Outcome.ROLLED_BACK))
    first = (await world.rollouts.act("pipe_1", Verb.RETRY, ASKED)).deployment
    again = (await world.rollouts.act("pipe_1", Verb.RETRY, ASKED)).deployment
    assert first.pipeline_id == again.pipeline_id != "pipe_1"
    assert (first.strategy_id, first.options, first.state) == ("strat_2", CANARY, State.QUEUED)
    assert (first.requested_by, first.progress) == ("alice", Progress())
    assert first.message == "it trades B.SIM, as it declares"
    assert world.carried.enqueued[0] == first.pipeline_id
    (row,) = await world.rows()
    assert (row.action, row.details) == (
        "retry",
        {"message": f"deployed anew as {first.pipeline_id}", "comment": "because"},
    )


async def test_what_cannot_be_deployed_is_not_retried(world):
    await world.status("strat_2", Status.ERROR)
    await world.put(deployment(state=State.FAILED))
    with pytest.raises(IllegalTransitionError):
        await world.rollouts.act("pipe_1", Verb.RETRY, ASKED)
    assert await world.rows() == []


COMPLETED = deployment(state=State.COMPLETED, outcome=Outcome.PROMOTED)
WARM = replace(COMPLETED, progress=replace(COMPLETED.progress, warm_until=NOW + timedelta(hours=1)))


async def test_a_completed_one_is_taken_back_while_the_version_before_it_is_warm(world):
    await world.put(WARM)
    world.running.add("exec_1", "strat_1", Role.SHADOW)
    world.running.add("exec_2", "strat_2", Role.STABLE)
    await world.rollouts.act("pipe_1", Verb.ROLLBACK, ASKED)
    found = await world.journal.get("pipe_1")
    assert found.is_tended
    assert found.progress.undo.reason == "rolled_back"


@pytest.mark.parametrize(
    ("status", "why"), [(Status.STOPPED, ""), (Status.ERROR, "strat_1, is error")]
)
async def test_a_cold_one_is_taken_back_if_the_version_before_it_can_be_started(world, status, why):
    await world.put(COMPLETED)
    await world.status("strat_1", status)
    world.running.add("exec_1", "strat_1", Role.STABLE, ExecutionStatus.STOPPED)
    world.running.add("exec_2", "strat_2", Role.STABLE)
    if why:
        with pytest.raises(ConflictError, match=why):
            await world.rollouts.act("pipe_1", Verb.ROLLBACK, ASKED)
    else:
        acted = await world.rollouts.act("pipe_1", Verb.ROLLBACK, ASKED)
        assert acted.deployment.progress.undo is not None


@pytest.mark.parametrize("dry_run", [True, False])
async def test_what_has_taken_the_line_since_is_not_taken_back_from(world, dry_run):
    await world.put(WARM)
    world.running.add("exec_1", "strat_1", Role.SHADOW)
    world.running.add("exec_9", "strat_2", Role.STABLE)
    with pytest.raises(ConflictError, match=r"exec_9 of version 2\.0\.0 has capital of the line"):
        await world.rollouts.act("pipe_1", Verb.ROLLBACK, ASKED, dry_run=dry_run)
