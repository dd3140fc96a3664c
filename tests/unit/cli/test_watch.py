import io
from typing import Any

import pytest
from rich.console import Console

from strategy_engine.api import example_rollouts, examples
from strategy_engine.cli import watch

STAGES = examples.DEPLOYMENT_STATUS["stages"]
PASSED = {"passed": True, "duration_ms": 5.0, "verdict": "passed", "message": "", "findings": []}


def at(done: int, status: str = "running") -> Any:
    """A deployment with so many stages finished."""
    return {
        **examples.DEPLOYMENT_STATUS,
        "status": status,
        "current_stage": STAGES[done] if done < len(STAGES) else None,
        "results": dict.fromkeys(STAGES[:done], PASSED),
    }


def follow(*answers: Any, terminal: bool) -> tuple[Any, str, list[float]]:
    printed, waits = io.StringIO(), []
    console = Console(file=printed, width=100, force_terminal=terminal, color_system=None)
    left = list(answers)
    ended = watch.follow(lambda: left.pop(0), console, poll_s=0.25, sleep=waits.append)
    assert left == []
    return ended, printed.getvalue(), waits


@pytest.mark.parametrize("terminal", [True, False])
def test_a_deployment_is_asked_until_it_ends(*, terminal: bool) -> None:
    ended, _, waits = follow(at(0), at(3), at(6, "completed"), terminal=terminal)

    assert ended["status"] == "completed"
    assert waits == [0.25, 0.25]


def test_without_a_terminal_a_stage_is_printed_when_it_is_done_and_never_again() -> None:
    _, printed, _ = follow(at(1), at(1), at(4), at(6, "completed"), terminal=False)

    assert [line.split()[1] for line in printed.splitlines()] == STAGES


def test_on_a_terminal_the_last_board_shows_every_stage_done() -> None:
    _, printed, _ = follow(at(0), at(6, "completed"), terminal=True)

    assert printed.count("✓") >= len(STAGES)


@pytest.mark.parametrize("terminal", [True, False])
def test_waiting_for_approval_is_told_once(*, terminal: bool) -> None:
    waiting = at(6, "awaiting_approval")

    _, printed, _ = follow(at(6), waiting, waiting, at(6, "completed"), terminal=terminal)

    assert printed.count("strategy-engine approve pipe_") == 1


def rolling(step: str, waits_for: str = "", hold: Any = None) -> Any:
    rollout = example_rollouts.ROLLOUT | {"waits_for": waits_for, "hold": hold}
    return at(6, "rolling_out") | {"current_stage": step, "rollout": rollout}


def test_without_a_terminal_each_step_of_a_rollout_is_printed_as_it_begins() -> None:
    steps = ("shadow", "shadow", "weight_5", "weight_10", "weight_10")
    _, printed, _ = follow(at(6), *map(rolling, steps), at(6, "completed"), terminal=False)

    told = [line.split()[1] for line in printed.splitlines() if line.startswith("→")]
    assert told == ["shadow", "weight_5", "weight_10"]


def test_without_a_terminal_who_holds_a_rollout_is_told_once() -> None:
    held = rolling("weight_5", hold={"by": "engine", "why": "returns do not tell"})
    answers = rolling("weight_5"), held, held, rolling("weight_5"), at(6, "completed")
    _, printed, _ = follow(*answers, terminal=False)

    assert printed.count("held by engine: returns do not tell") == 1


def test_on_a_terminal_the_board_shows_the_step_and_what_it_waits_for() -> None:
    waiting = rolling("weight_5", "it decided 7 of 20 bars")
    _, printed, _ = follow(waiting, at(6, "completed"), terminal=True)

    assert "weight_5" in printed
    assert "7 of 20 bars" in printed


@pytest.mark.parametrize("status", ["completed", "failed"])
def test_a_deployment_that_has_ended_is_asked_once(status: str) -> None:
    ended, _, waits = follow(at(2, status), terminal=False)

    assert (ended["status"], waits) == (status, [])


def test_a_rollout_that_is_undone_is_told_with_its_reason_and_when_it_was() -> None:
    undo = {
        "reason": "slow",
        "why": "a decision takes 12 ms",
        "actor": "engine",
        "decided_at": "2025-08-24T10:30:00Z",
        "restored_at": None,
        "restored_in_s": None,
    }
    restored = undo | {"restored_at": "2025-08-24T10:30:01Z", "restored_in_s": 0.75}
    seen = [
        rolling("undo") | {"rollout": example_rollouts.ROLLOUT | {"undo": each}}
        for each in (None, undo, undo, restored)
    ]

    _, printed, _ = follow(*seen, seen[-1] | {"status": "failed"}, terminal=False)

    told = [line for line in printed.splitlines() if line.startswith("undone")]
    assert told == [
        "undone (slow): a decision takes 12 ms",
        "undone (slow): a decision takes 12 ms; capital given back in 0.75 s",
    ]


def test_a_version_that_takes_over_from_nothing_has_no_steps_to_tell() -> None:
    placed = example_rollouts.ROLLOUT | {"steps": example_rollouts.ROLLOUT["steps"][:1]}
    seen = [rolling("rollout") | {"rollout": None}, rolling("deploy") | {"rollout": placed}]

    _, printed, _ = follow(*seen, seen[-1] | {"status": "completed"}, terminal=False)

    assert [line.split()[0] for line in printed.splitlines()] == ["✓"] * len(STAGES)
