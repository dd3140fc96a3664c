"""The run-ahead loop: whole histories through the strategy, one account for all instruments."""

import bisect
import operator
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from strategy_engine.core.money import NANOS
from strategy_engine.kernel import signal
from strategy_engine.kernel.seat import Seat, told
from strategy_engine.kernel.strategy import Blueprint
from strategy_engine.kernel.window import Series, Window
from strategy_engine.matching.account import Account, Book
from strategy_engine.matching.model import BUY, HOLD, SELL, Decision, Fill, Rules, Terms
from strategy_engine.sandbox.protocol import messages

_FIRST = operator.itemgetter(0)
_NOWHERE = -1, 1 << 62  # a floor and a ceiling that no price in ticks reaches


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

    __slots__ = ("open_ns", "series", "ticks", "times")

    def __init__(self, bars: messages.Bars, terms: Terms) -> None:
        columns = (bars.open, bars.high, bars.low, bars.close)
        opened = np.frombuffer(bars.open_ns, dtype="<i8")
        self.series = Series((*columns, bars.volume), (opened + bars.duration_ns).tobytes())
        self.open_ns = memoryview(opened)
        self.times = self.series.times
        # Memoryviews give Python's own integers, and take 8 bytes where a list takes 36.
        self.ticks = tuple(
            memoryview(terms.ticks(np.frombuffer(each, dtype="<f8"))) for each in columns
        )


class Run:
    """One instrument's way through a backtest."""

    __slots__ = (
        "actions",
        "book",
        "ceiling",
        "details",
        "floor",
        "history",
        "idle",
        "index",
        "seat",
        "shown",
        "standing",
        "symbol",
        "ticks",
    )

    def __init__(self, plan: Blueprint, history: History, account: Account, symbol: str) -> None:
        self.symbol = symbol
        self.book = account.books[symbol]
        self.standing = AccountStanding(account, self.book)
        self.seat = Seat(plan, symbol, Window(history.series, plan.lookback), self.standing)
        self.history = history
        self.ticks = history.ticks
        self.floor, self.ceiling = _NOWHERE
        self.idle = _idle(self.book, account.rules)
        self.index = 0
        self.actions = bytearray(len(history.times))
        self.details: list[messages.Detail] = []
        self.shown: list[tuple[int, dict[str, Any]]] = []

    def show(self, told: messages.FlagsShown) -> None:
        """Let flags say so from a bar on; those that were said before come before."""
        self.shown.append((bisect.bisect_left(self.history.times, told.close_ns), told.flags))

    def parts(self, first: int, last: int) -> Iterator[range]:
        """Return bars in parts that see the same flags, which are shown before each."""
        at = bisect.bisect_right(self.shown, first, key=_FIRST)
        if at:
            self.seat.market.see_flags(self.shown[at - 1][1])
        for turn, flags in self.shown[at:]:
            if turn >= last:
                break
            yield range(first, turn)
            first = turn
            self.seat.market.see_flags(flags)
        yield range(first, last)

    def restart(self, plan: Blueprint) -> None:
        """Go on with a fresh instance of freshly run code, as another process would."""
        state = self.seat.saved()
        window = Window(self.history.series, plan.lookback, seen=self.index)
        self.seat = Seat(plan.again(), self.symbol, window, self.standing)
        self.seat.start(state)

    def settle(self, account: Account, index: int) -> None:
        """Let the bar fill what is pending and touch what is protected; tell the strategy."""
        open_, high, low, close = self.ticks
        bar = open_[index], high[index], low[index], close[index]
        times = self.history.open_ns[index], self.history.times[index]
        fills = account.on_bar(self.symbol, times, bar)
        self.floor, self.ceiling = _quiet_between(self.book)
        self.idle = _idle(self.book, account.rules)
        for fill in fills if self.seat.listens else ():
            self.seat.tell(_shown(fill, self.book.terms))

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
    by_symbol = {each.symbol: each for each in runs}
    for said in how.shown:
        by_symbol[said.symbol].show(said)
    for each in runs:
        each.seat.start()
    _replay(runs, account, plan, how)
    for each in runs:
        each.seat.stop()
    return messages.Backtested(
        decisions=[each.decisions() for each in runs], cpu_ns=time.thread_time_ns() - started_ns
    )


