"""A native execution outlives its node, its zygote and its child: nothing lost, nothing doubled."""

import asyncio
import importlib.util
import sys
from collections import Counter
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from strategy_engine.execution.model import UNENDED, Execution

PROGRAM = Path(__file__).parent / "runners" / "native_world.py"
_spec = importlib.util.spec_from_file_location("native_world", PROGRAM)
native = importlib.util.module_from_spec(_spec)
sys.modules["native_world"] = native
_spec.loader.exec_module(native)

BARS = 400
pytestmark = pytest.mark.timeout(400)  # a zygote takes seconds to warm, and many are


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    native.world.create_tables(tmp_path)
    return tmp_path


@pytest.fixture
async def control(data_dir: Path) -> AsyncIterator[Any]:
    async with native.world.control(data_dir, confirm_s=60.0) as found:
        yield found


async def ran_whole(control: Any) -> Execution:
    strategy_id = await native.deployed(control, "Whole", native.REMEMBERING)
    started = await control.executions.start(strategy_id, native.until_bar(BARS), actor="tester")
    ended: Execution = await control.executions.wait_ended(started.execution_id, 90)
    assert (ended.end_reason, ended.error) == ("completed", None)
    return ended


async def is_as_whole(control: Any, ended: Execution, whole: Execution) -> None:
    one, other = ended.execution_id, whole.execution_id
    assert (ended.end_reason, ended.final_pnl) == ("completed", whole.final_pnl)
    assert await native.trades_of(control, one) == await native.trades_of(control, other)
    assert await native.orders_of(control, one) == await native.orders_of(control, other)
    assert await native.adds_up(control, one)
    assert await equity_of(control, one) == await equity_of(control, other)


async def equity_of(control: Any, execution_id: str) -> list[tuple[int, Decimal]]:
    return [(each.close_ns, each.equity) for each in await control.records.equity(execution_id)]


async def started_node(data_dir: Path) -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(
        sys.executable, native.PROGRAM, data_dir, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"ready\n"
    return process


@pytest.mark.soak
async def test_a_node_that_dies_with_orders_working_loses_nothing_and_doubles_nothing(
    control: Any, data_dir: Path
) -> None:
    async with native.world.node(data_dir):
        whole = await ran_whole(control)
        kinds = Counter(each[1:3] for each in await native.orders_of(control, whole.execution_id))
        assert kinds["TRAILING_STOP_MARKET", "filled"] > 5
        assert kinds["LIMIT", "filled"] + kinds["STOP_MARKET", "filled"] > 5
        strategy_id = await native.deployed(control, "Interrupted", native.REMEMBERING)
    config = native.until_bar(BARS, speed=400.0)
    starting = asyncio.create_task(control.executions.start(strategy_id, config, actor="tester"))
    execution_id = ""
    for after in (40, 200):
        process = await started_node(data_dir)
        execution_id = execution_id or (await starting).execution_id
        await native.until(native.in_the_middle(control, execution_id, after))
        process.kill()
        await process.wait()
    assert (await control.executions.get(execution_id)).status in UNENDED
    async with native.world.node(data_dir):
        ended = await control.executions.wait_ended(execution_id, 90)
    assert ended.epoch >= 3
    await is_as_whole(control, ended, whole)


@pytest.mark.soak
async def test_a_child_or_a_zygote_that_dies_loses_nothing_and_doubles_nothing(
    control: Any, data_dir: Path
) -> None:
    async with native.world.node(data_dir) as node:
        whole = await ran_whole(control)
        strategy_id = await native.deployed(control, "Orphan", native.REMEMBERING)
        config = native.until_bar(BARS, speed=400.0)
        started = await control.executions.start(strategy_id, config, actor="tester")
        await native.until(native.in_the_middle(control, started.execution_id, 40))
        for life in list(node.zygotes._by_kind["nautilus"]._life._children.values()):
            life.kill("a test ends it")
        await native.until(native.epoch_of(control, started.execution_id, 2))
        await native.until(native.in_the_middle(control, started.execution_id, 200))
        await node.zygotes._by_kind["nautilus"]._life.stop()
        ended = await control.executions.wait_ended(started.execution_id, 90)
    assert ended.epoch == 3
    await is_as_whole(control, ended, whole)
