"""Our fill rule in NautilusTrader's `BacktestEngine`: asked at a close, met at the next open."""

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from strategy_engine.kernel.child import Conversation
from strategy_engine.matching import rules
from strategy_engine.matching.account import Account
from strategy_engine.matching.exchange import Exchange
from strategy_engine.matching.model import Action, Decision, Rules, Side, Terms
from strategy_engine.matching.ticket import Cancel, OrderType, Ticket
from strategy_engine.sandbox.protocol import messages

HOUR_NS = 3_600 * 1_000_000_000
CAPITAL_NANOS = 100_000 * 10**9
SYMBOL = "EUR/USD.SIM"
TERMS = Terms(symbol=SYMBOL, tick_nanos=10_000, lot_nanos=10**9)

HEAD = """
from datetime import timedelta
from nautilus_trader.config import StrategyConfig
from nautilus_trader.model.data import BarType
from nautilus_trader.model.enums import OrderSide
from nautilus_trader.model.identifiers import InstrumentId
from nautilus_trader.trading.strategy import Strategy


class MyConfig(StrategyConfig, frozen=True):
    bar_types: list[BarType]


class Base(Strategy):
    def __init__(self, config: MyConfig) -> None:
        super().__init__(config)

    def on_start(self):
        for each in self.config.bar_types:
            self.subscribe_bars(each)

    def market(self, instrument_id, side=OrderSide.BUY):
        quantity = self.cache.instrument(instrument_id).make_qty(1000)
        self.submit_order(self.order_factory.market(instrument_id, side, quantity))
"""
ONCE = """
class My(Base):
    def on_bar(self, bar):
        if not self.cache.orders():
            self.market(bar.bar_type.instrument_id)
"""


def ticks(bars: messages.Bars, name: str) -> list[int]:
    prices = np.frombuffer(getattr(bars, name), dtype="<f8")
    return np.rint(prices * 1e9 / TERMS.tick_nanos).astype(int).tolist()


def test_a_market_order_fills_at_the_next_open_slipped(bars: Any, floor: Any) -> None:
    history = bars(5)
    run = floor(HEAD + ONCE).backtest(history)
    (fill,) = run.fills
    assert list(run.steps) == [0]
    assert fill.price_ticks == rules.slipped(ticks(history, "open")[1], Side.BUY, 100)
    assert fill.ts_ns == HOUR_NS


def test_latency_moves_the_fill_to_a_later_open(bars: Any, floor: Any) -> None:
    history = bars(5)
    (fill,) = floor(HEAD + ONCE).backtest(history, latency_ns=HOUR_NS).fills
    assert fill.price_ticks == rules.slipped(ticks(history, "open")[2], Side.BUY, 100)


def test_fees_and_slippage_are_those_of_the_rules(bars: Any, floor: Any) -> None:
    history = bars(5)
    dear = Rules(slippage_ppm=1_000, fee_ppm=500)
    (fill,) = floor(HEAD + ONCE, dear).backtest(history).fills
    assert fill.price_ticks == rules.slipped(ticks(history, "open")[1], Side.BUY, 1_000)
    assert fill.fee_nanos == rules.fee(TERMS.nanos(fill.price_ticks * 1000), 500)


def test_an_order_of_the_last_bar_is_asked_for_and_never_met(bars: Any, floor: Any) -> None:
    run = floor(HEAD + ONCE).backtest(bars(1))
    assert len(run.instructions) == 1
    assert run.fills == []


def test_an_order_of_the_start_is_met_by_the_first_bar(bars: Any, floor: Any) -> None:
    text = (
        HEAD
        + """
class My(Base):
    def on_start(self):
        self.market(self.config.bar_types[0].instrument_id)
"""
    )
    run = floor(text).backtest(bars(3), warm_up=1)
    assert list(run.steps) == [-1]
    assert run.fills[0].ts_ns == HOUR_NS


def test_warm_up_bars_are_not_traded_on(bars: Any, floor: Any) -> None:
    history = bars(10)
    run = floor(HEAD + ONCE).backtest(history, warm_up=6)
    assert run.steps[0][0][0] == 7 * HOUR_NS
    assert run.fills[0].ts_ns == 7 * HOUR_NS


def test_nothing_happens_where_no_bar_follows_the_warm_up(bars: Any, floor: Any) -> None:
    run = floor(HEAD + ONCE).backtest(bars(3), warm_up=3)
    assert (run.steps, run.fills) == ({}, [])


def test_a_run_that_the_strategy_ends_early_is_a_failure(bars: Any, floor: Any) -> None:
    text = HEAD + "class My(Base):\n    def on_bar(self, bar):\n        self.shutdown_system()\n"
    answer = floor(text).talk().answer(messages.NativeBacktest(bars=[bars(5)]))
    assert isinstance(answer, messages.Failed)
    assert answer.message.startswith("NautilusTrader ended the run after 1 of 5 bars")
    assert len(floor(HEAD + ONCE).backtest(bars(5)).fills) == 1  # and the next run is whole again


