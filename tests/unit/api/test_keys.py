"""Keys over HTTP: made once, shown once, and what each role may."""

from typing import Any

import pytest

from strategy_engine.access.model import Permission, Role
from strategy_engine.api import permissions


async def make(client: Any, role: str, key: str | None = None) -> str:
    headers = {} if key is None else bearer(key)
    answer = await client.post("/keys", json={"name": role, "role": role}, headers=headers)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["key"])


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


async def test_after_the_first_key_every_request_needs_one(client: Any) -> None:
    assert (await client.get("/strategies")).status_code == 200

    key = await make(client, "admin")

    assert (await client.get("/strategies")).status_code == 401
    assert (await client.get("/strategies", headers=bearer(key))).status_code == 200
    assert (await client.get("/health")).status_code == 200


async def test_with_a_key_in_use_another_origin_is_no_matter(client: Any) -> None:
    headers = {"origin": "http://page.example", "host": "engine.example"}
    assert (await client.get("/strategies", headers=headers)).status_code == 403

    key = await make(client, "admin")

    answer = await client.get("/strategies", headers=headers | bearer(key))
    assert answer.status_code == 200


async def test_a_list_of_keys_holds_no_secret(client: Any) -> None:
    key = await make(client, "admin")
    await make(client, "viewer", key)

    answer = await client.get("/keys", headers=bearer(key))

    assert {each["role"] for each in answer.json()["keys"]} == {"admin", "viewer"}
    assert key.rpartition("_")[2] not in answer.text


async def test_a_role_that_may_not_is_told_who_may(client: Any, content: dict[str, Any]) -> None:
    root = await make(client, "admin")
    viewer = await make(client, "viewer", root)

    answer = await client.post("/strategies", json=content, headers=bearer(viewer))

    assert answer.status_code == 403
    problem = answer.json()
    assert problem["type"] == "/problems/forbidden"
    assert problem["permission"] == "write_strategies"
    assert "developer" in problem["accepted"]
    assert (await client.get("/strategies", headers=bearer(viewer))).status_code == 200


@pytest.mark.parametrize(
    ("role", "status"), [(Role.TRADER, 403), (Role.DEVELOPER, 403), (Role.RISK, 404)]
)
async def test_only_risk_overrides_a_risk_limit(client: Any, role: Role, status: int) -> None:
    key = await make(client, role.value, await make(client, "admin"))
    body = {"execution_config": {"risk_override": True, "risk_override_reason": "a test"}}

    answer = await client.post("/strategies/strat_none/start", json=body, headers=bearer(key))

    assert answer.status_code == status


async def test_the_name_of_the_key_is_in_the_history(client: Any, content: dict[str, Any]) -> None:
    key = await make(client, "admin")
    created = await client.post("/strategies", json=content, headers=bearer(key))
    path = f"/strategies/{created.json()['strategy_id']}/history"

    history = (await client.get(path, headers=bearer(key))).json()["history"]

    assert [each["actor"].split()[0] for each in history] == ["admin"]


async def test_a_revoked_key_is_shown_with_its_end(client: Any) -> None:
    root = await make(client, "admin")
    viewer = await make(client, "viewer", root)
    key_id = viewer.split("_")[1]

    answer = await client.delete(f"/keys/{key_id}", headers=bearer(root))

    assert answer.json()["revoked_at"] is not None
    assert (await client.get("/strategies", headers=bearer(viewer))).status_code == 401


async def test_the_first_key_of_another_role_is_refused(client: Any) -> None:
    answer = await client.post("/keys", json={"name": "ci", "role": "developer"})

    assert answer.status_code == 409
    assert (await client.get("/strategies")).status_code == 200


def test_every_route_that_changes_something_is_in_the_table(world: Any) -> None:
    paths = world.build().openapi()["paths"]
    asked = {(method.upper(), path) for path, operations in paths.items() for method in operations}

    needed = {each: permissions.of(*each) for each in asked}

    changing = {f"{method} {path}" for method, path in asked if method != "GET"}
    assert changing == {each for each in permissions.NEEDED if not each.startswith("GET")}
    assert needed["GET", "/strategies"] is Permission.READ
    assert needed["GET", "/health"] is None


def test_a_change_that_no_table_knows_is_nobodys() -> None:
    with pytest.raises(KeyError):
        permissions.of("POST", "/surprise")
