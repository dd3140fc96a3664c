"""The same decisions as a signal strategy and as a native one: the same fills, to the last digit.

Both run whole: in confined children of both zygotes, judged by the engine's own account, and live
on a node. A native strategy is given what the signal account planned, order by order: an entry with
its bracket, whose prices lie where the next open puts them, and an exit that only reduces.

That NautilusTrader itself fills so under our rule, and where stock NautilusTrader does not and why,
is in tests/unit/matching/test_against_nautilus.py; an oracle that knows neither path is in
tests/unit/matching/test_oracle.py.
"""

import asyncio
import importlib.util
import json
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from strategy_engine.core import money
from strategy_engine.market.model import Bars, Calendar, Instrument, Timeframe
from strategy_engine.matching import rules as matching
from strategy_engine.matching import settings as matching_settings
from strategy_engine.matching.account import Account
from strategy_engine.matching.model import BUY, HOLD, SELL, Fill, Order, Side
from strategy_engine.pipeline import criteria, history
from strategy_engine.pipeline.backtest import Ledgered
from strategy_engine.pipeline.children import Children
from strategy_engine.pipeline.history import History
from strategy_engine.pipeline.model import Job
from strategy_engine.registry.model import Content
from strategy_engine.sandbox.launcher import ChildLimits, Zygotes

PROGRAM = Path(__file__).parent / "runners" / "native_world.py"
_spec = importlib.util.spec_from_file_location("native_world", PROGRAM)
native = importlib.util.module_from_spec(_spec)
sys.modules["native_world"] = native
_spec.loader.exec_module(native)

pytestmark = pytest.mark.timeout(400)

SYMBOL = native.EURUSD
HOUR_NS = 3_600_000_000_000
START_NS = 1_483_308_000_000_000_000
WORDS = {"B": BUY, "S": SELL, ".": HOLD}

SIGNAL = """
class Scripted:
    def __init__(self, words):
        self.words = words
        self.bars = 0

    def generate_signal(self, market_data):
        word = self.words[self.bars % len(self.words)]
        self.bars += 1
        return {"B": "BUY", "S": "SELL", ".": "HOLD"}[word]
"""

NATIVE = """
import json

from nautilus_trader.config import StrategyConfig
from nautilus_trader.model.data import BarType
from nautilus_trader.model.enums import OrderSide
from nautilus_trader.model.identifiers import InstrumentId
from nautilus_trader.trading.strategy import Strategy


class ScriptedConfig(StrategyConfig, frozen=True):
    instrument_id: InstrumentId
    bar_type: BarType
    script: str


class Scripted(Strategy):
    def on_start(self):
        self.script = json.loads(self.config.script)
        self.subscribe_bars(self.config.bar_type)

    def on_bar(self, bar):
        for order in self.script.get(str(bar.ts_init), []):
            self.give(**order)

    def give(self, side, quantity, stop=None, target=None, opens=True):
        pair = self.cache.instrument(self.config.instrument_id)
        size = pair.make_qty(quantity)
        if stop is None:
            return self.submit_order(
                self.order_factory.market(pair.id, OrderSide[side], size, reduce_only=not opens)
            )
        return self.submit_order_list(
            self.order_factory.bracket(
                instrument_id=pair.id,
                order_side=OrderSide[side],
                quantity=size,
                sl_trigger_price=pair.make_price(stop),
                tp_price=pair.make_price(target),
            )
        )
"""

# Orders of every type at random, and changes to those that work: what they come to is the question.
MIXED = """
import random
from decimal import Decimal

from nautilus_trader.config import StrategyConfig
from nautilus_trader.model.data import BarType
from nautilus_trader.model.enums import OrderSide, TimeInForce, TrailingOffsetType, TriggerType
from nautilus_trader.model.identifiers import InstrumentId
from nautilus_trader.trading.strategy import Strategy


class MixedConfig(StrategyConfig, frozen=True):
    instrument_id: InstrumentId
    bar_type: BarType
    seed: int


class Mixed(Strategy):
    def on_start(self):
        self.random = random.Random(self.config.seed)
        self.subscribe_bars(self.config.bar_type)

    def on_bar(self, bar):
        pick = self.random
        for order in self.cache.orders_open():
            if order.is_pending_cancel or order.is_pending_update:
                continue
            luck = pick.random()
            if luck < 0.1:
                self.cancel_order(order)
            elif luck < 0.2 and order.has_price:
                self.modify_order(order, price=self.near(bar, pick.uniform(-3, 3)))
        if pick.random() < 0.5:
            self.submit_order(self.order(bar))

    def near(self, bar, pips):
        return self.cache.instrument(bar.bar_type.instrument_id).make_price(
            float(bar.close) + pips / 5_000
        )

    def order(self, bar):
        pick, make = self.random, self.order_factory
        pair = self.cache.instrument(self.config.instrument_id)
        side = pick.choice([OrderSide.BUY, OrderSide.SELL])
        sign = 1 if side == OrderSide.BUY else -1
        size = pair.make_qty(pick.randrange(1, 5) * 100)
        away = pick.uniform(0.2, 3)
        common = {"instrument_id": pair.id, "order_side": side, "quantity": size}
        kind = pick.randrange(6)
        if kind == 0:
            return make.market(**common)
        if kind == 1:
            return make.limit(price=self.near(bar, -sign * away), **common)
        if kind == 2:
            return make.stop_market(trigger_price=self.near(bar, sign * away), **common)
        if kind == 3:
            return make.stop_limit(
                trigger_price=self.near(bar, sign * away),
                price=self.near(bar, sign * (away + 0.5)),
                **common,
            )
        if kind == 4:
            return make.trailing_stop_market(
                trailing_offset=Decimal("0.00080"),
                trailing_offset_type=TrailingOffsetType.PRICE,
                trigger_type=TriggerType.LAST_PRICE,
                **common,
            )
        return make.limit(
            price=self.near(bar, -sign * away), time_in_force=TimeInForce.DAY, **common
        )
"""


