"""Deploying a version, following it, and answering for it over HTTP."""

from dataclasses import replace
from typing import Any

import httpx
import pytest

from strategy_engine.core.errors import NotBuiltError, UnavailableError
from strategy_engine.pipeline import model as pipeline
from strategy_engine.rollout import model as rollout

RESULTS = [
    pipeline.StageResult(
        stage="syntax_check",
        passed=True,
        verdict=pipeline.Verdict.PASSED,
        duration_ms=150.0,
        findings=(pipeline.Finding(level=pipeline.Level.WARNING, message="typo?", where="line 3"),),
        evidence={"imports": ["math"]},
    ),
    pipeline.StageResult(
        stage="unit_tests",
        passed=True,
        verdict=pipeline.Verdict.PASSED,
        duration_ms=800.0,
        evidence={"tests_passed": 15, "checks": [{"name": "flat prices"}]},
    ),
]


async def deploy(client: httpx.AsyncClient, strategy_id: str, **options: Any) -> str:
    answer = await client.post(f"/strategies/{strategy_id}/deploy", json=options)
    assert answer.status_code == 202
    return str(answer.json()["pipeline_id"])


def put(world: Any, pipeline_id: str, **fields: Any) -> None:
    followed = world.rollouts.kept[pipeline_id]
    followed.deployment = replace(followed.deployment, **fields)


async def test_a_deployment_answers_the_contracts_shape(
    client: httpx.AsyncClient, strategy_id: str
) -> None:
    answer = await client.post(
        f"/strategies/{strategy_id}/deploy",
        json={
            "deployment_type": "canary",
            "approval_required": False,
            "rollback_on_failure": True,
        },
    )

    assert answer.status_code == 202
    assert answer.headers["location"] == "/deployments/pipe_0/status"
    assert answer.json() == {
        "status": "deployment_started",
        "pipeline_id": "pipe_0",
        "strategy_id": strategy_id,
        "deployment_type": "canary",
        "stages": [
            "syntax_check",
            "unit_tests",
            "backtest",
            "paper_trading",
            "risk_validation",
            "performance_validation",
        ],
        "left_out": [],
        "message": "",
    }


@pytest.mark.parametrize("body", [b"", b"null", b"{}"])
async def test_a_deployment_without_options_is_direct(
    world: Any, client: httpx.AsyncClient, strategy_id: str, body: bytes
) -> None:
    answer = await client.post(
        f"/strategies/{strategy_id}/deploy",
        content=body,
        headers={"content-type": "application/json"},
    )

    assert answer.json()["deployment_type"] == "direct"
    assert world.rollouts.kept["pipe_0"].deployment.options == rollout.Options()


async def test_every_option_reaches_the_rollout(
    world: Any, client: httpx.AsyncClient, strategy_id: str
) -> None:
    await deploy(
        client,
        strategy_id,
        deployment_type="rolling",
        approval_required=True,
        rollback_on_failure=False,
        handover="flatten",
        handover_deadline_s=60,
        validation_profile="production",
        validation_criteria={"min_sharpe_ratio": 1.5},
        duration_days=90,
        steps=[],
        min_time=90,
        min_decisions=7,
        requires_analysis=True,
        loss_budget=0.05,
        bounds={"max_slippage_bps": 12, "fewest_orders": 3},
        approve_switch=True,
        keep_warm="1.5h",
        max_unavailable=2,
        progress_deadline="50 bars",
    )

    assert world.rollouts.kept["pipe_0"].deployment.options == rollout.Options(
        deployment_type=rollout.DeploymentType.ROLLING,
        approval_required=True,
        rollback_on_failure=False,
        handover=rollout.Handover.FLATTEN,
        handover_deadline_s=60.0,
        validation_profile="production",
        validation_criteria={"min_sharpe_ratio": 1.5},
        duration_days=90,
        min_time="90s",
        min_decisions=7,
        requires_analysis=True,
        loss_budget=0.05,
        bounds={"max_slippage_bps": 12, "fewest_orders": 3},
        approve_switch=True,
        keep_warm="90m",
        max_unavailable=2,
        progress_deadline="50 bars",
    )


