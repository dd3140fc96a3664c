"""The door to the limits of lines, accounts and the engine."""

from typing import Any

import pytest

from strategy_engine.access.model import Role
from strategy_engine.infra import audit

LIMITS = {"max_position_size": 10_000, "trading_hours": ["09:30-16:00 America/New_York"]}


async def test_limits_are_listed_as_they_were_set(world: Any) -> None:
    async with world.client() as client:
        put = await client.put("/risk/limits/line/RSI", json={"limits": LIMITS, "why": "small"})
        listed = (await client.get("/risk/limits")).json()

    assert put.status_code == 200
    assert listed["limits"] == [put.json()]
    assert put.json()["limits"] == LIMITS
    assert (put.json()["scope"], put.json()["subject"]) == ("line", "RSI")
    assert (put.json()["actor"], put.json()["why"]) == ("local", "small")
    assert "max_leverage" in listed["names"]


async def test_a_line_may_have_a_slash_in_its_name_and_the_engine_has_none(world: Any) -> None:
    async with world.client() as client:
        line = await client.put("/risk/limits/line/EUR%2FUSD%20RSI", json={"limits": LIMITS})
        engine = await client.put("/risk/limits/engine/all", json={"limits": LIMITS})

    assert line.json()["subject"] == "EUR/USD RSI"
    assert engine.json()["subject"] == ""


async def test_limits_are_replaced_and_lifted_whole_and_each_is_in_the_audit_log(
    world: Any,
) -> None:
    async with world.client() as client:
        await client.put("/risk/limits/account/main", json={"limits": LIMITS})
        await client.put("/risk/limits/account/main", json={"limits": {"max_leverage": 2}})
        lifted = await client.delete("/risk/limits/account/main?why=over")
        again = await client.delete("/risk/limits/account/main")
        left = (await client.get("/risk/limits")).json()["count"]

    async with world.database.read() as connection:
        rows = await audit.history(connection, "risk_limits", "account main")
    assert lifted.json()["limits"] == {"max_leverage": 2}
    assert (again.status_code, left) == (404, 0)
    assert [(each.action, each.details["to"]) for each in rows] == [
        ("set", LIMITS),
        ("set", {"max_leverage": 2}),
        ("lift", {}),
    ]
    assert rows[-1].details["why"] == "over"


@pytest.mark.parametrize(
    ("path", "limits", "field"),
    [
        ("line/RSI", {"max_positon_size": 1}, "max_positon_size"),
        ("line/RSI", {"max_position_size": -1}, "max_position_size"),
        ("line/RSI", {"trading_hours": ["always"]}, "trading_hours"),
        ("version/strat_1", {"max_position_size": 1}, "scope"),
        ("execution/exec_1", {"max_position_size": 1}, "scope"),
        ("planet/earth", {"max_position_size": 1}, "scope"),
    ],
)
async def test_what_makes_no_sense_is_refused_whole(
    world: Any, path: str, limits: dict[str, Any], field: str
) -> None:
    async with world.client() as client:
        answer = await client.put(f"/risk/limits/{path}", json={"limits": limits})
        count = (await client.get("/risk/limits")).json()["count"]

    assert (answer.status_code, count) == (422, 0)
    assert field in answer.text


async def test_an_override_without_a_reason_is_refused(client: Any) -> None:
    body = {"execution_config": {"risk_override": True, "risk_override_reason": " "}}

    answer = await client.post("/strategies/strat_none/start", json=body)

    assert answer.status_code == 422
    assert answer.json()["field"] == "risk_override_reason"


@pytest.mark.parametrize(
    ("role", "status"), [(Role.TRADER, 403), (Role.DEVELOPER, 403), (Role.RISK, 200)]
)
async def test_only_risk_sets_limits(client: Any, role: Role, status: int) -> None:
    async def key(name: str, asker: str | None = None) -> str:
        headers = {} if asker is None else {"Authorization": f"Bearer {asker}"}
        body = {"name": name, "role": name}
        made = await client.post("/keys", json=body, headers=headers)
        return str(made.json()["key"])

    mine = await key(role.value, await key("admin"))

    answer = await client.put(
        "/risk/limits/line/RSI",
        json={"limits": LIMITS},
        headers={"Authorization": f"Bearer {mine}"},
    )

    assert answer.status_code == status
