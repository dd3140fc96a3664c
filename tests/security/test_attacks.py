"""Every way out: first shown to lead out without the wall, then to end at it.

`attacks/` holds the attacks, `attacks/plan.py` the table, `runners/siege.py` the engine that lets
confined children try them, in three settings: as root, as an ordinary user, and beneath Docker's
default system call profile without any capability.
"""

import functools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).parent / "attacks"))
import plan

SIEGE = Path(__file__).parent / "runners" / "siege.py"
ATTACKS = {attack.name: attack for attack in plan.ATTACKS}
SETTINGS = sorted(plan.EVERYWHERE)
FAMILIES = ("files", "processes", "network", "execution", "surface", "resources")
PAIRS = [(setting, name) for setting in SETTINGS for name in ATTACKS]
SHOWN = [(setting, name) for setting, name in PAIRS if setting in ATTACKS[name].shown]
EVERY_SETTING = pytest.mark.parametrize("setting", SETTINGS)
LEAKS = [attack.name for attack in plan.LEAKS]
HOARDS = [attack.name for attack in plan.HOARDS]
SPOILS = [attack.name for attack in plan.SPOILS]


@functools.cache
def siege(setting: str) -> dict[str, dict[str, Any]]:
    if setting == plan.ROOT and os.geteuid() != 0:
        pytest.skip("only root can show what root could do")
    run = subprocess.run(
        [sys.executable, str(SIEGE), setting],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
        check=False,
        timeout=100,
    )
    assert run.returncode == 0, run.stderr[-4_000:]
    told: dict[str, dict[str, Any]] = json.loads(run.stdout)
    return told


@pytest.mark.parametrize(("setting", "name"), SHOWN)
def test_it_gets_through_where_there_is_no_wall(setting: str, name: str) -> None:
    outcome = siege(setting)["without"][name]

    if "[Errno 38]" in outcome["how"]:
        pytest.skip(f"this kernel does not have it: {outcome['how']}")
    assert outcome["through"], outcome


@pytest.mark.parametrize(("setting", "name"), PAIRS)
def test_it_ends_at_the_wall(setting: str, name: str) -> None:
    outcome = siege(setting)["behind"][name]

    assert not outcome["through"], outcome
    assert not outcome["spoilt"], outcome
    assert outcome["ended"] == ATTACKS[name].ended_as, outcome


@EVERY_SETTING
@pytest.mark.parametrize("name", HOARDS)
def test_memory_of_every_sort_counts_without_the_filter_too(setting: str, name: str) -> None:
    outcome = siege(setting)["limited"][name]

    assert not outcome["through"], outcome
    assert "memory" in outcome["how"].lower(), outcome


@EVERY_SETTING
@pytest.mark.parametrize("leak", LEAKS)
def test_what_is_known_to_leak_still_does(setting: str, leak: str) -> None:
    assert siege(setting)["behind"][leak]["through"]


@EVERY_SETTING
@pytest.mark.parametrize("name", SPOILS)
def test_what_a_strategy_spoils_in_its_process_is_whole_in_the_next(
    setting: str, name: str
) -> None:
    outcomes = siege(setting)["spoils"][name]

    own = outcomes[name]
    assert own["through"] or own["ended"] == "exception", own
    assert outcomes["inside.is_unspoilt"]["through"], outcomes


def test_the_suite_is_as_large_and_as_wide_as_it_says() -> None:
    sizes = {family: sum(n.startswith(f"{family}.") for n in ATTACKS) for family in FAMILIES}

    assert sum(sizes.values()) == len(ATTACKS)
    assert all(size >= 15 for size in sizes.values()), sizes
    assert all(attack.shown for attack in plan.ATTACKS)


def test_every_name_in_the_table_is_an_attack() -> None:
    listed = " ".join(plan._SHOWN.values()).split()

    known = set(plan._names())
    assert len(listed) == len(set(listed))
    assert set(listed) | set(plan._LIMITS) | plan._SPOILS_ITS_CHILD | plan._ONLY_ON_X86_64 <= known
