"""A real deployment followed as a stream: left, taken up again, and whole."""

import json
from collections.abc import Iterator
from typing import Any

import httpx

from strategy_engine import examples

STREAM = {"accept": "text/event-stream"}
LIMITS = {"max_position_size": 15_000, "daily_loss_limit": -2_000}


def read(lines: Iterator[str]) -> Iterator[dict[str, str]]:
    told: dict[str, str] = {}
    for line in lines:
        if line:
            name, _, value = line.partition(": ")
            told[name] = value
        elif told:
            yield told
            told = {}


def test_a_deployment_is_followed_to_its_end_through_a_break(engine: Any) -> None:
    rsi = next(each for each in examples.EXAMPLES if each.file == "rsi_mean_reversion.py")
    content = {"strategy_name": "followed", "version": "1.0.0", "code": rsi.source()}
    made = engine.post("/strategies", content | {"risk_limits": LIMITS})
    path = f"/strategies/{made['strategy_id']}/deploy"
    pipeline_id = engine.post(path, {"approval_required": True})["pipeline_id"]
    url = f"{engine.url}/deployments/{pipeline_id}/events"

    before, known = [], ""
    with httpx.stream("GET", url, headers=STREAM, timeout=60) as answer:
        for told in read(answer.iter_lines()):
            if "id" in told:
                before.append(json.loads(told["data"]))
                known = told["id"]
            if before and before[-1]["to_state"] == "awaiting_approval":
                break
    engine.post(f"/deployments/{pipeline_id}/approve", {"comment": "limits checked"})
    headers = STREAM | {"last-event-id": known}
    with httpx.stream("GET", url, headers=headers, timeout=60) as answer:
        after = list(read(answer.iter_lines()))

    assert after[-1]["event"] == "end"
    assert json.loads(after[-1]["data"]) == {"status": "completed", "outcome": "promoted"}
    events = before + [json.loads(each["data"]) for each in after if "id" in each]
    whole = engine.get(f"/deployments/{pipeline_id}/events")
    assert whole["has_ended"]
    assert events == whole["events"]
    assert [each["stage"] for each in events if each["kind"] == "stage"] == whole_stages(engine)
    approved = next(each for each in events if each["action"] == "approve")
    assert (approved["actor"], approved["message"]) == ("local", "limits checked")
    states = [each["to_state"] for each in events if each["kind"] == "state"]
    assert states == ["running", "awaiting_approval", "rolling_out", "completed"]
    assert httpx.get(url, headers=STREAM | {"last-event-id": after[-2]["id"]}).status_code == 204


def whole_stages(engine: Any) -> list[str]:
    (deployment,) = engine.get("/deployments?limit=1")["deployments"]
    return list(deployment["stages"])
