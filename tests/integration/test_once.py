"""What a durable step asks of the node is done once, however often a crash makes it ask."""

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from strategy_engine.core import ids
from strategy_engine.execution import store
from strategy_engine.execution.model import COMPLETED, LOST, ExecutionConfig, ExecutionStatus
from strategy_engine.registry.model import Content, Trigger

PROGRAM = Path(__file__).parent / "runners" / "execution_node.py"
_spec = importlib.util.spec_from_file_location("once_node", PROGRAM)
world = importlib.util.module_from_spec(_spec)
sys.modules["once_node"] = world
_spec.loader.exec_module(world)

CODE = """
class Waits:
    def generate_signal(self, market_data):
        return "HOLD"
"""
CONFIG = ExecutionConfig(speed=0.0, capital=5_000.0, start_ns=1, end_ns=2)


@pytest.fixture
async def control(tmp_path):
    world.create_tables(tmp_path)
    async with world.control(tmp_path, confirm_s=0.0) as found:
        yield found


async def version(control, *triggers):
    content = Content(strategy_name="Line", version="1.0.0", code=CODE)
    strategy, _ = await control.registry.create(content, actor="tester")
    for trigger in triggers:
        await control.registry.move(strategy.strategy_id, trigger, actor="tester")
    return strategy.strategy_id


async def end(control, execution_id, **changes):
    async with control.database.write() as connection:
        found = await store.get(connection, execution_id)
        await store.update(connection, replace(found, **changes))


async def test_a_paper_run_that_is_asked_for_again_is_followed_and_not_repeated(control):
    strategy_id = await version(control)
    ask = lambda key: control.executions.start_validation(  # noqa: E731  one call, many times
        strategy_id, CONFIG, actor="tester", key=key
    )
    first = await ask("pipe_1/paper_trading")
    assert await ask("pipe_1/paper_trading") == first
    await end(control, first, status=ExecutionStatus.STOPPED, end_reason=COMPLETED)
    assert await ask("pipe_1/paper_trading") == first
    assert await ask("pipe_2/paper_trading") != first


async def test_a_paper_run_that_came_to_nothing_is_run_again_once(control):
    strategy_id = await version(control)
    first = await control.executions.start_validation(
        strategy_id, CONFIG, actor="tester", key="pipe_1/paper_trading"
    )
    await end(control, first, status=ExecutionStatus.ERROR, end_reason=LOST)
    again = {
        await control.executions.start_validation(
            strategy_id, CONFIG, actor="tester", key="pipe_1/paper_trading"
        )
        for _ in range(3)
    }
    assert len(again) == 1
    assert again != {first}


async def test_what_a_rollout_started_is_not_started_again_after_it_has_ended(control):
    strategy_id = await version(control, Trigger.VALIDATE, Trigger.APPROVE, Trigger.DEPLOY)
    config = ExecutionConfig()
    started = await control.executions.start(
        strategy_id, config, actor="tester", key="pipe_1/start"
    )
    await end(control, started.execution_id, status=ExecutionStatus.STOPPED, end_reason=COMPLETED)
    await control.registry.move(strategy_id, Trigger.STOP, actor="tester")
    again = await control.executions.start(strategy_id, config, actor="tester", key="pipe_1/start")
    assert (again.execution_id, again.end_reason) == (started.execution_id, COMPLETED)
    assert len(await control.executions.list(frozenset(ExecutionStatus))) == 1


def test_an_identifier_of_a_key_is_always_the_same_and_of_another_key_another():
    one, same, other = (ids.derived(ids.EXECUTION, key) for key in ("a/1", "a/1", "a/2"))
    assert one == same != other
    assert len(one) == len(ids.new_id(ids.EXECUTION))
