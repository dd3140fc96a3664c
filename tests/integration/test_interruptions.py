"""Every gap in an execution's life is a row: since when, until when, why, and what it missed."""

import os
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
import sqlalchemy as sa

from strategy_engine.core.clock import SteppedClock
from strategy_engine.execution import interruptions, store
from strategy_engine.execution.interruptions import CRASH, NODE, STORAGE, Interruption, Outage
from strategy_engine.execution.journal import Journal
from strategy_engine.execution.model import (
    Desired,
    Execution,
    ExecutionConfig,
    ExecutionStatus,
    Role,
    Trigger,
)
from strategy_engine.infra import database, presence
from strategy_engine.infra.database import Database
from strategy_engine.registry import store as registry
from strategy_engine.registry.service import Registry

AT = datetime(2026, 1, 1, tzinfo=UTC)


def version():
    return {
        "strategy_id": "strat_1",
        "strategy_name": "Line",
        "version": "1.0.0",
        "code": "",
        "code_hash": "",
        "digest": "",
        "parameters": {},
        "risk_limits": {},
        "tests": {},
        "status": "running",
        "created_at": AT,
        "updated_at": AT,
    }


def running():
    return Execution(
        execution_id="exec_1",
        strategy_id="strat_1",
        role=Role.STABLE,
        status=ExecutionStatus.RUNNING,
        desired=Desired.RUN,
        config=ExecutionConfig(),
        capital=Decimal(1_000),
        created_at=AT,
        updated_at=AT,
        start_time=AT,
        node_id="local",
        epoch=1,
    )


@pytest.fixture
async def rows(tmp_path):
    url = database.control_url(tmp_path)
    engine = database.sync_engine(url)
    database.control.create_all(engine)
    engine.dispose()
    opened = Database(url)
    yield opened
    await opened.aclose()


def gap(epoch=1, kind=NODE, from_at=AT):
    return Interruption(
        execution_id="exec_1", epoch=epoch, kind=kind, cause="it ended", from_at=from_at
    )


async def test_a_copy_that_dies_before_it_was_ready_makes_the_gap_longer_and_not_a_second_one(rows):
    async with rows.write() as connection:
        await interruptions.begin(connection, gap(1))
        await interruptions.begin(connection, gap(2, CRASH, AT + timedelta(seconds=1)))
        ended = await interruptions.end(
            connection, "exec_1", at=AT + timedelta(seconds=5), bars_missed=2
        )
        kept = await interruptions.of(connection, "exec_1")
    assert kept == [ended]
    assert ended is not None
    assert (ended.epoch, ended.kind, ended.from_at, ended.bars_missed) == (1, NODE, AT, 2)
    assert ended.to_at == AT + timedelta(seconds=5)


async def test_what_was_not_interrupted_ends_no_gap(rows):
    async with rows.write() as connection:
        assert await interruptions.end(connection, "exec_1", at=AT, bars_missed=0) is None
        assert await interruptions.of(connection, "exec_1") == []


async def test_a_clock_that_was_set_back_by_an_hour_ends_no_gap_before_it_began(rows):
    async with rows.write() as connection:
        await interruptions.begin(connection, gap())
        ended = await interruptions.end(
            connection, "exec_1", at=AT - timedelta(hours=1), bars_missed=0
        )
    assert ended is not None
    assert ended.to_at == AT


async def test_a_node_knows_when_the_process_before_it_was_heard_of_last(rows):
    def here(pid, started_s, heard_s):
        return presence.Presence(
            node_id="local",
            pid=pid,
            started_at=AT + timedelta(seconds=started_s),
            heartbeat_at=AT + timedelta(seconds=heard_s),
        )

    async with rows.write() as connection:
        assert await presence.last_heard(connection, "local", is_own=True) is None
        await presence.beat(connection, here(1, 0, 0))
        await presence.beat(connection, here(1, 0, 7))
        before = await presence.last_heard(connection, "local", is_own=True)
        await presence.beat(connection, here(os.getpid(), 9, 9))
        await presence.beat(connection, here(os.getpid(), 9, 10))
        after = await presence.last_heard(connection, "local", is_own=True)
        other = await presence.last_heard(connection, "local", is_own=False)
    assert before == after == AT + timedelta(seconds=7)
    assert other == AT + timedelta(seconds=10)


async def test_an_outage_of_the_database_is_no_nodes_death_and_keeps_its_first_moment(rows):
    clock = SteppedClock(AT)
    journal = Journal(rows, Registry(rows, clock), clock, node_id="local")
    async with rows.write() as connection:
        await connection.execute(sa.insert(registry.TABLE).values(**version()))
        await store.insert(connection, running())
    clock.advance(60)
    since = AT + timedelta(seconds=30)

    claimed = await journal.claim("exec_1", Outage(at=since, cause="it was locked"))
    again = await journal.claim("exec_1")
    clock.advance(5)
    assert claimed is not None
    assert again is not None
    assert await journal.ready(claimed, Trigger.READY, bars_missed=0) is None
    assert await journal.ready(again, Trigger.READY, bars_missed=0) is not None

    async with rows.read() as connection:
        (kept,) = await interruptions.of(connection, "exec_1")
    assert (kept.kind, kept.cause, kept.from_at) == (STORAGE, "it was locked", since)
    assert kept.to_at == AT + timedelta(seconds=65)
