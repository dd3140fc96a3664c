"""Deployments on a real engine: gates, approval, handover, and a control process killed midway."""

import os
import signal
from decimal import Decimal
from itertools import count
from pathlib import Path

import pytest

from strategy_engine import examples

RSI = next(each for each in examples.EXAMPLES if each.name == "RSI mean reversion")
_numbers = count(1)


def register(engine, *, name=None, version="1.0.0", code=None, **changes):
    body = {
        "strategy_name": name or f"Line {next(_numbers)}",
        "version": version,
        "code": code or RSI.source(),
        "parameters": dict(RSI.parameters),
        "risk_limits": dict(RSI.risk_limits),
    }
    return engine.post("/strategies", body | changes)["strategy_id"]


def deploy(engine, strategy_id, **options):
    pipeline_id = engine.post(f"/strategies/{strategy_id}/deploy", options)["pipeline_id"]
    return ended(engine, pipeline_id)


def ended(engine, pipeline_id):
    return engine.until(
        f"/deployments/{pipeline_id}/status",
        lambda now: now["status"] in {"completed", "failed"},
        timeout_s=60,
    )


def exact(amount):
    return Decimal(repr(amount))


def status_of(engine, strategy_id):
    return engine.get(f"/strategies/{strategy_id}")["status"]


def running(engine, strategy_id, **config):
    started = engine.post(f"/strategies/{strategy_id}/start", {"execution_config": config})
    return started["execution_id"]


def test_a_failed_gate_sends_the_version_back_to_draft_with_its_report(engine):
    strategy_id = register(engine, risk_limits={})
    found = deploy(engine, strategy_id)
    assert (found["status"], found["outcome"]) == ("failed", "rejected")
    assert found["current_stage"] == "risk_validation"
    assert "max_position_size" in found["message"]
    assert "daily_loss_limit" in found["message"]
    assert status_of(engine, strategy_id) == "draft"
    engine.call("PUT", f"/strategies/{strategy_id}", {"risk_limits": dict(RSI.risk_limits)})
    assert deploy(engine, strategy_id)["status"] == "completed"


def test_an_approval_is_waited_for_and_then_the_version_is_deployed(engine):
    strategy_id = register(engine)
    pipeline_id = engine.post(f"/strategies/{strategy_id}/deploy", {"approval_required": True})[
        "pipeline_id"
    ]
    engine.until(
        f"/deployments/{pipeline_id}/status", lambda now: now["status"] == "awaiting_approval"
    )
    assert status_of(engine, strategy_id) == "approved"
    engine.post(f"/deployments/{pipeline_id}/approve", {"comment": "fine"})
    engine.post(f"/deployments/{pipeline_id}/approve")
    assert engine.call("POST", f"/deployments/{pipeline_id}/reject")[0] == 409
    assert ended(engine, pipeline_id)["outcome"] == "promoted"
    assert status_of(engine, strategy_id) == "deployed"


def test_a_rejection_ends_the_deployment_and_leaves_the_version_approved(engine):
    strategy_id = register(engine)
    pipeline_id = engine.post(f"/strategies/{strategy_id}/deploy", {"approval_required": True})[
        "pipeline_id"
    ]
    engine.until(
        f"/deployments/{pipeline_id}/status", lambda now: now["status"] == "awaiting_approval"
    )
    engine.post(f"/deployments/{pipeline_id}/reject", {"comment": "too risky"})
    found = ended(engine, pipeline_id)
    assert (found["status"], found["outcome"]) == ("failed", "rejected")
    assert "too risky" in found["message"]
    assert status_of(engine, strategy_id) == "approved"


def test_a_second_deployment_of_a_version_is_refused_while_one_is_open(engine):
    strategy_id = register(engine)
    first = engine.post(f"/strategies/{strategy_id}/deploy")
    status, problem = engine.call("POST", f"/strategies/{strategy_id}/deploy")
    assert status == 409
    assert first["pipeline_id"] in problem["detail"]
    assert ended(engine, first["pipeline_id"])["status"] == "completed"


def test_deploying_a_running_version_validates_it_again_and_touches_nothing(engine):
    strategy_id = register(engine)
    deploy(engine, strategy_id)
    execution_id = running(engine, strategy_id, speed=5)
    found = deploy(engine, strategy_id)
    assert (found["status"], found["outcome"]) == ("completed", "revalidated")
    assert status_of(engine, strategy_id) == "running"
    assert running(engine, strategy_id) == execution_id
    engine.post(f"/strategies/{strategy_id}/stop")


