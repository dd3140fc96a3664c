"""What a node sees of its executions is written by epoch and status, without reading them first."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
import sqlalchemy as sa

from strategy_engine.core.clock import SteppedClock
from strategy_engine.execution import store
from strategy_engine.execution.journal import Journal
from strategy_engine.execution.model import (
    UNENDED,
    Desired,
    Execution,
    ExecutionConfig,
    ExecutionStatus,
    Observation,
    Role,
)
from strategy_engine.infra import database, migrate
from strategy_engine.infra.database import Database
from strategy_engine.registry import store as registry
from strategy_engine.registry.service import Registry

AT = datetime(2026, 1, 1, tzinfo=UTC)
CLOCK = SteppedClock(AT + timedelta(seconds=10))


def version():
    texts = ("strategy_name", "version", "code", "code_hash", "digest", "status")
    return {
        **dict.fromkeys(texts, ""),
        "strategy_id": "strat_1",
        "parameters": {},
        "risk_limits": {},
        "tests": {},
        "created_at": AT,
        "updated_at": AT,
    }


def execution(name, status, *, epoch=2):
    return Execution(
        execution_id=name,
        strategy_id="strat_1",
        role=Role.STABLE,
        status=status,
        desired=Desired.RUN,
        config=ExecutionConfig(),
        capital=Decimal(1_000),
        created_at=AT,
        updated_at=AT,
        node_id="local",
        epoch=epoch,
    )


def seen(name, *, epoch=2):
    return Observation(
        execution_id=name,
        epoch=epoch,
        trade_count=3,
        fill_count=7,
        capital=Decimal("2500.5"),
        pnl=Decimal("12.34"),
        performance_metrics={"sharpe_ratio": 1.5},
        notices=("no bars for a while",),
    )


def result(execution):
    return execution.trade_count, execution.fill_count, execution.capital, execution.pnl


@pytest.fixture
async def rows(tmp_path, server):
    migrate.upgrade(tmp_path, server)
    opened = Database(database.control_url(tmp_path, server))
    async with opened.write() as connection:
        await connection.execute(sa.insert(registry.TABLE).values(**version()))
    yield opened
    await opened.aclose()


@pytest.fixture
def journal(rows):
    return Journal(rows, Registry(rows, CLOCK), CLOCK, node_id="local")


async def insert(rows, *executions):
    async with rows.write() as connection:
        for each in executions:
            await store.insert(connection, each)


async def kept(rows, name):
    async with rows.read() as connection:
        return await store.get(connection, name)


async def test_what_was_seen_is_kept_and_nothing_else_of_an_execution_changes(rows, journal):
    before = execution("exec_1", ExecutionStatus.RUNNING)
    await insert(rows, before)

    await journal.observe([seen("exec_1")])

    assert await kept(rows, "exec_1") == replace(
        before,
        trade_count=3,
        fill_count=7,
        capital=Decimal("2500.5"),
        pnl=Decimal("12.34"),
        performance_metrics={"sharpe_ratio": 1.5},
        notices=("no bars for a while",),
        updated_at=CLOCK.now(),
    )


async def test_only_an_execution_that_has_not_ended_is_changed(rows, journal):
    await insert(rows, *(execution(status.value, status) for status in ExecutionStatus))

    await journal.observe([seen(status.value) for status in ExecutionStatus])

    changed = {each for each in ExecutionStatus if result(await kept(rows, each.value))[1] == 7}
    assert changed == UNENDED


async def test_a_copy_of_another_epoch_changes_nothing_and_stops_no_other(rows, journal):
    ours, theirs = (execution(name, ExecutionStatus.RUNNING) for name in ("ours", "theirs"))
    await insert(rows, ours, theirs)

    await journal.observe([seen("theirs", epoch=1), seen("ours"), seen("theirs", epoch=3)])
    await journal.observe([seen("nobody's")])

    assert await kept(rows, "theirs") == theirs
    assert result(await kept(rows, "ours")) == (3, 7, Decimal("2500.5"), Decimal("12.34"))


async def test_a_node_that_has_seen_nothing_writes_nothing(rows, journal):
    before = execution("exec_1", ExecutionStatus.RUNNING)
    await insert(rows, before)

    await journal.observe([])

    assert await kept(rows, "exec_1") == before
