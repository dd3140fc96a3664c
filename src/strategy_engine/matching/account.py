"""One execution's paper account: what it holds, what is pending, and what a bar does to both.

The same code runs in the child, where the strategy needs its position, in the engine's judgement
of a backtest, and behind the live order gate. It is mutable because a backtest visits it per bar.
"""

from collections.abc import Iterable
from typing import Any

from strategy_engine.matching import position as positions
from strategy_engine.matching import rules
from strategy_engine.matching.model import (
    DAY_NS,
    Action,
    Cause,
    Decision,
    Fill,
    Order,
    Rules,
    Side,
    Terms,
)
from strategy_engine.matching.position import Position


class Book(Position):
    """The position in one instrument and the orders that wait for its next price."""

    __slots__ = (
        "last_target",
        "pending",
        "stop",
        "stop_ppb",
        "target",
        "target_ppb",
    )

    def __init__(self, terms: Terms) -> None:
        super().__init__(terms)
        self.stop: int | None = None
        self.target: int | None = None
        self.stop_ppb: int | None = None
        self.target_ppb: int | None = None
        self.last_target: int | None = None
        self.pending: list[Order] = []


class Account:
    """Cash and books of one execution. Every amount is an exact integer.

    `reserve_nanos` is still to leave: nothing is opened with it.
    """

    __slots__ = ("books", "cash", "entries_day", "entries_today", "reserve_nanos", "rules")

    def __init__(self, capital_nanos: int, terms: Iterable[Terms], how: Rules) -> None:
        self.cash = capital_nanos
        self.reserve_nanos = 0
        self.books = {each.symbol: Book(each) for each in terms}
        self.rules = how
        self.entries_day = -1
        self.entries_today = 0

    def equity(self) -> int:
        """Return cash and positions at their marks, in billionths."""
        return positions.equity(self.cash, self.books.values())

    def unpledged(self) -> int:
        """Return the cash that is not pledged to a short; below 0 where a short has lost more."""
        return positions.free(self.cash, self.books.values())

    def free(self) -> int:
        """Return the cash that may open positions: neither pledged to a short nor reserved."""
        return rules.spendable(self.unpledged(), self.reserve_nanos)

    def on_bar(
        self, symbol: str, times: tuple[int, int], bar: tuple[int, int, int, int]
    ) -> list[Fill]:
        """Fill what was pending at the open, watch stops and targets inside, mark at the close.

        Parameters
        ----------
        times : tuple of int
            When the bar opened and closed, nanoseconds since 1970.
        bar : tuple of int
            Open, high, low and close, ticks.
        """
        book = self.books[symbol]
        fills: list[Fill] = []
        if book.pending:
            book.mark = bar[0]
            orders, book.pending = book.pending, []
            for order in orders:
                fill = self._fill_at_open(book, order, bar[0], times[0])
                if fill is not None:
                    fills.append(fill)
        if book.lots and (book.stop is not None or book.target is not None):
            hit = rules.touched(bar[:3], book.lots, book.stop, book.target)
            if hit is not None:
                fills.append(self._fill_protection(book, hit, times[1]))
        book.mark = bar[3]
        return fills

    def plan(self, symbol: str, decision: Decision, now_ns: int) -> list[Order]:
        """Return the orders that a decision asks for, sized; nothing changes but its memory."""
        if decision.action is Action.HOLD:
            return []
        book = self.books[symbol]
        if decision.action is Action.TARGET:
            return self._plan_target(book, decision, now_ns)
        book.last_target = None
        sign = 1 if decision.action is Action.BUY else -1
        if book.lots * sign > 0:
            return []
        orders = self._closing(book, decision, now_ns) if book.lots else []
        if sign > 0 or self.rules.allow_short:
            share = decision.size_ppb
            share = self.rules.position_size_ppb if share is None else share
            lots = self._lots_for(book, share)
            orders += self._opening(book, decision, sign * lots, now_ns)
        return orders

    def submit(self, orders: Iterable[Order]) -> None:
        """Let orders wait for the next price of their instrument."""
        for order in orders:
            self.books[order.symbol].pending.append(order)

    def flatten(self, symbol: str, now_ns: int, cause: Cause) -> list[Order]:
        """Return the order that closes the position in `symbol`, if there is one."""
        book = self.books[symbol]
        if not book.lots:
            return []
        return [self._order(book, -book.lots, now_ns, opens=False, cause=cause)]

    def _plan_target(self, book: Book, decision: Decision, now_ns: int) -> list[Order]:
        share = decision.size_ppb or 0
        if not self.rules.allow_short:
            share = max(0, share)
        if share == book.last_target:
            return []
        book.last_target = share
        wanted = self._lots_for(book, abs(share)) * (1 if share > 0 else -1)
        closing = book.lots and wanted * book.lots <= 0
        if not closing and abs(wanted) < abs(book.lots):
            change = wanted - book.lots
            return [self._order(book, change, now_ns, opens=False, reason=decision.reason)]
        orders = self._closing(book, decision, now_ns) if closing else []
        missing = wanted if closing else wanted - book.lots
        opening = self._opening(book, decision, missing, now_ns)
        if missing and not opening:
            book.last_target = None  # the day's cap held it back: it is taken up the next day
        return orders + opening

    def _closing(self, book: Book, decision: Decision, now_ns: int) -> list[Order]:
        return [self._order(book, -book.lots, now_ns, opens=False, reason=decision.reason)]

    def _opening(
        self, book: Book, decision: Decision, signed_lots: int, now_ns: int
    ) -> list[Order]:
        if not signed_lots or not self._may_enter(book, signed_lots, now_ns):
            return []
        stop, target = decision.stop_loss_ppb, decision.take_profit_ppb
        return [
            Order(
                symbol=book.terms.symbol,
                side=Side.BUY if signed_lots > 0 else Side.SELL,
                lots=abs(signed_lots),
                opens=True,
                decided_ns=now_ns,
                stop_loss_ppb=self.rules.stop_loss_ppb if stop is None else stop,
                take_profit_ppb=self.rules.take_profit_ppb if target is None else target,
                reason=decision.reason,
            )
        ]

    def _may_enter(self, book: Book, signed_lots: int, now_ns: int) -> bool:
        limit = self.rules.max_trades_per_day
        if limit is None or book.lots * signed_lots > 0:  # adding is no new entry
            return True
        day = now_ns // DAY_NS
        if day != self.entries_day:
            self.entries_day, self.entries_today = day, 0
        if self.entries_today >= limit:
            return False
        self.entries_today += 1
        return True

    def _lots_for(self, book: Book, share_ppb: int) -> int:
        equity = rules.spendable(self.equity(), self.reserve_nanos)
        return rules.lots_for(share_ppb, equity, book.mark, book.terms, self.rules)

    def _order(
        self,
        book: Book,
        signed_lots: int,
        now_ns: int,
        *,
        opens: bool,
        cause: Cause = Cause.SIGNAL,
        reason: str = "",
    ) -> Order:
        return Order(
            symbol=book.terms.symbol,
            side=Side.BUY if signed_lots > 0 else Side.SELL,
            lots=abs(signed_lots),
            opens=opens,
            decided_ns=now_ns,
            cause=cause,
            reason=reason,
        )

    def _fill_at_open(self, book: Book, order: Order, open_ticks: int, ts_ns: int) -> Fill | None:
        price = rules.slipped(open_ticks, order.side, self.rules.slippage_ppm)
        slippage = abs(price - open_ticks)
        if not order.opens:
            lots = min(order.lots, abs(book.lots))
            if not lots:
                return None
            return self._reduce(book, order, (lots, price, slippage), ts_ns)
        lots = positions.room_for(book, order.lots, price, self.free(), self.rules)
        return self._open(book, order, (lots, price, slippage), ts_ns) if lots else None

    def _fill_protection(self, book: Book, hit: tuple[Cause, int], ts_ns: int) -> Fill:
        cause, level = hit
        order = self._order(book, -book.lots, ts_ns, opens=False, cause=cause)
        # A target is a limit order and fills at its price; a stop becomes a market order.
        slippage_ppm = self.rules.slippage_ppm if cause is Cause.STOP_LOSS else 0
        price = rules.slipped(level, order.side, slippage_ppm)
        book.last_target = None
        return self._reduce(book, order, (order.lots, price, abs(price - level)), ts_ns)

    def _open(self, book: Book, order: Order, size: tuple[int, int, int], ts_ns: int) -> Fill:
        lots, price, _ = size
        if not book.lots:
            book.stop_ppb, book.target_ppb = order.stop_loss_ppb, order.take_profit_ppb
        signed = lots if order.side is Side.BUY else -lots
        change, fee = book.enlarge(signed, price, self.rules.fee_ppm, ts_ns)
        self.cash += change
        book.stop, book.target = rules.protection(
            book.entry_tick_lots, book.lots, book.stop_ppb, book.target_ppb
        )
        return self._fill(book, order, size, (fee, 0, ts_ns))

    def _reduce(self, book: Book, order: Order, size: tuple[int, int, int], ts_ns: int) -> Fill:
        lots, price, _ = size
        change, fee, pnl = book.reduce(lots, price, self.rules.fee_ppm)
        self.cash += change
        if not book.lots:
            book.stop = book.target = None
        return self._fill(book, order, size, (fee, pnl, ts_ns))

    def _fill(
        self, book: Book, order: Order, size: tuple[int, int, int], outcome: tuple[int, int, int]
    ) -> Fill:
        fee, pnl, ts_ns = outcome
        return Fill(
            symbol=order.symbol,
            side=order.side,
            lots=size[0],
            price_ticks=size[1],
            slippage_ticks=size[2],
            fee_nanos=fee,
            pnl_nanos=pnl,
            ts_ns=ts_ns,
            cause=order.cause,
            opens=order.opens,
            lots_after=book.lots,
            order_id=order.order_id,
            round_trip=None if book.lots else book.round_trip(ts_ns),
        )