@pytest.mark.parametrize("policy", [pytest.param("run_off", marks=pytest.mark.soak), "flatten"])
def test_direct_hands_the_lines_capital_and_its_place_in_the_feed_to_the_new_version(
    engine, policy
):
    name = f"Handover by {policy}"
    old = register(engine, name=name)
    deploy(engine, old)
    old_run = running(engine, old, speed=800)
    engine.until(f"/executions/{old_run}", lambda now: now["trade_count"] >= 1)
    new = register(engine, name=name, version="2.0.0")
    found = deploy(engine, new, handover=policy)
    assert (found["status"], found["outcome"]) == ("completed", "promoted"), found
    assert "too slow" not in found["message"]
    before = engine.until(f"/executions/{old_run}", lambda now: now["status"] == "stopped")
    assert status_of(engine, old) == "stopped"
    (after,) = engine.get(f"/executions?status=all&strategy_id={new}")["executions"]
    assert exact(after["capital"]) == 100_000 + exact(before["final_pnl"])
    assert before["capital"] == 0  # nothing stayed with it
    fills = engine.get(f"/executions/{old_run}/trades?limit=1000")["trades"]
    held = sum(each["quantity"] * (1 if each["side"] == "BUY" else -1) for each in fills)
    assert held == 0
    (theirs,), (own,) = before["serves"], after["serves"]
    assert (theirs["after"], theirs["until"], own["until"]) == (None, own["after"], None)
    path = f"/executions/{after['execution_id']}/trades"
    first = engine.until(path, lambda now: now["trades"])["trades"][-1]
    assert first["timestamp"] >= own["after"]
    engine.call("POST", f"/strategies/{new}/stop")


def test_a_plan_that_cannot_work_is_refused_at_once_with_the_arithmetic(engine):
    name = "Too little"
    old = register(engine, name=name)
    deploy(engine, old)
    running(engine, old, speed=1)
    new = register(engine, name=name, version="2.0.0")
    options = {"deployment_type": "canary", "steps": [{"weight": 0.000001}]}
    status, problem = engine.call("POST", f"/strategies/{new}/deploy", options)
    assert status == 422
    assert "0.000001 of" in problem["detail"]
    assert "one lot of EUR/USD.SIM costs" in problem["detail"]
    assert status_of(engine, new) == "draft"
    engine.post(f"/strategies/{old}/stop")


def test_a_pipeline_survives_the_death_of_control_and_no_stage_counts_twice(engine):
    strategy_id = register(engine)
    before = engine.get("/health")["tests_completed"]
    pipeline_id = engine.post(f"/strategies/{strategy_id}/deploy")["pipeline_id"]
    engine.until(f"/deployments/{pipeline_id}/status", lambda now: now["stages_completed"] >= 1)
    os.kill(engine.children()["engine-control"], signal.SIGKILL)
    found = ended(engine, pipeline_id)
    assert (found["status"], found["stages_completed"]) == ("completed", 6)
    assert engine.get("/health")["tests_completed"] == before + 6


def at_work_for(pid):
    """Return the processes that a process has forked by its zygotes."""
    try:
        listed = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        below = [Path(f"/proc/{each}/task/{each}/children").read_text() for each in listed]
    except FileNotFoundError:  # one ended between the looks
        return at_work_for(pid)
    return [each for told in below for each in told.split()]


@pytest.mark.parametrize("is_killed", [pytest.param(False, marks=pytest.mark.soak), True])
def test_a_validation_that_is_aborted_ends_with_its_processes_and_leaves_a_draft(engine, is_killed):
    endless = {"test_it.py": "def test_it():\n    while True:\n        pass\n"}
    strategy_id = register(engine, tests=endless)
    pipeline_id = engine.post(f"/strategies/{strategy_id}/deploy")["pipeline_id"]
    control = engine.children()["engine-control"]
    path = f"/deployments/{pipeline_id}/status"
    engine.until(
        path, lambda now: now["current_stage"] == "unit_tests" and bool(at_work_for(control))
    )
    would = engine.post(f"/deployments/{pipeline_id}/abort?dry_run=true")["would"]
    done = engine.post(f"/deployments/{pipeline_id}/abort", {"comment": "wrong file"})
    if is_killed:
        os.kill(control, signal.SIGKILL)
        engine.until_replaced("engine-control", control)
        control = engine.children()["engine-control"]
    engine.until(path, lambda _: not at_work_for(control), timeout_s=10)
    found = engine.get(path)

    assert "back to draft" in would[0]
    assert (done["status"], done["deployment_status"]) == ("aborting", "failed")
    assert (found["outcome"], found["stages_completed"]) == ("aborted", 1)
    assert found["message"].endswith("wrong file")
    assert status_of(engine, strategy_id) == "draft"
    status, _ = engine.call("PUT", f"/strategies/{strategy_id}", {"tests": {}})
    assert status == 200
    assert deploy(engine, strategy_id)["outcome"] == "promoted"


def test_stages_that_are_left_out_by_setting_are_shown(start_engine):
    engine = start_engine(PIPELINE_STAGES="syntax_check,backtest")
    strategy_id = register(engine)
    found = deploy(engine, strategy_id)
    assert found["status"] == "completed"
    assert found["stages"] == ["syntax_check", "backtest"]
    assert found["left_out"] == [
        "unit_tests",
        "paper_trading",
        "risk_validation",
        "performance_validation",
    ]


