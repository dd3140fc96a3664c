"""An execution outlives the death of its own process, whoever killed it."""

import contextlib
import os
import signal
import time
from pathlib import Path

from strategy_engine import examples

RSI = next(each for each in examples.EXAMPLES if each.name == "RSI mean reversion")


def process_named(name: str) -> int | None:
    for path in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if path.name.isdigit() and (path / "comm").read_text().strip() == name[:15]:
                return int(path.name)
    return None


def test_an_execution_goes_on_after_its_process_was_killed(start_engine):
    engine = start_engine(PIPELINE_STAGES="syntax_check", STRATEGY_METRICS_INTERVAL="0.2")
    body = {
        "strategy_name": "Survivor",
        "version": "1.0.0",
        "code": RSI.source(),
        "parameters": dict(RSI.parameters),
        "risk_limits": dict(RSI.risk_limits),
    }
    strategy_id = engine.post("/strategies", body)["strategy_id"]
    pipeline_id = engine.post(f"/strategies/{strategy_id}/deploy")["pipeline_id"]
    engine.until(f"/deployments/{pipeline_id}/status", lambda now: now["status"] == "completed")
    started = engine.post(f"/strategies/{strategy_id}/start", {"execution_config": {"speed": 200}})
    path = f"/executions/{started['execution_id']}"
    for round_ in (1, 2):
        engine.until(path, lambda now, least=round_: now["fill_count"] >= 2 * least)
        before = engine.get(path)
        pid = process_named(started["execution_id"])
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + 20
        while process_named(started["execution_id"]) in {pid, None}:
            assert time.monotonic() < deadline, engine.tail()
            time.sleep(0.02)
        engine.until(
            path,
            lambda now, was=before: (
                now["status"] == "running" and now["fill_count"] > was["fill_count"]
            ),
            timeout_s=40,
        )
    trades = engine.get(f"{path}/trades?limit=1000")["trades"]
    assert len({each["trade_id"] for each in trades}) == len(trades)
    sides = [each["side"] for each in trades]
    assert sides == ["BUY", "SELL"] * (len(sides) // 2) + ["BUY"] * (len(sides) % 2)
    engine.post(f"/strategies/{strategy_id}/stop")
