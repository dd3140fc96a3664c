"""Limits of a line reach an execution that runs, and a node that starts counts what was held."""

import asyncio
import importlib.util
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from strategy_engine.core import money
from strategy_engine.core.clock import SystemClock
from strategy_engine.execution.model import ExecutionConfig
from strategy_engine.infra.wakeup import poke
from strategy_engine.registry.model import Content, Trigger
from strategy_engine.venue.aggregates import Standing
from strategy_engine.venue.limit_book import LimitBook
from strategy_engine.venue.limits import Scope
from strategy_engine.venue.oversight import Seat

PROGRAM = Path(__file__).parent / "runners" / "execution_node.py"
_spec = importlib.util.spec_from_file_location("execution_node", PROGRAM)
world: Any = importlib.util.module_from_spec(_spec)  # type: ignore[arg-type]  # it is there
sys.modules["execution_node"] = world
_spec.loader.exec_module(world)  # type: ignore[union-attr]  # it is there

LINE = "Turning"
TURNING = """
class Turning:
    lookback = 10

    def __init__(self):
        self.bars = 0

    def generate_signal(self, market_data):
        self.bars += 1
        return "SELL" if market_data["position"] else "BUY"
"""


async def until(is_so: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(60):
        while not await is_so():  # noqa: ASYNC110 - what is waited for happens in another process
            await asyncio.sleep(0.002)


async def started(control: Any) -> str:
    content = Content(strategy_name=LINE, version="1.0.0", code=TURNING)
    strategy, _ = await control.registry.create(content, actor="tester")
    for trigger in (Trigger.VALIDATE, Trigger.APPROVE, Trigger.DEPLOY):
        await control.registry.move(strategy.strategy_id, trigger, actor="tester")
    config = ExecutionConfig(speed=300)
    found = await control.executions.start(strategy.strategy_id, config, actor="tester")
    return str(found.execution_id)


async def test_a_limit_of_the_line_holds_from_the_next_order_on_and_no_longer_than_it_is_set(
    tmp_path: Path,
) -> None:
    world.create_tables(tmp_path)
    async with world.control(tmp_path) as control, world.node(tmp_path):
        book = LimitBook(control.database, SystemClock(), lambda: poke(tmp_path / "node.sock"))
        name = await started(control)

        async def denied() -> int:
            counts = await control.records.denial_counts(name)
            return int(counts.get("max_order_quantity", 0))

        async def fills() -> int:
            return len(await control.records.trades(name, limit=5_000))

        async def has_traded() -> bool:
            return await fills() > 2

        async def is_denied() -> bool:
            return await denied() > 2

        await until(has_traded)
        before = await denied()
        await book.put(Scope.LINE, LINE, {"max_order_quantity": 0}, actor="risk", why="a test")
        await until(is_denied)
        orders, _ = await control.records.orders_page(name, limit=5_000, offset=0)
        await book.delete(Scope.LINE, LINE, actor="risk", why="over")
        held_back = await fills()

        async def trades_again() -> bool:
            return await fills() > held_back + 2

        await until(trades_again)

    assert before == 0
    reasons = {each.reason for each in orders if each.denial_code == "max_order_quantity"}
    assert all(each.endswith("max_order_quantity of line Turning is 0") for each in reasons)


async def test_a_node_that_starts_counts_what_its_executions_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.create_tables(tmp_path)
    async with world.control(tmp_path) as control:
        async with world.node(tmp_path) as first:
            name = await started(control)

            async def holds() -> bool:
                return bool((await control.records.holdings([name]))[name])

            await until(holds)
            assert first.oversight.has(name)
        (kept,) = (await control.records.accounts([name])).values()
        today = (await control.records.days([name]))[name]
        counted: list[Standing] = []
        put = Seat.put

        def noted(seat: Seat, standing: Standing, *waiting: Any) -> None:
            counted.append(standing)
            put(seat, standing, *waiting)

        monkeypatch.setattr(Seat, "put", noted)
        async with world.node(tmp_path) as second:

            async def is_counted() -> bool:
                return bool(second.oversight.has(name) and counted)

            await until(is_counted)

    assert counted[0].equity_nanos == money.to_nanos(kept.equity)
    assert (counted[0].day, counted[0].pnl_nanos) == today
