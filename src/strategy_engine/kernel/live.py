"""Live bars: the same window and the same call as the backtest; holdings come from the ledger."""

import time
from collections.abc import Mapping

import msgspec
import numpy as np

from strategy_engine.kernel.seat import Seat, told
from strategy_engine.kernel.strategy import Blueprint
from strategy_engine.kernel.window import Series, Window
from strategy_engine.matching.model import BUY, HOLD, SELL, Terms
from strategy_engine.sandbox.protocol import messages

_PLAIN = (HOLD, BUY, SELL)  # what a bare word stands for: nothing to say beyond the action
_FLAT = messages.Holding(lots=0, entry_price=None, cash=0.0, equity=0.0)


class LedgerStanding:
    """What the ledger last said of one instrument."""

    __slots__ = ("_terms", "holding")

    def __init__(self, terms: Terms) -> None:
        self._terms = terms
        self.holding = _FLAT

    def position(self) -> float:
        """Return the signed quantity held."""
        return self._terms.quantity(self.holding.lots)

    def entry_price(self) -> float | None:
        """Return the average entry price, None when flat."""
        return self.holding.entry_price

    def equity(self) -> float:
        """Return cash and positions at their marks."""
        return self.holding.equity

    def cash(self) -> float:
        """Return the cash."""
        return self.holding.cash


class Live:
    """The instances of one execution, one an instrument."""

    def __init__(self, plan: Blueprint, terms: Mapping[str, Terms]) -> None:
        self._standings = {symbol: LedgerStanding(each) for symbol, each in terms.items()}
        self._series = {symbol: Series() for symbol in terms}
        self._seats = {
            symbol: Seat(plan, symbol, Window(self._series[symbol], plan.lookback), standing)
            for symbol, standing in self._standings.items()
        }
        self._states: dict[str, bytes] = {}
        self._started = False

    def warm_up(self, message: messages.WarmUp) -> messages.WarmedUp:
        """Fill the windows, start the instances and give them their state back."""
        for bars in message.bars:
            self._fill(bars)
        if message.state is not None:
            self._states = _decode_states(message.state)
        self._start()
        return messages.WarmedUp(bars=sum(len(bars.open_ns) // 8 for bars in message.bars))

    def decide(self, bar: messages.Bar) -> messages.Decided:
        """Show a bar and its fills to the strategy, and return what it decides."""
        self._start()
        seat = self._seats[bar.symbol]
        self._standings[bar.symbol].holding = bar.holding
        if bar.flags is not None:
            seat.market.see_flags(bar.flags)
        self._series[bar.symbol].extend(((each,) for each in bar.ohlcv), (bar.close_ns,))
        seat.window.advance()
        seat.window.trim()
        for fill in bar.fills:
            seat.tell(fill)
        started_ns = time.thread_time_ns()
        decision = seat.decide()
        cpu_ns = time.thread_time_ns() - started_ns
        return messages.Decided(
            action=decision.action,
            detail=None if decision in _PLAIN else told(seat.window.seen - 1, decision),
            cpu_ns=cpu_ns,
            state=self._news(bar.symbol),
        )

    def stop(self) -> messages.Stopped:
        """Let every instance end; its last state goes with the answer."""
        if not self._started:
            return messages.Stopped()
        for seat in self._seats.values():
            seat.stop()
        news = [self._keep(symbol) for symbol in self._seats]
        return messages.Stopped(state=_encode_states(self._states) if any(news) else None)

    def _start(self) -> None:
        if self._started:
            return
        self._started = True
        for symbol, seat in self._seats.items():
            seat.start(self._states.get(symbol))

    def _fill(self, bars: messages.Bars) -> None:
        columns = (bars.open, bars.high, bars.low, bars.close, bars.volume)
        closes = np.frombuffer(bars.open_ns, dtype="<i8") + bars.duration_ns
        self._series[bars.symbol].extend(
            (np.frombuffer(each, dtype="<f8").tolist() for each in columns), closes.tolist()
        )
        self._seats[bars.symbol].window.advance(len(closes))

    def _news(self, symbol: str) -> bytes | None:
        return _encode_states(self._states) if self._keep(symbol) else None

    def _keep(self, symbol: str) -> bool:
        state = self._seats[symbol].saved()
        if state is None or state == self._states.get(symbol):
            return False
        self._states[symbol] = state
        return True


_encode_states = msgspec.msgpack.Encoder().encode
_decode_states = msgspec.msgpack.Decoder(dict[str, bytes]).decode