async def ledgered(zygotes: Zygotes, content: Content, part: History) -> Ledgered:
    """Return what the engine makes of a version's choices in a fresh child."""
    children = Children(zygotes, limits=ChildLimits(), workers=1, decision_timeout_s=60.0)
    job = Job(
        strategy_id="strat_parity",
        content=content,
        settings=settings_of(content),
        criteria=criteria.criteria({}),
    )
    async with children.open(content.warm, "parity") as talk:
        await talk.load(job, part, lookback=1)
        chosen = await talk.backtest(part)
    return chosen.replay(part, job.settings)


class Stage:
    """Both kinds of children, and a loop for them."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner()
        self._zygotes = Zygotes()

    def judged(self, content: Content, part: History) -> Ledgered:
        return self._runner.run(ledgered(self._zygotes, content, part))

    def close(self) -> None:
        self._runner.run(self._zygotes.aclose())
        self._runner.close()


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    made = Stage()
    yield made
    made.close()


def settings_of(content: Content) -> matching_settings.Settings:
    return matching_settings.settings(
        content.parameters, content.risk_limits, {}, is_native=content.is_native
    )


def version(code: str, **parameters: Any) -> Content:
    limits = {"max_position_size": 1_000_000, "daily_loss_limit": -1_000_000}
    return Content(
        strategy_name="Parity",
        version="1.0.0",
        code=code,
        parameters=parameters,
        risk_limits=limits,
    )


def script(how: dict[str, Any], words: str, part: History, first: int = 0) -> str:
    """Return the orders that the signal account plans, by the closing time of their bar."""
    found = settings_of(version(SIGNAL, **how))
    series = part.series[0]
    account = Account(found.capital_nanos, [series.terms], found.rules)
    ticks = np.column_stack(series.ticks()).tolist()
    given: dict[str, list[dict[str, Any]]] = {}
    for index, bar in enumerate(ticks[first:], start=first):
        times = int(series.bars.ts_ns[index]), int(series.bars.close_ns[index])
        account.on_bar(SYMBOL, times, tuple(bar))
        orders = account.plan(SYMBOL, WORDS[words[(index - first) % len(words)]], times[1])
        account.submit(orders)
        if orders and index + 1 < len(ticks):
            opened = ticks[index + 1][0]
            given[str(times[1])] = [
                plain(each, opened, found.rules.slippage_ppm) for each in orders
            ]
    return json.dumps(given)


def plain(order: Order, next_open: int, slippage_ppm: int) -> dict[str, Any]:
    found: dict[str, Any] = {
        "side": order.side.value,
        "quantity": order.lots,
        "opens": order.opens,
    }
    if order.opens and order.stop_loss_ppb:
        price = matching.slipped(next_open, order.side, slippage_ppm)
        sign = 1 if order.side is Side.BUY else -1
        stop, target = matching.protection(price, sign, order.stop_loss_ppb, order.take_profit_ppb)
        found |= {"stop": stop / 100_000, "target": target / 100_000}
    return found


def facts(fills: tuple[Fill, ...]) -> list[tuple[Any, ...]]:
    """Return everything of a fill that money sees; names and causes are each path's own."""
    return [
        (
            fill.side,
            fill.lots,
            fill.price_ticks,
            fill.slippage_ticks,
            fill.fee_nanos,
            fill.pnl_nanos,
            fill.opens,
            fill.lots_after,
            fill.round_trip and (fill.round_trip.entry_ns, fill.round_trip.pnl_nanos),
        )
        for fill in fills
    ]


def path(seed: int, size: int) -> History:
    """Return bars that walk at random, with gaps between them and wicks beyond them."""
    random = np.random.default_rng(seed)
    opened = 110_000 + np.cumsum(random.integers(-150, 151, size))
    close = opened + random.integers(-200, 201, size)
    high = np.maximum(opened, close) + random.integers(0, 200, size)
    low = np.minimum(opened, close) - random.integers(0, 200, size)
    bars = Bars(
        ts_ns=START_NS + HOUR_NS * np.arange(size, dtype=np.int64),
        open=opened / 100_000,
        high=high / 100_000,
        low=low / 100_000,
        close=close / 100_000,
        volume=np.full(size, 1_000_000.0),
        timeframe_ns=HOUR_NS,
    )
    instrument = Instrument(
        symbol=SYMBOL,
        venue="SIM",
        currency="USD",
        tick_size=Decimal("0.00001"),
        lot_size=Decimal(1),
        calendar=Calendar.CONTINUOUS,
        default_timeframe=Timeframe.parse("1h"),
    )
    return history.history([history.series(instrument, bars, "1-HOUR-LAST-EXTERNAL")])