def test_bars_that_are_not_in_it_change_no_decision(bars: Any, floor: Any) -> None:
    text = HEAD + TIMED
    whole = floor(text).backtest(bars(60))
    part = floor(text).backtest(bars(40))
    assert part.steps == {index: each for index, each in whole.steps.items() if index < 40}


def test_the_same_bars_give_the_same_answer(bars: Any, floor: Any) -> None:
    assert floor(HEAD + TIMED).backtest(bars(60)) == floor(HEAD + TIMED).backtest(bars(60))


TIMED = """
class My(Base):
    def on_start(self):
        super().on_start()
        self.clock.set_timer("often", timedelta(minutes=45), callback=self.often)

    def often(self, event):
        pair = self.config.bar_types[0].instrument_id
        if event.ts_event // 60_000_000_000 % 4 == 1:
            self.market(pair, OrderSide.SELL)

    def on_order_filled(self, event):
        if event.order_side == OrderSide.SELL:
            self.market(event.instrument_id)
"""


@pytest.mark.parametrize("gap", [0, 5 * HOUR_NS])
def test_timers_and_answers_to_fills_are_the_same_live(bars: Any, floor: Any, gap: int) -> None:
    history = bars(40)
    opened = np.frombuffer(history.open_ns, dtype="<i8").copy()
    opened[20:] += gap  # a weekend: timers go on in it
    history = msgspec.structs.replace(history, open_ns=opened.tobytes())
    tested, lived = floor(HEAD + TIMED).backtest(history), floor(HEAD + TIMED).live(history)
    assert len(tested.fills) > 10
    assert lived.steps == tested.steps
    assert lived.fills == tested.fills


def test_an_order_for_another_instrument_waits_for_its_next_open(bars: Any, floor: Any) -> None:
    text = (
        HEAD
        + """
class My(Base):
    def on_bar(self, bar):
        first, second = (each.instrument_id for each in self.config.bar_types)
        if bar.bar_type.instrument_id == first and not self.cache.orders():
            self.market(second)
"""
    )
    place = floor(text)
    place.symbols = ["EUR/USD.SIM", "GBP/USD.SIM"]
    one, two = bars(4), bars(4, seed=2, symbol="GBP/USD.SIM")
    answer = place.talk().answer(messages.NativeBacktest(bars=[two, one]))
    assert isinstance(answer, messages.NativeBacktested)
    assert [(each.symbol, each.index) for each in answer.steps] == [("EUR/USD.SIM", 0)]
    (fill,) = msgspec.msgpack.decode(answer.seen)
    assert fill["ts_ns"] == HOUR_NS  # not at the open of the bar that closes with the decision
    assert fill["price_ticks"] == rules.slipped(ticks(two, "open")[1], Side.BUY, 100)


def test_instruments_of_two_venues_trade_beside_each_other(bars: Any, floor: Any) -> None:
    text = (
        HEAD
        + """
class My(Base):
    def on_bar(self, bar):
        if bar.ts_event == 3_600_000_000_000:
            self.market(bar.bar_type.instrument_id)
"""
    )
    place = floor(text)
    place.symbols = ["EUR/USD.SIM", "EUR/USD.OTHER"]
    answer = place.talk().answer(
        messages.NativeBacktest(bars=[bars(4), bars(4, symbol="EUR/USD.OTHER")])
    )
    assert isinstance(answer, messages.NativeBacktested)
    symbols = sorted(each["symbol"] for each in msgspec.msgpack.decode(answer.seen))
    assert symbols == ["EUR/USD.OTHER", "EUR/USD.SIM"]


CROSS = """
    def crossed(self, price):
        self.fast += (price - self.fast) / 3
        self.slow += (price - self.slow) / 8
        return self.fast > self.slow
"""
NATIVE = f"""{HEAD}
class My(Base):
    def __init__(self, config: MyConfig) -> None:
        super().__init__(config)
        self.fast = self.slow = 1.1
{CROSS}
    def on_bar(self, bar):
        pair = bar.bar_type.instrument_id
        is_up = self.crossed(float(bar.close))
        if is_up and self.portfolio.is_flat(pair):
            self.market(pair)
        elif not is_up and self.portfolio.is_net_long(pair):
            self.close_all_positions(pair)
"""
SIGNAL = f"""
class Cross:
    def __init__(self):
        self.fast = self.slow = 1.1
{CROSS}
    def generate_signal(self, market_data):
        is_up = self.crossed(float(market_data["prices"][-1]))
        held = market_data["position"]
        return "BUY" if is_up and not held else "SELL" if held and not is_up else "HOLD"
"""
UNDISTURBED = Rules(stop_loss_ppb=None, take_profit_ppb=None)


