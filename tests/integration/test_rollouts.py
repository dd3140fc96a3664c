"""Rollouts on real processes: what is sound is promoted, what does harm is undone by itself.

Several lines share an engine, as they do at work. Every line has a version at work, which a second
one is to replace; each test follows one of them to its end.
"""

import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

_PROGRAM = Path(__file__).parent / "runners" / "lines.py"
_spec = importlib.util.spec_from_file_location("rollout_lines", _PROGRAM)
lines = importlib.util.module_from_spec(_spec)
sys.modules["rollout_lines"] = lines
_spec.loader.exec_module(lines)

Version, SOUND, HOLDS = lines.Version, lines.SOUND, lines.HOLDS
SETTINGS = {
    "STRATEGY_METRICS_INTERVAL": "0.5",
    "PIPELINE_STAGES": "syntax_check",
    "STRATEGY_DECISION_TIMEOUT": "1",
}
BOTH = (lines.EURUSD, lines.MIRROR)
BRIEFLY = {"min_time": "1s", "min_decisions": 10}
WATCHED = {"min_time": "60s", "min_decisions": 10}  # what does harm is seen long before
CANARY = {"steps": [{"weight": 0.2}], **WATCHED}
pytestmark = pytest.mark.timeout(300)

RAISES = Version(kind="raises")
HANGS = Version(kind="hangs")
RANDOM = Version(kind="random")
LOSES = Version(kind="loses", parameters={"fee_bps": 20})
REFUSED = Version(kind="loses", limits=lines.LIMITS | {"daily_loss_limit": -1})
SLOW = Version(kind="slow")
TOO_SLOW = {"bounds": {"max_decision_ms": 1.0}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A line: how its first version trades, what is to replace it, and how."""

    how: str
    new: Any = SOUND
    old: Any = SOUND
    options: dict[str, Any] = field(default_factory=dict)
    symbols: tuple[str, ...] = (lines.EURUSD,)


PROMOTED = {
    "direct": Case(how="direct"),
    "direct by flattening": Case(how="direct", old=HOLDS, options={"handover": "flatten"}),
    "blue-green": Case(how="blue_green", options={**BRIEFLY, "keep_warm": "0s"}),
    "canary": Case(how="canary", options={"steps": [{"weight": 0.2}, {"weight": 0.5}], **BRIEFLY}),
    "rolling": Case(how="rolling", symbols=BOTH, options=BRIEFLY),
}
BETTER = Case(
    how="canary",
    old=LOSES,
    options={"steps": [{"weight": 0.2}, {"analysis": {"required": True}}], **BRIEFLY}
    | {"min_decisions": 40},
)
# What is wrong, by the reason that it is undone for.
HARM = {
    "a canary that raises": ("failed", Case(how="canary", new=RAISES, options=CANARY)),
    "a canary that gives no answer": ("silent", Case(how="canary", new=HANGS, options=CANARY)),
    "a canary without its seed": (
        "decision_mismatch",
        Case(how="canary", new=RANDOM, options=CANARY),
    ),
    "a green version that loses": (
        "loss_budget",
        Case(how="blue_green", new=LOSES, options=WATCHED | {"min_time": "80 bars"}),
    ),
    "a batch whose orders are refused": (
        "rejects",
        Case(how="rolling", new=REFUSED, options=WATCHED, symbols=BOTH),
    ),
    "a slow version": ("slow", Case(how="direct", new=SLOW, options=TOO_SLOW)),
    "one that raises while it is handed over": (
        "failed",
        Case(how="direct", new=RAISES, old=HOLDS),
    ),
}


class Crowd:
    """Lines that are rolled out on one engine at the same time."""

    def __init__(self, engine: Any, cases: dict[str, Case]) -> None:
        self.engine = engine
        self.lines = {
            name: lines.Line(engine=engine, name=name.title(), symbols=case.symbols)
            for name, case in cases.items()
        }
        for name, case in cases.items():
            self.lines[name].begin(case.old)
        for line in self.lines.values():
            line.until_it_trades()
        self.deployments = {
            name: self.lines[name].roll_out(case.new, case.how, **case.options)
            for name, case in cases.items()
        }

    def ended(self, name: str) -> tuple[Any, Any, list[Any]]:
        """Return a line, its deployment's end, and its executions when nothing moves any more."""
        line = self.lines[name]
        found = line.ended(self.deployments[name])
        return line, found, line.settled()


@pytest.fixture(scope="module")
def engine(start_engine: Callable[..., Any]) -> Any:
    started = start_engine(**SETTINGS)
    lines.add_mirror(started)
    return started


@pytest.fixture(scope="module")
def sound(engine: Any) -> Crowd:
    return Crowd(engine, PROMOTED | {"better": BETTER})


@pytest.fixture(scope="module")
def harmful(engine: Any) -> Crowd:
    return Crowd(engine, {name: case for name, (_, case) in HARM.items()})


def assert_is_promoted(line: Any, found: Any, rows: list[Any]) -> None:
    assert (found["status"], found["outcome"]) == ("completed", "promoted"), found
    assert (line.status_of(0), line.status_of(1)) == ("stopped", "running")
    rollout = found["rollout"]
    assert {each["state"] for each in rollout["steps"]} == {"done"}
    assert_has_the_line(line, rows, rollout["candidate"])


def assert_is_undone(line: Any, found: Any, rows: list[Any], reason: str) -> None:
    assert (found["status"], found["outcome"]) == ("failed", "rolled_back"), found
    undo = found["rollout"]["undo"]
    assert (undo["reason"], undo["actor"]) == (reason, "engine"), undo
    assert undo["restored_in_s"] is not None
    assert line.status_of(0) == "running"
    assert line.status_of(1) in {"stopped", "error"}
    assert_has_the_line(line, rows, line.first)


def assert_has_the_line(line: Any, rows: list[Any], holder: str) -> None:
    """Whoever has the line has all of its capital; nobody else holds or waits for anything."""
    given, left = lines.worth_given(rows, holder)
    assert given == left, rows
    working = [each["execution_id"] for each in rows if each["status"] in lines.UNENDED]
    assert working == [holder]
    for each in rows:
        if each["execution_id"] != holder:
            assert_is_empty(line, each["execution_id"])
    now = line.engine.get(f"/lines/{quote(line.name)}")
    assert now["books"]["agrees"], now["books"]
    assert [each["execution_id"] for each in now["members"]] == [holder]
    assert now["shadows"] == []


def assert_is_empty(line: Any, execution_id: str) -> None:
    trades = line.engine.get(f"/executions/{execution_id}/trades?limit=1000")["trades"]
    held: dict[str, float] = {}
    for each in trades:
        sign = 1 if each["side"] == "BUY" else -1
        held[each["symbol"]] = held.get(each["symbol"], 0.0) + sign * each["quantity"]
    assert not any(held.values()), held
    orders = line.engine.get(f"/executions/{execution_id}/orders?limit=1000")["orders"]
    assert not [each for each in orders if each["status"] in lines.WORKING]


@pytest.mark.parametrize("name", PROMOTED)
def test_a_version_that_behaves_the_same_ends_as_its_plan_says_and_never_as_better(
    sound: Crowd, name: str
) -> None:
    line, found, rows = sound.ended(name)
    assert_is_promoted(line, found, rows)
    reasons = {each["reason"] for each in line.events(found["pipeline_id"], "step_ends")}
    watched = [each for each in found["rollout"]["steps"] if each["min_decisions"]]
    assert ("no_evidence_of_harm" in reasons) == bool(watched)
    assert not reasons & {"not_worse", "worse", "inconclusive"}


def test_a_better_version_passes_the_analysis_that_its_plan_requires(sound: Crowd) -> None:
    line, found, rows = sound.ended("better")
    assert_is_promoted(line, found, rows)
    passed = {
        each["step"]: each["reason"] for each in line.events(found["pipeline_id"], "step_ends")
    }
    assert passed["analysis"] == "not_worse"


@pytest.mark.parametrize("name", HARM)
def test_a_version_that_does_harm_is_undone_by_itself_for_that_reason(
    harmful: Crowd, name: str
) -> None:
    assert_is_undone(*harmful.ended(name), HARM[name][0])
