"""Native strategies on a node: their orders pass its gate, their fills come from its ledger."""

import importlib.util
import sys
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio

from strategy_engine.core import clock, money
from strategy_engine.execution.model import Desired, Execution, ExecutionConfig, ExecutionStatus
from strategy_engine.execution.native_desk import ENDED, HELD_BACK, LEAVING
from strategy_engine.market.service import Catalogue

PROGRAM = Path(__file__).parent / "runners" / "native_world.py"
_spec = importlib.util.spec_from_file_location("native_world", PROGRAM)
native = importlib.util.module_from_spec(_spec)
sys.modules["native_world"] = native
_spec.loader.exec_module(native)

# One node for all: its zygote takes seconds to warm.
pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(400)]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def control(data_dir: Path) -> AsyncIterator[Any]:
    async with native.world.control(data_dir, confirm_s=60.0) as found:
        yield found


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def node(data_dir: Path) -> AsyncIterator[Any]:
    async with native.world.node(data_dir) as running:
        yield running


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made: Path = tmp_path_factory.mktemp("native")
    native.world.create_tables(made)
    return made


async def test_shipped_strategies_trade_live_what_the_engine_replays_of_their_backtests(
    control: Any, node: Any
) -> None:
    config = native.until_bar(300)
    started: dict[str, Execution] = {}
    for name, parameters in native.SHIPPED.items():
        code = (native.FOLDER / f"{name}.py").read_text()
        strategy_id = await native.deployed(control, name, code, parameters=parameters)
        started[name] = await control.executions.start(strategy_id, config, actor="tester")
    for name, execution in started.items():
        ended = await control.executions.wait_ended(execution.execution_id, 60)
        content = (await control.registry.get(ended.strategy_id)).content
        expected = await native.replayed(node, content, config)
        trades = await control.records.trades(ended.execution_id, limit=100_000)
        assert (ended.status, ended.end_reason, ended.error) == (
            ExecutionStatus.STOPPED,
            "completed",
            None,
        )
        assert expected
        assert [(each.order_id, each.side, each.quantity, each.price) for each in trades] == [
            (
                f"{ended.execution_id}-{each.order_id}",
                each.side,
                Decimal(each.lots),
                Decimal(each.price_ticks) / 100_000,
            )
            for each in expected
        ], name
        assert ended.fill_count == len(trades)
        assert ended.performance_metrics["bar_count"] == 300
        assert ended.performance_metrics["denial_count"] == 0
        assert any("it wants" in each for each in ended.notices)
        assert await native.adds_up(control, ended.execution_id)
    bracket = started["ema_cross_bracket"].execution_id
    kinds = {(each[1], each[2]) for each in await native.orders_of(control, bracket)}
    assert {("LIMIT_IF_TOUCHED", "filled"), ("LIMIT", "filled"), ("STOP_MARKET", "filled")} <= kinds


async def holding(control: Any, name: str, speed: float = 200.0) -> Execution:
    """Return an execution that holds something, with an entry and an exit working."""
    strategy_id = await native.deployed(control, name, native.HOLDING)
    config = ExecutionConfig(speed=speed, warm_up=native.WARM_UP)
    started = await control.executions.start(strategy_id, config, actor="tester")
    await native.until(native.in_the_middle(control, started.execution_id, 5))
    found: Execution = await control.executions.get(started.execution_id)
    return found


async def bars_more(control: Any, execution_id: str, count: int) -> None:
    before = (await control.records.checkpoint(execution_id)).bar_no

    async def is_so() -> bool:
        return bool((await control.records.checkpoint(execution_id)).bar_no >= before + count)

    await native.until(is_so)


async def statuses(control: Any, execution_id: str) -> set[tuple[str, str, str]]:
    found = await control.records.orders(execution_id)
    return {(each.side, each.status, each.reason) for each in found}


