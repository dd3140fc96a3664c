"""The door to experiments."""

from decimal import Decimal

import pytest

from strategy_engine.registry.model import Trigger
from strategy_engine.venue.accounts import AccountNow

NAME = "RSI Mean Reversion"
ASKED = {
    "strategy_name": NAME,
    "version_a": "1.2.0",
    "version_b": "1.3.0",
    "hypothesis": "the longer period returns more",
    "share_b": 0.25,
}


@pytest.fixture
async def running(world, content):
    """One version runs with 100,000, another has passed, a third is a draft."""
    ids = {}
    async with world.client() as client:
        for number in ("1.2.0", "1.3.0", "1.4.0"):
            answer = await client.post("/strategies", json=content | {"version": number})
            ids[number] = answer.json()["strategy_id"]
    for number in ("1.2.0", "1.3.0"):
        for trigger in (Trigger.VALIDATE, Trigger.APPROVE):
            await world.services.registry.move(ids[number], trigger, actor="test")
    execution = world.executions.add(strategy_id=ids["1.2.0"])
    money = dict.fromkeys(("contributed", "equity", "cash", "free"), Decimal(100_000))
    counts = dict.fromkeys(
        ("close_ns", "bar_no", "entry_no", "fill_count", "order_count", "denied_count"), 0
    )
    world.services.records.account[execution.execution_id] = AccountNow(
        execution_id=execution.execution_id,
        is_flat=True,
        slippage_bps=None,
        waiting_entries=0,
        **money,
        **counts,
    )
    return ids


async def test_an_experiment_is_frozen_as_it_was_asked_for(world, running):
    async with world.client() as client:
        made = await client.post("/experiments", json=ASKED)
        read = await client.get(made.headers["location"])
        listed = (await client.get("/experiments", params={"line": NAME})).json()
        others = (await client.get("/experiments", params={"line": "other"})).json()
        ended = (await client.get("/experiments", params={"status": "ended"})).json()

    assert made.status_code == 201
    told = made.json()
    assert {name: told[name] for name in ASKED if name in told} == {
        "strategy_name": NAME,
        "hypothesis": ASKED["hypothesis"],
    }
    assert (told["status"], told["alpha"], told["margin"]) == ("starting", 0.05, 0.05)
    assert (told["a"]["weight"], told["b"]["weight"]) == (0.75, 0.25)
    assert (told["a"]["started_for_it"], told["b"]["started_for_it"]) == (False, True)
    assert told.items() <= read.json().items()
    assert (read.json()["pairs"], read.json()["estimate"]) == (0, None)
    assert read.json()["recommendation"] == "inconclusive"
    assert read.json()["history"][0]["details"]["hypothesis"] == ASKED["hypothesis"]
    assert (listed["total"], others["total"], ended["total"]) == (1, 0, 0)


async def test_stopping_twice_is_no_error(world, running):
    async with world.client() as client:
        made = (await client.post("/experiments", json=ASKED)).json()
        path = f"/experiments/{made['experiment_id']}/stop"
        first, second = await client.post(path), await client.post(path)

    assert (first.status_code, second.status_code) == (200, 200)
    assert (first.json()["status"], first.json()["outcome"]) == ("ending", "stopped")
    assert second.json() == first.json()


async def test_a_second_mover_of_a_line_is_refused_and_the_first_named(world, running):
    equal = {"policy": "equal_risk", "versions": ["1.2.0", "1.3.0"]}
    async with world.client() as client:
        made = (await client.post("/experiments", json=ASKED)).json()
        second = await client.post("/experiments", json=ASKED)
        shared = await client.put(f"/lines/{NAME}/allocation", json=equal)

    for refused in (second, shared):
        assert refused.status_code == 409
        assert made["experiment_id"] in refused.json()["detail"]
        assert (refused.json()["mover"], refused.json()["key"]) == (
            "experiment",
            made["experiment_id"],
        )


@pytest.mark.parametrize(
    ("changes", "status", "field"),
    [
        ({"version_b": "9.9.9"}, 422, "version_b"),
        ({"version_b": "1.4.0"}, 409, "version_b"),
        ({"version_b": "1.2.0"}, 422, "version_b"),
        ({"strategy_name": "none"}, 404, "strategy_name"),
        ({"unit": "instrument"}, 422, "unit"),
        ({"share_b": 1.0}, 422, "share_b"),
        ({"share_b": 0.000001}, 422, "weights"),
        ({"planned_pairs": 29}, 422, "planned_pairs"),
        ({"metric": "sharpe"}, 422, "metric"),
        ({"hypothesis": ""}, 422, "hypothesis"),
    ],
)
async def test_what_cannot_be_compared_is_refused(world, running, changes, status, field):
    async with world.client() as client:
        answer = await client.post("/experiments", json=ASKED | changes)

    assert answer.status_code == status, answer.json()
    assert answer.json()["field"] == field


async def test_an_experiment_past_a_third_version_with_capital_is_refused(world, running):
    async with world.client() as client:
        world.executions.add(strategy_id=running["1.4.0"])
        answer = await client.post("/experiments", json=ASKED)

    assert answer.status_code == 409
    assert "version 1.4.0" in answer.json()["detail"]


async def test_an_unknown_experiment_is_not_found(client):
    for answer in (
        await client.get("/experiments/exp_1"),
        await client.post("/experiments/x/stop"),
    ):
        assert answer.status_code == 404
