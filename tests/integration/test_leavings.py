"""What an execution held when it ended is closed by a node, without a process, when asked."""

import asyncio
import importlib.util
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from strategy_engine.core.errors import ConflictError
from strategy_engine.execution.model import (
    Closing,
    Execution,
    ExecutionConfig,
    ExecutionStatus,
)
from strategy_engine.execution.runner import NodeSettings
from strategy_engine.infra import audit
from strategy_engine.market.service import Catalogue
from strategy_engine.registry.model import Content, Status, Trigger

PROGRAM = Path(__file__).parent / "runners" / "execution_node.py"
_spec = importlib.util.spec_from_file_location("leavings_node", PROGRAM)
world = importlib.util.module_from_spec(_spec)
sys.modules["leavings_node"] = world
_spec.loader.exec_module(world)

EURUSD = "EUR/USD.SIM"
WARM_UP, BARS = 10, 900
CLOSES = Catalogue(Path("/nonexistent")).bars(EURUSD).close_ns[WARM_UP : WARM_UP + BARS].tolist()
PACED = ExecutionConfig(speed=300, end_ns=CLOSES[-1])
FAILING = """
class Failing:
    lookback = 10

    def __init__(self):
        self.bars = 0

    def generate_signal(self, market_data):
        self.bars += 1
        if self.bars > 20:
            raise ValueError("the twenty-first bar")
        return "BUY"
"""
HOLDING = """
class Holding:
    lookback = 10

    def generate_signal(self, market_data):
        return "BUY"
"""
_CLOSED = ("flatten", "take_over", "close_leavings")


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    world.create_tables(tmp_path)
    return tmp_path


@pytest.fixture
async def control(data_dir: Path) -> AsyncIterator[Any]:
    async with world.control(data_dir) as found:
        yield found


async def until(is_so: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(60):
        while not await is_so():  # noqa: ASYNC110 - what is waited for happens in another task
            await asyncio.sleep(0.002)


async def holding(
    control: Any, config: ExecutionConfig, *, line: str = "Line", code: str = HOLDING
) -> Execution:
    """Start a version that buys and keeps, and wait until it holds."""
    content = Content(strategy_name=line, version="1.0.0", code=code)
    strategy, _ = await control.registry.create(content, actor="tester")
    for trigger in (Trigger.VALIDATE, Trigger.APPROVE, Trigger.DEPLOY):
        await control.registry.move(strategy.strategy_id, trigger, actor="tester")
    found = await control.executions.start(strategy.strategy_id, config, actor="tester")

    async def holds() -> bool:
        return bool(await position(control, found.execution_id))

    await until(holds)
    return found


async def position(control: Any, execution_id: str) -> Decimal:
    found = await control.records.positions(execution_id)
    return sum((each.quantity for each in found), Decimal(0))


async def closed(control: Any, execution_id: str) -> Execution:
    async def is_closed() -> bool:
        return (await control.executions.get(execution_id)).closing not in {
            Closing.ASKED,
            Closing.CALLED_IN,
        }

    await until(is_closed)
    return await control.executions.get(execution_id)


async def test_what_a_stopped_execution_holds_is_closed_once_and_it_stays_stopped(
    control, data_dir
):
    node = world.node(data_dir, NodeSettings(decision_timeout_s=2))
    async with node:
        begun = await holding(control, PACED)
        name = begun.execution_id
        (stopped,) = (await control.executions.stop(begun.strategy_id, actor="tester")).executions
        kept = (await control.records.accounts([name]))[name]
        again = await control.executions.start(begun.strategy_id, PACED, actor="tester")
    for _ in range(2):
        await control.executions.flatten(name, actor="a trader")
    assert await position(control, name) > 0

    async with world.node(data_dir, NodeSettings(decision_timeout_s=2)):  # it asks nobody else
        flat = await closed(control, name)
        await control.executions.flatten(name, actor="a trader")
        flat_again = await closed(control, name)
        await control.executions.settle(name, actor="engine")
        settled = await control.executions.get(name)

        async def has_it() -> bool:
            has = (await control.executions.get(again.execution_id)).capital
            return has == again.capital + flat.tied

        await until(has_it)

    assert stopped.tied == stopped.capital_left == kept.equity - kept.free > 0
    assert 100_000 - again.capital - stopped.tied < Decimal("0.01")
    assert name in again.notices[0]
    assert (flat.status, flat.end_reason) == (stopped.status, stopped.end_reason)
    assert flat.closing is Closing.CLOSED
    assert flat.tied == stopped.tied + flat.pnl - stopped.pnl > 0
    assert (settled.closing, settled.tied, settled.capital_left) == (Closing.SETTLED, 0, 0)
    assert await position(control, name) == 0
    trades = await control.records.trades(name)
    assert [(each.side, each.cause) for each in trades] == [("BUY", "signal"), ("SELL", "handover")]
    assert flat.final_pnl == flat.pnl == (await control.records.accounts([name]))[name].pnl
    assert (flat_again.fill_count, flat_again.pnl) == (2, flat.pnl)
    assert (await control.records.reconcile(name)).findings == ()
    async with control.database.read() as connection:
        rows = await audit.history(connection, "execution", name)
    told = [each.action for each in rows if each.action != "desire_stop"]
    assert told == ["start", "take_over", "ready", "stop", *_CLOSED, "settle"]


async def test_what_failed_came_to_its_end_or_runs_is_flattened_as_far_as_there_is_a_price(
    control, data_dir
):
    async with world.node(data_dir, NodeSettings(decision_timeout_s=2)):
        failing = await holding(control, PACED, line="Fails", code=FAILING)
        short = replace(PACED, speed=0, end_ns=CLOSES[40])
        over = await holding(control, short, line="Over")
        running = await holding(control, replace(PACED, speed=50), line="Runs")
        await control.executions.wait_ended(failing.execution_id, 30)
        await control.executions.wait_ended(over.execution_id, 30)
        names = [each.execution_id for each in (failing, over, running)]
        for each in names:
            await control.executions.flatten(each, actor="a trader")
        failed, ended = [await closed(control, each) for each in names[:2]]
        stopped = await control.executions.wait_ended(running.execution_id, 30)

    assert (failed.status, failed.closing) == (ExecutionStatus.ERROR, Closing.CLOSED)
    assert "the twenty-first bar" in failed.error
    assert (ended.status, ended.closing) == (ExecutionStatus.STOPPED, Closing.STUCK)
    assert ended.notices[-1] == "not closed: its feed gave no next price"
    assert (stopped.status, stopped.closing, stopped.tied) == (ExecutionStatus.STOPPED, None, 0)
    held = [bool(await position(control, each)) for each in names]
    assert held == [False, True, False]
    versions = [await control.registry.get(each.strategy_id) for each in (failed, ended, stopped)]
    assert [each.status for each in versions] == [Status.ERROR, Status.STOPPED, Status.STOPPED]


async def test_a_line_whose_capital_is_all_tied_starts_nothing(control, data_dir):
    async with world.node(data_dir, NodeSettings(decision_timeout_s=2)):
        begun = await holding(control, PACED)
        await control.executions.stop(begun.strategy_id, actor="tester")
    small = replace(PACED, capital=5_000)
    with pytest.raises(ConflictError, match=rf"{begun.execution_id}/flatten closes them: nothing"):
        await control.executions.start(begun.strategy_id, small, actor="tester")
    assert (await control.registry.get(begun.strategy_id)).status is Status.STOPPED
