"""A throw-away life of a signal strategy: what a first run allocates is shared by all children.

A first call fills caches, specialises the interpreter's code and grows the allocators' arenas. Done
in the zygote it is done once; done in a child it is a copy of each page that it touches.
"""

import linecache
import sys

import numpy as np

from strategy_engine.core.money import NANOS
from strategy_engine.kernel import failures, strategy
from strategy_engine.kernel.child import Conversation
from strategy_engine.sandbox.protocol import messages

_HOUR_NS = 3_600 * NANOS
_BARS = 60
_CAPITAL_NANOS = 100_000 * NANOS
_TICK_NANOS = NANOS // 100
_SYMBOL = "WARM"
_RUNS = 3  # the interpreter settles into code that it has seen a few times
# Without a constructor and with an annotated one: their signatures are read in different ways.
_PLAIN = """
class WarmUp:
    def generate_signal(self, market_data):
        prices = market_data["prices"]
        if len(prices) < 20:
            return "HOLD"
        lead = calculate_sma(prices, 5) - calculate_sma(prices, 20)
        return "BUY" if lead > 0 else "SELL"
"""
_FULL = """
import math
from dataclasses import dataclass
from typing import Any

import numpy as np


class WarmUp:
    lookback = 64

    def __init__(self, period: int = 14, share: float = 0.5, name: str = "x") -> None:
        self.period = period
        self.share = share
        self.seen = 0

    def on_fill(self, fill) -> None:
        self.seen += 1

    def save_state(self) -> dict[str, Any]:
        return {"seen": self.seen}

    def load_state(self, state: dict[str, Any]) -> None:
        self.seen = state["seen"]

    def generate_signal(self, market_data) -> object:
        prices = np.asarray(market_data["prices"])
        if len(prices) < 40 or market_data["equity"] <= 0:
            return "HOLD"
        noise = 0.01 * float(np.std(prices[-10:])) + 0.01 * calculate_atr(
            market_data["high"], market_data["low"], market_data["close"], 5
        )
        line, _, _ = calculate_macd(prices)
        upper, middle, lower = calculate_bollinger(prices, 10)
        if market_data["position"] and prices[-1] > upper - 1:
            return Signal("SELL", reason="far")
        if calculate_rsi(prices, self.period) < 50 or calculate_ema(prices, 5) < lower:
            return Signal("BUY", size=self.share, stop_loss=0.02, take_profit=0.03)
        return 0.25 if line > noise and not math.isnan(middle) else "HOLD"
"""


def run() -> None:
    """Let two small strategies be loaded, backtested and traded live, and forget them."""
    for _ in range(_RUNS):
        _live(_PLAIN, {})
        _live(_FULL, {"period": 5, "share": 0.25})


def _live(code: str, parameters: dict[str, object]) -> None:
    conversation = Conversation()
    load = messages.Load(
        code=code,
        parameters=parameters,
        engine=_engine(),
        contracts=[messages.Contract(symbol=_SYMBOL, tick_nanos=_TICK_NANOS, lot_nanos=NANOS)],
    )
    bars = _bars()
    for message in (load, messages.Backtest(bars=[bars]), messages.WarmUp(bars=[bars])):
        _tell(conversation, message)
    for index in range(_BARS, 2 * _BARS):
        _tell(conversation, _bar(index))
    _tell(conversation, messages.Stop())
    del sys.modules[strategy.MODULE]
    del linecache.cache[failures.STRATEGY_FILE]


def _tell(conversation: Conversation, message: messages.ToChild) -> None:
    # By frames, as a child is told.
    answer = conversation.answer(messages.decode_for_child(messages.encode(message)))
    if isinstance(answer, messages.Failed):
        raise TypeError(f"a warm-up strategy failed, so it warms nothing: {answer}")
    messages.encode(answer)


def _engine() -> messages.Engine:
    return messages.Engine(
        capital_nanos=_CAPITAL_NANOS,
        position_size_ppb=NANOS // 10,
        stop_loss_ppb=NANOS // 20,
        take_profit_ppb=NANOS // 10,
        slippage_ppm=100,
        fee_ppm=100,
        allow_short=True,
        max_trades_per_day=None,
        max_position_nanos=None,
    )


def _price(index: int) -> float:
    return 100 + round(5 * float(np.sin(index / 3)), 2)


def _bars() -> messages.Bars:
    price = np.array([_price(index) for index in range(_BARS)])
    return messages.Bars(
        symbol=_SYMBOL,
        duration_ns=_HOUR_NS,
        open_ns=(np.arange(_BARS, dtype="<i8") * _HOUR_NS).tobytes(),
        open=price.tobytes(),
        high=(price + 0.5).tobytes(),
        low=(price - 0.5).tobytes(),
        close=price.tobytes(),
        volume=np.ones(_BARS).tobytes(),
    )


def _bar(index: int) -> messages.Bar:
    price, opened_ns = _price(index), index * _HOUR_NS
    fill = messages.Filled(
        side="BUY", quantity=1.0, price=price, fee=0.1, pnl=0.0, ts_ns=opened_ns, cause="signal"
    )
    return messages.Bar(
        symbol=_SYMBOL,
        open_ns=opened_ns,
        close_ns=opened_ns + _HOUR_NS,
        ohlcv=(price, price + 0.5, price - 0.5, price, 1.0),
        holding=messages.Holding(lots=1, entry_price=price, cash=100_000.0, equity=100_100.0),
        fills=[fill],
        flags={"on": True},
    )