def _replay(runs: list[Run], account: Account, plan: Blueprint, how: messages.Backtest) -> None:
    for each, first, last in _stretches(runs, how.restart_at):
        if first == how.restart_at:
            each.restart(plan)
        begin = first
        if first < how.warm_up:  # nobody is asked, so nothing is held and nothing can happen
            begin = min(last, how.warm_up)
            each.seat.window.advance(begin - first)
        for bars in each.parts(begin, last) if each.shown else (range(begin, last),):
            _go_on(each, account, bars)
        each.index = last


def _go_on(run: Run, account: Account, bars: range) -> None:  # noqa: C901  (a call costs what the work does)
    # The hot loop: no object is made for a plain word, and the account is visited only when
    # something is pending or a bar leaves the range in which it can only move the mark. What is
    # inside `try` is `Seat.decide`.
    seat, book, actions = run.seat, run.book, run.actions
    window, full = seat.window, seat.window.full
    generate, market, words = seat.generate, seat.market, signal.WORDS
    _, highs, lows, closes = run.ticks
    for index in bars:
        window.end = end = window.end + 1
        if end == full:
            window.renew()
        if book.pending:
            run.settle(account, index)
        elif book.lots:
            if lows[index] <= run.floor or highs[index] >= run.ceiling:
                run.settle(account, index)
            else:
                book.mark = closes[index]
        try:
            value = generate(market)
            word = words.get(value) if value.__class__ is str else None
            decision = word or signal.to_decision(value)
        except BaseException as error:
            raise seat.undecided(error) from error
        if decision is HOLD:
            continue
        actions[index] = decision.action
        if decision is run.idle:
            book.last_target = None  # all that `plan` does with it
            continue
        if decision is not BUY and decision is not SELL:
            run.details.append(told(index, decision))
        book.mark = closes[index]  # of what is not held nobody asked for it before
        orders = account.plan(run.symbol, decision, run.history.times[index])
        if orders:
            account.submit(orders)


def _idle(book: Book, how: Rules) -> Decision | None:
    # The word that asks for nothing: to buy what is held, to sell what may not be sold short.
    if book.lots > 0:
        return BUY
    return None if book.lots or how.allow_short else SELL


def _quiet_between(book: Book) -> tuple[int, int]:
    if not book.lots:
        return _NOWHERE
    below, above = (book.stop, book.target) if book.lots > 0 else (book.target, book.stop)
    return (_NOWHERE[0] if below is None else below), (_NOWHERE[1] if above is None else above)


def _stretches(runs: list[Run], restart_at: int | None) -> Iterator[tuple[Run, int, int]]:
    # Whose bars come next, from which to which: by time, then by symbol.
    by_symbol = sorted(runs, key=lambda each: each.symbol)
    times = np.concatenate([each.history.times for each in by_symbol])
    owners = np.repeat(np.arange(len(by_symbol)), [len(each.actions) for each in by_symbol])
    owners = owners[np.lexsort((owners, times))]
    begins = np.flatnonzero(np.diff(owners, prepend=-1))
    counts = np.diff(begins, append=len(owners))
    for owner, count in zip(owners[begins].tolist(), counts.tolist(), strict=True):
        each = by_symbol[owner]
        first, last = each.index, each.index + count
        if restart_at is not None and first < restart_at < last:
            yield each, first, restart_at
            first = restart_at
        yield each, first, last


def _shown(fill: Fill, terms: Terms) -> messages.Filled:
    return messages.Filled(
        side=fill.side.value,
        quantity=terms.quantity(fill.lots),
        price=terms.price(fill.price_ticks),
        fee=fill.fee_nanos / NANOS,
        pnl=fill.pnl_nanos / NANOS,
        ts_ns=fill.ts_ns,
        cause=fill.cause.value,
    )
