"""A process that crashes is started again with back-off, a few times; then its execution ends."""

import asyncio
import contextlib
import importlib.util
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from strategy_engine.execution import restarts
from strategy_engine.execution.interruptions import CRASH
from strategy_engine.execution.model import ExecutionConfig, ExecutionStatus
from strategy_engine.execution.runner import NodeSettings
from strategy_engine.market.service import Catalogue
from strategy_engine.registry.model import Content, Status, Trigger

PROGRAM = Path(__file__).parent / "runners" / "execution_node.py"
_spec = importlib.util.spec_from_file_location("crashes_node", PROGRAM)
world = importlib.util.module_from_spec(_spec)
sys.modules["crashes_node"] = world
_spec.loader.exec_module(world)

END_NS = int(Catalogue(Path("/nonexistent")).bars("EUR/USD.SIM").close_ns[400])
FAST = ExecutionConfig(speed=0, end_ns=END_NS)

COUNTING = """
class Counting:
    lookback = 40

    def __init__(self):
        self.bars = 0

    def generate_signal(self, market_data):
        self.bars += 1
        return "BUY" if self.bars % 7 < 3 else "SELL"

    def save_state(self):
        return {"bars": self.bars}

    def load_state(self, state):
        self.bars = state["bars"]
"""

CRASHING = """
import os

class Crashing:
    lookback = 40

    def generate_signal(self, market_data):
        if len(market_data["prices"]) and market_data["time"].hour == 13:
            print("the last words", flush=True)
            os._exit(3)
        return "BUY"
"""


@pytest.fixture
async def control(tmp_path):
    world.create_tables(tmp_path)
    async with world.control(tmp_path) as found:
        yield found


@pytest.fixture
async def node(tmp_path, control):
    async with world.node(tmp_path, NodeSettings()) as running:
        yield running


async def started(control, name, code, config=FAST):
    content = Content(strategy_name=name, version="1.0.0", code=code)
    strategy, _ = await control.registry.create(content, actor="tester")
    for trigger in (Trigger.VALIDATE, Trigger.APPROVE, Trigger.DEPLOY):
        await control.registry.move(strategy.strategy_id, trigger, actor="tester")
    found = await control.executions.start(strategy.strategy_id, config, actor="tester")
    return found.execution_id


async def trades_of(control, execution_id):
    found = await control.records.trades(execution_id, limit=10_000)
    return [(each.seq, each.side, each.quantity, each.price, each.timestamp) for each in found]


async def bars_of(control, execution_id):
    kept = await control.records.checkpoint(execution_id)
    return 0 if kept is None else kept.bar_no


def process_of(execution_id):
    for path in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if path.name.isdigit() and (path / "comm").read_text().strip() == execution_id[:15]:
                return int(path.name)
    return None


async def test_a_crash_rests_and_costs_no_trade(control, node):
    whole = await started(control, "Whole", COUNTING)
    crashed = await started(control, "Crashed", COUNTING, replace(FAST, speed=200))
    for bars in (30, 60):
        async with asyncio.timeout(60):
            while await bars_of(control, crashed) < bars:  # noqa: ASYNC110  another process does them
                await asyncio.sleep(0.01)
        os.kill(process_of(crashed), signal.SIGSEGV)
    ended = await control.executions.wait_ended(crashed, 90)
    await control.executions.wait_ended(whole, 90)

    gaps = await control.executions.interruptions(crashed)
    assert ended.end_reason == "completed"
    assert [each.kind for each in gaps] == [CRASH, CRASH]
    assert all(each.to_at is not None and each.bars_missed == 0 for each in gaps)
    rests = [(each.to_at - each.from_at).total_seconds() for each in gaps]
    assert [rests[0] >= restarts.FIRST_BACK_OFF_S, rests[1] >= 2 * restarts.FIRST_BACK_OFF_S] == [
        True,
        True,
    ], rests
    assert await trades_of(control, crashed) == await trades_of(control, whole)
    assert (await control.records.reconcile(crashed)).findings == ()


async def test_a_process_that_crashes_on_its_bar_every_time_ends_in_error_with_its_last_words(
    control, node
):
    execution_id = await started(control, "Hopeless", CRASHING)
    ended = await control.executions.wait_ended(execution_id, 90)

    gaps = await control.executions.interruptions(execution_id)
    assert ended.status is ExecutionStatus.ERROR
    assert len(gaps) == restarts.MOST_CRASHES
    assert {each.kind for each in gaps} == {CRASH}
    assert [each.to_at is None for each in gaps] == [False, False, False, True]
    assert f"started again {restarts.MOST_CRASHES - 1} times" in ended.error
    assert ended.error.splitlines()[-1] == "the last words"
    version = await control.registry.get(ended.strategy_id)
    assert version.status is Status.ERROR
