"""Alerts over HTTP: secrets in one answer only, rules by their fields, who may what."""

from typing import Any

import pytest

from strategy_engine.alerts.model import State

URL = "http://127.0.0.1:9/hooks?token=t0ken"
RULE = {"name": "deep", "metric": {"name": "max_drawdown", "below": -0.1, "clear": -0.05}}
SAID: dict[str, Any] = {
    "key": "k",
    "severity": "critical",
    "subject_type": "execution",
    "subject_id": "exec_1",
    "title": "halted",
    "message": "drawdown",
}


async def test_a_channels_secrets_are_in_the_answer_that_makes_it_and_in_no_other(client) -> None:
    made = await client.post("/alerts/channels", json={"name": "desk", "url": URL})
    path = f"/alerts/channels/{made.json()['channel_id']}"

    others = [
        await client.get("/alerts/channels"),
        await client.post(f"{path}/test"),
        await client.get(f"{path}/deliveries"),
        await client.get("/events", params={"after": "0-0"}),
        await client.delete(path),
    ]

    assert made.status_code == 201
    assert made.json()["secret"].startswith("whsec_")
    assert made.json()["target"] == "http://127.0.0.1:9/…"
    assert [each.status_code for each in others] == [200, 202, 200, 200, 200]
    for each in [*others, made]:
        assert "t0ken" not in each.text
        assert each is made or made.json()["secret"] not in each.text


async def test_an_alert_is_found_read_and_acknowledged(client, world) -> None:
    raised = await world.services.alerting.alerts.raise_alert(None, **SAID)
    path = f"/alerts/{raised.alert_id}"

    listed = (await client.get("/alerts", params={"open": True, "severity": "critical"})).json()
    other = (await client.get("/alerts", params={"subject_id": "exec_2"})).json()
    answered = await client.post(f"{path}/acknowledge", json={"comment": "I look"})
    again = await client.post(f"{path}/acknowledge", json={})

    assert [each["alert_id"] for each in listed["alerts"]] == [raised.alert_id]
    assert other["total"] == 0
    assert (answered.status_code, answered.json()["state"]) == (200, "acknowledged")
    assert (await client.get(path)).json()["comment"] == "I look"
    assert again.status_code == 409
    assert (await client.get(f"{path}/deliveries")).json()["total"] == 0
    assert (await client.get("/alerts", params={"open": False})).json()["total"] == 0


async def test_rules_are_made_changed_and_removed(client) -> None:
    made = (await client.post("/alerts/rules", json=RULE)).json()
    path = f"/alerts/rules/{made['rule_id']}"
    changed = (await client.put(path, json=RULE | {"severity": "critical"})).json()
    removed = await client.delete(path)

    assert (made["metric"]["scope"], made["metric"]["clear"]) == ("execution", -0.05)
    assert (changed["severity"], changed["metric"]) == ("critical", made["metric"])
    assert removed.status_code == 200
    assert (await client.get(path)).status_code == 404


async def test_a_built_in_rule_is_switched_off_and_put_back_but_never_bent(client) -> None:
    path = "/alerts/rules/execution_error"
    before = (await client.get(path)).json()
    bent = await client.put(path, json={"event": {"topic": "flag"}})
    off = (await client.put(path, json={"enabled": False})).json()
    back = (await client.delete(path)).json()

    assert (bent.status_code, bent.json()["field"]) == (422, "event")
    assert (off["enabled"], off["event"], off["name"]) == (False, before["event"], before["name"])
    assert off["severity"] == before["severity"]
    assert back == before == (await client.get(path)).json()


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"name": "none"}, "metric"),
        ({"metric": {"name": "pnl"}}, "metric"),
        ({"metric": {"name": "pnl", "above": 1, "below": 2}}, "metric"),
        ({"metric": {"name": "pnl", "above": 1, "clear": 2}}, "metric.clear"),
        ({"metric": {"name": "pnl", "above": 1}, "event": {"topic": "flag"}}, "event"),
        ({"event": {"topic": "alert.fire"}}, "event.topic"),
        ({"event": {"topic": "flag"}, "channels": ["chan_0"]}, "channels"),
        ({"event": {"topic": "flag"}, "key": "{secret}"}, "key"),
    ],
)
async def test_what_is_no_rule_is_refused_by_its_field(client, body, named) -> None:
    answer = await client.post("/alerts/rules", json=body)

    assert (answer.status_code, answer.json()["field"]) == (422, named)


async def test_risk_makes_rules_and_channels_a_trader_acknowledges_a_viewer_reads(
    client, world
) -> None:
    raised = await world.services.alerting.alerts.raise_alert(None, **SAID)

    async def make(role: str, key: str = "") -> dict[str, str]:
        headers = {"authorization": key} if key else {}
        answer = await client.post("/keys", json={"name": role, "role": role}, headers=headers)
        return {"authorization": f"Bearer {answer.json()['key']}"}

    admin = (await make("admin"))["authorization"]
    keys = [await make(role, admin) for role in ("viewer", "trader", "risk")]
    asked = [
        [
            (await client.get("/alerts", headers=key)).status_code,
            (await client.get("/alerts/channels", headers=key)).status_code,
            (await client.post("/alerts/rules", json=RULE, headers=key)).status_code,
            (
                await client.post(f"/alerts/{raised.alert_id}/acknowledge", json={}, headers=key)
            ).status_code,
        ]
        for key in keys
    ]

    assert asked == [[200, 403, 403, 403], [200, 403, 403, 200], [200, 200, 201, 409]]
    assert (await world.services.alerting.alerts.get(raised.alert_id)).state is State.ACKNOWLEDGED
