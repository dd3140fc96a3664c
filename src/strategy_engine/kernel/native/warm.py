"""One throw-away run of everything: what a first run allocates is then shared by all children."""

import gc
import sys

import msgspec
import numpy as np

from strategy_engine.core.money import NANOS
from strategy_engine.kernel.native import orders
from strategy_engine.kernel.native.conversation import Native
from strategy_engine.kernel.native.source import MODULE
from strategy_engine.matching.exchange import Exchange
from strategy_engine.matching.model import Rules, Terms
from strategy_engine.matching.ticket import Instruction
from strategy_engine.sandbox.protocol import messages

_HOUR_NS = 3_600 * NANOS
_BARS = 40
_CAPITAL_NANOS = 100_000 * NANOS
_TICK_NANOS = NANOS // 100_000
_SYMBOL = "EUR/USD.SIM"
_SOURCE = """
from decimal import Decimal

from nautilus_trader.config import StrategyConfig
from nautilus_trader.indicators import AverageTrueRange, ExponentialMovingAverage
from nautilus_trader.model.data import BarType
from nautilus_trader.model.enums import OrderSide
from nautilus_trader.model.identifiers import InstrumentId
from nautilus_trader.trading.strategy import Strategy


class WarmUpConfig(StrategyConfig, frozen=True):
    instrument_id: InstrumentId
    bar_type: BarType
    size: Decimal = Decimal(1000)


class WarmUp(Strategy):
    def __init__(self, config: WarmUpConfig) -> None:
        super().__init__(config)
        self.average = ExponentialMovingAverage(5)
        self.range = AverageTrueRange(5)

    def on_start(self) -> None:
        self.instrument = self.cache.instrument(self.config.instrument_id)
        self.register_indicator_for_bars(self.config.bar_type, self.average)
        self.register_indicator_for_bars(self.config.bar_type, self.range)
        self.subscribe_bars(self.config.bar_type)

    def refused(self):
        order = self.order_factory.limit(
            instrument_id=self.config.instrument_id,
            order_side=OrderSide.BUY,
            quantity=self.instrument.make_qty(self.config.size),
            price=self.instrument.make_price(2.0),
            post_only=True,
        )
        self.submit_order(order)

    def on_bar(self, bar) -> None:
        self.refused()
        instrument_id = self.config.instrument_id
        quantity = self.instrument.make_qty(self.config.size)
        if self.portfolio.is_flat(instrument_id):
            self.cancel_all_orders(instrument_id)
            away = self.range.value * 2
            self.submit_order_list(
                self.order_factory.bracket(
                    instrument_id=instrument_id,
                    order_side=OrderSide.BUY,
                    quantity=quantity,
                    sl_trigger_price=self.instrument.make_price(float(bar.close) - away - 0.01),
                    tp_price=self.instrument.make_price(float(bar.close) + away + 0.01),
                )
            )
        elif float(bar.close) < self.average.value:
            self.close_all_positions(instrument_id)

    def on_stop(self) -> None:
        self.close_all_positions(self.config.instrument_id)
"""


_RUNS = 3  # the interpreter settles into code that it has seen a few times


def run() -> None:
    """Backtest a small strategy and trade it live, and forget both."""
    for _ in range(_RUNS):
        _run_once()


def _run_once() -> None:
    bars = _bars()
    native = Native(_load_message())
    native.loaded()
    native.answer(messages.NativeBacktest(bars=[bars]))
    start_ns = _BARS * _HOUR_NS
    native.answer(
        messages.NativeWarmUp(start_ns=start_ns, bars=[bars], balance_nanos=_CAPITAL_NANOS)
    )
    _trade(native)
    native.stop()
    del native, sys.modules[MODULE]
    gc.collect()


def _load_message() -> messages.LoadNative:
    engine = messages.Engine(
        capital_nanos=_CAPITAL_NANOS,
        position_size_ppb=0,
        stop_loss_ppb=None,
        take_profit_ppb=None,
        slippage_ppm=100,
        fee_ppm=100,
        allow_short=True,
        max_trades_per_day=None,
        max_position_nanos=None,
    )
    contract = messages.Contract(symbol=_SYMBOL, tick_nanos=_TICK_NANOS, lot_nanos=NANOS)
    return messages.LoadNative(
        code=_SOURCE,
        parameters={},
        engine=engine,
        contracts=[contract],
        timeframe="1-HOUR-LAST-EXTERNAL",
    )


def _price(index: int) -> float:
    return 1.1 + 0.01 * float(np.sin(index / 3))


def _bars() -> messages.Bars:
    opened = np.arange(_BARS, dtype="<i8") * _HOUR_NS
    price = np.array([_price(index) for index in range(_BARS)])
    return messages.Bars(
        symbol=_SYMBOL,
        duration_ns=_HOUR_NS,
        open_ns=opened.tobytes(),
        open=price.tobytes(),
        high=(price + 0.005).tobytes(),
        low=(price - 0.005).tobytes(),
        close=price.tobytes(),
        volume=np.ones(_BARS).tobytes(),
    )


def _trade(native: Native) -> None:
    terms = Terms(symbol=_SYMBOL, tick_nanos=_TICK_NANOS, lot_nanos=NANOS)
    venue = Exchange(_CAPITAL_NANOS, [terms], Rules(allow_short=True))
    for index in range(_BARS, 2 * _BARS):
        open_ns, price = index * _HOUR_NS, _price(index)
        prices = price, price + 0.005, price - 0.005, price
        middle = round(price * NANOS / _TICK_NANOS)
        ticks = middle, middle + 500, middle - 500, middle
        events = venue.meet(_SYMBOL, (open_ns, open_ns + _HOUR_NS), ticks, 1)
        answer = native.answer(
            messages.NativeBar(
                symbol=_SYMBOL,
                open_ns=open_ns,
                close_ns=open_ns + _HOUR_NS,
                ohlcv=(*prices, 1.0),
                events=msgspec.Raw(orders.encode(events)),
            )
        )
        if isinstance(answer, messages.NativeActed):
            venue.ask((each.ts_ns, _instruction(each.instruction)) for each in answer.asked)


_instruction = msgspec.msgpack.Decoder(Instruction).decode
