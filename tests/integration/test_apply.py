"""`apply` against a real engine with keys in use, by the shipped workflow's own commands."""

import contextlib
import json
import shlex
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from strategy_engine import examples
from strategy_engine.cli import engine, main, yamlfile
from strategy_engine.client.service import Client

WORKFLOW = Path(__file__).parents[2] / "docs" / "examples" / "deploy.yml"
ENGINE_KEY = "an-engine-key-for-tests"
SECRETS = {"STRATEGY_PLAN_KEY": "viewer", "STRATEGY_DEPLOY_KEY": "developer"}
MANIFEST = """\
manifest: 1
strategies:
  - name: NAME
    version: 1.0.0
    code: strategies/rsi.py
    tests: [tests/test_rsi.py]
    risk_limits: {max_position_size: 15000, daily_loss_limit: -2000}
"""
RUNS = "    run: true\n    execution_config: {capital: 50000, speed: 20}\n"
BY_CANARY = """\
    deploy:
      deployment_type: canary
      steps: [{shadow: 1 bars}, {weight: 0.2, min_time: 0s, min_decisions: 5}]
      handover: flatten
      keep_warm: 0s
"""
TEST = "def test_it_is_there():\n    import strategy\n    assert strategy\n"


@dataclass
class Served:
    url: str
    keys: dict[str, str]

    def client(self) -> Client:
        return Client(self.url, api_key=ENGINE_KEY)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("engine")
    with engine.EngineProcess(folder, {"STRATEGY_API_KEY": ENGINE_KEY}) as process:
        url = process.url(timeout_s=90)
        with Client(url, api_key=ENGINE_KEY) as client:
            while client.health()["status"] != "healthy":
                process.check()
            keys = {name: client.create_key(name, role)["key"] for name, role in SECRETS.items()}
        yield Served(url, keys)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return fill(tmp_path)


def fill(folder: Path) -> Path:
    for name in ("strategies", "tests"):
        (folder / name).mkdir()
    rsi = next(each for each in examples.EXAMPLES if each.file == "rsi_mean_reversion.py")
    never = next(each for each in examples.EXAMPLES if each.file == "never_trades.py")
    (folder / "strategies" / "rsi.py").write_text(rsi.source(), "utf-8")
    (folder / "strategies" / "never.py").write_text(never.source(), "utf-8")
    (folder / "tests" / "test_rsi.py").write_text(TEST, "utf-8")
    return folder


def write(repository: Path, name: str, more: str = "", *, version: str = "1.0.0") -> None:
    text = MANIFEST.replace("NAME", name).replace("1.0.0", version) + more
    (repository / "manifest.yaml").write_text(text, "utf-8")


def run(served: Served, repository: Path, command: str, key: str = ENGINE_KEY) -> Result:
    program, *words = shlex.split(command)
    assert program == "strategy-engine"
    environment = {"STRATEGY_URL": served.url, "STRATEGY_API_KEY": key, "COLUMNS": "120"}
    with contextlib.chdir(repository):
        return CliRunner().invoke(main.app, words, env=environment)


def apply(served: Served, repository: Path, words: str) -> dict[str, Any]:
    done = run(served, repository, f"strategy-engine apply manifest.yaml --json {words}")
    assert done.exit_code == 0, done.stdout + done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def doings(answer: dict[str, Any]) -> list[str]:
    return [each["action"] for each in answer["actions"]]


