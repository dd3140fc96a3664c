"""What people do to deployments over HTTP, and how a rollout is shown."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest

from strategy_engine.api import permissions
from strategy_engine.execution.model import (
    Desired,
    Execution,
    ExecutionConfig,
    ExecutionStatus,
    Role,
)
from strategy_engine.rollout import model as rollout
from strategy_engine.rollout import plans
from strategy_engine.rollout.effects import Holder
from strategy_engine.rollout.verbs import Verb

CANARY = rollout.Options(deployment_type=rollout.DeploymentType.CANARY)


def path_of(verb: Verb) -> str:
    return verb.value.replace("_", "-")


async def rolling(
    world: Any, client: httpx.AsyncClient, strategy_id: str, **progress: Any
) -> rollout.Deployment:
    answer = await client.post(f"/strategies/{strategy_id}/deploy")
    pipeline_id = answer.json()["pipeline_id"]
    followed = world.rollouts.kept[pipeline_id]
    now = world.clock.now()
    followed.deployment = replace(
        followed.deployment,
        options=CANARY,
        state=rollout.State.ROLLING_OUT,
        current_stage="weight_10",
        plan=tuple(plans.to_plain(plans.plan(CANARY, ("A.SIM",), replaces=True))),
        replaces=("exec_old",),
        progress=rollout.Progress(
            **{
                "index": 3,
                "began_at": now,
                "reached_at": now,
                "candidate": "exec_new",
                "baseline": "exec_base",
                "message": "10 of 30 s",
            }
            | progress
        ),
    )
    found: rollout.Deployment = followed.deployment
    return found


def holder(world: Any, name: str, role: Role, **positions: int) -> Holder:
    now = world.clock.now()
    return Holder(
        execution=Execution(
            execution_id=name,
            strategy_id="strat_x",
            role=role,
            status=ExecutionStatus.RUNNING,
            desired=Desired.RUN,
            config=ExecutionConfig(),
            capital=Decimal(50_000),
            created_at=now,
            updated_at=now,
        ),
        positions={f"{symbol}.SIM": Decimal(held) for symbol, held in positions.items()},
    )


DONE = {
    Verb.PROMOTE: ("promoted", "rolling_out"),
    Verb.PROMOTE_FULL: ("promoted_full", "rolling_out"),
    Verb.SKIP_STEP: ("skipped", "rolling_out"),
    Verb.PAUSE: ("paused", "rolling_out"),
    Verb.RESUME: ("resumed", "rolling_out"),
    Verb.ABORT: ("aborting", "rolling_out"),
    Verb.ROLLBACK: ("rolling_back", "rolling_out"),
}


@pytest.mark.parametrize("verb", DONE)
async def test_a_verb_is_answered_with_what_was_done(
    world: Any, client: httpx.AsyncClient, strategy_id: str, verb: Verb
) -> None:
    before = await rolling(world, client, strategy_id)

    answer = await client.post(
        f"/deployments/{before.pipeline_id}/{path_of(verb)}", json={"comment": "because"}
    )

    assert answer.status_code == 200
    body = answer.json()
    assert (body["status"], body["deployment_status"]) == DONE[verb]
    assert (body["dry_run"], body["would"], body["effects"]) == (False, [], [])
    again = await client.post(
        f"/deployments/{before.pipeline_id}/{path_of(verb)}", json={"step": 3}
    )
    assert again.status_code == 200


async def test_a_dry_run_tells_what_it_would_do_and_does_nothing(
    world: Any, client: httpx.AsyncClient, strategy_id: str
) -> None:
    before = await rolling(world, client, strategy_id)
    world.rollouts.holders = [
        holder(world, "exec_old", Role.STABLE),
        holder(world, "exec_new", Role.CANDIDATE, A=7),
    ]

    answer = await client.post(f"/deployments/{before.pipeline_id}/abort?dry_run=true")

    body = answer.json()
    assert (body["status"], body["dry_run"]) == ("nothing_done", True)
    assert "exec_new (candidate): closes 7 A.SIM at the next price" in body["would"]
    assert body["effects"][0] == {
        "execution_id": "exec_new",
        "strategy_id": "strat_x",
        "role": "candidate",
        "cancels": 0,
        "closes": "next_price",
        "positions": [{"symbol": "A.SIM", "quantity": 7.0}],
        "capital_from": 50_000.0,
        "capital_to": 0.0,
        "opens": "no",
    }
    assert world.rollouts.kept[before.pipeline_id].deployment == before


@pytest.mark.parametrize("query", ["", "?dry_run=true"])
async def test_what_cannot_be_done_says_what_can(
    world: Any, client: httpx.AsyncClient, strategy_id: str, query: str
) -> None:
    before = await rolling(world, client, strategy_id)

    answer = await client.post(f"/deployments/{before.pipeline_id}/retry{query}")

    assert answer.status_code == 409
    assert answer.json()["accepted"] == [
        "promote",
        "promote_full",
        "skip_step",
        "pause",
        "abort",
        "rollback",
    ]


@pytest.mark.parametrize("verb", Verb)
async def test_a_verb_on_an_unknown_deployment_is_not_found(
    client: httpx.AsyncClient, verb: Verb
) -> None:
    answer = await client.post(f"/deployments/pipe_nobody/{path_of(verb)}")

    assert answer.status_code == 404


@pytest.mark.parametrize("verb", Verb)
def test_every_verb_is_in_the_table_of_permissions(verb: Verb) -> None:
    needed = permissions.of("POST", f"/deployments/{{pipeline_id}}/{path_of(verb)}")

    assert needed is permissions.NEEDED[f"POST /deployments/{{pipeline_id}}/{path_of(verb)}"]


@pytest.mark.parametrize("path", ["", "/status"])
async def test_a_rollout_is_shown_step_by_step(
    world: Any, client: httpx.AsyncClient, strategy_id: str, path: str
) -> None:
    before = await rolling(world, client, strategy_id, skipped=(1,))

    shown = (await client.get(f"/deployments/{before.pipeline_id}{path}")).json()["rollout"]

    assert [(each["name"], each["state"]) for each in shown["steps"]] == [
        ("prepare", "done"),
        ("shadow", "skipped"),
        ("weight_5", "done"),
        ("weight_10", "now"),
        ("weight_25", "waiting"),
        ("weight_50", "waiting"),
        ("switch", "waiting"),
        ("hand_over", "waiting"),
        ("finish", "waiting"),
    ]
    assert shown["step"] == 3
    assert shown["steps"][3]["min_time"] == "30s"
    assert shown["weights"] == {"new": 0.1, "baseline": 0.1, "before": 0.8}
    assert shown["waits_for"] == "10 of 30 s"
    assert (shown["hold"], shown["undo"], shown["waived_by"]) == (None, None, None)
    assert (shown["candidate"], shown["baseline"]) == ("exec_new", "exec_base")
    assert shown["replaces"] == ["exec_old"]


async def test_a_hold_and_an_undo_are_shown_with_who_why_and_when(
    world: Any, client: httpx.AsyncClient, strategy_id: str
) -> None:
    now = world.clock.now()
    undo = rollout.Undo(
        reason="slow",
        why="a decision takes 12 ms",
        actor="engine",
        decided_at=now,
        restored_at=now + timedelta(seconds=0.75),
    )
    before = await rolling(
        world, client, strategy_id, held_by="engine", held_why="not measured: loss", undo=undo
    )

    shown = (await client.get(f"/deployments/{before.pipeline_id}")).json()["rollout"]

    assert shown["hold"] == {"by": "engine", "why": "not measured: loss"}
    assert (shown["undo"]["reason"], shown["undo"]["restored_in_s"]) == ("slow", 0.75)
    assert shown["weights"] == {"new": 0.0, "baseline": 0.0, "before": 1.0}


async def test_a_deployment_without_a_plan_shows_no_rollout(
    client: httpx.AsyncClient, strategy_id: str
) -> None:
    answer = await client.post(f"/strategies/{strategy_id}/deploy")

    found = await client.get(f"/deployments/{answer.json()['pipeline_id']}")

    assert found.json()["rollout"] is None
