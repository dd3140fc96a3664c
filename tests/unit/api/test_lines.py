"""The door to lines: members, books, allocations."""

from decimal import Decimal

import pytest

from strategy_engine.execution.model import ExecutionStatus, Role
from strategy_engine.registry.model import Trigger
from strategy_engine.rollout.capital import SWEEP
from strategy_engine.venue.accounts import AccountNow

NAME = "RSI Mean Reversion"
LINE = "/lines/RSI%20Mean%20Reversion"
EQUAL = {"policy": "equal_risk", "versions": ["1.2.0", "1.3.0"]}


async def approved(world, content, *numbers):
    """Register versions, passed; return their ids by number."""
    ids = {}
    async with world.client() as client:
        for number in numbers:
            answer = await client.post("/strategies", json=content | {"version": number})
            ids[number] = answer.json()["strategy_id"]
            for trigger in (Trigger.VALIDATE, Trigger.APPROVE):
                await world.services.registry.move(ids[number], trigger, actor="test")
    return ids


def run(world, strategy_id, equity=Decimal(100_500), **fields):
    """Let a version have capital, and a ledger that says what it is worth."""
    execution = world.executions.add(strategy_id=strategy_id, **fields)
    world.services.records.account[execution.execution_id] = AccountNow(
        execution_id=execution.execution_id,
        contributed=execution.capital,
        equity=equity,
        cash=equity,
        free=equity,
        is_flat=True,
        close_ns=7,
        bar_no=7,
        entry_no=7,
        fill_count=0,
        order_count=0,
        denied_count=0,
        slippage_bps=None,
        waiting_entries=0,
    )
    return execution.execution_id


async def test_a_line_shows_its_members_their_money_and_its_books(world, content):
    ids = await approved(world, content, "1.2.0", "1.3.0")
    old = run(world, ids["1.2.0"], capital=Decimal(90_000), equity=Decimal(90_000))
    new = run(
        world,
        ids["1.3.0"],
        capital=Decimal(10_000),
        equity=Decimal(30_000),
        role=Role.CANDIDATE,
        capital_target=SWEEP,
    )
    async with world.client() as client:
        line = (await client.get(LINE)).json()
        listed = (await client.get("/lines")).json()

    assert [each["execution_id"] for each in line["members"]] == [old, new]
    assert [each["weight"] for each in line["members"]] == [0.75, 0.25]
    assert line["members"][1]["capital_target"] == "nothing"
    assert line["members"][1]["pnl"] == 20_000.0
    assert (line["capital"], line["equity"]) == (100_000.0, 120_000.0)
    assert line["books"]["agrees"] is False  # the second has 20,000 in cash that no fill brought
    assert line["books"]["findings"] == [
        f"{new}: capital, flows and fills leave 10000 in cash, the ledger has 30000"
    ]
    assert listed["count"] == 1
    assert listed["lines"][0]["versions"] == ["1.2.0", "1.3.0"]


async def test_a_line_that_is_none_is_not_found(client):
    for path in ("/lines/none", "/lines/none/allocation"):
        answer = await client.get(path)
        assert answer.status_code == 404
        assert answer.json()["field"] == "strategy_name"


async def test_an_allocation_is_answered_with_its_weights_and_ended(world, content):
    ids = await approved(world, content, "1.2.0", "1.3.0")
    run(world, ids["1.2.0"])
    async with world.client() as client:
        made = await client.put(f"{LINE}/allocation", json=EQUAL | {"caps": {"1.3.0": 0.4}})
        again = await client.put(f"{LINE}/allocation", json=EQUAL | {"caps": {"1.3.0": 0.4}})
        line = (await client.get(LINE)).json()
        ended = await client.delete(f"{LINE}/allocation")
        twice = await client.delete(f"{LINE}/allocation")

    assert made.status_code == 200
    told = made.json()
    assert told["in_force"] == {"1.2.0": 1.0, "1.3.0": 0.0}
    assert told["caps"] == {"1.3.0": 0.4}
    assert again.json() == told
    assert line["moved_by"] == [
        {"kind": "allocation", "key": told["allocation_id"], "status": "active"}
    ]
    assert (ended.json()["status"], twice.json()["status"]) == ("ending", "ending")
    assert [each["action"] for each in twice.json()["history"]] == ["start", "end"]