def steps_of(job: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the engine's commands of a job, each with the secret it is run with.

    What a shell makes of a command's exit status is left out.
    """
    found = []
    for step in job["steps"]:
        if step.get("run", "").startswith("strategy-engine "):
            secret = step["env"]["STRATEGY_API_KEY"]
            command = step["run"].partition(" || ")[0]
            found.append((command, secret.removeprefix("${{ secrets.").removesuffix(" }}")))
    return found


def test_the_workflow_plans_and_then_deploys_with_the_keys_that_it_names(
    served: Served, repository: Path
) -> None:
    workflow = yamlfile.read(WORKFLOW.read_text("utf-8")).value
    assert set(workflow["on"]) == {"pull_request", "push", "workflow_dispatch"}
    assert workflow["permissions"] == {"contents": "read"}
    assert workflow["env"] == {"STRATEGY_URL": "${{ vars.STRATEGY_URL }}"}
    write(repository, "by workflow")

    ((command, secret),) = steps_of(workflow["jobs"]["plan"])
    planned = run(served, repository, command, served.keys[secret])
    assert planned.exit_code == 0, planned.stderr
    assert "+ create" in planned.stdout
    with served.client() as client:
        assert client.strategies(name="by workflow")["total"] == 0

    ((command, secret),) = steps_of(workflow["jobs"]["deploy"])
    deployed = run(served, repository, command, served.keys[secret])
    assert deployed.exit_code == 0, deployed.stdout + deployed.stderr
    assert "performance_validation" in deployed.stdout
    with served.client() as client:
        (version,) = client.strategies(name="by workflow")["strategies"]
        assert version["status"] == "deployed"
        (deployment,) = client.deployments(strategy_id=version["strategy_id"])["deployments"]

    again = run(served, repository, command, served.keys[secret])
    assert (again.exit_code, again.stdout.splitlines()[-1]) == (0, "nothing to change")
    with served.client() as client:
        found = client.deployments(strategy_id=version["strategy_id"])["deployments"]
        assert [each["pipeline_id"] for each in found] == [deployment["pipeline_id"]]


@pytest.fixture(scope="module")
def taken_over(served: Served, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a repository whose second version took over from the first one that it ran."""
    repository = fill(tmp_path_factory.mktemp("repository"))
    write(repository, "by manifest", RUNS)
    assert doings(apply(served, repository, "--yes --wait")) == ["create", "deploy", "start"]
    assert doings(apply(served, repository, "--yes --wait")) == ["unchanged"]
    assert statuses(served) == {"1.0.0": "running"}

    options = "    deploy: {handover: flatten, handover_deadline_s: 5}\n"
    write(repository, "by manifest", RUNS + options, version="1.1.0")
    answer = apply(served, repository, "--yes --wait")
    assert doings(answer) == ["create", "deploy"]
    assert "takes over from 1.0.0 (running)" in answer["actions"][1]["detail"]
    assert [each["outcome"] for each in answer["deployments"]] == ["promoted"]
    return repository


STEPS = ["rollout", "prepare", "shadow", "weight_20", "switch", "hand_over", "finish"]


def test_a_canary_is_followed_step_by_step_to_its_end(served: Served, repository: Path) -> None:
    slowly = RUNS.replace("speed: 20", "speed: 10")
    write(repository, "by canary", slowly)
    apply(served, repository, "--yes --wait")

    write(repository, "by canary", slowly + BY_CANARY, version="1.1.0")
    command = "strategy-engine apply manifest.yaml --yes --wait --wait-timeout 90"
    done = run(served, repository, command)

    assert done.exit_code == 0, done.stdout + done.stderr
    assert "steps shadow 1 bars → weight 0.2" in done.stdout
    told = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("→")]
    assert told[-1] in {"switch", "hand_over", "finish"}
    assert "weight_20" in told
    assert told == sorted(told, key=STEPS.index)  # a step may be over before it is looked for
    deadline = time.monotonic() + 30  # what was replaced ends by itself, in its node
    while (now := statuses(served, "by canary"))["1.0.0"] != "stopped":
        assert time.monotonic() < deadline, now
    assert now["1.1.0"] == "running"
    assert doings(apply(served, repository, "--yes --wait")) == ["unchanged"]


def statuses(served: Served, name: str = "by manifest") -> dict[str, str]:
    with served.client() as client:
        found = client.strategies(name=name)["strategies"]
    return {each["version"]: each["status"] for each in found}


