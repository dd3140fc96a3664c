"""The way of a stock NautilusTrader `BacktestEngine`, with its own indicators."""

import time
import warnings
from decimal import Decimal

import numpy as np
from nautilus_trader.backtest.config import BacktestEngineConfig
from nautilus_trader.backtest.engine import BacktestEngine
from nautilus_trader.config import LoggingConfig
from nautilus_trader.indicators import SimpleMovingAverage
from nautilus_trader.model.data import Bar, BarType
from nautilus_trader.model.enums import AccountType, OmsType, OrderSide
from nautilus_trader.model.identifiers import Venue
from nautilus_trader.model.instruments import CurrencyPair
from nautilus_trader.model.objects import Currency, Money, Quantity
from nautilus_trader.test_kit.providers import TestInstrumentProvider
from nautilus_trader.trading.strategy import Strategy

from rivals.market import BARS, CAPITAL, MINUTE_NS, SYMBOL, TIE, Instants, Market


class NautilusCross(Strategy):  # type: ignore[misc]  # compiled, without stubs
    """The SMA cross as NautilusTrader's users write it."""

    def __init__(self, instrument: CurrencyPair, bar_type: BarType) -> None:
        super().__init__()
        self.instrument = instrument
        self.bar_type = bar_type
        self.fast = SimpleMovingAverage(10)
        self.slow = SimpleMovingAverage(20)
        self.size = Quantity.from_int(10_000)
        self.is_warm = False
        self.is_long = False

    def on_start(self) -> None:
        self.register_indicator_for_bars(self.bar_type, self.fast)
        self.register_indicator_for_bars(self.bar_type, self.slow)
        self.subscribe_bars(self.bar_type)

    def on_bar(self, bar: Bar) -> None:
        del bar
        if not self.is_warm:  # acts from the bar after, as the others do
            self.is_warm = self.indicators_initialized()
            return
        lead = self.fast.value - self.slow.value
        if lead > TIE and not self.is_long:
            self.trade(OrderSide.BUY)
        elif lead < -TIE and self.is_long:
            self.trade(OrderSide.SELL)

    def trade(self, side: OrderSide) -> None:
        self.is_long = side == OrderSide.BUY
        self.submit_order(self.order_factory.market(self.instrument.id, side, self.size))


def run(market: Market) -> tuple[float, Instants]:
    quiet = LoggingConfig(bypass_logging=True)
    engine = BacktestEngine(BacktestEngineConfig(logging=quiet, run_analysis=False))
    dollars = Currency.from_str("USD")
    engine.add_venue(
        venue=Venue("SIM"),
        oms_type=OmsType.NETTING,
        account_type=AccountType.MARGIN,
        base_currency=dollars,
        starting_balances=[Money(Decimal(CAPITAL), dollars)],
    )
    instrument = TestInstrumentProvider.default_fx_ccy(SYMBOL, Venue("SIM"))
    bar_type = BarType.from_str(f"{instrument.id}-1-MINUTE-LAST-EXTERNAL")
    engine.add_instrument(instrument)
    engine.add_data(nautilus_bars(market, bar_type))
    engine.add_strategy(NautilusCross(instrument, bar_type))
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", r"Timestamp\.utcnow is deprecated")
            begun = time.process_time()
            engine.run()
            took_s = time.process_time() - begun
        filled = [each for each in engine.cache.orders() if each.is_closed]
        return took_s, sorted((each.ts_last, each.side == OrderSide.BUY) for each in filled)
    finally:
        engine.dispose()


def nautilus_bars(market: Market, bar_type: BarType) -> list[Bar]:
    closed = (market.open_ns + MINUTE_NS).astype(np.uint64)
    prices = [market.prices(each) for each in ("open", "high", "low", "close")]
    made: list[Bar] = Bar.from_raw_arrays_to_list(
        bar_type, 5, 0, *prices, np.full(BARS, 1e6), closed, closed
    )
    return made
