"""What people do to deployments from a terminal, and how a rollout is shown there."""

import json
from typing import Any

import pytest

from strategy_engine.api import example_rollouts, examples
from strategy_engine.rollout.verbs import Verb

PIPELINE = examples.ACCEPTED["pipeline_id"]
FOLLOW = f"GET /deployments/{PIPELINE}/status"
DONE = example_rollouts.ACTED | {
    "status": "paused",
    "dry_run": False,
    "would": [],
    "effects": [],
}
ROLLING = examples.DEPLOYMENT_STATUS | {
    "status": "rolling_out",
    "current_stage": "weight_5",
    "rollout": example_rollouts.ROLLOUT,
}


@pytest.mark.parametrize("verb", Verb)
def test_every_verb_is_a_command_that_says_why(run: Any, fake: Any, verb: Verb) -> None:
    path = verb.value.replace("_", "-")
    route = f"POST /deployments/{PIPELINE}/{path}"
    fake.answers_to(route, DONE)

    told = run("deployments", path, PIPELINE, "--comment", "until Monday")

    assert told.exit_code == 0, told.output
    assert told.stdout == f"paused {PIPELINE} (rolling_out)\n"
    assert fake.body_of(route) == {"comment": "until Monday"}


@pytest.mark.parametrize("verb", ["promote", "promote-full", "skip-step", "approve", "reject"])
def test_a_verb_of_a_step_can_name_the_step(run: Any, fake: Any, verb: str) -> None:
    route = f"POST /deployments/{PIPELINE}/{verb}"
    fake.answers_to(route, DONE)

    assert run("deployments", verb, PIPELINE, "--step", "3").exit_code == 0
    assert fake.body_of(route) == {"comment": "", "step": 3}


def test_a_dry_run_prints_what_would_happen_execution_by_execution(run: Any, fake: Any) -> None:
    fake.answers_to(f"POST /deployments/{PIPELINE}/abort?dry_run=true", example_rollouts.ACTED)

    told = run("deployments", "abort", PIPELINE, "--dry-run").stdout

    for each in example_rollouts.ACTED["would"]:
        assert each in told
    (effect,) = example_rollouts.ACTED["effects"]
    (row,) = [line for line in told.splitlines() if line.startswith(effect["execution_id"] + "  ")]
    assert row.split()[1:3] == ["candidate", "1"]
    assert "closes at the next price: 90 EUR/USD.SIM" in row
    assert "5,012.50" in row


def test_a_verb_prints_the_engines_answer_for_a_program(run: Any, fake: Any) -> None:
    fake.answers_to(f"POST /deployments/{PIPELINE}/pause", DONE)

    assert json.loads(run("deployments", "pause", PIPELINE, "--json").stdout) == DONE


def test_what_cannot_be_done_is_said_with_what_can(run: Any, fake: Any) -> None:
    refusal = {"status": 409, "detail": "pipe_1 is completed; possible now: rollback"}
    fake.answers_to(f"POST /deployments/{PIPELINE}/pause", refusal, status=409)

    told = run("deployments", "pause", PIPELINE)

    assert told.exit_code == 1
    assert "possible now: rollback" in told.stderr


def test_deployments_are_listed(run: Any, fake: Any) -> None:
    fake.answers_to("GET /deployments", examples.DEPLOYMENTS)

    assert PIPELINE in run("deployments", "list").stdout
    assert json.loads(run("deployments", "list", "--json").stdout) == examples.DEPLOYMENTS


def test_a_history_is_told_with_who_what_and_why(run: Any, fake: Any) -> None:
    step = examples.DEPLOYMENT_EVENT | {
        "kind": "step",
        "action": "step_ends",
        "message": "its time is over",
        "stage": None,
        "step": "weight_5",
        "verdict": "promote",
        "reason": "not_worse",
    }
    history = examples.DEPLOYMENT_EVENTS | {"events": [examples.DEPLOYMENT_EVENT, step]}
    fake.answers_to(f"GET /deployments/{PIPELINE}/events", history)

    told = run("deployments", "events", PIPELINE).stdout.splitlines()

    assert told[1].split()[2:5] == ["engine", "finish_stage", "backtest"]
    assert told[2].split()[2:5] == ["engine", "step_ends", "weight_5"]
    assert told[2].endswith("promote not_worse its time is over")


def test_a_rollout_is_shown_step_by_step_with_its_shares(run: Any, fake: Any) -> None:
    fake.answers_to(FOLLOW, ROLLING)

    told = run("status", PIPELINE).stdout.splitlines()

    marks = {line.split()[1]: line.split()[0] for line in told if len(line.split()) > 1}
    assert (marks["prepare"], marks["shadow"]) == ("✓", "✓")
    (now,) = [line for line in told if "weight_5 " in line and "PIPELINE" not in line][-1:]
    assert "600 of 1800 s, 10 of 20 decisions" in now
    assert any("new 5 %, baseline 5 %, before 90 %" in line for line in told)


def test_a_hold_and_an_undo_are_shown(run: Any, fake: Any) -> None:
    rollout = example_rollouts.ROLLOUT | {
        "hold": {"by": "engine", "why": "not measured: loss"},
        "undo": {
            "reason": "slow",
            "why": "a decision takes 12 ms",
            "actor": "engine",
            "decided_at": "2025-08-24T10:30:00Z",
            "restored_at": "2025-08-24T10:30:01Z",
            "restored_in_s": 0.75,
        },
    }
    fake.answers_to(FOLLOW, ROLLING | {"rollout": rollout})

    told = run("status", PIPELINE).stdout

    assert "held by engine: not measured: loss" in told
    assert "undone (slow): a decision takes 12 ms; capital given back in 0.75 s" in told


def test_options_of_a_rollout_reach_the_engine(run: Any, fake: Any, tmp_path: Any) -> None:
    source = tmp_path / "my_rsi.py"
    source.write_text(
        "class S:\n    def generate_signal(self, market_data):\n        return 'HOLD'\n"
    )
    deploy = f"POST /strategies/{examples.CREATED['strategy_id']}/deploy"
    fake.answers_to("POST /strategies", examples.CREATED, status=201)
    fake.answers_to(deploy, examples.ACCEPTED, status=202)

    told = run(
        "deploy",
        str(source),
        "--type",
        "canary",
        "--option",
        'steps=[{"weight": 0.1, "min_time": "5d"}]',
        "--option",
        "keep_warm=1h",
        "--option",
        "loss_budget=0.01",
    )

    assert told.exit_code == 0, told.output
    assert fake.body_of(deploy) == {
        "deployment_type": "canary",
        "validation_criteria": {},
        "steps": [{"weight": 0.1, "min_time": "5d"}],
        "keep_warm": "1h",
        "loss_budget": 0.01,
    }