def test_a_version_that_took_over_is_as_it_should_be(served: Served, taken_over: Path) -> None:
    assert doings(apply(served, taken_over, "--yes --wait")) == ["unchanged"]
    found = statuses(served)
    assert found["1.1.0"] in {"running", "stopped"}  # its replay may have come to its end
    assert found.get("1.0.0", "stopped") == "stopped"  # or it was pruned


def test_what_conflicts_changes_nothing_at_all(
    served: Served, taken_over: Path, tmp_path: Path
) -> None:
    shutil.copytree(taken_over, tmp_path, dirs_exist_ok=True)
    other = "  - {name: other, version: 1.0.0, code: strategies/never.py}\n"
    whole = (tmp_path / "manifest.yaml").read_text("utf-8")
    (tmp_path / "manifest.yaml").write_text(whole.replace("15000", "90000") + other, "utf-8")

    refused = run(served, tmp_path, "strategy-engine apply manifest.yaml --yes --wait")

    assert refused.exit_code == 1
    assert "with other risk_limits: what was tested is immutable" in refused.stderr
    with served.client() as client:
        assert client.strategies(name="other")["total"] == 0


def test_what_is_not_named_is_archived_only_when_that_is_asked_for(
    served: Served, taken_over: Path
) -> None:
    with served.client() as client:
        made = client.create_strategy(
            {"strategy_name": "unnamed", "version": "1.0.0", "code": "class A: ..."}
        )
    plan = apply(served, taken_over, "--prune --dry-run")
    assert not plan["applied"]
    assert ("archive", "unnamed") in [
        (each["action"], each["strategy_name"]) for each in plan["actions"]
    ]
    with served.client() as client:
        assert client.strategy(made["strategy_id"])["status"] == "draft"

    assert apply(served, taken_over, "--prune --yes")["applied"]

    with served.client() as client:
        left = client.strategies()["strategies"]
    assert [(each["strategy_name"], each["version"]) for each in left] == [("by manifest", "1.1.0")]


def test_a_version_that_is_not_to_run_is_stopped_once(served: Served, repository: Path) -> None:
    write(repository, "to be stopped", RUNS)
    apply(served, repository, "--yes --wait")
    write(repository, "to be stopped", "    run: false\n")

    assert doings(apply(served, repository, "--yes")) == ["stop"]
    assert doings(apply(served, repository, "--yes")) == ["unchanged"]


def test_a_deployment_that_fails_fails_the_apply(served: Served, repository: Path) -> None:
    write(repository, "failing")
    shutil.copy(repository / "strategies" / "never.py", repository / "strategies" / "rsi.py")
    done = run(served, repository, "strategy-engine apply manifest.yaml --yes --wait")
    assert done.exit_code == 1
    assert "failing 1.0.0" in done.stderr
    assert "failed at backtest" in done.stderr


def test_what_a_key_may_not_do_is_told_and_the_rest_is_done(
    served: Served, repository: Path
) -> None:
    write(repository, "not to be started", "    run: true\n")
    key = served.keys["STRATEGY_DEPLOY_KEY"]
    done = run(served, repository, "strategy-engine apply manifest.yaml --yes --wait", key)

    assert done.exit_code == 1
    assert "is a developer, and this needs the permission trade" in done.stderr
    with served.client() as client:
        (version,) = client.strategies(name="not to be started")["strategies"]
        assert version["status"] == "deployed"


def test_a_wrong_manifest_is_told_by_its_lines_without_an_engine(tmp_path: Path) -> None:
    (tmp_path / "manifest.yaml").write_text(
        "manifest: 1\nstrategies:\n- name: x\n  version: 1.0\n  code: gone.py\n", "utf-8"
    )
    nowhere = Served("http://127.0.0.1:9", {})
    done = run(nowhere, tmp_path, "strategy-engine apply manifest.yaml --yes")

    assert done.exit_code == 2
    assert done.stderr.splitlines() == [
        "error: manifest.yaml:5: cannot read gone.py: No such file or directory"
    ]
