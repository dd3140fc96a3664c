"""What is shipped to watch the engine with, tried on a real engine and a real Prometheus."""

import contextlib
import importlib.util
import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from strategy_engine import examples

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy" / "prometheus"
DASHBOARDS = ROOT / "deploy" / "grafana" / "dashboards"
CROSS = next(each for each in examples.EXAMPLES if each.name == "Moving average cross")
BROKEN = "class Broken:\n    def generate_signal(self, market_data):\n        return 1 +\n"
OF_THE_CONTRACT = [
    "Strategy Deployment Rate",
    "Active Strategy Executions",
    "Pipeline Success Rate",
    "Strategy Performance Metrics",
    "P&L Distribution",
    "Deployment Duration Trends",
    "Error Rate by Stage",
    "Resource Utilization",
]
promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is missing: Debian's package prometheus"
)
prometheus = pytest.mark.skipif(
    shutil.which("prometheus") is None, reason="Prometheus is missing: Debian's package prometheus"
)


def generator() -> ModuleType:
    path = DASHBOARDS.parent / "dashboards.py"
    spec = importlib.util.spec_from_file_location("dashboards_of_grafana", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def committed() -> dict[str, Any]:
    return {each.name: json.loads(each.read_text()) for each in DASHBOARDS.glob("*.json")}


def expressions() -> list[str]:
    return [
        query["expr"]
        for board in committed().values()
        for panel in board["panels"]
        for query in panel["targets"]
    ]


@dataclass
class Watched:
    """An engine that has done something, and a Prometheus that has seen it."""

    engine: Any
    execution_id: str
    port: int

    def ask(self, expr: str) -> list[dict[str, Any]]:
        asked = expr.replace("$__rate_interval", "1m").replace("$execution", self.execution_id)
        query = urllib.parse.urlencode({"query": asked})
        answer = self.call(f"/api/v1/query?{query}")
        assert answer["status"] == "success", (asked, answer)
        return list(answer["data"]["result"])

    def call(self, path: str) -> Any:
        url = f"http://127.0.0.1:{self.port}{path}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            return json.loads(answer.read())

    def until_seen(self, expr: str, timeout_s: float = 60) -> list[dict[str, Any]]:
        deadline = time.monotonic() + timeout_s
        while True:
            with contextlib.suppress(urllib.error.URLError, ConnectionError):
                if found := self.ask(expr):
                    return found
            assert time.monotonic() < deadline, expr
            time.sleep(0.2)


@pytest.fixture(scope="module")
def watched(
    start_engine: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Watched]:
    engine = start_engine(PIPELINE_STAGES="syntax_check", STRATEGY_METRICS_INTERVAL="0.5")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = tmp_path_factory.mktemp("prometheus")
    process = start_prometheus(folder, port, engine.port)
    found = Watched(engine, "", port)
    try:
        found.until_seen("strategy_deployments_total")  # before anything: what follows is increase
        found.execution_id = do_something(engine)
        yield found
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(15)


def start_prometheus(folder: Path, port: int, target: int) -> subprocess.Popen[bytes]:
    """Start one by the shipped configuration: quicker, and of another target."""
    config = yaml.safe_load((RULES / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["scrape_configs"][0]["static_configs"][0]["targets"] = [f"127.0.0.1:{target}"]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    shutil.copy(RULES / "rules.yml", folder)
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(
            ["prometheus", f"--config.file={folder}/prometheus.yml"]
            + [f"--storage.tsdb.path={folder}/data", f"--web.listen-address=127.0.0.1:{port}"],
            stdout=log,
            stderr=log,
        )


def do_something(engine: Any) -> str:
    """Let one version fail and another one trade; return the execution."""
    body = {
        "strategy_name": "Watched",
        "version": "1.0.0",
        "code": CROSS.source(),
        "parameters": dict(CROSS.parameters),
        "risk_limits": dict(CROSS.risk_limits),
    }
    broken = body | {"strategy_name": "Broken", "code": BROKEN}
    for content, end in ((broken, "failed"), (body, "completed")):
        strategy_id = engine.post("/strategies", content)["strategy_id"]
        pipeline_id = engine.post(f"/strategies/{strategy_id}/deploy")["pipeline_id"]
        status = f"/deployments/{pipeline_id}/status"
        engine.until(status, lambda now, end=end: now["status"] == end)
    config = {"execution_config": {"speed": 100}}
    execution_id = str(engine.post(f"/strategies/{strategy_id}/start", config)["execution_id"])
    engine.until(f"/executions/{execution_id}", lambda now: now["fill_count"] >= 2)
    return execution_id


@promtool
def test_the_rules_are_well_formed_and_do_what_their_own_tests_say() -> None:
    for command in (
        ["check", "rules", "rules.yml"],
        ["check", "config", "prometheus.yml"],
        ["test", "rules", "rules.test.yml"],
    ):
        done = subprocess.run(
            ["promtool", *command], cwd=RULES, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_a_test_that_fires_it() -> None:
    alerts = {
        rule["alert"]
        for group in yaml.safe_load((RULES / "rules.yml").read_text())["groups"]
        for rule in group["rules"]
        if "alert" in rule
    }

    fired = {
        test["alertname"]
        for each in yaml.safe_load((RULES / "rules.test.yml").read_text())["tests"]
        for test in each.get("alert_rule_test", [])
        if test["exp_alerts"]
    }

    assert fired == alerts


def test_the_dashboards_are_those_that_the_code_writes() -> None:
    made = generator()

    assert {name: made.rendered(name) for name in made.DASHBOARDS} == {
        each.name: each.read_text() for each in DASHBOARDS.glob("*.json")
    }


def test_the_dashboards_are_what_grafanas_schema_reads() -> None:
    for name, board in committed().items():
        again = json.loads(JSONEncoder().encode(Dashboard.from_json(board)))
        assert again == board, name


def test_the_contracts_eight_panels_are_there_under_its_titles() -> None:
    titles = [panel["title"] for panel in committed()["overview.json"]["panels"]]

    assert titles == OF_THE_CONTRACT


@prometheus
def test_prometheus_scrapes_the_engine_and_its_rules_are_evaluated(watched: Watched) -> None:
    (target,) = watched.call("/api/v1/targets")["data"]["activeTargets"]
    rules = [
        rule for group in watched.call("/api/v1/rules")["data"]["groups"] for rule in group["rules"]
    ]

    assert (target["health"], target["lastError"]) == ("up", "")
    assert rules
    assert {rule["health"] for rule in rules} == {"ok"}


@prometheus
@pytest.mark.parametrize("expr", expressions())
def test_every_query_of_a_panel_has_data(watched: Watched, expr: str) -> None:
    found = watched.until_seen(expr)

    assert all(re.fullmatch(r"[-+.\de]+|NaN|\+Inf", each["value"][1]) for each in found)


@prometheus
def test_a_fill_and_a_decision_were_timed(watched: Watched) -> None:
    for name in ("strategy_decision_duration_seconds", "strategy_fill_duration_seconds"):
        (found,) = watched.until_seen(f'{name}_count{{kernel="signal"}} > 0')
        assert found["metric"]["node"] == "local"


@prometheus
def test_memory_and_cpu_are_what_the_kernel_says(watched: Watched) -> None:
    """Of each kind, so that what one process has more is not what another one has less."""
    import psutil

    root = psutil.Process(watched.engine.process.pid)
    told = {
        each["metric"]["kind"]: float(each["value"][1])
        for each in watched.until_seen("strategy_processes")
    }
    memory = float(watched.ask("sum(strategy_process_memory_bytes)")[0]["value"][1])
    family = [root, *root.children(recursive=True)]

    assert told == {"supervisor": 1, "control": 1, "node": 1} | {
        kind: told[kind] for kind in ("zygote", "strategy")
    }
    assert sum(told.values()) == len(family)
    if all(each.memory_full_info().pss for each in family):
        proportional = sum(each.memory_full_info().pss for each in family)
        assert memory == pytest.approx(proportional, rel=0.05)
