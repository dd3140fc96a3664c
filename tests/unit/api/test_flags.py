"""The door to feature flags."""

from datetime import timedelta

import pytest

from strategy_engine.access.model import Role

FLAG = {
    "key": "wide_stop",
    "type": "number",
    "default": 0.05,
    "expires_at": "2025-10-24T10:00:00Z",
    "rules": [{"value": 0.08, "strategy_name": "RSI", "share_of_executions": 0.25}],
}


async def test_a_flag_is_answered_as_it_was_made(world):
    async with world.client() as client:
        made = await client.post("/flags", json=FLAG)
        read = await client.get("/flags/wide_stop")

    assert made.status_code == 201
    assert made.headers["location"] == "/flags/wide_stop"
    assert made.json() == {k: v for k, v in read.json().items() if k != "history"}
    assert made.json()["owner"] == made.json()["created_by"] == "local"
    assert made.json()["live"] is True
    assert made.json()["rules"][0]["share_of_executions"] == 0.25
    assert made.json()["rules"][0]["versions"] is None


@pytest.mark.parametrize(
    ("kind", "value"),
    [("boolean", True), ("string", "1"), ("number", 1), ("number", 1.5)],
)
async def test_a_value_is_answered_in_the_type_it_was_sent_in(world, kind, value):
    async with world.client() as client:
        await client.post("/flags", json=FLAG | {"type": kind, "default": value, "rules": []})
        read = (await client.get("/flags/wide_stop")).json()

    assert (read["default"], type(read["default"])) == (value, type(value))


async def test_the_same_flag_again_is_200_and_another_of_its_key_409(world):
    async with world.client() as client:
        await client.post("/flags", json=FLAG)
        again = await client.post("/flags", json=FLAG)
        other = await client.post("/flags", json=FLAG | {"default": 0.06})

    assert (again.status_code, other.status_code) == (200, 409)
    assert "PUT /flags/wide_stop" in other.json()["detail"]


async def test_a_change_is_what_was_named_and_stands_in_the_history(world):
    async with world.client() as client:
        await client.post("/flags", json=FLAG)
        changed = await client.put("/flags/wide_stop", json={"rules": [{"value": 1}]})
        history = (await client.get("/flags/wide_stop")).json()["history"]

    assert changed.status_code == 200
    assert changed.json()["default"] == 0.05
    assert [rule["value"] for rule in changed.json()["rules"]] == [1]
    assert [each["action"] for each in history] == ["create", "update"]
    assert list(history[1]["details"]) == ["rules"]


async def test_an_archived_flag_is_listed_only_when_asked_for(world):
    async with world.client() as client:
        await client.post("/flags", json=FLAG)
        ended = await client.delete("/flags/wide_stop")
        listed = (await client.get("/flags")).json()
        all_ = (await client.get("/flags", params={"archived": "true"})).json()

    assert ended.json()["live"] is False
    assert ended.json()["archived_at"] is not None
    assert (listed["count"], all_["count"]) == (0, 1)


async def test_an_expired_flag_says_so(world):
    async with world.client() as client:
        await client.post("/flags", json=FLAG)
        world.clock.advance(timedelta(days=90).total_seconds())
        read = (await client.get("/flags/wide_stop")).json()

    assert (read["live"], read["archived_at"]) == (False, None)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"default": "big"}, "default"),
        ({"default": True}, "default"),
        ({"type": "colour"}, "type"),
        ({"key": "Wide Stop"}, "key"),
        ({"expires_at": "2025-10-24T10:00:00"}, "expires_at"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
        ({"rules": [{"value": "x"}]}, "rules.0.value"),
        ({"rules": [{"value": 1, "share_of_executions": 2}]}, "rules.0.share_of_executions"),
        ({"rules": [{"value": 1, "colour": "red"}]}, "colour"),
        ({"rules": [{"strategy_name": "RSI"}]}, "rules.0.value"),
        ({"owner": ""}, "owner"),
    ],
)
async def test_what_makes_no_sense_is_refused_by_name(world, change, field):
    async with world.client() as client:
        answer = await client.post("/flags", json=FLAG | change)

    assert answer.status_code == 422
    assert answer.json()["field"].endswith(field)


async def test_an_empty_change_is_refused(world):
    async with world.client() as client:
        await client.post("/flags", json=FLAG)
        answer = await client.put("/flags/wide_stop", json={})

    assert answer.status_code == 422


async def test_an_unknown_flag_is_not_found(world):
    async with world.client() as client:
        answers = [
            await client.get("/flags/x"),
            await client.put("/flags/x", json={"default": 1}),
            await client.delete("/flags/x"),
        ]

    assert {each.status_code for each in answers} == {404}


@pytest.mark.parametrize(
    ("role", "status"),
    [(Role.VIEWER, 403), (Role.TRADER, 403), (Role.RISK, 403), (Role.DEVELOPER, 201)],
)
async def test_who_writes_strategies_sets_their_flags_and_everybody_reads_them(world, role, status):
    keys = world.services.keys
    await keys.create("root", Role.ADMIN, actor="local")
    key = str((await keys.create("x", role, actor="root")).token)
    headers = {"Authorization": f"Bearer {key}"}
    async with world.client() as client:
        made = await client.post("/flags", json=FLAG, headers=headers)
        read = await client.get("/flags", headers=headers)

    assert (made.status_code, read.status_code) == (status, 200)
