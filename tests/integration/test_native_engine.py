"""A native strategy on a whole engine, by the command line and over HTTP."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

SOURCE = resources.files("nautilus_trader.examples.strategies") / "ema_cross.py"
CRITERIA = {
    "min_sharpe_ratio": -100,
    "min_win_rate": 0,
    "min_alpha": -100,
    "accept_inconclusive": True,
}
LIMITS = ("--risk", "max_position_size=15000", "--risk", "daily_loss_limit=-2000")


@pytest.mark.timeout(240)
def test_a_shipped_strategy_is_deployed_by_a_command_tested_over_http_and_started(
    start_engine: Callable[..., Any], tmp_path: Path
) -> None:
    engine = start_engine()
    file = tmp_path / "ema_cross.py"
    file.write_text(SOURCE.read_text())
    criteria = [
        word
        for name, each in CRITERIA.items()
        for word in ("--criterion", f"{name}={json.dumps(each)}")
    ]
    deployed = subprocess.run(
        [sys.executable, "-m", "strategy_engine.cli.main", "deploy", str(file)]
        + ["--name", "EMA cross", "--param", "trade_size=1000", "--days", "20", "--watch"]
        + [*LIMITS, *criteria],
        env={**os.environ, "STRATEGY_URL": engine.url},
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert deployed.returncode == 0, deployed.stdout + deployed.stderr + engine.tail()
    # Twenty days say nothing of a Sharpe ratio, which the criteria accept.
    assert re.findall(r"^(\S)\s+\w+\s", deployed.stdout, re.MULTILINE) == [*"✓✓✓✓✓?"]

    [version] = engine.get("/strategies")["strategies"]
    assert version["status"] == "deployed"
    path = f"/strategies/{version['strategy_id']}"
    asked = {"duration_days": 20, "validation_criteria": CRITERIA}
    found = {
        stage: engine.post(f"{path}/test", {"test_type": stage} | asked)["result"]
        for stage in ("syntax_check", "backtest", "risk_validation")
    }
    assert all(each["passed"] for each in found.values()), json.dumps(found)[:2_000]
    assert found["backtest"]["trade_count"] > 5

    started = engine.post(f"{path}/start", {"execution_config": {"speed": 1000}})
    engine.until(
        f"/executions/{started['execution_id']}",
        lambda each: each["fill_count"] > 3,
        timeout_s=60.0,
    )
