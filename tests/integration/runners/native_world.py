"""What the tests of live native strategies share: strategies, and how to read what they did."""

import asyncio
import dataclasses
import importlib.util
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import nautilus_trader.examples.strategies as shipped

from strategy_engine.execution import history as histories
from strategy_engine.execution import rules
from strategy_engine.execution import ticks as market_ticks
from strategy_engine.execution.conversation import Conversation
from strategy_engine.execution.model import (
    ExecutionConfig,
)
from strategy_engine.market.service import Catalogue
from strategy_engine.matching.model import Fill
from strategy_engine.pipeline import history as pipeline
from strategy_engine.pipeline.native import answers, replay
from strategy_engine.pipeline.native.speech import NativeSpeech
from strategy_engine.registry.model import Content, Trigger
from strategy_engine.sandbox.launcher import ChildLimits
from strategy_engine.sandbox.protocol import messages

PROGRAM = Path(__file__).parent / "execution_node.py"
_spec = importlib.util.spec_from_file_location("execution_node", PROGRAM)
world = importlib.util.module_from_spec(_spec)
sys.modules["execution_node"] = world
_spec.loader.exec_module(world)

EURUSD = "EUR/USD.SIM"
CATALOGUE = Catalogue(Path("/nonexistent"))
HISTORY = CATALOGUE.bars(EURUSD)
WARM_UP = 30
FOLDER = Path(shipped.__file__).parent
EMA = {"trade_size": 1000}
SHIPPED: dict[str, dict[str, Any]] = {
    "ema_cross": EMA,
    "ema_cross_bracket": EMA,
    "ema_cross_trailing_stop": EMA
    | {
        "atr_period": 14,
        "trailing_atr_multiple": 3.0,
        "trailing_offset_type": "PRICE",
        "trigger_type": "LAST_PRICE",
    },
}

# What it does next depends on every bar and on every fill it has heard of, each exactly once. By
# turns it enters by a bracket, and by a market order that it protects itself when it hears of it.
REMEMBERING = """
from nautilus_trader.config import StrategyConfig
from nautilus_trader.model.data import BarType
from nautilus_trader.model.enums import OrderSide, TrailingOffsetType, TriggerType
from nautilus_trader.model.identifiers import InstrumentId
from nautilus_trader.trading.strategy import Strategy
from decimal import Decimal


class RememberingConfig(StrategyConfig, frozen=True):
    instrument_id: InstrumentId
    bar_type: BarType


class Remembering(Strategy):
    def __init__(self, config):
        super().__init__(config)
        self.bars = self.fills = 0

    def on_start(self):
        self.subscribe_bars(self.config.bar_type)

    def on_bar(self, bar):
        self.bars += 1
        pair = self.cache.instrument(self.config.instrument_id)
        if not self.portfolio.is_flat(pair.id) or (self.bars + self.fills) % 5:
            return
        side = OrderSide.BUY if self.bars % 2 else OrderSide.SELL
        sign = 1 if side == OrderSide.BUY else -1
        close = float(bar.close)
        size = pair.make_qty(1000)
        if self.fills % 4 < 2:
            self.submit_order_list(self.order_factory.bracket(
                instrument_id=pair.id, order_side=side, quantity=size,
                sl_trigger_price=pair.make_price(close - sign * 0.002),
                tp_price=pair.make_price(close + sign * 0.002),
            ))
        else:
            self.submit_order(self.order_factory.market(pair.id, side, size, tags=["ROLL"]))

    def on_order_filled(self, event):
        self.fills += 1
        order = self.cache.order(event.client_order_id)
        if order.tags and "ROLL" in order.tags:
            side = OrderSide.SELL if order.side == OrderSide.BUY else OrderSide.BUY
            self.submit_order(self.order_factory.trailing_stop_market(
                event.instrument_id, side, event.last_qty, trailing_offset=Decimal("0.00150"),
                trailing_offset_type=TrailingOffsetType.PRICE,
                trigger_type=TriggerType.LAST_PRICE, reduce_only=True,
            ))

    def on_save(self):
        return {"counts": f"{self.bars} {self.fills}".encode()}

    def on_load(self, state):
        self.bars, self.fills = map(int, state["counts"].split())
"""