async def test_a_pause_takes_entries_back_and_leaves_exits_and_a_resume_asks_again(
    control: Any, node: Any
) -> None:
    going = await holding(control, "Pausing")
    await control.executions.pause(going.strategy_id, actor="tester")
    await bars_more(control, going.execution_id, 3)
    quiet = await control.records.orders(going.execution_id)
    await bars_more(control, going.execution_id, 20)
    still = await control.records.orders(going.execution_id)
    resumed = await control.executions.resume(going.strategy_id, actor="tester")

    async def asks_again() -> bool:
        return len(await control.records.orders(going.execution_id)) > len(still)

    await native.until(asks_again)
    assert [(each.side, each.status, each.reason) for each in quiet if each.type == "LIMIT"] == [
        ("BUY", "cancelled", HELD_BACK),
        ("SELL", "accepted", ""),
    ]
    assert still == quiet
    assert resumed.executions[0].status is ExecutionStatus.RUNNING
    again = (await control.records.orders(going.execution_id))[len(still)]
    assert (again.side, again.type) == ("BUY", "LIMIT")
    await control.executions.stop(going.strategy_id, actor="tester")


async def test_a_stop_cancels_what_works_and_says_that_new_orders_are_refused(
    control: Any, node: Any
) -> None:
    going = await holding(control, "Stopping")
    answered = await control.executions.stop(going.strategy_id, actor="tester")
    (stopped,) = answered.executions
    assert (stopped.status, stopped.end_reason, stopped.error) == (
        ExecutionStatus.STOPPED,
        "stopped",
        None,
    )
    assert ("SELL", "cancelled", ENDED) in await statuses(control, going.execution_id)
    orders = await control.records.orders(going.execution_id)
    assert {each.status for each in orders} == {"filled", "cancelled"}
    assert any("takes none, and its positions stay" in each for each in stopped.notices)
    assert stopped.performance_metrics["denial_count"] == 0
    assert await native.adds_up(control, going.execution_id)


async def test_a_flatten_closes_the_position_at_the_next_open_and_ends(
    control: Any, node: Any
) -> None:
    going = await holding(control, "Flattening")
    await control.executions.hand_over(
        [going.execution_id], Desired.FLATTEN, actor="tester", why="replaced"
    )
    ended = await control.executions.wait_ended(going.execution_id, 60)
    trades = await control.records.trades(going.execution_id)
    assert (ended.status, ended.end_reason) == (ExecutionStatus.STOPPED, "replaced")
    assert [(each.side, each.cause) for each in trades] == [("BUY", "signal"), ("SELL", "handover")]
    assert ("BUY", "cancelled", LEAVING) in await statuses(control, going.execution_id)
    assert await native.adds_up(control, going.execution_id)


async def test_a_drain_lets_it_exit_but_not_enter_and_ends_when_it_is_flat(
    control: Any, node: Any
) -> None:
    code = native.REMEMBERING.replace("self.fills % 4 < 2", "True")  # brackets: exits by themselves
    strategy_id = await native.deployed(control, "Draining", code)
    config = ExecutionConfig(speed=200.0, warm_up=native.WARM_UP)
    going = await control.executions.start(strategy_id, config, actor="tester")
    await native.until(native.in_the_middle(control, going.execution_id, 5))
    before = len(await control.records.trades(going.execution_id, limit=100_000))
    await control.executions.hand_over(
        [going.execution_id], Desired.DRAIN, actor="tester", why="replaced"
    )
    ended = await control.executions.wait_ended(going.execution_id, 60)
    trades = await control.records.trades(going.execution_id, limit=100_000)
    assert (ended.status, ended.end_reason) == (ExecutionStatus.STOPPED, "replaced")
    assert [each.quantity for each in await control.records.positions(going.execution_id)] == [0]
    assert {each.cause for each in trades} == {"signal"}
    assert len(trades) - before < 10
    assert await native.adds_up(control, going.execution_id)


async def test_a_strategy_that_raises_ends_in_error_and_its_orders_with_it(
    control: Any, node: Any
) -> None:
    code = native.HOLDING.replace(
        "def on_bar(self, bar):",
        "def on_bar(self, bar):\n        1 / (self.cache.bar_count(bar.bar_type) - 9)",
    )
    strategy_id = await native.deployed(control, "Raising", code)
    started = await control.executions.start(strategy_id, native.until_bar(50), actor="tester")
    ended = await control.executions.wait_ended(started.execution_id, 60)
    assert (ended.status, ended.end_reason) == (ExecutionStatus.ERROR, "error")
    assert "ZeroDivisionError" in ended.error
    orders = await control.records.orders(started.execution_id)
    assert {each.status for each in orders} == {"filled", "cancelled"}
    assert await native.adds_up(control, started.execution_id)


