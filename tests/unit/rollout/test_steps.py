"""What a pipeline's end does to a deployment and its version, on a real database."""

from datetime import UTC, datetime

import pytest

from strategy_engine.core.clock import SteppedClock
from strategy_engine.infra import database
from strategy_engine.infra.database import Database
from strategy_engine.pipeline import model as pipeline
from strategy_engine.registry import store as versions
from strategy_engine.registry.model import Content, Status, Strategy
from strategy_engine.registry.service import Registry
from strategy_engine.rollout import store
from strategy_engine.rollout.journal import Journal
from strategy_engine.rollout.model import Defaults, Deployment, Options, Outcome, State
from strategy_engine.rollout.steps import Steps

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Told:
    """A pipeline that answers what a test says, and remembers what it was asked."""

    def __init__(self) -> None:
        self.requests = []
        self.answer = None

    async def run_stage(self, pipeline_id, strategy, stage, request):
        self.requests.append(request)
        return self.answer


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
    return Steps(journal=journal, pipeline=told, line=None, controller=None, defaults=defaults)


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
