"""Rollouts on real processes: what is sound is promoted, what does harm is undone by itself.

Several lines share an engine, as they do at work. Every line has a version at work, which a second
one is to replace; each test follows one of them to its end.
"""

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

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
TWO_WEIGHTS = [{"weight": 0.2}, {"weight": 0.5}]
CANARY = {"steps": [{"weight": 0.2}], **WATCHED}
pytestmark = pytest.mark.timeout(300)

RAISES = Version(kind="raises")
HANGS = Version(kind="hangs")
RANDOM = Version(kind="random")
LOSES = Version(kind="loses", parameters={"fee_bps": 40})
REFUSED = Version(kind="loses", limits=lines.LIMITS | lines.REFUSES)
SLOW = Version(kind="slow")
TOO_SLOW = {"bounds": {"max_decision_ms": 1.0}}


NATIVE = """
from nautilus_trader.trading.strategy import Strategy


class Native(Strategy):
    pass
"""
PROMOTED = {
    "direct": lines.Case(how="direct"),
    "direct by flattening": lines.Case(how="direct", old=HOLDS, options={"handover": "flatten"}),
    "direct by adopting": lines.Case(how="direct", old=HOLDS, options={"handover": "adopt"}),
    "blue-green": lines.Case(how="blue_green", options={**BRIEFLY, "keep_warm": "0s"}),
    "canary": lines.Case(how="canary", options={"steps": TWO_WEIGHTS, **BRIEFLY}),
    "rolling": lines.Case(how="rolling", symbols=BOTH, options=BRIEFLY),
}
BETTER = lines.Case(
    how="canary",
    old=LOSES,
    options={"steps": [{"weight": 0.2}, {"analysis": {"required": True}}], **BRIEFLY}
    | {"min_decisions": 40},
)
# What is wrong, by the reason that it is undone for.
HARM = {
    "a canary that raises": ("failed", lines.Case(how="canary", new=RAISES, options=CANARY)),
    "a canary without an answer": (
        "silent",
        lines.Case(how="canary", new=HANGS, options=CANARY),
    ),
    "a canary without its seed": (
        "decision_mismatch",
        lines.Case(how="canary", new=RANDOM, options=CANARY),
    ),
    "a green version that loses": (
        "loss_budget",
        lines.Case(how="blue_green", new=LOSES, options=WATCHED | {"min_time": "80 bars"}),
    ),
    "a batch whose orders are refused": (
        "rejects",
        lines.Case(how="rolling", new=REFUSED, options=WATCHED, symbols=BOTH),
    ),
    "a slow version": ("slow", lines.Case(how="direct", new=SLOW, options=TOO_SLOW)),
    "one that raises while it is handed over": (
        "failed",
        lines.Case(how="direct", new=RAISES, old=HOLDS),
    ),
}


@pytest.fixture(scope="module")
def engine(start_engine: Callable[..., Any]) -> Any:
    started = start_engine(**SETTINGS)
    lines.add_mirror(started)
    return started


@pytest.fixture(scope="module")
def sound(engine: Any) -> lines.Crowd:
    return lines.Crowd(engine, PROMOTED | {"better": BETTER})


@pytest.fixture(scope="module")
def harmful(engine: Any) -> lines.Crowd:
    return lines.Crowd(engine, {name: case for name, (_, case) in HARM.items()})


@pytest.mark.parametrize("name", PROMOTED)
def test_a_version_that_behaves_the_same_ends_as_its_plan_says_and_never_as_better(
    sound: lines.Crowd, name: str
) -> None:
    line, found, rows = sound.ended(name)
    lines.assert_is_promoted(line, found, rows)
    reasons = {each["reason"] for each in line.events(found["pipeline_id"], "step_ends")}
    watched = [each for each in found["rollout"]["steps"] if each["min_decisions"]]
    assert ("no_evidence_of_harm" in reasons) == bool(watched)
    assert not reasons & {"not_worse", "worse", "inconclusive"}


def test_what_the_old_version_holds_is_the_new_ones_at_the_mark(sound: lines.Crowd) -> None:
    line = sound.lines["direct by adopting"]
    ended = line.ended(sound.deployments["direct by adopting"])
    both = (line.first, ended["rollout"]["candidate"])
    fills = [sound.engine.get(f"/executions/{each}/trades")["trades"] for each in both]
    (gone,), (come,) = ([each for each in found if each["cause"] == "handover"] for found in fills)
    assert (gone["quantity"], gone["price"]) == (come["quantity"], come["price"])
    assert (gone["side"], come["side"]) == ("SELL", "BUY")
    assert {gone["fee"], come["fee"], come["pnl"]} == {0}


def test_a_strategy_that_keeps_its_own_positions_is_refused_at_once(engine: Any) -> None:
    line = lines.Line(engine=engine, name="Native After")
    line.begin()
    body = {"strategy_name": line.name, "version": "9.0.0", "code": NATIVE, "risk_limits": {}}
    strategy_id = engine.post("/strategies", body)["strategy_id"]
    path = f"/strategies/{strategy_id}/deploy"
    status, answer = engine.call("POST", path, {"handover": "adopt"})
    line.stop()
    assert (status, answer["accepted"]) == (422, ["run_off", "flatten"])
    assert "NautilusTrader strategy" in answer["detail"]


def test_a_better_version_passes_the_analysis_that_its_plan_requires(sound: lines.Crowd) -> None:
    line, found, rows = sound.ended("better")
    lines.assert_is_promoted(line, found, rows)
    passed = {
        each["step"]: each["reason"] for each in line.events(found["pipeline_id"], "step_ends")
    }
    assert passed["analysis"] == "not_worse"


@pytest.mark.parametrize("name", HARM)
def test_a_version_that_does_harm_is_undone_by_itself_for_that_reason(
    harmful: lines.Crowd, name: str
) -> None:
    lines.assert_is_undone(*harmful.ended(name), HARM[name][0])
