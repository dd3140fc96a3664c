"""The order book between two prices: what was asked of it arrives, then the market meets it."""

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from strategy_engine.matching import ticket
from strategy_engine.matching.model import Conditions, Rules, Terms
from strategy_engine.matching.orderbook import OrderBook
from strategy_engine.matching.ticket import Executed, Instruction, OrderEvent

type Times = tuple[int, int]  # when a bar opened and closed
type Pair = tuple[int, int]  # of the bid and of the ask
type Prices = tuple[int, int, int, int]  # its open, high, low and close, ticks

_STANDARD = Conditions()


class Exchange:
    """The order book that judges the strategy later, seen from the strategy's side now.

    An instruction given at one bar's close reaches the book before the next bar, at the latest
    the first whose open is `latency_ns` later; so a market order fills at that bar's open.
    """

    def __init__(
        self,
        capital_nanos: int,
        terms: Iterable[Terms],
        how: Rules,
        conditions: Conditions = _STANDARD,
        *,
        latency_ns: int = 0,
    ) -> None:
        self.book = OrderBook(capital_nanos, terms, how, conditions)
        self._latency_ns = latency_ns
        self._waiting: list[tuple[int, Instruction]] = []
        self.seen: list[Executed] = []

    def ask(self, instructions: Iterable[tuple[int, Instruction]]) -> None:
        """Take instructions, each with the time it was given at."""
        self._waiting.extend(instructions)

    @property
    def waiting(self) -> tuple[tuple[int, Instruction], ...]:
        """Return what was given and has not reached the book, each with its time."""
        return tuple(self._waiting)

    def withdraw(self, is_gone: Callable[[Instruction], bool]) -> list[Instruction]:
        """Take back, and return, what has not reached the book and is to be gone."""
        gone = [each for _, each in self._waiting if is_gone(each)]
        self._waiting = [each for each in self._waiting if not is_gone(each[1])]
        return gone

    def dump_waiting(self) -> list[list[Any]]:
        """Return what waits as plain values; the book has a `dump` of its own."""
        return [[given_ns, msgspec.to_builtins(each)] for given_ns, each in self._waiting]

    def load_waiting(self, plain: Iterable[Any]) -> None:
        """Put what `dump_waiting` returned in place of what waits."""
        self._waiting = [(given_ns, _instruction(each)) for given_ns, each in plain]

    def meet(self, symbol: str, times: Times, prices: Prices, volume_lots: int) -> list[OrderEvent]:
        """Give the book what has arrived by the bar's open, then the bar; return what happened."""
        events = self._arrived(times[0])
        return self._kept(events + self.book.on_bar(symbol, times, prices, volume_lots))

    def meet_quote(self, symbol: str, ts_ns: int, quote: Pair, lots: Pair) -> list[OrderEvent]:
        """Give the book what has arrived by now, then a quote."""
        return self._kept(self._arrived(ts_ns) + self.book.on_quote(symbol, ts_ns, quote, lots))

    def meet_trade(self, symbol: str, ts_ns: int, price: int, lots: int) -> list[OrderEvent]:
        """Give the book what has arrived by now, then a trade."""
        return self._kept(self._arrived(ts_ns) + self.book.on_trade(symbol, ts_ns, price, lots))

    def _kept(self, events: list[OrderEvent]) -> list[OrderEvent]:
        self.seen.extend(each for each in events if isinstance(each, Executed))
        return events

    def _arrived(self, now_ns: int) -> list[OrderEvent]:
        waiting, self._waiting = self._waiting, []
        events: list[OrderEvent] = []
        for given_ns, instruction in waiting:
            if given_ns + self._latency_ns <= now_ns:
                events += submit(self.book, instruction, given_ns + self._latency_ns)
            else:
                self._waiting.append((given_ns, instruction))
        return events


def submit(book: OrderBook, instruction: Instruction, now_ns: int) -> list[OrderEvent]:
    """Give one instruction to an order book."""
    match instruction:
        case ticket.Ticket():
            return book.submit(instruction, now_ns)
        case ticket.Modify():
            return book.modify(instruction, now_ns)
        case ticket.Cancel():
            return book.cancel(instruction, now_ns)


def _instruction(plain: Any) -> Instruction:
    found: Instruction = msgspec.convert(plain, Instruction)
    return found