RULES = st.fixed_dictionaries(
    {
        "position_size": st.sampled_from([0.1, 0.5, 1.0]),
        "slippage_bps": st.sampled_from([0, 1, 7.5]),
        "fee_bps": st.sampled_from([0, 1, 3.3]),
        "allow_short": st.booleans(),
        "capital": st.sampled_from([1_000, 100_000]),
    }
)
OFF = {"stop_loss": 0.0, "take_profit": 0.0}
PROTECTION = st.sampled_from([OFF, {"stop_loss": -0.003, "take_profit": 0.004}])


@settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    seed=st.integers(0, 2**32),
    words=st.text("BBSS.", min_size=2, max_size=40),
    how=RULES,
    protection=PROTECTION,
)
def test_in_validation_signals_and_native_orders_come_to_the_same_fills(
    stage: Stage, *, seed: int, words: str, how: dict[str, Any], protection: dict[str, Any]
) -> None:
    part = path(seed, len(words) + 20)
    how = how | protection

    signal = stage.judged(version(SIGNAL, words=words, **how), part)
    planned = script(how, words, part)
    other = stage.judged(version(NATIVE, script=planned, **how), part)

    assert facts(signal.fills) == facts(other.fills)
    assert signal.equity.tolist() == other.equity.tolist()
    assert signal.pnl == other.pnl


def test_the_random_histories_are_traded_on(stage: Stage) -> None:
    how = {"position_size": 0.5, "stop_loss": -0.003, "take_profit": 0.004, "allow_short": True}

    found = stage.judged(version(SIGNAL, words="B.....S.....", **how), path(5, 300))

    assert len(found.fills) > 30
    assert {each.cause.value for each in found.fills} == {"signal", "stop_loss", "take_profit"}


async def traded(control: Any, name: str, content: Content, config: Any) -> list[tuple[Any, ...]]:
    strategy_id = await native.deployed(
        control,
        name,
        content.code,
        parameters=content.parameters,
        risk_limits=content.risk_limits,
    )
    started = await control.executions.start(strategy_id, config, actor="tester")
    ended = await control.executions.wait_ended(started.execution_id, 90)
    assert (ended.end_reason, ended.error) == ("completed", None)
    assert (await control.records.reconcile(ended.execution_id)).findings == ()
    found = await control.records.trades(ended.execution_id, limit=100_000)
    return [(each.side, each.quantity, each.price, each.fee, each.pnl) for each in found]


def as_rows(fills: tuple[Fill, ...]) -> list[tuple[Any, ...]]:
    return [
        (
            each.side.value,
            Decimal(each.lots),
            Decimal(each.price_ticks) / 100_000,
            money.to_decimal(each.fee_nanos),
            money.to_decimal(each.pnl_nanos),
        )
        for each in fills
    ]


def recent(bars: int) -> History:
    """Return the real bars that a live run of so many plays, without its warm-up."""
    instrument = native.CATALOGUE.instrument(SYMBOL)
    found = history.series(instrument, native.HISTORY, str(instrument.default_timeframe))
    last_ns = int(native.HISTORY.close_ns[native.WARM_UP + bars - 1])
    return history.history([found]).until(last_ns).skip(native.WARM_UP)


LIVE_BARS = 200


@pytest.mark.soak
async def test_live_orders_come_to_the_fills_of_validation(tmp_path: Path) -> None:
    """One node for all: its zygote takes seconds to warm."""
    native.world.create_tables(tmp_path)
    part, config = recent(LIVE_BARS), native.until_bar(LIVE_BARS)
    async with (
        native.world.node(tmp_path) as node,
        native.world.control(tmp_path, confirm_s=60.0) as control,
    ):
        for seed, protection in enumerate(({}, {"stop_loss": -0.003, "take_profit": 0.004})):
            words = "".join(np.random.default_rng(seed).choice(list("BS...."), LIVE_BARS))
            how = {"position_size": 0.5, "allow_short": True, **OFF, **protection}
            signal = version(SIGNAL, words=words, **how)
            other = version(NATIVE, script=script(how, words, part), **how)
            expected = as_rows((await ledgered(node.zygotes, signal, part)).fills)
            assert await traded(control, f"signal {seed}", signal, config) == expected
            assert await traded(control, f"native {seed}", other, config) == expected
            assert len(expected) > 20
        for seed in (11, 12, 13):
            content = version(MIXED, seed=seed)
            expected = as_rows((await ledgered(node.zygotes, content, part)).fills)
            assert await traded(control, f"mixed {seed}", content, config) == expected
            assert len(expected) > 10
