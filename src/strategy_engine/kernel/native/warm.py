"""One throw-away run of everything: what a first run allocates is then shared by all children."""

import gc
import sys

import numpy as np

from strategy_engine.core.money import NANOS
from strategy_engine.kernel.native import share
from strategy_engine.kernel.native.conversation import Native
from strategy_engine.kernel.native.source import MODULE
from strategy_engine.sandbox.protocol import messages

_HOUR_NS = 3_600 * NANOS
_BARS = 40
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

    def on_bar(self, bar) -> None:
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
    """Backtest a small strategy and trade it live, forget both, and keep what is left shared."""
    for _ in range(_RUNS):
        _run_once()
    share.keep_shared()


def _run_once() -> None:
    bars = _bars()
    native = Native(_load_message())
    native.loaded()
    native.answer(messages.NativeBacktest(bars=[bars]))
    native.answer(messages.NativeWarmUp(start_ns=0, bars=[bars], balance_nanos=100_000 * NANOS))
    for index in range(_BARS):
        native.answer(_live_bar(_BARS + index))
    native.stop()
    del native, sys.modules[MODULE]
    gc.collect()


def _load_message() -> messages.LoadNative:
    engine = messages.Engine(
        capital_nanos=100_000 * NANOS,
        position_size_ppb=0,
        stop_loss_ppb=None,
        take_profit_ppb=None,
        slippage_ppm=100,
        fee_ppm=100,
        allow_short=True,
        max_trades_per_day=None,
        max_position_nanos=None,
    )
    contract = messages.Contract(symbol=_SYMBOL, tick_nanos=NANOS // 100_000, lot_nanos=NANOS)
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


def _live_bar(index: int) -> messages.NativeBar:
    price = _price(index)
    return messages.NativeBar(
        symbol=_SYMBOL,
        open_ns=index * _HOUR_NS,
        close_ns=(index + 1) * _HOUR_NS,
        ohlcv=(price, price + 0.005, price - 0.005, price, 1.0),
    )
