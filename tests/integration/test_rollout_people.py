"""What people decide of rollouts on a real engine: let on, approved, taken back warm or cold."""

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

_PROGRAM = Path(__file__).parent / "runners" / "lines.py"
_spec = importlib.util.spec_from_file_location("peoples_lines", _PROGRAM)
lines = importlib.util.module_from_spec(_spec)
sys.modules["peoples_lines"] = lines
_spec.loader.exec_module(lines)

SETTINGS = {"STRATEGY_METRICS_INTERVAL": "0.5", "PIPELINE_STAGES": "syntax_check"}
FOR_EVER = {"min_time": "1h", "min_decisions": 1}  # a step that a person alone lets end
BRIEFLY = {"min_time": "1s", "min_decisions": 10}
pytestmark = pytest.mark.timeout(300)

CASES = {
    "let on and warm": lines.Case(
        how="blue_green", options={**FOR_EVER, "approve_switch": True, "keep_warm": "1h"}
    ),
    "grown cold": lines.Case(how="blue_green", options={**BRIEFLY, "keep_warm": "1s"}),
    "let on to the end": lines.Case(how="canary", options=FOR_EVER),
    "taken back": lines.Case(how="canary", options={**FOR_EVER, "steps": [{"weight": 0.2}]}),
    "rejected": lines.Case(
        how="canary", options={**BRIEFLY, "steps": [{"weight": 0.2}, {"approval": True}]}
    ),
}


@pytest.fixture(scope="module")
def crowd(start_engine: Callable[..., Any]) -> Any:
    return lines.Crowd(start_engine(**SETTINGS), CASES)


def say(crowd: Any, name: str, verb: str, **said: Any) -> Any:
    return crowd.engine.post(f"/deployments/{crowd.deployments[name]}/{verb}", said)


def until_at(crowd: Any, name: str, step: str) -> Any:
    return crowd.lines[name].until_at(crowd.deployments[name], step)


def taken_back(crowd: Any, name: str) -> Any:
    """Wait until a completed deployment has been taken back."""
    path = f"/deployments/{crowd.deployments[name]}/status"
    return crowd.engine.until(path, lambda now: now["outcome"] == "rolled_back", lines.LONG_S)


def execution(crowd: Any, execution_id: str) -> Any:
    return crowd.engine.get(f"/executions/{execution_id}")


def test_a_version_let_on_step_by_step_is_taken_back_to_the_one_that_is_still_warm(
    crowd: Any,
) -> None:
    name = "let on and warm"
    line = crowd.lines[name]
    until_at(crowd, name, "shadow")
    say(crowd, name, "promote", comment="seen enough")
    until_at(crowd, name, "approval")
    say(crowd, name, "approve")
    until_at(crowd, name, "pause")
    say(crowd, name, "promote")
    found = line.ended(crowd.deployments[name])
    assert (found["status"], found["outcome"]) == ("completed", "promoted")
    assert found["rollout"]["warm_until"] is not None
    assert (line.status_of(0), line.status_of(1)) == ("stopped", "running")
    before = execution(crowd, line.first)
    assert (before["status"], before["role"]) == ("running", "shadow")
    assert before["capital"] == -before["pnl"]  # it watches, and has nothing

    say(crowd, name, "rollback", comment="the desk wants it back")
    found = taken_back(crowd, name)
    undo = found["rollout"]["undo"]
    assert (found["status"], undo["reason"], undo["actor"]) == ("completed", "rolled_back", "local")
    assert "the desk wants it back" in undo["why"]
    assert undo["restored_in_s"] is not None
    assert (line.status_of(0), line.status_of(1)) == ("running", "stopped")
    lines.assert_has_the_line(line, line.settled(), line.first)


def test_a_version_that_grew_cold_is_started_again_when_it_is_asked_back(crowd: Any) -> None:
    name = "grown cold"
    line = crowd.lines[name]
    found = line.ended(crowd.deployments[name])
    assert found["outcome"] == "promoted"
    crowd.engine.until(f"/executions/{line.first}", lambda now: now["status"] == "stopped")
    new = found["rollout"]["candidate"]
    lines.assert_has_the_line(line, line.settled(), new)

    say(crowd, name, "rollback")
    assert taken_back(crowd, name)["rollout"]["undo"]["reason"] == "rolled_back"
    assert (line.status_of(0), line.status_of(1)) == ("running", "stopped")
    rows = line.settled()
    (again,) = [each for each in rows if each["status"] in lines.UNENDED]
    assert again["strategy_id"] == line.versions[0]
    assert again["execution_id"] not in {line.first, new}
    lines.assert_has_the_line(line, rows, again["execution_id"])


def test_a_canary_let_on_to_the_end_takes_the_whole_line_at_once(crowd: Any) -> None:
    name = "let on to the end"
    line = crowd.lines[name]
    until_at(crowd, name, "weight_5")
    say(crowd, name, "promote-full", comment="it is known from elsewhere")
    found = line.ended(crowd.deployments[name])
    states = {each["name"]: each["state"] for each in found["rollout"]["steps"]}
    assert found["outcome"] == "promoted"
    assert (states["weight_5"], states["weight_50"]) == ("skipped", "skipped")
    lines.assert_has_the_line(line, line.settled(), found["rollout"]["candidate"])


def test_a_canary_taken_back_before_its_end_leaves_the_line_as_it_was(crowd: Any) -> None:
    name = "taken back"
    line = crowd.lines[name]
    line.until(
        crowd.deployments[name],
        lambda now: (now["rollout"] or {"weights": {"new": 0}})["weights"]["new"] == 0.2,
    )
    say(crowd, name, "rollback", comment="another time")
    found = line.ended(crowd.deployments[name])
    undo = found["rollout"]["undo"]
    assert (found["status"], found["outcome"]) == ("failed", "rolled_back")
    assert (undo["reason"], undo["actor"]) == ("rolled_back", "local")
    assert (line.status_of(0), line.status_of(1)) == ("running", "stopped")
    lines.assert_has_the_line(line, line.settled(), line.first)


def test_a_canary_that_is_rejected_at_its_approval_is_undone(crowd: Any) -> None:
    name = "rejected"
    line = crowd.lines[name]
    until_at(crowd, name, "approval")
    say(crowd, name, "reject", comment="not this week")
    found = line.ended(crowd.deployments[name])
    undo = found["rollout"]["undo"]
    assert (found["outcome"], undo["reason"]) == ("rolled_back", "rejected")
    assert "not this week" in undo["why"]
    lines.assert_has_the_line(line, line.settled(), line.first)
