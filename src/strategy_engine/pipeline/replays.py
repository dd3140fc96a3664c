"""The engine's way through a history: the account is visited where something happens. Pure.

A bar on which nothing is pending, nothing is decided and no protection can be touched only moves
the mark. Such bars cost a comparison each, and no object; what the account was worth on them is
computed for all of them at once, in the same integers.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import repeat

import numpy as np

from strategy_engine.core import money
from strategy_engine.matching.account import Account, Book
from strategy_engine.matching.model import Fill, Terms
from strategy_engine.pipeline.decisions import Choices
from strategy_engine.pipeline.history import Floats, Ints, Series

_NOWHERE = -1, 1 << 62  # a floor and a ceiling that no price in ticks reaches
_SAFE = 1 << 62  # twice it still fits 64 bits
_MOST_SYMBOLS = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Filled:
    """A fill, where on the timeline it happened, and the cash after it."""

    fill: Fill
    slot: int
    cash_nanos: int


class Lane:
    """One symbol's bars on their way through the account."""

    __slots__ = (
        "_bars",
        "_slots",
        "_steps",
        "actions",
        "book",
        "ceiling",
        "choices",
        "close",
        "close_ns",
        "floor",
        "index",
        "lowest",
        "symbol",
        "topmost",
    )

    def __init__(self, series: Series, choices: Choices, account: Account, times: Ints) -> None:
        open_, high, low, close = series.ticks()
        bars = series.bars
        self.symbol = series.symbol
        self.book: Book = account.books[series.symbol]
        self.choices = choices
        self.index = 0
        self.floor, self.ceiling = _NOWHERE
        # Memoryviews give Python's own integers, and take 8 bytes where a list takes 36.
        self.actions = memoryview(np.ascontiguousarray(choices.actions))
        self.lowest, self.topmost = (
            memoryview(np.minimum(open_, low)),
            memoryview(np.maximum(open_, high)),
        )
        self.close = memoryview(close)
        self.close_ns = memoryview(bars.close_ns)
        self._bars = (
            memoryview(np.ascontiguousarray(bars.ts_ns)),
            memoryview(open_),
            memoryview(high),
            memoryview(low),
        )
        self._slots = memoryview(np.searchsorted(times, bars.close_ns))
        self._steps: list[tuple[int, int]] = []

    def settle(self, account: Account, index: int) -> Iterable[Filled]:
        """Let a bar fill what is pending and touch what is protected."""
        open_ns, open_, high, low = (each[index] for each in self._bars)
        bar = open_, high, low, self.close[index]
        fills = account.on_bar(self.symbol, (open_ns, self.close_ns[index]), bar)
        self.floor, self.ceiling = _quiet_between(self.book)
        slot = self._slots[index]
        for fill in fills:
            self._steps.append((index, fill.lots_after))
            yield Filled(fill=fill, slot=slot, cash_nanos=account.cash)

    def decide(self, account: Account, index: int) -> None:
        """Let the decision of a bar become orders."""
        decision = self.choices.at(index)
        account.submit(account.plan(self.symbol, decision, self.close_ns[index]))

    def held(self) -> Ints:
        """Return the lots after each bar."""
        return stepped(self._steps, 0, len(self.close))

    def value_nanos(self) -> Ints:
        """Return the position's value after each bar, billionths."""
        return worth(np.asarray(self.close), self.held(), self.book.terms)


def play(lanes: Sequence[Lane], account: Account) -> list[Filled]:
    """Let an account live through every bar of every lane, in order, and return its fills."""
    found: list[Filled] = []
    for lane in _in_order(lanes):
        index = lane.index
        lane.index = index + 1
        is_quiet = lane.floor < lane.lowest[index] and lane.topmost[index] < lane.ceiling
        if is_quiet and not lane.book.pending:
            lane.book.mark = lane.close[index]
        else:
            found += lane.settle(account, index)
        if lane.actions[index]:
            lane.decide(account, index)
    return found


def equity(
    lanes: Iterable[tuple[Ints, Ints]], fills: Sequence[Filled], capital_nanos: int, times: Ints
) -> Floats:
    """Return cash and positions at every instant of the timeline, account currency.

    Parameters
    ----------
    lanes : iterable of pairs of array of int64
        Of each symbol, when its bars closed, and what the position was worth then, billionths.
    """
    cash = [(each.slot, each.cash_nanos) for each in fills]
    total = stepped(cash, capital_nanos, times.size)
    for close_ns, value in lanes:
        if value.size == times.size:
            total = total + value
            continue
        at = np.searchsorted(close_ns, times, side="right") - 1
        total = total + np.where(at < 0, 0, value[np.maximum(at, 0)] if value.size else 0)
    return total.astype(np.float64) / money.NANOS


def _in_order(lanes: Sequence[Lane]) -> Iterable[Lane]:
    # As in the child: by closing time, and by symbol where two close together.
    if len(lanes) == 1:
        return repeat(lanes[0], len(lanes[0].close))
    by_symbol = sorted(lanes, key=lambda each: each.symbol)
    times = np.concatenate([np.asarray(each.close_ns) for each in by_symbol])
    owners = np.repeat(np.arange(len(by_symbol)), [len(each.close) for each in by_symbol])
    return map(by_symbol.__getitem__, owners[np.lexsort((owners, times))].tolist())


def _quiet_between(book: Book) -> tuple[int, int]:
    if not book.lots:
        return _NOWHERE
    below, above = (book.stop, book.target) if book.lots > 0 else (book.target, book.stop)
    return (_NOWHERE[0] if below is None else below), (_NOWHERE[1] if above is None else above)


def stepped(steps: Sequence[tuple[int, int]], first: int, size: int) -> Ints:
    """Return what holds at each of so many places, when it changes at some; the last one counts."""
    values = [first, *(value for _, value in steps)]
    kind = np.int64 if max(map(abs, values)) < _SAFE else object
    counts = np.searchsorted([at for at, _ in steps], np.arange(size), side="right")
    found: Ints = np.array(values, dtype=kind)[counts]
    return found


def worth(close: Ints, held: Ints, terms: Terms) -> Ints:
    """Return what lots are worth at closes in ticks, billionths."""
    factor, rest = divmod(terms.tick_nanos * terms.lot_nanos, money.NANOS)
    if not close.size or not held.any():
        return np.zeros(close.size, dtype=np.int64)
    if not rest and int(close.max()) * int(np.abs(held).max()) * factor < _SAFE // _MOST_SYMBOLS:
        return close * held * factor
    exact = [
        terms.nanos(price * lots) for price, lots in zip(close.tolist(), held.tolist(), strict=True)
    ]
    found: Ints = np.array(exact, dtype=object)
    return found
