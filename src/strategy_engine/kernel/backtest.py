"""The run-ahead loop: whole histories through the strategy, one account for all instruments."""

import time
from collections.abc import Iterable, Iterator
from itertools import chain, repeat

import numpy as np
from numpy.typing import NDArray

from strategy_engine.core.money import NANOS
from strategy_engine.kernel.seat import Seat, detail
from strategy_engine.kernel.strategy import Blueprint
from strategy_engine.kernel.window import Row
from strategy_engine.matching.account import Account, Book
from strategy_engine.matching.model import HOLD, Decision, Fill, Terms
from strategy_engine.sandbox.protocol import messages

_CHUNK_BARS = 4096  # Python floats of this many bars exist at a time


class AccountStanding:
    """What the run's own account says of one instrument."""

    __slots__ = ("_account", "_book")

    def __init__(self, account: Account, book: Book) -> None:
        self._account = account
        self._book = book

    def position(self) -> float:
        """Return the signed quantity held."""
        return self._book.terms.quantity(self._book.lots)

    def entry_price(self) -> float | None:
        """Return the average entry price, None when flat."""
        return self._book.entry_price

    def equity(self) -> float:
        """Return cash and positions at their marks."""
        return self._account.equity() / NANOS

    def cash(self) -> float:
        """Return the cash."""
        return self._account.cash / NANOS


class History:
    """Bars of one instrument: floats for the strategy, ticks for the account."""

    __slots__ = ("close_ns", "open_ns", "rows", "ticks")

    def __init__(self, bars: messages.Bars, terms: Terms) -> None:
        columns = (bars.open, bars.high, bars.low, bars.close, bars.volume)
        self.rows = np.column_stack([np.frombuffer(each, dtype="<f8") for each in columns])
        self.open_ns: NDArray[np.int64] = np.frombuffer(bars.open_ns, dtype="<i8")
        self.close_ns: NDArray[np.int64] = self.open_ns + bars.duration_ns
        exact = np.rint(self.rows[:, :4] * NANOS / terms.tick_nanos)
        self.ticks: list[NDArray[np.int64]] = list(exact.astype(np.int64).T.copy())

    def bars(self, first: int = 0, last: int | None = None) -> Iterator[tuple[int, Row]]:
        """Return the bars from `first` to before `last`: when each closed, and its row."""
        end = len(self.rows) if last is None else last
        return chain.from_iterable(
            self._chunk(start, min(start + _CHUNK_BARS, end))
            for start in range(first, end, _CHUNK_BARS)
        )

    def _chunk(self, start: int, end: int) -> Iterable[tuple[int, Row]]:
        return zip(self.close_ns[start:end].tolist(), self.rows[start:end].tolist(), strict=True)


class Run:
    """One instrument's way through a backtest."""

    __slots__ = (
        "actions",
        "bars",
        "book",
        "close_ticks",
        "details",
        "history",
        "index",
        "seat",
        "standing",
        "symbol",
        "ticks",
    )

    def __init__(self, plan: Blueprint, history: History, account: Account, symbol: str) -> None:
        self.symbol = symbol
        self.book = account.books[symbol]
        self.standing = AccountStanding(account, self.book)
        self.seat = Seat(plan, symbol, self.standing)
        self.history = history
        self.bars = history.bars()
        self.ticks = [memoryview(each) for each in history.ticks]
        self.close_ticks = self.ticks[3]
        self.index = 0
        self.actions = bytearray(len(history.rows))
        self.details: list[messages.Detail] = []

    def restart(self, plan: Blueprint) -> None:
        """Go on with a fresh instance of freshly run code, as another process would."""
        state = self.seat.saved()
        self.seat = Seat(plan.again(), self.symbol, self.standing)
        window = self.seat.window
        for close_ns, row in self.history.bars(max(0, self.index - window.lookback), self.index):
            window.append(close_ns, row)
        window.seen = self.index
        self.seat.start(state)

    def settle(self, account: Account, index: int, close_ns: int) -> None:
        """Let the bar fill what is pending and touch what is protected; tell the strategy."""
        open_, high, low, close = self.ticks
        bar = open_[index], high[index], low[index], close[index]
        times = int(self.history.open_ns[index]), close_ns
        for fill in account.on_bar(self.symbol, times, bar):
            self.seat.tell(_told(fill, self.book.terms))

    def keep(self, index: int, decision: Decision) -> None:
        """Pack a decision."""
        self.actions[index] = decision.action
        more = detail(index, decision)
        if more is not None:
            self.details.append(more)

    def decisions(self) -> messages.Decisions:
        """Return what was decided, packed."""
        return messages.Decisions(
            symbol=self.symbol, actions=bytes(self.actions), details=self.details
        )


def run(plan: Blueprint, account: Account, how: messages.Backtest) -> messages.Backtested:
    """Run fresh instances over whole histories; the decisions are the result.

    Raises
    ------
    StrategyFailedError
        If the strategy raised, or broke its contract.
    """
    started_ns = time.thread_time_ns()
    runs = [
        Run(plan, History(bars, account.books[bars.symbol].terms), account, bars.symbol)
        for bars in how.bars
    ]
    for each in runs:
        each.seat.start()
    _replay(runs, account, plan, how)
    for each in runs:
        each.seat.stop()
    return messages.Backtested(
        decisions=[each.decisions() for each in runs], cpu_ns=time.thread_time_ns() - started_ns
    )


def _replay(runs: list[Run], account: Account, plan: Blueprint, how: messages.Backtest) -> None:
    # The hot loop: a bar costs 0.5 µs beside the strategy's own time, so no object is made for a
    # plain word, and the account is visited only for what is pending or protected.
    warm_up, restart_at = how.warm_up, how.restart_at
    for each in _in_order(runs):
        close_ns, row = next(each.bars)
        index = each.index
        if index == restart_at:
            each.restart(plan)
        seat, book = each.seat, each.book
        seat.window.append(close_ns, row)
        if book.pending or book.stop is not None or book.target is not None:
            each.settle(account, index, close_ns)
        else:
            book.mark = each.close_ticks[index]
        each.index = index + 1
        if index < warm_up:
            continue
        decision = seat.decide()
        if decision is HOLD:
            continue
        each.keep(index, decision)
        orders = account.plan(each.symbol, decision, close_ns)
        if orders:
            account.submit(orders)


def _in_order(runs: list[Run]) -> Iterable[Run]:
    if len(runs) == 1:
        return repeat(runs[0], len(runs[0].actions))
    by_symbol = sorted(runs, key=lambda each: each.symbol)
    times = np.concatenate([each.history.close_ns for each in by_symbol])
    owners = np.repeat(np.arange(len(by_symbol)), [len(each.actions) for each in by_symbol])
    return map(by_symbol.__getitem__, owners[np.lexsort((owners, times))].tolist())


def _told(fill: Fill, terms: Terms) -> messages.Filled:
    return messages.Filled(
        side=fill.side,
        quantity=terms.quantity(fill.lots),
        price=terms.price(fill.price_ticks),
        fee=fill.fee_nanos / NANOS,
        pnl=fill.pnl_nanos / NANOS,
        ts_ns=fill.ts_ns,
        cause=fill.cause,
    )