# It always holds something, and has an entry and an exit working that no price reaches.
HOLDING = """
from nautilus_trader.config import StrategyConfig
from nautilus_trader.model.data import BarType
from nautilus_trader.model.enums import OrderSide
from nautilus_trader.model.identifiers import InstrumentId
from nautilus_trader.trading.strategy import Strategy


class HoldingConfig(StrategyConfig, frozen=True):
    instrument_id: InstrumentId
    bar_type: BarType


class Holding(Strategy):
    def on_start(self):
        self.subscribe_bars(self.config.bar_type)

    def on_bar(self, bar):
        pair = self.cache.instrument(self.config.instrument_id)
        if self.portfolio.is_flat(pair.id) and not self.cache.orders_inflight():
            self.submit_order(self.order_factory.market(pair.id, OrderSide.BUY, pair.make_qty(9)))
        entries = self.cache.orders_open(side=OrderSide.BUY)
        if not entries and not self.cache.orders_inflight(side=OrderSide.BUY):
            self.submit_order(self.order_factory.limit(
                pair.id, OrderSide.BUY, pair.make_qty(7), pair.make_price(0.5)))
        if not self.portfolio.is_flat(pair.id) and not self.cache.orders_open(side=OrderSide.SELL):
            self.submit_order(self.order_factory.limit(
                pair.id, OrderSide.SELL, pair.make_qty(9), pair.make_price(2), reduce_only=True))

    def on_stop(self):
        self.cancel_all_orders(self.config.instrument_id)
        self.close_all_positions(self.config.instrument_id)
"""


def until_bar(count: int, **more: Any) -> ExecutionConfig:
    end_ns = int(HISTORY.close_ns[WARM_UP + count - 1])
    return ExecutionConfig(**{"speed": 0.0, "warm_up": WARM_UP, "end_ns": end_ns} | more)


async def deployed(control: Any, name: str, code: str, **content: Any) -> str:
    version = Content(strategy_name=name, version="1.0.0", code=code, **content)
    strategy, _ = await control.registry.create(version, actor="tester")
    for trigger in (Trigger.VALIDATE, Trigger.APPROVE, Trigger.DEPLOY):
        await control.registry.move(strategy.strategy_id, trigger, actor="tester")
    return strategy.strategy_id


async def until(is_so: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(90):
        while not await is_so():  # noqa: ASYNC110 - what is waited for happens in another process
            await asyncio.sleep(0.005)


async def trades_of(control: Any, execution_id: str) -> list[tuple[Any, ...]]:
    """Return an execution's trades without its name."""
    found = await control.records.trades(execution_id, limit=100_000)
    return [
        (
            each.order_id.removeprefix(execution_id),
            each.side,
            each.quantity,
            each.price,
            each.timestamp,
            each.pnl,
            each.cause,
        )
        for each in found
    ]


async def orders_of(control: Any, execution_id: str) -> list[tuple[Any, ...]]:
    """Return what became of an execution's orders, without its name."""
    return [
        (
            each.order_id.removeprefix(execution_id),
            each.type,
            each.status,
            each.lots,
            each.filled_lots,
            each.limit_price,
            each.trigger_price,
        )
        for each in await control.records.orders(execution_id)
    ]


async def adds_up(control: Any, execution_id: str) -> bool:
    """Return whether trades, positions and cash agree, and every order has its fills."""
    orders = await control.records.orders(execution_id)
    filled: Counter[str] = Counter()
    for each in await control.records.trades(execution_id, limit=100_000):
        filled[each.order_id] += int(each.quantity)
    assert (await control.records.reconcile(execution_id)).findings == ()
    return {each.order_id: each.filled_lots for each in orders if each.filled_lots} == filled


async def replayed(
    node: Any, content: Content, config: ExecutionConfig, catalogue: Catalogue = CATALOGUE
) -> list[Fill]:
    """Return the fills of the engine's own replay of what a backtest in a child asked for."""
    settings = rules.settings_of(content, config)
    found = histories.load(catalogue, settings.symbols, None, config.end_ns)
    ticks = market_ticks.load(catalogue, settings.symbols)
    whole = pipeline.history(
        [
            dataclasses.replace(
                pipeline.series(each.instrument, each.bars, each.timeframe),
                quotes=ticks.quotes.get(symbol),
                trades=ticks.trades.get(symbol),
            )
            for symbol, each in found.items()
        ]
    )
    question = NativeSpeech().backtest(whole, warm_up=WARM_UP, restart_at=None)
    child = await node.zygotes.child("nautilus", ChildLimits(), "backtest")
    talk = Conversation(child, decision_timeout_s=60.0)
    await talk.load_native(content, settings, found, ticks.offers)
    answer = messages.decode_from_child(await child.request(messages.encode(question), 60.0))
    await child.close()
    assert isinstance(answer, messages.NativeBacktested)
    part = whole.skip(WARM_UP)
    return list(replay.play(answers.unpack(answer, part), part, settings).ledgered.fills)


def in_the_middle(control: Any, execution_id: str, after: int) -> Callable[[], Awaitable[bool]]:
    """Return whether it has got beyond a bar, holds something, and has exits working."""

    async def is_so() -> bool:
        kept = await control.records.checkpoint(execution_id)
        if kept is None or kept.bar_no < after or kept.close_ns is None:
            return False
        account = kept.account
        return bool(account["positions"][EURUSD]["lots"] and account["book"]["working"])

    return is_so


def epoch_of(control: Any, execution_id: str, epoch: int) -> Callable[[], Awaitable[bool]]:
    async def is_so() -> bool:
        kept = await control.records.checkpoint(execution_id)
        return kept is not None and kept.epoch >= epoch

    return is_so
