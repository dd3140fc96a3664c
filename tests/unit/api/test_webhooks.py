"""Webhooks over HTTP: the secret in one answer only, and only for administrators."""

from typing import Any

URL = "http://127.0.0.1:9/hooks?token=t0ken"


async def test_the_secret_is_in_the_answer_that_makes_it_and_in_no_other(client: Any) -> None:
    made = await client.post("/webhooks", json={"url": URL, "topics": ["pipeline.failed"]})
    hook = made.json()
    path = f"/webhooks/{hook['webhook_id']}"

    others = [
        await client.get("/webhooks"),
        await client.get(f"{path}/deliveries"),
        await client.delete(path),
    ]

    assert made.status_code == 201
    assert hook["secret"].startswith("whsec_")
    assert (hook["url"], hook["topics"]) == (URL, ["pipeline.failed"])
    assert [each.status_code for each in others] == [200, 200, 200]
    assert not any(hook["secret"] in each.text for each in others)
    assert (await client.get("/webhooks")).json() == {"webhooks": [], "count": 0}


async def test_a_removed_webhook_keeps_its_log_and_is_removed_once(client: Any) -> None:
    hook = (await client.post("/webhooks", json={"url": URL})).json()
    path = f"/webhooks/{hook['webhook_id']}"

    removed = [(await client.delete(path)).status_code for _ in range(2)]
    log = await client.get(f"{path}/deliveries")

    assert removed == [200, 404]
    assert (log.status_code, log.json()["total"]) == (200, 0)


async def test_what_is_no_target_or_no_topic_is_refused_by_its_field(client: Any) -> None:
    bodies = ({"url": "file:///etc/passwd"}, {"url": URL, "topics": ["everything"]})
    answers = [await client.post("/webhooks", json=body) for body in bodies]

    assert [each.status_code for each in answers] == [422, 422]
    assert [each.json()["field"] for each in answers] == ["url", "topics"]


async def test_only_an_administrator_sees_or_makes_one(client: Any) -> None:
    async def make(role: str, key: str = "") -> dict[str, str]:
        headers = {"authorization": key} if key else {}
        answer = await client.post("/keys", json={"name": role, "role": role}, headers=headers)
        return {"authorization": f"Bearer {answer.json()['key']}"}

    admin = await make("admin")
    risk = await make("risk", admin["authorization"])

    asked = [
        await client.get("/webhooks", headers=risk),
        await client.post("/webhooks", json={"url": URL}, headers=risk),
        await client.post("/webhooks", json={"url": URL}, headers=admin),
    ]

    assert [each.status_code for each in asked] == [403, 403, 201]
