"""What control writes of its wishes, without a node that hears them."""

import importlib.util
import sys
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from strategy_engine.core.errors import NotFoundError
from strategy_engine.execution.model import (
    Change,
    Desired,
    Execution,
    ExecutionConfig,
    Exits,
    Role,
    Switch,
)
from strategy_engine.infra import audit
from strategy_engine.registry.model import Content, Trigger
from strategy_engine.venue.model import Span, Tenure

PROGRAM = Path(__file__).parent / "runners" / "execution_node.py"
_spec = importlib.util.spec_from_file_location("execution_node", PROGRAM)
world = importlib.util.module_from_spec(_spec)
sys.modules["execution_node"] = world
_spec.loader.exec_module(world)

CODE = """
class Holding:
    def generate_signal(self, market_data):
        return "HOLD"
"""
TENURE = Tenure(others=Span(until_ns=7), by_symbol={"EUR/USD.SIM": Span(from_ns=3, until_ns=9)})
EVERYTHING = Change(
    role=Role.CANDIDATE,
    desired=Desired.DRAIN,
    capital_target=Decimal("1234.567890123"),
    serves=TENURE,
    exits=Exits.FLATTEN,
)


@pytest.fixture
async def control(tmp_path: Path) -> AsyncIterator[Any]:
    world.create_tables(tmp_path)
    async with world.control(tmp_path, confirm_s=0) as found:
        yield found


async def started(control: Any, version: str = "1.0.0", **how: Any) -> Execution:
    content = Content(strategy_name="Line", version=version, code=CODE)
    strategy, is_new = await control.registry.create(content, actor="tester")
    if is_new:
        for trigger in (Trigger.VALIDATE, Trigger.APPROVE, Trigger.DEPLOY):
            await control.registry.move(strategy.strategy_id, trigger, actor="tester")
    return await control.executions.start(
        strategy.strategy_id, ExecutionConfig(), actor="tester", **how
    )


async def test_everything_that_is_wanted_is_written_at_once_and_audited(control):
    first, other = await started(control), await started(control, role=Role.BASELINE, key="b")

    await control.executions.instruct(
        {first.execution_id: EVERYTHING, other.execution_id: Change(desired=Desired.PAUSE)},
        actor="tester",
        why="a step",
    )

    now = await control.executions.get(first.execution_id)
    assert {name: getattr(now, name) for name in EVERYTHING.given()} == EVERYTHING.given()
    assert (await control.executions.get(other.execution_id)).desired is Desired.PAUSE
    async with control.database.read() as connection:
        *_, row = await audit.history(connection, "execution", first.execution_id)
    assert (row.action, row.actor, row.details["why"]) == ("instruct", "tester", "a step")
    assert row.details["changes"]["capital_target"] == "1234.567890123"


async def test_to_want_the_same_again_leaves_no_trace(control):
    first = await started(control)
    for _ in range(2):
        await control.executions.instruct({first.execution_id: EVERYTHING}, actor="a", why="w")

    async with control.database.read() as connection:
        rows = await audit.history(connection, "execution", first.execution_id)
    assert [each.action for each in rows] == ["start", "instruct"]


async def test_with_an_execution_that_is_not_there_nothing_is_written(control):
    first = await started(control)
    unknown = {first.execution_id: EVERYTHING, "exec_none": EVERYTHING}

    with pytest.raises(NotFoundError, match="exec_none"):
        await control.executions.instruct(unknown, actor="a", why="w")
    with pytest.raises(NotFoundError, match="exec_none"):
        await control.executions.switch(Switch(key="k", changes=unknown), actor="a", why="w")

    assert await control.executions.get(first.execution_id) == first
    assert await control.executions.switched("k") is None


async def test_a_switch_is_asked_for_once_and_told_as_it_was_asked(control):
    first, other = await started(control), await started(control, role=Role.SHADOW, key="s")
    asked = Switch(
        key="pipe/1",
        gives=(first.execution_id,),
        takes=(other.execution_id,),
        symbols=("EUR/USD.SIM",),
        changes={first.execution_id: EVERYTHING, other.execution_id: Change(role=Role.STABLE)},
    )

    await control.executions.switch(asked, actor="tester", why="a step")
    await control.executions.switch(
        Switch(key="pipe/1", gives=(other.execution_id,)), actor="x", why="y"
    )

    assert await control.executions.switched("pipe/1") == asked
    assert await control.executions.switched("pipe/2") is None


async def test_a_switch_that_is_not_done_can_be_taken_back(control):
    first = await started(control)
    asked = Switch(key="pipe/1", gives=(first.execution_id,))
    await control.executions.switch(asked, actor="tester", why="a step")

    assert await control.executions.take_back_switch("pipe/1") is None
    assert await control.executions.switched("pipe/1") is None


async def test_executions_beside_the_stable_one_are_started_once_for_each_key(control):
    stable = await started(control)

    found = [await started(control, role=Role.BASELINE, key=key) for key in ("one", "two", "one")]

    assert found[0].execution_id == found[2].execution_id
    assert len({stable.execution_id, *(each.execution_id for each in found)}) == 3
    assert {each.role for each in found} == {Role.BASELINE}


async def test_a_shadow_of_another_version_starts_beside_the_lines_stable_one(control):
    await started(control)

    shadow = await started(control, "2.0.0", role=Role.SHADOW, key="s")

    assert shadow.role is Role.SHADOW
    assert (await control.registry.get(shadow.strategy_id)).status.value == "running"
