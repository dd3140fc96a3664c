"""The way of backtesting.py, on indicators computed beforehand."""

import time
import warnings
from typing import Any

import backtesting.backtesting as bt  # type: ignore[import-untyped]  # published without types
import pandas as pd
import talib

from rivals.market import CAPITAL, TIE, Instants, Market


def keep_quiet() -> None:
    """Show no progress: a bar of it has no place in a measurement."""
    bt._tqdm = lambda each, **_: each  # noqa: SLF001  (it has no other switch)


class Averages(bt.Strategy):  # type: ignore[misc]  # published without types
    """The SMA cross, on averages computed beforehand."""

    def init(self) -> None:
        self.fast = self.I(talib.SMA, self.data.Close, 10)
        self.slow = self.I(talib.SMA, self.data.Close, 20)

    def next(self) -> None:
        lead = self.fast[-1] - self.slow[-1]
        if lead > TIE and not self.position:
            self.buy(size=0.1)
        elif lead < -TIE and self.position:
            self.position.close()


class Strength(bt.Strategy):  # type: ignore[misc]  # published without types
    """The RSI strategy, on an index computed beforehand."""

    def init(self) -> None:
        self.rsi = self.I(talib.RSI, self.data.Close, 14)

    def next(self) -> None:
        rsi = self.rsi[-1]
        if rsi < 30 and not self.position:
            self.buy(size=0.1)
        elif rsi > 70 and self.position:
            self.position.close()


def run(name: str, market: Market) -> tuple[float, Instants]:
    columns = {each.title(): market.prices(each) for each in market.ticks}
    index = pd.to_datetime(market.open_ns)
    kind = {"sma": Averages, "rsi": Strength}[name]
    test = bt.Backtest(pd.DataFrame(columns, index=index), kind, cash=CAPITAL, commission=1e-4)
    spent: list[float] = []
    original = bt.compute_stats

    def timed(**how: Any) -> Any:
        began = time.process_time()
        result = original(**how)
        spent.append(time.process_time() - began)
        return result

    bt.compute_stats = timed
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a last position that stays open, as ours does
            begun = time.process_time()
            trades = test.run()["_trades"]
            took_s = time.process_time() - begun - sum(spent)
    finally:
        bt.compute_stats = original
    opens = market.open_ns.tolist()
    bars = [
        *((each, True) for each in trades.EntryBar),
        *((each, False) for each in trades.ExitBar),
    ]
    return took_s, sorted((opens[each], bought) for each, bought in bars)