_BOOK_FIELDS = tuple(sorted({*Position.__slots__, *Book.__slots__} - {"terms", "pending"}))


def dump(account: Account) -> dict[str, Any]:
    """Return everything that changes in an account as plain values, to be kept and loaded again.

    The reserve is not in it: it follows from what is wanted of the account.
    """
    return {
        "cash": account.cash,
        "entries": [account.entries_day, account.entries_today],
        "books": {
            symbol: {name: getattr(book, name) for name in _BOOK_FIELDS}
            | {"pending": [_order_to_plain(order) for order in book.pending]}
            for symbol, book in account.books.items()
        },
    }


def load(account: Account, state: dict[str, Any]) -> None:
    """Put what `dump` returned into an account of the same instruments and rules."""
    account.cash = state["cash"]
    account.entries_day, account.entries_today = state["entries"]
    for symbol, kept in state["books"].items():
        book = account.books[symbol]
        for name in _BOOK_FIELDS:
            setattr(book, name, kept[name])
        book.pending = [_order_from_plain(order) for order in kept["pending"]]


def _order_to_plain(order: Order) -> dict[str, Any]:
    return {name: getattr(order, name) for name in Order.__struct_fields__}


def _order_from_plain(plain: dict[str, Any]) -> Order:
    return Order(**plain | {"side": Side(plain["side"]), "cause": Cause(plain["cause"])})