async def test_a_changed_policy_keeps_what_is_in_force(world, content):
    ids = await approved(world, content, "1.2.0", "1.3.0")
    run(world, ids["1.2.0"])
    async with world.client() as client:
        first = (await client.put(f"{LINE}/allocation", json=EQUAL)).json()
        fixed = {"policy": "fixed", "weights": {"1.2.0": 0.5, "1.3.0": 0.3}}
        changed = (await client.put(f"{LINE}/allocation", json=EQUAL | fixed)).json()

    assert changed["allocation_id"] == first["allocation_id"]
    assert changed["policy"] == "fixed"
    assert changed["in_force"] == first["in_force"]
    assert [each["action"] for each in changed["history"]] == ["start", "change"]


@pytest.mark.parametrize(
    ("changes", "status", "field"),
    [
        ({"versions": ["9.9.9"]}, 422, "versions"),
        ({"versions": ["1.4.0"]}, 409, "versions"),
        ({"versions": ["1.3.0"]}, 409, "versions"),
        ({"policy": "fixed"}, 422, "weights"),
        ({"policy": "fixed", "weights": {"1.2.0": 0.7, "1.3.0": 0.7}}, 422, "weights"),
        ({"weights": {"1.2.0": 1.5}}, 422, "weights.1.2.0"),
        ({"policy": "guess"}, 422, "policy"),
        ({"lookback": 2}, 422, "lookback"),
    ],
)
async def test_a_policy_that_cannot_be_applied_is_refused(world, content, changes, status, field):
    ids = await approved(world, content, "1.2.0", "1.3.0")
    run(world, ids["1.2.0"])
    async with world.client() as client:
        await client.post("/strategies", json=content | {"version": "1.4.0"})  # a draft
        answer = await client.put(f"{LINE}/allocation", json=EQUAL | changes)

    assert answer.status_code == status, answer.json()
    assert answer.json()["field"] == field


async def test_a_share_below_one_lot_is_refused_with_the_arithmetic(world, content):
    ids = await approved(world, content, "1.2.0", "1.3.0")
    run(world, ids["1.2.0"], capital=Decimal(2), equity=Decimal(2))
    async with world.client() as client:
        answer = await client.put(f"{LINE}/allocation", json=EQUAL)

    assert answer.status_code == 422
    assert "one lot of EUR/USD.SIM costs 1 × 1.2 = 1.2" in answer.json()["detail"]


async def test_what_an_ended_execution_ties_is_shown_beside_the_members(world, content):
    ids = await approved(world, content, "1.2.0")
    gone, flat, old = (
        run(world, ids["1.2.0"], status=ExecutionStatus.STOPPED, tied=tied)
        for tied in (Decimal("9990.25"), Decimal(0), None)
    )
    world.services.records.held[gone] = {"EUR/USD.SIM": Decimal(9_000)}
    world.services.records.held[old] = {"EUR/USD.SIM": Decimal(1)}
    async with world.client() as client:
        line = (await client.get(LINE)).json()
        ended = (await client.get("/executions", params={"status": "all"})).json()["executions"]

    assert (line["members"], line["capital"]) == ([], 0.0)
    told = {each["execution_id"]: (each["capital"], each["closing"]) for each in line["tied"]}
    assert told == {gone: (9_990.25, None), old: (0.0, None)}
    capitals = {each["execution_id"]: each["capital"] for each in ended}
    assert capitals == {gone: 9_990.25, flat: 0.0, old: 0.0}