@pytest.mark.soak
def test_approval_required_by_setting_cannot_be_waved_by_a_request(start_engine):
    engine = start_engine(DEPLOYMENT_APPROVAL_REQUIRED="true", PIPELINE_STAGES="syntax_check")
    strategy_id = register(engine)
    pipeline_id = engine.post(f"/strategies/{strategy_id}/deploy", {"approval_required": False})[
        "pipeline_id"
    ]
    engine.until(
        f"/deployments/{pipeline_id}/status", lambda now: now["status"] == "awaiting_approval"
    )
    os.kill(engine.children()["engine-control"], signal.SIGKILL)
    engine.post(f"/deployments/{pipeline_id}/approve")
    assert ended(engine, pipeline_id)["outcome"] == "promoted"


BROKEN_AT_START = """
class Broken:
    def on_start(self):
        raise RuntimeError("no luck today")

    def generate_signal(self, market_data):
        return "HOLD"
"""


@pytest.mark.soak
def test_a_version_that_does_not_start_gives_the_line_back(start_engine):
    engine = start_engine(PIPELINE_STAGES="syntax_check")
    old, new, found = replaced_by_one_that_does_not_start(engine)
    assert (found["status"], found["outcome"]) == ("failed", "rolled_back")
    assert "no luck today" in found["message"]
    assert (status_of(engine, new), status_of(engine, old)) == ("error", "running")


@pytest.mark.parametrize("said_by", [pytest.param("setting", marks=pytest.mark.soak), "request"])
def test_a_version_that_does_not_start_is_held_for_a_person_if_nothing_is_to_be_undone(
    start_engine, said_by
):
    automatic = "false" if said_by == "setting" else "true"
    engine = start_engine(PIPELINE_STAGES="syntax_check", AUTO_ROLLBACK_ENABLED=automatic)
    options = {} if said_by == "setting" else {"rollback_on_failure": False}
    old, new, found = replaced_by_one_that_does_not_start(engine, **options)
    assert found["status"] == "rolling_out"
    assert found["rollout"]["hold"]["by"] == "engine"
    assert "no luck today" in found["rollout"]["hold"]["why"]
    assert (status_of(engine, new), status_of(engine, old)) == ("error", "running")
    assert found["rollout"]["weights"] == {"new": 0.0, "baseline": 0.0, "before": 1.0}
    engine.post(f"/deployments/{found['pipeline_id']}/rollback")
    undone = ended(engine, found["pipeline_id"])
    assert (undone["outcome"], undone["rollout"]["undo"]["actor"]) == ("rolled_back", "local")
    assert status_of(engine, old) == "running"


def replaced_by_one_that_does_not_start(engine, **options):
    name = "Rolled back"
    old = register(engine, name=name)
    deploy(engine, old)
    running(engine, old, speed=20)
    new = register(engine, name=name, version="2.0.0", code=BROKEN_AT_START)
    asked = {"handover": "flatten"} | options
    pipeline_id = engine.post(f"/strategies/{new}/deploy", asked)["pipeline_id"]
    found = engine.until(
        f"/deployments/{pipeline_id}/status",
        lambda now: now["status"] == "failed" or (now["rollout"] or {}).get("hold"),
    )
    return old, new, found


RAISES_LIVE = """
class RaisesLive:
    def generate_signal(self, market_data):
        return {}["no luck with this bar"]
"""


def test_a_version_that_fails_at_its_first_bar_gives_the_line_back(start_engine):
    engine = start_engine(PIPELINE_STAGES="syntax_check")
    name = "Fails at once"
    old = register(engine, name=name)
    deploy(engine, old)
    running(engine, old, speed=4)
    new = register(engine, name=name, version="2.0.0", code=RAISES_LIVE)
    found = deploy(engine, new, handover="flatten")
    assert (found["status"], found["outcome"]) == ("failed", "rolled_back")
    assert "no luck with this bar" in found["message"]
    assert (status_of(engine, new), status_of(engine, old)) == ("error", "running")
    engine.post(f"/strategies/{old}/stop")


def test_two_versions_of_a_line_do_not_trade_its_account_at_once(engine):
    name = "One account"
    one, two = (register(engine, name=name, version=f"{n}.0.0") for n in (1, 2))
    for each in (one, two):
        deploy(engine, each)
    execution_id = running(engine, one, speed=5)
    status, problem = engine.call("POST", f"/strategies/{two}/start")
    assert status == 409
    assert execution_id in problem["detail"]
    assert status_of(engine, two) == "deployed"
    engine.post(f"/strategies/{one}/stop")
    assert running(engine, two, speed=5)
    engine.post(f"/strategies/{two}/stop")


def test_a_version_cannot_be_deleted_while_its_deployment_waits(engine):
    strategy_id = register(engine)
    pipeline_id = engine.post(f"/strategies/{strategy_id}/deploy", {"approval_required": True})[
        "pipeline_id"
    ]
    engine.until(
        f"/deployments/{pipeline_id}/status", lambda now: now["status"] == "awaiting_approval"
    )
    status, problem = engine.call("DELETE", f"/strategies/{strategy_id}")
    assert status == 409
    assert pipeline_id in problem["detail"]
    engine.post(f"/deployments/{pipeline_id}/reject")
    ended(engine, pipeline_id)
    assert engine.call("DELETE", f"/strategies/{strategy_id}")[0] == 200
