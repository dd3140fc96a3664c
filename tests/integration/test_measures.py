"""Metrics of a real engine: of everything, with samples, as they were, as tables, as pages."""

import csv
import io
import math
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from strategy_engine import examples

CROSS = next(each for each in examples.EXAMPLES if each.name == "Moving average cross")
NAME = "Cross <script>alert(1)</script>"
METRICS = {"sharpe_ratio", "sortino_ratio", "max_drawdown", "win_rate", "profit_factor", "alpha"}


@dataclass
class Ran:
    """Two versions of a line that have each traded a history to its end."""

    engine: Any
    versions: list[str]
    executions: list[str]

    def text(self, path: str) -> str:
        with urllib.request.urlopen(self.engine.url + path) as answer:
            return answer.read().decode()


@pytest.fixture(scope="module")
def ran(start_engine: Callable[..., Any]) -> Ran:
    engine = start_engine(
        PIPELINE_STAGES="syntax_check", STRATEGY_METRICS_INTERVAL="0.3", STRATEGY_REPLAY_SPEED="0"
    )
    versions, executions = [], []
    for number, version in enumerate(("1.0.0", "1.1.0")):
        body = {
            "strategy_name": NAME,
            "version": version,
            "code": CROSS.source(),
            "parameters": dict(CROSS.parameters),
            "risk_limits": dict(CROSS.risk_limits),
        }
        strategy_id = engine.post("/strategies", body)["strategy_id"]
        pipeline_id = engine.post(f"/strategies/{strategy_id}/deploy")["pipeline_id"]
        engine.until(f"/deployments/{pipeline_id}/status", lambda now: now["status"] == "completed")
        config = {"benchmark": ["traded", "EUR/USD.SIM"][number]}
        started = engine.post(f"/strategies/{strategy_id}/start", {"execution_config": config})
        path = f"/executions/{started['execution_id']}"
        engine.until(path, lambda now: now["status"] == "stopped", timeout_s=100.0)
        versions.append(strategy_id)
        executions.append(started["execution_id"])
    return Ran(engine, versions, executions)


def test_what_is_computed_from_the_ledger_is_what_the_execution_measured_as_it_went(ran):
    for name in ran.executions:
        live = ran.engine.get(f"/executions/{name}")["performance_metrics"]
        found = ran.engine.get(f"/executions/{name}/performance")
        assert found["returns_by"] == "bars"
        assert live.keys() >= METRICS
        for metric, estimate in found["metrics"].items():
            value = estimate["value"] or 0.0
            assert math.isclose(value, live[metric], rel_tol=1e-9, abs_tol=1e-9), metric
        sharpe = found["metrics"]["sharpe_ratio"]
        assert sharpe["low"] < sharpe["value"] < sharpe["high"]
        assert sharpe["n"] > 1_000


def test_a_line_and_the_engine_are_the_sum_of_their_ledgers(ran):
    each = [ran.engine.get(f"/executions/{name}/performance") for name in ran.executions]
    versions = [ran.engine.get(f"/strategies/{name}/performance") for name in ran.versions]
    quoted = urllib.request.quote(NAME, safe="")
    line = ran.engine.get(f"/lines/{quoted}/performance")
    engine = ran.engine.get("/engine/performance")
    pnl, trades = sum(one["pnl"] for one in each), sum(one["trade_count"] for one in each)
    assert line["pnl"] == pytest.approx(pnl)
    assert line["trade_count"] == trades
    assert engine["metrics"] == line["metrics"]
    assert (line["executions"], line["returns_by"]) == (2, "hours")
    for version, execution in zip(versions, each, strict=True):
        total = execution["metrics"]["total_return"]["value"]
        assert version["metrics"]["total_return"]["value"] == pytest.approx(total, rel=1e-9)


def test_a_benchmark_is_chosen_by_config_and_by_query(ran):
    # It trades EUR/USD, so both names are of one thing, kept by config or computed by query.
    for name in ran.executions:
        path = f"/executions/{name}/performance"
        own = ran.engine.get(path)["metrics"]
        for asked in ("traded", "EUR/USD.SIM"):
            found = ran.engine.get(f"{path}?benchmark={asked}")["metrics"]
            for metric in ("alpha", "beta", "information_ratio"):
                assert found[metric]["value"] == pytest.approx(own[metric]["value"], rel=1e-9)
        assert own["beta"]["value"] != 0.0
        cash = ran.engine.get(f"{path}?benchmark=cash")["metrics"]
        assert cash["beta"]["value"] is None
    assert ran.engine.get(path)["benchmark"] == "EUR/USD.SIM"


def test_the_history_of_each_and_of_groups_has_samples_and_intervals(ran):
    quoted = urllib.request.quote(NAME, safe="")
    paths = [f"/executions/{ran.executions[0]}/metrics/history", f"/lines/{quoted}/metrics"]
    paths += [f"/strategies/{ran.versions[0]}/metrics", "/engine/metrics"]
    for path in paths:
        found = ran.engine.get(f"{path}?resolution=10s")
        assert found["count"] > 0, path
        last = found["metrics"][-1]
        assert last["estimates"]["sharpe_ratio"]["n"] > 0
        assert last["metrics"].keys() >= METRICS


@pytest.mark.parametrize("table", ["trades", "equity", "metrics"])
def test_tables_are_whole_as_csv_and_as_parquet(ran, table):
    path = f"/executions/{ran.executions[0]}/export/{table}"
    rows = list(csv.DictReader(io.StringIO(ran.text(path))))
    with urllib.request.urlopen(f"{ran.engine.url}{path}?format=parquet") as answer:
        found = pq.ParquetFile(io.BytesIO(answer.read())).read()
    assert found.num_rows == len(rows) > 0
    assert found.column_names == list(rows[0])
    if table == "trades":
        total = ran.engine.get(f"/executions/{ran.executions[0]}/trades")["total"]
        assert len(rows) == total


def test_tearsheets_show_what_there_is_and_run_nothing(ran):
    one, other = ran.versions
    ran.engine.post(f"/strategies/{one}/test", {"test_type": "backtest"})
    pages = [
        ran.text(f"/executions/{ran.executions[0]}/tearsheet"),
        ran.text(f"/strategies/{one}/tearsheet?of=backtest"),
        ran.text(f"/strategies/{one}/tearsheet?against={other}"),
    ]
    for page in pages:
        assert page.count("<svg") == 4
        assert "<script" not in page
        assert "&lt;script&gt;" in page
        assert "http" not in page.replace("http-equiv", "")


def test_the_command_line_takes_tables_and_tearsheets_away(ran, tmp_path: Path):
    def run(*words: str) -> str:
        command = [sys.executable, "-m", "strategy_engine.cli.main", *words]
        done = subprocess.run(
            [*command, "--url", ran.engine.url], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    page, table = tmp_path / "page.html", tmp_path / "equity.parquet"
    run("tearsheet", ran.versions[0], "--against", ran.versions[1], "-o", str(page))
    run("export", ran.executions[0], "equity", "-o", str(table))
    assert page.read_text().startswith("<!doctype html>")
    assert pq.ParquetFile(table).metadata.num_rows > 1_000
    assert run("export", ran.executions[0], "trades").startswith("trade_id,symbol")