def _signal_trades(history: messages.Bars) -> tuple[list[tuple[int, int]], list[tuple[Any, ...]]]:
    engine = messages.Engine(
        capital_nanos=CAPITAL_NANOS,
        **{name: getattr(UNDISTURBED, name) for name in Rules.__slots__},
    )
    contract = messages.Contract(symbol=SYMBOL, tick_nanos=10_000, lot_nanos=10**9)
    child = Conversation()
    child.answer(messages.Load(code=SIGNAL, parameters={}, engine=engine, contracts=[contract]))
    answer = child.answer(messages.Backtest(bars=[history]))
    assert isinstance(answer, messages.Backtested)
    actions = answer.decisions[0].actions
    account = Account(CAPITAL_NANOS, [TERMS], UNDISTURBED)
    columns = [ticks(history, name) for name in ("open", "high", "low", "close")]
    prices = list(zip(*columns, strict=True))
    fills: list[tuple[Any, ...]] = []
    for index, (action, bar) in enumerate(zip(actions, prices, strict=True)):
        times = index * HOUR_NS, (index + 1) * HOUR_NS
        made = account.on_bar(SYMBOL, times, bar)
        fills += [(each.ts_ns, each.side, each.price_ticks) for each in made]
        account.submit(account.plan(SYMBOL, Decision(action=Action(action)), times[1]))
    decided = [(index, action) for index, action in enumerate(actions) if action]
    return decided, fills


PURE = [HealthCheck.function_scoped_fixture]  # the fixtures are functions that keep nothing


@settings(max_examples=15, deadline=None, suppress_health_check=PURE)
@given(seed=st.integers(0, 10_000))
def test_a_cross_decides_and_fills_as_it_does_as_a_signal_strategy(
    bars: Any, floor: Any, seed: int
) -> None:
    history = bars(150, seed)
    run = floor(NATIVE, UNDISTURBED).backtest(history)
    actions = {Side.BUY: Action.BUY, Side.SELL: Action.SELL}
    decided = [(index, actions[each.side]) for index, step in run.steps.items() for _, each in step]
    fills = [(each.ts_ns, each.side, each.price_ticks) for each in run.fills]
    assert fills
    assert (decided, fills) == _signal_trades(history)


RANDOM = f"""
import random
from decimal import Decimal
{HEAD}
class RandomConfig(MyConfig, frozen=True):
    seed: int


class My(Base):
    def __init__(self, config: RandomConfig) -> None:
        super().__init__(config)
        self.chance = random.Random(config.seed)

    def on_bar(self, bar):
        pair = self.cache.instrument(bar.bar_type.instrument_id)
        make, side = self.order_factory, self.chance.choice([OrderSide.BUY, OrderSide.SELL])
        up = 1 if side == OrderSide.BUY else -1
        away = up * self.chance.uniform(0.0001, 0.004)
        near, far = pair.make_price(bar.close + away), pair.make_price(bar.close - away)
        size = pair.make_qty(self.chance.choice([100, 2000, 60000]))
        kind = self.chance.randrange(10)
        if kind == 0:
            order = make.market(pair.id, side, size)
        elif kind == 1:
            order = make.limit(pair.id, side, size, far, post_only=self.chance.random() < 0.3)
        elif kind == 2:
            order = make.stop_market(pair.id, side, size, near)
        elif kind == 3:
            order = make.stop_limit(pair.id, side, size, far, near)
        elif kind == 4:
            order = make.market_if_touched(pair.id, side, size, far)
        elif kind == 5:
            order = make.trailing_stop_market(
                pair.id, side, size, trailing_offset=Decimal(f"{{abs(away):.5f}}")
            )
        elif kind == 6:
            legs = make.bracket(
                instrument_id=pair.id, order_side=side, quantity=size,
                sl_trigger_price=pair.make_price(bar.close - up * 0.002),
                tp_price=pair.make_price(bar.close + up * 0.002),
            )
            self.submit_order_list(legs)
            return
        elif kind == 7:
            working = self.cache.orders_open(instrument_id=pair.id)
            if working:
                working.sort(key=lambda each: each.client_order_id.value)
                self.cancel_order(self.chance.choice(working))
            return
        elif kind == 8:
            self.cancel_all_orders(pair.id)
            return
        else:
            self.close_all_positions(pair.id)
            return
        self.submit_order(order)
"""


@settings(max_examples=12, deadline=None, suppress_health_check=PURE)
@given(seed=st.integers(0, 10_000))
def test_orders_of_every_kind_do_live_what_they_did_in_the_backtest(
    bars: Any, floor: Any, seed: int
) -> None:
    history = bars(120, seed)
    place = floor(RANDOM, seed=seed)
    tested, lived = place.backtest(history), place.live(history)
    assert tested.fills
    assert lived.steps == tested.steps
    assert lived.fills == tested.fills


def test_the_venue_keeps_what_came_too_late_for_a_bar() -> None:
    venue = Exchange(CAPITAL_NANOS, [TERMS], Rules())
    order = Ticket(
        client_order_id="1", symbol=SYMBOL, side=Side.BUY, type=OrderType.MARKET, lots=10
    )
    venue.ask([(HOUR_NS + 1, order), (HOUR_NS + 1, Cancel(client_order_id="1"))])
    bar = (100_000, 100_000, 100_000, 100_000)
    assert venue.meet(SYMBOL, (HOUR_NS, 2 * HOUR_NS), bar, 0) == []
    told = [type(each).__name__ for each in venue.meet(SYMBOL, (2 * HOUR_NS, 3 * HOUR_NS), bar, 0)]
    assert told == ["Accepted", "Cancelled"]
