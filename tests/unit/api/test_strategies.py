"""Registering, reading, editing and testing versions over HTTP."""

import asyncio
from dataclasses import replace
from typing import Any

import httpx
import pytest

from strategy_engine.pipeline import model as pipeline
from strategy_engine.registry.model import Content, Trigger


async def test_a_new_version_answers_the_contracts_shape(
    client: httpx.AsyncClient, content: dict[str, Any]
) -> None:
    answer = await client.post("/strategies", json=content)

    assert answer.status_code == 201
    body = answer.json()
    assert body == {
        "status": "created",
        "strategy_id": body["strategy_id"],
        "strategy_name": "RSI Mean Reversion",
        "version": "1.2.0",
    }
    assert body["strategy_id"].startswith("strat_")
    assert answer.headers["location"] == f"/strategies/{body['strategy_id']}"


async def test_the_same_content_again_answers_the_same_id(
    client: httpx.AsyncClient, content: dict[str, Any], strategy_id: str
) -> None:
    answer = await client.post("/strategies", json=content)

    assert answer.status_code == 200
    assert answer.json()["status"] == "exists"
    assert answer.json()["strategy_id"] == strategy_id


async def test_of_many_who_register_the_same_at_once_one_is_told_that_it_is_new(
    client: httpx.AsyncClient, content: dict[str, Any]
) -> None:
    answers = await asyncio.gather(*(client.post("/strategies", json=content) for _ in range(10)))

    told = sorted((each.status_code, each.json()["status"]) for each in answers)
    assert told == [(200, "exists")] * 9 + [(201, "created")]


async def test_the_same_version_with_other_content_is_a_conflict(
    client: httpx.AsyncClient, content: dict[str, Any], strategy_id: str
) -> None:
    answer = await client.post("/strategies", json=content | {"parameters": {"rsi_period": 15}})

    assert answer.status_code == 409
    assert answer.json()["strategy_id"] == strategy_id


async def test_a_version_is_read_whole(
    client: httpx.AsyncClient, content: dict[str, Any], strategy_id: str
) -> None:
    body = (await client.get(f"/strategies/{strategy_id}")).json()

    assert {name: body[name] for name in content} == content
    assert body["tests"] == {}
    assert body["status"] == "draft"
    assert body["code_hash"] == Content(**content).code_hash
    assert body["created_at"] == "2025-08-24T10:00:00Z"


async def test_versions_are_listed_in_pages_without_their_source(
    client: httpx.AsyncClient, content: dict[str, Any]
) -> None:
    for minor in range(3):
        await client.post("/strategies", json=content | {"version": f"1.{minor}.0"})

    body = (await client.get("/strategies", params={"limit": 2, "offset": 1})).json()

    assert (body["count"], body["total"], body["limit"], body["offset"]) == (2, 3, 2, 1)
    assert "code" not in body["strategies"][0]


@pytest.mark.parametrize(
    ("wanted", "count"),
    [
        ({"status": "draft"}, 1),
        ({"status": "running"}, 0),
        ({"name": "rsi"}, 1),
        ({"name": "%"}, 0),
    ],
)
async def test_the_list_is_filtered_by_state_and_name(
    client: httpx.AsyncClient, strategy_id: str, wanted: dict[str, str], count: int
) -> None:
    body = (await client.get("/strategies", params=wanted)).json()
    assert body["count"] == body["total"] == count


async def test_a_draft_is_edited_in_parts(
    client: httpx.AsyncClient, content: dict[str, Any], strategy_id: str
) -> None:
    answer = await client.put(f"/strategies/{strategy_id}", json={"parameters": {"rsi_period": 21}})
    body = (await client.get(f"/strategies/{strategy_id}")).json()

    assert answer.json()["status"] == "updated"
    assert body["parameters"] == {"rsi_period": 21}
    assert body["code"] == content["code"]


async def test_an_edit_that_changes_nothing_is_refused(
    client: httpx.AsyncClient, strategy_id: str
) -> None:
    answer = await client.put(f"/strategies/{strategy_id}", json={})
    assert answer.status_code == 422
    assert "nothing to change" in answer.json()["detail"]


async def test_what_has_been_tested_is_not_edited(
    world: Any, client: httpx.AsyncClient, strategy_id: str
) -> None:
    await world.services.registry.move(strategy_id, Trigger.VALIDATE, actor="test")

    answer = await client.put(f"/strategies/{strategy_id}", json={"code": "x = 1"})

    assert answer.status_code == 409
    assert answer.json()["accepted"] == ["draft"]


async def test_an_archived_version_is_out_of_sight(
    client: httpx.AsyncClient, strategy_id: str
) -> None:
    answer = await client.delete(f"/strategies/{strategy_id}")

    assert answer.json()["status"] == "archived"
    assert (await client.get(f"/strategies/{strategy_id}")).status_code == 404


