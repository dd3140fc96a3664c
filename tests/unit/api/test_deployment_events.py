"""A deployment's events over HTTP: as JSON, and as a stream that ends when it does."""

import asyncio
import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from strategy_engine.api import streams
from strategy_engine.infra import audit
from strategy_engine.pipeline import model as pipeline
from strategy_engine.rollout import model as rollout

EVENTS = "/deployments/pipe_0/events"
STREAM = {"accept": "text/event-stream"}


@pytest.fixture
async def followed(world: Any, client: Any, strategy_id: str) -> Any:
    await client.post(f"/strategies/{strategy_id}/deploy", json={})
    found = world.rollouts.kept["pipe_0"]
    began = world.clock.now()
    for number, (action, before, after) in enumerate(
        [("request", None, "queued"), ("begin", "queued", "running")], 1
    ):
        found.rows.append(
            (
                number,
                audit.Entry(
                    at=began + timedelta(seconds=number),
                    actor="alice",
                    subject_type="deployment",
                    subject_id="pipe_0",
                    action=action,
                    from_state=before,
                    to_state=after,
                    details={"message": "all\x1b is well"},
                ),
            )
        )
    result = pipeline.StageResult(
        stage="backtest",
        passed=True,
        verdict=pipeline.Verdict.PASSED,
        duration_ms=float("nan"),
        evidence={"sharpe_ratio": 2.06, "curve": [1.0, float("inf")]},
    )
    found.finished.append((7, began + timedelta(seconds=3), result))
    return found


def end(followed: Any) -> None:
    followed.deployment = replace(
        followed.deployment, state=rollout.State.COMPLETED, outcome=rollout.Outcome.PROMOTED
    )


def parsed(text: str) -> list[dict[str, str]]:
    blocks = [block.splitlines() for block in text.strip().split("\n\n")]
    return [dict(line.split(": ", 1) for line in block) for block in blocks]


async def test_json_tells_who_what_when_and_the_evidence(client: Any, followed: Any) -> None:
    answer = (await client.get(EVENTS)).json()

    assert (answer["status"], answer["has_ended"], answer["count"]) == ("queued", False, 3)
    asked, begun, stage = answer["events"]
    assert [each["event_id"] for each in answer["events"]] == ["1-0", "2-0", "2-7"]
    assert (asked["kind"], asked["actor"], asked["action"]) == ("action", "alice", "request")
    assert asked["message"] == "all? is well"
    assert (begun["kind"], begun["from_state"], begun["to_state"]) == (
        "state",
        "queued",
        "running",
    )
    assert (stage["stage"], stage["passed"], stage["duration_ms"]) == ("backtest", True, None)
    assert stage["evidence"] == {"sharpe_ratio": 2.06, "curve": [1.0, None]}


async def test_json_after_an_event_is_what_came_after_it(client: Any, followed: Any) -> None:
    answer = (await client.get(EVENTS, headers={"last-event-id": "2-0"})).json()

    assert [each["event_id"] for each in answer["events"]] == ["2-7"]


async def test_a_stream_tells_the_same_and_ends_with_the_deployment(
    client: Any, followed: Any
) -> None:
    end(followed)

    answer = await client.get(EVENTS, headers=STREAM)

    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["cache-control"] == "no-store"
    _retry, asked, begun, stage, last = parsed(answer.text)
    assert [each["event"] for each in (asked, begun, stage, last)] == [
        "action",
        "state",
        "stage",
        "end",
    ]
    assert [each.get("id") for each in (asked, begun, stage, last)] == ["1-0", "2-0", "2-7", None]
    assert json.loads(last["data"]) == {"status": "completed", "outcome": "promoted"}
    whole = (await client.get(EVENTS)).json()["events"]
    assert [json.loads(each["data"]) for each in (asked, begun, stage)] == whole


async def test_a_stream_goes_on_where_it_was_left(client: Any, followed: Any) -> None:
    end(followed)

    answer = await client.get(EVENTS, headers=STREAM | {"last-event-id": "2-0"})

    assert [each.get("id") for each in parsed(answer.text)] == [None, "2-7", None]


async def test_who_knows_all_of_an_ended_one_is_told_to_stay_away(
    client: Any, followed: Any
) -> None:
    end(followed)

    answer = await client.get(EVENTS, headers=STREAM | {"last-event-id": "2-7"})

    assert (answer.status_code, answer.content) == (204, b"")


async def test_a_stream_waits_for_what_comes(world: Any, followed: Any) -> None:
    rows, followed.rows = followed.rows, followed.rows[:1]
    finished, followed.finished = followed.finished, []
    app = world.build()
    app.state.streams = streams.Streams(reread_s=0.001)
    async with world.client(app) as client:
        reading = asyncio.create_task(client.get(EVENTS, headers=STREAM))
        await world.rollouts.is_read_again(3)
        followed.rows, followed.finished = rows, finished
        end(followed)
        answer = await reading

    assert [each.get("id") for each in parsed(answer.text)[1:-1]] == ["1-0", "2-0", "2-7"]


async def test_head_is_no_stream(client: Any, followed: Any) -> None:
    answer = await client.head(EVENTS, headers=STREAM)

    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize("headers", [{}, STREAM])
async def test_an_unknown_deployment_or_event_is_a_problem(
    client: Any, followed: Any, headers: dict[str, str]
) -> None:
    missing = await client.get("/deployments/pipe_none/events", headers=headers)
    wrong = await client.get(EVENTS, headers=headers | {"last-event-id": "yesterday"})

    assert missing.status_code == 404
    assert wrong.status_code == 422
    assert wrong.json()["field"] == "Last-Event-ID"
