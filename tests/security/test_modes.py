"""What each mode does where the kernel cannot give a layer."""

import functools
import json
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from strategy_engine.sandbox import landlock, rules

ENGINE = Path(__file__).parent / "runners" / "broken_wall.py"
LANDLOCK = [part.name for part in landlock.PARTS]

# what the kernel refuses → which layers then do not stand
BROKEN: dict[str, tuple[tuple[str, int, int], list[str]]] = {
    "no Landlock": (("landlock_create_ruleset", -1, 0), LANDLOCK),
    "no rule for a folder": (("landlock_add_rule", -1, 0), LANDLOCK),
    "no Landlock in the child": (("landlock_restrict_self", -1, 0), LANDLOCK),
    "no filter": (("seccomp", -1, 0), ["seccomp"]),
    "one limit of several": (("prlimit64", 1, resource.RLIMIT_FSIZE), ["rlimits"]),
    "no way to be unreadable": (("prctl", 0, 4), ["not_dumpable"]),
    "no lower priority": (("setpriority", -1, 0), ["nice"]),
    "no batch scheduling": (("sched_setscheduler", -1, 0), ["batch"]),
}


@functools.cache
def outcomes(case: str, runner: str = "breakable:answer") -> dict[str, dict[str, Any]]:
    call, argument, value = BROKEN[case][0] if case in BROKEN else ("nothing", -1, 0)
    run = subprocess.run(
        [sys.executable, str(ENGINE), call, str(argument), str(value), runner],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert run.returncode == 0, run.stderr[-4_000:]
    told: dict[str, dict[str, Any]] = json.loads(run.stdout)
    return told


@pytest.mark.parametrize("case", BROKEN)
def test_where_all_is_required_nothing_runs_and_the_layer_is_named(case: str) -> None:
    missing = BROKEN[case][1]
    told = outcomes(case)["require"]

    assert told["kind"] == "not-confined"
    assert list(told["missing"]) == missing
    assert all(name in told["error"] for name in missing)
    assert all(why for why in told["missing"].values())


@pytest.mark.parametrize("case", BROKEN)
def test_the_child_itself_does_not_run_even_if_nobody_stops_it(case: str) -> None:
    told = outcomes(case)["require"]

    assert (told["ran"], told["status"]) == ("", rules.EXIT_CONFINEMENT)


@pytest.mark.parametrize("case", BROKEN)
def test_where_it_is_preferred_the_child_runs_and_says_what_it_lacks(case: str) -> None:
    told = outcomes(case)["prefer"]

    assert (told["kind"], told["ran"]) == ("", "ran")
    assert list(told["missing"]) == BROKEN[case][1]


@pytest.mark.parametrize("case", ["no Landlock", "no filter"])
def test_switched_off_is_told_as_switched_off(case: str) -> None:
    told = outcomes(case)["off"]

    assert told["ran"] == "ran"
    assert told["missing"] == dict.fromkeys(
        [*LANDLOCK, "seccomp"], "left out: STRATEGY_SANDBOX=off"
    )


@pytest.mark.parametrize("case", ["no Landlock", "no filter", "one limit of several"])
def test_a_start_is_refused_where_a_child_would_be(case: str) -> None:
    error = outcomes(case)["probe"]["error"]

    assert all(name in error for name in BROKEN[case][1])


def test_an_older_kernel_gives_what_it_has_and_names_the_one_that_gives_the_rest() -> None:
    told = outcomes("old", "old_kernel:main")

    assert told["require"]["ran"] == ""
    assert (
        "landlock_tcp (this kernel has Landlock ABI 3, needs Linux 6.7" in told["require"]["error"]
    )
    assert "landlock_signals (this kernel has Landlock ABI 3" in told["require"]["error"]
    assert "landlock_files" not in told["prefer"]["missing"]
    assert list(told["prefer"]["missing"]) == [part.name for part in landlock.PARTS if part.abi > 3]
    assert told["prefer"]["ran"] == "ran"


def test_a_whole_wall_is_refused_in_no_mode() -> None:
    told = outcomes("nothing")

    assert [told[mode]["ran"] for mode in ("require", "prefer", "off")] == ["ran"] * 3
    assert told["require"]["missing"] == told["prefer"]["missing"] == told["probe"] == {}
