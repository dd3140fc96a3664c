"""Experiments and allocations as rows, on both databases; and who excludes whom on a line."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from strategy_engine.core.errors import ConflictError
from strategy_engine.execution.model import ExecutionConfig
from strategy_engine.infra import database
from strategy_engine.infra.database import Database
from strategy_engine.registry import store as versions
from strategy_engine.registry.model import Content, Status, Strategy
from strategy_engine.rollout import exclusive
from strategy_engine.rollout import model as deployments
from strategy_engine.rollout import store as deployment_rows
from strategy_engine.rollout.allocation import model as allocations
from strategy_engine.rollout.allocation import store as allocation_rows
from strategy_engine.rollout.analysis import Difference
from strategy_engine.rollout.experiments import model as experiments
from strategy_engine.rollout.experiments import store as experiment_rows
from strategy_engine.venue.model import Span, Tenure

D = Decimal
NOW = datetime(2026, 1, 1, tzinfo=UTC)
EXPERIMENT = experiments.Experiment(
    experiment_id="exp_1",
    strategy_name="Line",
    design=experiments.Design(
        hypothesis="B pays", share_b=D("0.25"), unit=experiments.Unit.INSTRUMENT, seed=7
    ),
    a=experiments.Arm(
        strategy_id="strat_1",
        version="1.0.0",
        weight=D("0.75"),
        execution_id="exec_1",
        capital_before=D("100000.000000001"),
        serves_before=Tenure(by_symbol={"A.SIM": Span(until_ns=5)}),
    ),
    b=experiments.Arm(
        strategy_id="strat_2",
        version="2.0.0",
        weight=D("0.25"),
        is_own=True,
        opening=D("25000.01"),
        symbols=("B.SIM",),
    ),
    requested_by="test",
    created_at=NOW,
    capital=D("100000.000000001"),
    goal={"exec_1": D("75000.123456789")},
    config=ExecutionConfig(speed=5.0, symbols=("A.SIM", "B.SIM")),
    handed=("B.SIM",),
    start_ns=2**60,
    result=experiments.Result(
        pairs=40,
        difference=Difference(pairs=40, mean=0.1, lower=-0.2, upper=0.4),
        recommendation=experiments.Recommendation.INCONCLUSIVE,
        message="more bars",
        findings=("one",),
    ),
    message="told",
    running_at=NOW,
)
ALLOCATION = allocations.Allocation(
    allocation_id="alloc_1",
    strategy_name="Line",
    policy=allocations.Policy(
        kind=allocations.Kind.FIXED,
        versions=("1.0.0", "2.0.0"),
        weights={"1.0.0": D("0.123456")},
        caps={"2.0.0": D("0.4")},
        band=D("0.01"),
    ),
    requested_by="test",
    created_at=NOW,
    updated_at=NOW,
    executions={"1.0.0": "exec_1"},
    own=("exec_1",),
    capital=D("100000.000000001"),
    slots={"1.0.0": D("0.5")},
    weights={"1.0.0": D(0)},
    goal={"exec_1": D(-(10**12))},
    day=20_000,
    changed=D("0.1"),
    message="told",
)
DEPLOYMENT = deployments.Deployment(
    pipeline_id="pipe_1",
    strategy_id="strat_1",
    strategy_name="Line",
    options=deployments.Options(),
    stages=("backtest",),
    left_out=(),
    requested_by="test",
    created_at=NOW,
)


@pytest.fixture
async def opened(tmp_path, server):
    url = database.control_url(tmp_path, server)
    engine = database.sync_engine(url)
    database.control.create_all(engine)
    engine.dispose()
    found = Database(url)
    version = Strategy(
        strategy_id="strat_1",
        content=Content(strategy_name="Line", version="1.0.0", code="class S: pass"),
        status=Status.TESTING,
        created_at=NOW,
        updated_at=NOW,
    )
    async with found.write() as connection:
        await versions.insert(connection, version)
    yield found
    await found.aclose()


@pytest.mark.parametrize(
    "experiment",
    [
        EXPERIMENT,
        replace(EXPERIMENT, result=None, start_ns=None, handed=(), goal={}),
        replace(EXPERIMENT, state=experiments.State.ENDED, outcome=experiments.Outcome.STOPPED),
    ],
    ids=["running", "starting", "ended"],
)
async def test_an_experiment_is_read_as_it_was_written(opened, experiment):
    async with opened.write() as connection:
        await experiment_rows.insert(connection, replace(experiment, message="before"))
        await experiment_rows.update(connection, experiment)
    async with opened.read() as connection:
        assert await experiment_rows.get(connection, "exp_1") == experiment
        found, total = await experiment_rows.page(
            connection, strategy_name="Line", state=experiment.state, limit=5, offset=0
        )
        unended = await experiment_rows.unended(connection)
    assert (found, total) == ([experiment], 1)
    assert unended == ([] if experiment.state is experiments.State.ENDED else [experiment])


async def test_an_allocation_is_read_as_it_was_written(opened):
    async with opened.write() as connection:
        await allocation_rows.insert(connection, replace(ALLOCATION, message="before"))
        await allocation_rows.update(connection, ALLOCATION)
    async with opened.read() as connection:
        assert await allocation_rows.get(connection, "alloc_1") == ALLOCATION
        assert await allocation_rows.unended(connection, "Line") == [ALLOCATION]
        assert await allocation_rows.unended(connection, "Other") == []


@pytest.mark.parametrize(
    ("insert", "row", "key"),
    [
        (experiment_rows.insert, EXPERIMENT, "exp_1"),
        (allocation_rows.insert, ALLOCATION, "alloc_1"),
        (deployment_rows.insert, DEPLOYMENT, "pipe_1"),
    ],
    ids=["experiment", "allocation", "deployment"],
)
async def test_one_at_a_time_moves_the_capital_of_a_line(opened, insert, row, key):
    async with opened.write() as connection:
        await exclusive.refuse_while_moved(connection, "Line", "another")
        await insert(connection, row)
        with pytest.raises(ConflictError, match=f"{key}.*another is refused") as refused:
            await exclusive.refuse_while_moved(connection, "Line", "another")
        await exclusive.refuse_while_moved(connection, "Other", "another")
    assert refused.value.facts["key"] == key


async def test_a_deployment_waits_for_deployments_but_not_for_who_shares(opened):
    async with opened.write() as connection:
        await deployment_rows.insert(connection, DEPLOYMENT)
        await exclusive.refuse_while_shared(connection, "Line", "a deployment")
        await allocation_rows.insert(connection, ALLOCATION)
        with pytest.raises(ConflictError, match="DELETE /lines/Line/allocation"):
            await exclusive.refuse_while_shared(connection, "Line", "a deployment")


async def test_what_has_ended_or_only_revalidates_excludes_nobody(opened):
    ended = replace(EXPERIMENT, state=experiments.State.ENDED)
    over = replace(ALLOCATION, state=allocations.State.ENDED)
    async with opened.write() as connection:
        await experiment_rows.insert(connection, ended)
        await allocation_rows.insert(connection, over)
        await deployment_rows.insert(connection, replace(DEPLOYMENT, revalidates=True))
        assert await exclusive.movers(connection, "Line") == []
