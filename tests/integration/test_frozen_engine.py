"""An engine that slept past its lease: another has its work, and nothing it still does counts."""

import contextlib
import os
import signal
import time
from pathlib import Path

import psycopg
import pytest

from strategy_engine import examples

CROSS = next(each for each in examples.EXAMPLES if each.name == "Moving average cross")
LINES = 6
SPEED = 60  # bars a second: slow enough to be in the middle of it when the engine is frozen
LOST_STATUS = 75


def tree(pid: int) -> list[int]:
    """Return a process and everything that it started, itself or its children."""
    found, waiting = [], [pid]
    while waiting:
        each = waiting.pop()
        found.append(each)
        with contextlib.suppress(OSError):
            listed = Path(f"/proc/{each}/task/{each}/children").read_text()
            waiting += map(int, listed.split())
    return found


def send(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def start_lines(engine) -> list[str]:
    started = []
    for number in range(LINES):
        body = {
            "strategy_name": f"Line {number}",
            "version": "1.0.0",
            "code": CROSS.source(),
            "parameters": dict(CROSS.parameters) | {"fast": 3 + number, "slow": 9 + 2 * number},
            "risk_limits": dict(CROSS.risk_limits),
        }
        strategy_id = engine.post("/strategies", body)["strategy_id"]
        pipeline_id = engine.post(f"/strategies/{strategy_id}/deploy")["pipeline_id"]
        status = f"/deployments/{pipeline_id}/status"
        done = engine.until(status, lambda now: now["status"] in {"completed", "failed"})
        assert done["status"] == "completed", done
        config = {"execution_config": {"speed": SPEED}}
        answer = engine.post(f"/strategies/{strategy_id}/start", config)
        started.append(answer["execution_id"])
    return started


def fills(engine, execution_id: str) -> list[dict]:
    return engine.get(f"/executions/{execution_id}/trades?limit=500")["trades"]


@pytest.fixture
def first(start_engine, new_database):
    return start_engine(
        database_url=new_database(),
        PIPELINE_STAGES="syntax_check",
        STRATEGY_METRICS_INTERVAL="0.5",
    )


def test_a_frozen_engine_that_wakes_up_trades_no_more(first, start_engine):
    url = first.environment["DATABASE_URL"]
    executions = start_lines(first)
    for each in executions:
        first.until(f"/executions/{each}", lambda now: now["fill_count"] >= 2, timeout_s=60)
    frozen = tree(first.process.pid)
    try:
        send(frozen, signal.SIGSTOP)
        second = start_engine(database_url=url, STRATEGY_METRICS_INTERVAL="0.5")
        before = {each: len(fills(second, each)) for each in executions}
        for each in executions:
            taken = second.until(
                f"/executions/{each}",
                lambda now, least=before[each]: now["fill_count"] > least,
                timeout_s=60,
            )
            assert taken["status"] == "running"
            assert taken["epoch"] == 2
    finally:
        send(frozen, signal.SIGCONT)

    assert first.process.wait(30) == LOST_STATUS, first.tail()
    assert "another engine has taken over" in first.tail()
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{pid}").exists() for pid in frozen[1:]):
        assert time.monotonic() < deadline, "a process of the frozen engine goes on"
        time.sleep(0.05)

    with psycopg.connect(url) as connection:
        refused = connection.execute(
            "SELECT details FROM audit WHERE action = 'refused_stale_epoch'"
        ).fetchall()
        epochs = connection.execute("SELECT DISTINCT epoch FROM checkpoints").fetchall()
    assert [each["pid"] in frozen for (each,) in refused] == [True]
    assert refused[0][0]["entries"] >= 1
    assert epochs == [(2,)]
    for each in executions:
        assert_one_hand_traded(second, each)


def assert_one_hand_traded(engine, execution_id: str) -> None:
    """Two copies that both traded would leave a gap, a double, or an entry upon an entry."""
    engine.until(f"/executions/{execution_id}", lambda now: now["status"] == "running")
    trades = fills(engine, execution_id)
    assert [each["trade_id"] for each in trades] == [
        f"{execution_id}-{number}" for number in range(1, len(trades) + 1)
    ]
    sides = [each["side"] for each in trades]
    assert sides == (["BUY", "SELL"] * len(sides))[: len(sides)]
    times = [each["timestamp"] for each in trades]
    assert times == sorted(times)