async def test_the_steps_of_a_canary_reach_the_rollout_as_they_were_written(
    world: Any, client: httpx.AsyncClient, strategy_id: str
) -> None:
    written = [{"weight": 0.1, "min_time": "5d"}, {"analysis": {"required": True}}]
    await deploy(client, strategy_id, deployment_type="canary", steps=written)

    assert world.rollouts.kept["pipe_0"].deployment.options.steps == tuple(written)


@pytest.mark.parametrize(
    ("field", "options"),
    [
        ("min_time", {"min_time": "soon"}),
        ("min_time", {"min_time": True}),
        ("keep_warm", {"keep_warm": "367d"}),
        ("progress_deadline", {"progress_deadline": -1}),
        ("min_decisions", {"min_decisions": -1}),
        ("min_decisions", {"min_decisions": 1.5}),
        ("loss_budget", {"loss_budget": 0}),
        ("loss_budget", {"loss_budget": 1.5}),
        ("max_unavailable", {"max_unavailable": 0}),
        ("handover", {"handover": "give_away"}),
        ("deployment_type", {"deployment_type": "yolo"}),
        ("steps", {"steps": {"weight": 0.1}}),
        ("steps", {"steps": [{"approval": True}] * 51}),
        ("bounds.max_slippage_bps", {"bounds": {"max_slippage_bps": "few"}}),
    ],
)
async def test_an_option_that_makes_no_sense_is_refused_by_its_name(
    client: httpx.AsyncClient, strategy_id: str, field: str, options: dict[str, Any]
) -> None:
    answer = await client.post(f"/strategies/{strategy_id}/deploy", json=options)

    assert answer.status_code == 422
    named = answer.json()["field"]
    assert named == field or named.startswith(f"{field}.")


async def test_the_status_tells_the_headline_of_every_finished_stage(
    world: Any, client: httpx.AsyncClient, strategy_id: str
) -> None:
    pipeline_id = await deploy(client, strategy_id, deployment_type="canary")
    put(
        world,
        pipeline_id,
        state=rollout.State.RUNNING,
        current_stage="backtest",
        started_at=world.clock.now(),
    )
    world.rollouts.kept[pipeline_id].results = RESULTS

    body = (await client.get(f"/deployments/{pipeline_id}/status")).json()

    assert body["status"] == "running"
    assert body["current_stage"] == "backtest"
    assert (body["stages_completed"], body["total_stages"]) == (2, 6)
    assert body["started_at"] == "2025-08-24T10:00:00Z"
    assert body["results"]["syntax_check"]["findings"] == [
        {"level": "warning", "message": "typo?", "where": "line 3"}
    ]
    assert body["results"]["unit_tests"] == {
        "passed": True,
        "tests_passed": 15,
        "duration_ms": 800.0,
        "verdict": "passed",
        "message": "",
        "findings": [],
    }


async def test_a_deployment_is_read_with_all_its_evidence(
    world: Any, client: httpx.AsyncClient, strategy_id: str
) -> None:
    pipeline_id = await deploy(client, strategy_id)
    world.rollouts.kept[pipeline_id].results = RESULTS

    body = (await client.get(f"/deployments/{pipeline_id}")).json()

    assert body["results"]["unit_tests"]["evidence"]["checks"] == [{"name": "flat prices"}]
    assert body["options"]["handover"] == "run_off"
    assert body["requested_by"] == "local"
    assert body["approval"] is None


async def test_deployments_are_filtered_and_counted(
    world: Any, client: httpx.AsyncClient, strategy_id: str
) -> None:
    for _ in range(3):
        await deploy(client, strategy_id)
    put(world, "pipe_1", state=rollout.State.FAILED, outcome=rollout.Outcome.REJECTED)

    body = (await client.get("/deployments", params={"status": "failed"})).json()

    assert (body["count"], body["total"]) == (1, 1)
    assert body["deployments"][0]["outcome"] == "rejected"