async def test_a_broken_version_is_reset_to_draft(
    world: Any, client: httpx.AsyncClient, strategy_id: str
) -> None:
    for trigger in (Trigger.VALIDATE, Trigger.BREAK):
        await world.services.registry.move(strategy_id, trigger, actor="test")

    body = (await client.post(f"/strategies/{strategy_id}/reset")).json()

    assert (body["status"], body["strategy_status"]) == ("reset", "draft")


async def test_a_reset_without_an_error_names_the_arrows_that_exist(
    client: httpx.AsyncClient, strategy_id: str
) -> None:
    answer = await client.post(f"/strategies/{strategy_id}/reset")

    assert answer.status_code == 409
    assert answer.json()["type"] == "/problems/illegal-transition"
    assert answer.json()["accepted"] == ["validate"]


async def test_the_history_tells_who_did_what(client: httpx.AsyncClient, strategy_id: str) -> None:
    await client.put(f"/strategies/{strategy_id}", json={"version": "1.3.0"})

    body = (await client.get(f"/strategies/{strategy_id}/history")).json()

    assert [each["action"] for each in body["history"]] == ["create", "edit"]
    assert {each["actor"] for each in body["history"]} == {"local"}
    assert body["history"][1]["details"]["fields"] == ["version"]


async def test_without_a_body_the_syntax_check_is_run(
    world: Any, client: httpx.AsyncClient, strategy_id: str
) -> None:
    answer = await client.post(f"/strategies/{strategy_id}/test")

    assert answer.status_code == 200
    assert answer.json()["status"] == "test_completed"
    assert answer.json()["test_type"] == "syntax_check"
    assert world.services.pipeline.asked == [
        (None, strategy_id, "syntax_check", pipeline.Request())
    ]


async def test_a_tests_evidence_lies_flat_beside_its_verdict(
    world: Any, client: httpx.AsyncClient, strategy_id: str
) -> None:
    world.services.pipeline.result = pipeline.StageResult(
        stage="backtest",
        passed=False,
        verdict=pipeline.Verdict.FAILED,
        duration_ms=12.5,
        message="Sharpe 0.4, the limit is 1.0",
        findings=(pipeline.Finding(level=pipeline.Level.NOTE, message="short history"),),
        evidence={"total_return": 0.12, "trade_count": 23, "full": {"beta": float("nan")}},
    )
    asked = {"test_type": "backtest", "duration_days": 180, "initial_capital": 50000}

    body = (await client.post(f"/strategies/{strategy_id}/test", json=asked)).json()

    assert body["result"] == {
        "passed": False,
        "duration_ms": 12.5,
        "verdict": "failed",
        "message": "Sharpe 0.4, the limit is 1.0",
        "findings": [{"level": "note", "message": "short history", "where": ""}],
        "total_return": 0.12,
        "trade_count": 23,
        "full": {"beta": None},
    }
    request = world.services.pipeline.asked[0][3]
    assert (request.duration_days, request.initial_capital) == (180, 50000.0)


async def test_evidence_cannot_overrule_the_verdict(
    world: Any, client: httpx.AsyncClient, strategy_id: str
) -> None:
    forged = pipeline.StageResult(
        stage="backtest",
        passed=False,
        verdict=pipeline.Verdict.FAILED,
        duration_ms=1.0,
        evidence={"passed": True, "verdict": "passed", "findings": []},
    )
    world.services.pipeline.result = replace(forged)

    result = (await client.post(f"/strategies/{strategy_id}/test")).json()["result"]

    assert (result["passed"], result["verdict"]) == (False, "failed")


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("test", {"test_type": "lint"}, "test_type"),
        ("test", {"duration_days": 0}, "duration_days"),
        ("test", {"initial_capital": "many"}, "initial_capital"),
        ("deploy", {"deployment_type": "big_bang"}, "deployment_type"),
        ("deploy", {"aproval_required": True}, "aproval_required"),
        ("deploy", {"approval_required": "no"}, "approval_required"),
        ("start", {"execution_config": {"position_size": 2}}, "execution_config.position_size"),
        ("start", {"execution_config": {"mode": "live"}}, "execution_config.mode"),
        ("start", {"position_size": 0.1}, "position_size"),
    ],
)
async def test_a_wrong_option_is_named_with_what_is_accepted(
    client: httpx.AsyncClient, strategy_id: str, path: str, body: dict[str, Any], field: str
) -> None:
    answer = await client.post(f"/strategies/{strategy_id}/{path}", json=body)

    problem = answer.json()
    assert answer.status_code == 422
    assert problem["field"] == field
    assert problem["accepted"]
    assert field in problem["detail"]