async def test_an_order_beyond_a_limit_is_denied_and_the_strategy_goes_on(
    control: Any, node: Any
) -> None:
    strategy_id = await native.deployed(
        control, "Denied", native.HOLDING, risk_limits={"max_position_size": 5}
    )
    started = await control.executions.start(strategy_id, native.until_bar(20), actor="tester")
    ended = await control.executions.wait_ended(started.execution_id, 60)
    orders = await control.records.orders(started.execution_id)
    denied = [each for each in orders if each.status == "denied"]
    assert ended.end_reason == "completed"
    assert {each.denial_code for each in denied} == {"max_position_size"}
    assert ended.performance_metrics["denial_count"] == len(denied) == 20
    assert ended.fill_count == 0


FRAMES = """
import pandas as pd
from scipy import stats


class Trend:
    lookback = 20

    def generate_signal(self, market_data):
        closes = pd.Series(market_data["prices"])
        if len(closes) < 20:
            return "HOLD"
        return "BUY" if stats.linregress(range(10), closes.tail(10)).slope > 0 else "SELL"
"""


async def test_a_signal_strategy_with_data_frames_trades_from_the_zygote_that_has_them(
    control: Any, node: Any
) -> None:
    strategy_id = await native.deployed(control, "Frames", FRAMES)
    started = await control.executions.start(strategy_id, native.until_bar(80), actor="tester")
    ended = await control.executions.wait_ended(started.execution_id, 90)
    assert (ended.end_reason, ended.error) == ("completed", None)
    assert ended.fill_count > 3
    assert node.zygotes._by_kind["scientific"].pid is not None
    assert (await control.records.reconcile(ended.execution_id)).findings == ()


GOOGL = "GOOGL.SIM"


def ticks_of_googl(data_dir: Path) -> None:
    """Give an instrument quotes and trades: some in every bar, and some at its very close."""
    bars = Catalogue(data_dir).bars(GOOGL)
    quotes = ["ts_utc,bid,ask,bid_size,ask_size"]
    trades = ["ts_utc,price,size"]
    for index in range(native.WARM_UP, native.WARM_UP + 100):
        prices = (bars.open[index], bars.low[index], bars.high[index], bars.close[index])
        for number, price in enumerate(prices):
            at_ns = int(bars.ts_ns[index]) + bars.timeframe_ns * (number + 1) // 4
            at = np.datetime64(at_ns, "ns")
            quotes.append(f"{at}Z,{price:.2f},{price + 0.02:.2f},100,100")
            trades.append(f"{at}Z,{price + 0.01:.2f},50")
    for what, rows in (("quotes", quotes), ("trades", trades)):
        path = data_dir / f"{what}.csv"
        path.write_text("\n".join(rows))
        report = Catalogue(data_dir).import_ticks(path, GOOGL, what)
        assert report.accepted, report


async def test_quotes_and_trades_are_the_market_where_there_are_any(
    control: Any, node: Any, data_dir: Path
) -> None:
    ticks_of_googl(data_dir)
    catalogue = Catalogue(data_dir)
    end_ns = int(catalogue.bars(GOOGL).close_ns[native.WARM_UP + 110])
    config = ExecutionConfig(speed=0.0, warm_up=native.WARM_UP, end_ns=end_ns, symbols=(GOOGL,))
    code = (native.FOLDER / "ema_cross_trailing_stop.py").read_text()
    parameters = native.SHIPPED["ema_cross_trailing_stop"] | {"trade_size": 10}
    strategy_id = await native.deployed(control, "Ticks", code, parameters=parameters)
    started = await control.executions.start(strategy_id, config, actor="tester")
    ended = await control.executions.wait_ended(started.execution_id, 60)
    content = (await control.registry.get(strategy_id)).content
    expected = await native.replayed(node, content, config, catalogue)
    trades = await control.records.trades(ended.execution_id, limit=100_000)
    orders = await native.orders_of(control, ended.execution_id)
    assert (ended.end_reason, ended.error) == ("completed", None)
    assert not [each for each in ended.notices if "it wants" in each]
    assert ("TRAILING_STOP_MARKET", "filled") in {(each[1], each[2]) for each in orders}
    assert [(each.order_id, each.side, each.timestamp, each.pnl) for each in trades] == [
        (
            f"{ended.execution_id}-{each.order_id}",
            each.side,
            clock.from_nanos(each.ts_ns),
            money.to_decimal(each.pnl_nanos),
        )
        for each in expected
    ]
    assert await native.adds_up(control, ended.execution_id)
