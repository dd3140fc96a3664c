"""The command line against a real engine, and the tutorial's own commands."""

import json
import os
import re
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from strategy_engine import examples
from strategy_engine.cli import engine
from strategy_engine.client.service import Client

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^```bash\n(.*?)^```", re.MULTILINE | re.DOTALL)
LIMITS = ("--risk", "max_position_size=15000", "--risk", "daily_loss_limit=-2000")
WITHIN_S = 100


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Run an engine; return the environment that leads the command line to it."""
    folder = tmp_path_factory.mktemp("engine")
    with engine.EngineProcess(folder, {"STRATEGY_METRICS_INTERVAL": "0.5"}) as process:
        url = process.url()
        with Client(url) as client:
            while client.health()["status"] != "healthy":
                process.check()
        yield {"STRATEGY_URL": url, "STRATEGY_DATA_DIR": str(folder / "data")}


def run(
    environment: dict[str, str], *words: str, folder: Path | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "strategy_engine.cli.main", *words],
        env={**os.environ, **environment},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=WITHIN_S,
    )


def answer(environment: dict[str, str], *words: str) -> Any:
    done = run(environment, *words, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def example(folder: Path, file: str) -> str:
    found = next(each for each in examples.EXAMPLES if each.file == file)
    path = folder / file
    path.write_text(found.source(), "utf-8")
    return str(path)


def test_a_strategy_goes_from_its_file_to_stopped_by_commands_alone(
    served: dict[str, str], tmp_path: Path
) -> None:
    rsi = example(tmp_path, "rsi_mean_reversion.py")

    deployed = run(served, "deploy", rsi, "--name", "by commands", "--watch", *LIMITS)
    assert deployed.returncode == 0, deployed.stdout + deployed.stderr
    assert re.findall(r"^(\S)\s+\w+\s", deployed.stdout, re.MULTILINE) == ["✓"] * 6

    [version] = answer(served, "strategies", "--name", "by commands")["strategies"]
    strategy_id = version["strategy_id"]
    assert version["status"] == "deployed"
    started = answer(served, "start", strategy_id, "--speed", "50", "--capital", "50000")
    listed = answer(served, "executions")["executions"]
    [mine] = [each for each in listed if each["execution_id"] == started["execution_id"]]
    assert mine["capital"] == 50_000

    assert run(served, "pause", strategy_id).returncode == 0
    assert answer(served, "executions", started["execution_id"])["status"] == "paused"
    assert run(served, "resume", strategy_id).returncode == 0
    assert run(served, "stop", strategy_id).returncode == 0
    stopped = answer(served, "executions", started["execution_id"])
    assert stopped["status"] == "stopped"


def test_a_strategy_that_fails_exits_1_with_the_stage_and_what_to_do(
    served: dict[str, str], tmp_path: Path
) -> None:
    done = run(served, "deploy", example(tmp_path, "never_trades.py"), "--watch", *LIMITS)

    assert done.returncode == 1
    assert "failed at backtest: " in done.stderr
    assert done.stderr.count("\n") == 1


def test_other_content_under_the_same_version_is_refused_with_what_to_do(
    served: dict[str, str], tmp_path: Path
) -> None:
    first = run(
        served, "deploy", example(tmp_path, "never_trades.py"), "--name", "twice", "--no-watch"
    )
    second = run(
        served, "deploy", example(tmp_path, "ma_cross.py"), "--name", "twice", "--no-watch"
    )

    assert (first.returncode, second.returncode) == (0, 1)
    assert "raise the version" in second.stderr


def test_an_unknown_strategy_is_one_line(served: dict[str, str]) -> None:
    done = run(served, "start", "strat_none")

    assert done.returncode == 1
    assert done.stderr.startswith("error: no strategy 'strat_none'")
    assert done.stderr.count("\n") == 1


def test_status_shows_an_engine_that_is_well(served: dict[str, str]) -> None:
    assert answer(served, "status")["health"]["status"] == "healthy"
    assert "healthy" in run(served, "status").stdout


def test_a_port_that_is_in_use_is_told_before_anything_starts(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        words = ["serve", "--port", str(port), "--data-dir", str(tmp_path)]
        done = run({}, *words)

    assert done.returncode == 1
    assert f"port {port} on 127.0.0.1 is in use" in done.stderr
    assert done.stderr.count("\n") == 1


def test_every_command_of_the_tutorial_runs_in_its_order(
    served: dict[str, str], tmp_path: Path
) -> None:
    blocks = FENCE.findall((ROOT / "docs" / "tutorial.md").read_text("utf-8"))
    command = shlex.join([sys.executable, "-m", "strategy_engine.cli.main"])
    # In the tutorial the command line comes from `uv run`; here it is the one under test.
    prelude = f'uv() {{ shift 2; {command} "$@"; }}\n'

    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", prelude + "\n".join(blocks)],
        env={**os.environ, **served},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=WITHIN_S,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("refused, as it should be") == 2
    assert "failed at risk_validation" in done.stderr
    assert "failed at performance_validation" in done.stderr
    assert done.stdout.count("execution started") == 1
    assert "accepted: BTC/USDT.MINE" in done.stdout
