"""`apply` while a rollout goes on for longer than anybody waits."""

from pathlib import Path
from typing import Any

import pytest

from strategy_engine.api import example_rollouts, examples
from strategy_engine.cli import rules

STRATEGY = examples.STRATEGY["strategy_id"]
PIPELINE = examples.ACCEPTED["pipeline_id"]
MANIFEST = """\
manifest: 1
strategies:
- name: RSI
  version: 1.2.0
  code: rsi.py
  deploy: {deployment_type: canary}
"""
CODE = "class RSI:\n    def generate_signal(self, market_data):\n        return 'HOLD'\n"


@pytest.fixture
def manifest(tmp_path: Path, fake: Any) -> Path:
    (tmp_path / "rsi.py").write_text(CODE)
    path = tmp_path / "manifest.yaml"
    path.write_text(MANIFEST)
    version = {
        **examples.STRATEGY,
        "strategy_name": "RSI",
        "version": "1.2.0",
        "code": CODE,
        "parameters": {},
        "risk_limits": {},
        "tests": {},
        "status": "running",
    }
    fake.answers_to("GET /strategies", {"strategies": [version], "count": 1, "total": 1})
    fake.answers_to(f"GET /strategies/{STRATEGY}", version)
    fake.answers_to("GET /executions", {"executions": [], "count": 0})
    fake.answers_to("GET /deployments", {"deployments": [rolling("weight_5")], "count": 1})
    return path


def rolling(step: str, status: str = "rolling_out", **fields: Any) -> dict[str, Any]:
    usual = {
        **examples.DEPLOYMENT_STATUS,
        "status": status,
        "current_stage": step,
        "rollout": example_rollouts.ROLLOUT | {"waits_for": ""},
    }
    return usual | {"pipeline_id": PIPELINE} | fields


def test_what_goes_on_after_the_waiting_is_told_by_a_status_of_its_own(
    run: Any, fake: Any, manifest: Path
) -> None:
    fake.answers_to(f"GET /deployments/{PIPELINE}/status", rolling("weight_5"))
    done = run("apply", str(manifest), "--yes", "--wait", "--wait-timeout", "1")

    assert done.exit_code == rules.GOES_ON
    assert "→ weight_5" in done.stdout
    assert "the next apply follows it" in done.stderr


@pytest.mark.parametrize(
    ("ends", "exit_code"),
    [(("completed", "promoted"), 0), (("failed", "rolled_back"), rules.FAILED)],
)
def test_a_canary_that_is_followed_ends_the_apply_as_it_ended(
    run: Any, fake: Any, manifest: Path, ends: tuple[str, str], exit_code: int
) -> None:
    fake.answers_to(
        f"GET /deployments/{PIPELINE}/status",
        rolling("weight_5"),
        rolling("weight_10"),
        rolling("finish", ends[0], outcome=ends[1], message="the loss budget of 2 % is used up"),
    )
    done = run("apply", str(manifest), "--yes", "--wait", "--wait-timeout", "60")

    assert done.exit_code == exit_code
    assert [line for line in done.stdout.splitlines() if line.startswith("→")] == [
        "→ weight_5",
        "→ weight_10",
    ]
    assert "loss budget" in done.stdout + done.stderr