@pytest.mark.parametrize("verb", ["approve", "reject"])
@pytest.mark.parametrize("body", [None, {"comment": "limits checked"}])
async def test_a_waiting_deployment_is_answered(
    world: Any,
    client: httpx.AsyncClient,
    strategy_id: str,
    verb: str,
    body: dict[str, str] | None,
) -> None:
    pipeline_id = await deploy(client, strategy_id, approval_required=True)
    put(world, pipeline_id, state=rollout.State.AWAITING_APPROVAL)

    answer = await client.post(f"/deployments/{pipeline_id}/{verb}", json=body)

    assert answer.json()["status"] == {"approve": "approved", "reject": "rejected"}[verb]
    whole = (await client.get(f"/deployments/{pipeline_id}")).json()
    assert whole["approval"]["approved"] is (verb == "approve")
    assert whole["approval"]["comment"] == (body or {}).get("comment", "")


async def test_a_deployment_that_does_not_wait_cannot_be_approved(
    client: httpx.AsyncClient, strategy_id: str
) -> None:
    pipeline_id = await deploy(client, strategy_id)

    answer = await client.post(f"/deployments/{pipeline_id}/approve")

    assert answer.status_code == 409
    assert answer.json()["state"] == "queued"
    assert "does not wait for an approval; possible now: abort" in answer.json()["detail"]


@pytest.mark.parametrize("path", ["", "/status"])
async def test_an_unknown_deployment_is_not_found(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(f"/deployments/pipe_nobody{path}")
    assert answer.status_code == 404
    assert answer.json()["value"] == "pipe_nobody"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (NotBuiltError("canary is not built", accepted=["direct"]), 501),
        (UnavailableError("x"), 503),
    ],
)
async def test_what_the_rollout_cannot_do_is_said(
    world: Any, client: httpx.AsyncClient, strategy_id: str, error: Exception, status: int
) -> None:
    world.rollouts.error = error
    answer = await client.post(f"/strategies/{strategy_id}/deploy")
    assert answer.status_code == status
    assert answer.json()["detail"] == str(error)


STEERS = "boo\r\n\x1b[2J gone\x00"
TAMED = "boo ?[2J gone?"


async def test_what_a_strategy_says_stays_on_its_line(
    world: Any, client: httpx.AsyncClient, strategy_id: str
) -> None:
    pipeline_id = await deploy(client, strategy_id)
    put(world, pipeline_id, message=STEERS)
    finding = pipeline.Finding(level=pipeline.Level.ERROR, message=STEERS, where=STEERS)
    world.rollouts.kept[pipeline_id].results = [
        replace(RESULTS[0], message=STEERS, findings=(finding,), evidence={"said": [STEERS]})
    ]

    body = (await client.get(f"/deployments/{pipeline_id}")).json()

    stage = body["results"]["syntax_check"]
    assert body["message"] == stage["message"] == TAMED
    assert stage["findings"] == [{"level": "error", "message": TAMED, "where": TAMED}]
    assert stage["evidence"] == {"said": ["boo\n?[2J gone?"]}


async def test_a_listed_deployment_says_its_message_in_one_line(
    world: Any, client: httpx.AsyncClient, strategy_id: str
) -> None:
    put(world, await deploy(client, strategy_id), message=STEERS)

    body = (await client.get("/deployments")).json()

    assert body["deployments"][0]["message"] == TAMED


async def test_a_problem_says_what_happened_in_one_line(
    world: Any, client: httpx.AsyncClient, strategy_id: str
) -> None:
    world.rollouts.error = UnavailableError(STEERS)

    answer = await client.post(f"/strategies/{strategy_id}/deploy")

    assert answer.json()["detail"] == TAMED
