"""Pipelines run so many at once; what waits for a person keeps no place of theirs."""

import os
import signal
import sqlite3
from contextlib import closing
from datetime import datetime
from itertools import accumulate

from strategy_engine import examples

RSI = next(each for each in examples.EXAMPLES if each.file == "rsi_mean_reversion.py")
AT_ONCE = 2


def deploy(engine, name, **options):
    body = {
        "strategy_name": name,
        "version": "1.0.0",
        "code": RSI.source(),
        "parameters": dict(RSI.parameters),
        "risk_limits": dict(RSI.risk_limits),
    }
    strategy_id = engine.post("/strategies", body)["strategy_id"]
    return engine.post(f"/strategies/{strategy_id}/deploy", options)["pipeline_id"]


def until(engine, pipeline_id, status):
    engine.until(
        f"/deployments/{pipeline_id}/status", lambda now: now["status"] == status, timeout_s=90
    )


def most_at_once(data_dir):
    """Return how many pipelines ran at once at the most, by the audit's times."""
    with closing(sqlite3.connect(data_dir / "control.db")) as connection:
        rows = connection.execute(
            "SELECT at, action FROM audit WHERE subject_type = 'deployment'"
            " AND (action = 'begin' OR from_state = 'running') ORDER BY at, action = 'begin'"
        ).fetchall()
    changes = [(datetime.fromisoformat(at), 1 if action == "begin" else -1) for at, action in rows]
    return max(accumulate(change for _, change in sorted(changes)))


def test_no_more_pipelines_run_than_the_setting_says_and_what_waits_for_approval_takes_no_place(
    start_engine,
):
    engine = start_engine(
        MAX_CONCURRENT_DEPLOYMENTS=str(AT_ONCE), PIPELINE_STAGES="syntax_check,unit_tests"
    )
    waiting = [deploy(engine, f"Waits {number}", approval_required=True) for number in range(3)]
    for each in waiting:
        until(engine, each, "awaiting_approval")
    direct = [deploy(engine, f"Direct {number}") for number in range(6)]
    os.kill(engine.children()["engine-control"], signal.SIGKILL)
    engine.until("/health", lambda now: now["status"] == "healthy")
    for each in direct:
        until(engine, each, "completed")
    assert most_at_once(engine.data_dir) == AT_ONCE
    for each in waiting:
        engine.post(f"/deployments/{each}/approve")
    for each in waiting:
        until(engine, each, "completed")
