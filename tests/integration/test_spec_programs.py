"""The contract's two example programs, verbatim, against `serve` on its own port 8700."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAMS = Path(__file__).parent / "spec_programs"
PORT = 8700

pytestmark = pytest.mark.xdist_group("port-8700")


@pytest.fixture(scope="module")
def engine(start_engine):
    return start_engine(port=PORT, STRATEGY_METRICS_INTERVAL="0.2", STRATEGY_REPLAY_SPEED="300")


def deploy() -> str:
    done = subprocess.run(
        [sys.executable, PROGRAMS / "deploy_strategy.py"],
        capture_output=True,
        text=True,
        timeout=90,
        check=True,
    )
    return done.stdout


def one_report() -> str:
    with subprocess.Popen(
        [sys.executable, "-u", PROGRAMS / "monitor_executions.py"],
        stdout=subprocess.PIPE,
        text=True,
    ) as program:
        lines: list[str] = []
        for line in program.stdout:
            lines.append(line)
            if line.startswith("-" * 40):
                break
        program.kill()
    return "".join(lines)


def test_the_contracts_programs_deploy_start_and_monitor_and_may_run_again(engine):
    first = deploy()
    assert "Pipeline status: completed" in first
    started = re.search(r"'execution_id': '(exec_\w+)'", first)
    assert "'status': 'execution_started'" in first
    assert started

    execution_id = started.group(1)
    engine.until(
        f"/executions/{execution_id}",
        lambda now: now["trade_count"] >= 3 and now["performance_metrics"]["sharpe_ratio"] != 0,
    )
    report = one_report()
    assert re.search(r"=== Strategy Execution Report - 20\d\d-", report)
    assert re.search(r"Strategy: strat_\w+\nStatus: running\n", report), report
    assert re.search(r"P&L: \$-?\d+\.\d\d\nTrades: [1-9]\d*\n", report), report
    assert re.search(r"Sharpe Ratio: -?\d+\.\d\d\n", report)
    assert re.search(r"Max Drawdown: -?\d+\.\d%\n", report)
    assert re.search(r"Win Rate: \d+\.\d%\n", report)

    again = deploy()
    assert "Pipeline status: completed" in again
    assert "'status': 'execution_started'" in again
