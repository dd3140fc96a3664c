"""The door to closing what an execution holds."""

from decimal import Decimal

import pytest

from strategy_engine.execution.model import Closing, Desired, ExecutionStatus, Role

HELD = {"EUR/USD.SIM": Decimal(7_000)}


async def begun(world, content, **fields):
    async with world.client() as client:
        version = (await client.post("/strategies", json=content)).json()["strategy_id"]
    return world.executions.add(strategy_id=version, **fields).execution_id


async def flatten(world, name, **query):
    async with world.client() as client:
        return await client.post(f"/executions/{name}/flatten", params=query)


async def test_what_an_ended_execution_holds_is_closed_once(world, content):
    name = await begun(world, content, status=ExecutionStatus.STOPPED)
    world.services.records.held[name] = HELD

    dry = (await flatten(world, name, dry_run=True)).json()
    assert world.executions.kept[name].closing is None
    done = await flatten(world, name)
    assert world.executions.kept[name].closing is Closing.ASKED
    again = (await flatten(world, name)).json()

    assert dry == done.json() | {"dry_run": True}
    assert (done.status_code, done.json()["closes"]) == (202, True)
    assert done.json()["positions"] == {"EUR/USD.SIM": 7_000.0}
    assert done.json()["message"].startswith("a node closes 7000 EUR/USD.SIM at the next price")
    assert (again["closes"], again["positions"]) == (False, {"EUR/USD.SIM": 7_000.0})
    assert again["message"] == "a node is closing 7000 EUR/USD.SIM already"


@pytest.mark.parametrize(
    ("fields", "held", "answer"),
    [
        ({"status": ExecutionStatus.ERROR}, {}, (False, "it has ended and holds nothing")),
        (
            {
                "status": ExecutionStatus.STOPPED,
                "closing": Closing.STUCK,
                "notices": ("not closed: its feed gave no next price",),
            },
            HELD,
            (True, "it could not before: not closed: its feed gave no next price"),
        ),
        ({}, HELD, (True, "the engine closes 7000 EUR/USD.SIM at the next price, and it ends")),
        ({}, {}, (True, "it holds nothing; it ends at once")),
        ({"desired": Desired.FLATTEN}, HELD, (False, "closes what it holds already: 7000")),
        ({"failure": "it raised"}, HELD, (False, "closes what it holds already: 7000")),
        ({"desired": Desired.STOP}, HELD, (False, "flatten it again once it has ended")),
    ],
)
async def test_what_is_closed_and_why_not_is_told(world, content, fields, held, answer):
    name = await begun(world, content, **fields)
    world.services.records.held[name] = held
    found = (await flatten(world, name)).json()
    closes, told = answer
    assert (found["closes"], told in found["message"]) == (closes, True)


async def test_a_validation_run_is_left_alone_and_one_that_is_not_there_is_none(world, content):
    name = await begun(world, content, role=Role.VALIDATION)
    assert (await flatten(world, name)).status_code == 409
    assert (await flatten(world, "exec_none")).status_code == 404
