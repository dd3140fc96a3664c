"""Rollouts on an engine that is killed -9 in their middle: they end as if nothing had happened."""

import importlib.util
import sys
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pytest

_PROGRAM = Path(__file__).parent / "runners" / "lines.py"
_spec = importlib.util.spec_from_file_location("dying_lines", _PROGRAM)
lines = importlib.util.module_from_spec(_spec)
sys.modules["dying_lines"] = lines
_spec.loader.exec_module(lines)

Version, HOLDS = lines.Version, lines.HOLDS
SETTINGS = {
    "STRATEGY_METRICS_INTERVAL": "0.5",
    "PIPELINE_STAGES": "syntax_check",
    "STRATEGY_DECISION_TIMEOUT": "1",
}
BOTH = (lines.EURUSD, lines.MIRROR)
pytestmark = pytest.mark.timeout(300)

# --- the short form: three kills, each in the middle of one rollout, and so of the others too

_LASTING = {"min_time": "3s", "min_decisions": 10}
_LONG = {"min_time": "60s", "min_decisions": 10}
_SHORT_FORM = {
    "a canary": lines.Case(
        how="canary", options={**_LASTING, "steps": [{"weight": 0.2}, {"weight": 0.5}]}
    ),
    "a blue-green switch": lines.Case(how="blue_green", options={**_LASTING, "keep_warm": "0s"}),
    "a roll": lines.Case(how="rolling", options=_LASTING, symbols=BOTH),
    "a direct one": lines.Case(how="direct"),
    "a canary that raises": lines.Case(
        how="canary",
        new=Version(kind="raises"),
        options={**_LONG, "steps": [{"shadow": "120 bars"}, {"weight": 0.2}]},
    ),
    "a green version that loses": lines.Case(
        how="blue_green",
        new=Version(kind="loses", parameters={"fee_bps": 40}),
        options={**_LONG, "min_time": "150 bars"},
    ),
}
_UNDONE_FOR = {"a canary that raises": "failed", "a green version that loses": "loss_budget"}


@pytest.fixture(scope="module")
def survivors(start_engine: Callable[..., Any]) -> Any:
    engine = start_engine(**SETTINGS)
    lines.add_mirror(engine)
    crowd = lines.Crowd(engine, _SHORT_FORM)
    crowd.until_past("a canary", 1)
    crowd.kill(lines.CONTROL, start_engine)
    crowd.until_past("a blue-green switch", 2)
    crowd.kill(lines.NODE, start_engine)
    crowd.until_past("a roll", 3)
    crowd.kill(lines.EVERYTHING, start_engine)
    return crowd


@pytest.mark.parametrize("name", _SHORT_FORM)
def test_a_rollout_ends_the_same_though_all_of_the_engine_was_killed_meanwhile(
    survivors: Any, name: str
) -> None:
    line, found, rows = survivors.ended(name)
    if name in _UNDONE_FOR:
        lines.assert_is_undone(line, found, rows, _UNDONE_FOR[name])
    else:
        lines.assert_is_promoted(line, found, rows)


# --- the long form: every type, every version, every death

HOWS = {  # the step at which it is killed, and what its plan watches
    "direct": (1, {}),
    "blue_green": (2, {**_LONG, "min_time": "100 bars", "keep_warm": "0s"}),
    "canary": (
        2,
        {**_LONG, "steps": [{"shadow": "20 bars"}, {"weight": 0.2, "min_time": "100 b"}]},
    ),
    "rolling": (3, {**_LONG, "min_time": "100 bars"}),
}
NEW = {
    "same": (Version(), None),
    "better": (Version(), None),
    "raises": (Version(kind="raises"), "failed"),
    "hangs": (Version(kind="hangs"), "silent"),
    "random": (Version(kind="random"), "decision_mismatch"),
    "loses": (Version(kind="loses", parameters={"fee_bps": 40}), "loss_budget"),
    "refused": (
        Version(kind="loses", limits=lines.LIMITS | lines.REFUSES),
        "rejects",
    ),
    "slow": (Version(kind="slow"), "slow"),
}
DEATHS = ("nothing", lines.CONTROL, lines.NODE, lines.EVERYTHING)


def long_case(how: str, name: str) -> Any:
    new, reason = NEW[name]
    old = lines.SOUND
    if name == "better":
        old = Version(kind="loses")
    elif reason and how == "direct":
        old = HOLDS  # a handover that lasts; nothing is watched after it
    options = dict(HOWS[how][1])
    if name == "slow":
        options["bounds"] = {"max_decision_ms": 1.0}
    return lines.Case(
        how=how, new=new, old=old, options=options, symbols=BOTH if how == "rolling" else BOTH[:1]
    )


@pytest.fixture(scope="module")
def engine_of(start_engine: Callable[..., Any]) -> list[Any]:
    engine = start_engine(**SETTINGS)
    lines.add_mirror(engine)
    return [engine]


@pytest.mark.soak
@pytest.mark.parametrize(("how", "name", "death"), list(product(HOWS, NEW, DEATHS)))
def test_every_version_of_every_type_ends_as_it_should_whatever_is_killed(
    engine_of: list[Any], start_engine: Callable[..., Any], how: str, name: str, death: str
) -> None:
    case = f"{how} {name} {death}"
    crowd = lines.Crowd(engine_of[0], {case: long_case(how, name)})
    if death in DEATHS[1:]:
        crowd.until_past(case, HOWS[how][0])
        crowd.kill(death, start_engine)
        engine_of[0] = crowd.engine
    line, found, rows = crowd.ended(case)
    reason = NEW[name][1]
    if reason is None:
        lines.assert_is_promoted(line, found, rows)
    else:
        lines.assert_is_undone(line, found, rows, reason)
