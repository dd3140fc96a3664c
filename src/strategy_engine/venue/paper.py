"""The paper venue of one execution: matching's account behind the gate, with named orders.

Nothing here decides a price: `matching` does, by the same code as in a backtest.
"""

from collections.abc import Container, Iterable, Mapping
from decimal import Decimal
from typing import Any

from msgspec.structs import replace

from strategy_engine.matching import account as accounts
from strategy_engine.matching import crossing
from strategy_engine.matching import rules as matching
from strategy_engine.matching.account import Account
from strategy_engine.matching.model import (
    Action,
    Cause,
    Decision,
    Fill,
    Order,
    Rules,
    Side,
    Terms,
)
from strategy_engine.venue import ceilings, leaving, rules
from strategy_engine.venue.aggregates import Beside, Sides, Standing
from strategy_engine.venue.gate import Around, GateRequest
from strategy_engine.venue.limits import Limit, Limits
from strategy_engine.venue.matches import Waiting
from strategy_engine.venue.model import (
    ALWAYS,
    Denied,
    Happened,
    Placed,
    RiskState,
)
from strategy_engine.venue.oversight import Seat
from strategy_engine.venue.purse import Purse
from strategy_engine.venue.rates import Rate
from strategy_engine.venue.vetting import NOBODY_ASKED, Answers

NOTHING_HAPPENED = Happened()
NOTHING_PLACED = Placed()


class PaperVenue:
    """What one execution holds and has on order, and the gate that its orders pass.

    Parameters
    ----------
    epoch : int
        Which copy of the execution this is; `highest_epoch` is raised when it hears of a newer.
    seat : Seat or None
        Its place among the others of its node; None: it is alone, and nothing limits it.
    """

    def __init__(
        self,
        execution_id: str,
        *,
        capital_nanos: int,
        terms: Iterable[Terms],
        how: Rules,
        epoch: int,
        seat: Seat | None = None,
    ) -> None:
        self.execution_id = execution_id
        self.terms: Mapping[str, Terms] = {each.symbol: each for each in terms}
        self.account = Account(capital_nanos, self.terms.values(), how)
        self.seat = seat or Seat()
        self.orders = Rate()
        self.epoch = epoch
        self.highest_epoch = epoch
        self.is_running = True
        self.risk_state = RiskState.ACTIVE
        self.serves = ALWAYS
        self.answers = NOBODY_ASKED  # of who is asked outside before an order goes
        self.purse = Purse(self.account)
        self._bar_ns: dict[str, int] = {}  # how long the last bar of an instrument was

    @property
    def limits(self) -> Limits:
        """Return what it is held to by now."""
        return self.seat.limits

    @property
    def day_pnl_nanos(self) -> int:
        """Return the change of equity since the feed's day began, what flowed apart."""
        return self.purse.day_pnl_nanos

    def on_bar(
        self, symbol: str, times: tuple[int, int], ticks: tuple[int, int, int, int]
    ) -> Happened:
        """Fill, protect and mark by one bar.

        Parameters
        ----------
        times : tuple of int
            When the bar opened and closed, nanoseconds since 1970.
        ticks : tuple of int
            Open, high, low and close, ticks.
        """
        self.purse.come_to(times[0])
        self._bar_ns[symbol] = times[1] - times[0]
        book = self.account.books[symbol]
        waiting = book.pending
        if waiting and self.seat.killed is not None:
            book.pending = [each for each in waiting if each.cause is Cause.HANDOVER]
        fills = self.account.on_bar(symbol, times, ticks)
        if not waiting and not fills:
            return NOTHING_HAPPENED
        named = tuple(each if each.order_id else self._named(each) for each in fills)
        filled = {each.order_id for each in named}
        return Happened(
            fills=named,
            cancelled=tuple(each.order_id for each in waiting if each.order_id not in filled),
        )

    def proposed(self, symbol: str, decision: Decision, now_ns: int) -> tuple[GateRequest, ...]:
        """Return what of a decision could open something, and would go by now; nothing changes."""
        account, book = self.account, self.account.books[symbol]
        before = account.entries_day, account.entries_today, book.last_target
        earlier: list[Order] = []
        found: list[GateRequest] = []
        for number, order in enumerate(account.plan(symbol, decision, now_ns)):
            named = replace(order, order_id=self._order_id(order, number))
            request = self._request(named, earlier)
            if rules.judge(request) is None:
                earlier.append(named)
                found += [request] if named.opens else []
        account.entries_day, account.entries_today, book.last_target = before
        return tuple(found)

    def decide(self, symbol: str, decision: Decision, now_ns: int) -> Placed:
        """Turn a decision into orders, judge each, and let those that may go wait to fill."""
        if decision.action is Action.HOLD:
            return NOTHING_PLACED
        account, book = self.account, self.account.books[symbol]
        entries = account.entries_day, account.entries_today
        placed = self._place(account.plan(symbol, decision, now_ns))
        if any(each.order.opens for each in placed.denials):
            # An entry that was refused is none, and a target not reached is not yet followed.
            account.entries_day, account.entries_today = entries
            book.last_target = None
        return placed

    def flatten(self, symbol: str, now_ns: int) -> Placed:
        """Order out of a position, on the engine's own behalf."""
        return self._place(self.account.flatten(symbol, now_ns, Cause.HANDOVER))

    @property
    def may_take_over(self) -> bool:
        """Whether it may have a position that another of the line gives, as far as limits go."""
        if not self.is_running or self.risk_state is not RiskState.ACTIVE or self.seat.killed:
            return False
        return ceilings.used_up(self.limits, self.day_pnl_nanos, self._beside) is None

    def _beside(self, limit: Limit) -> Beside:
        return self.seat.beside(limit.scope, "", self.purse.day)

    def cross(
        self, trades: Iterable[tuple[str, int]], now_ns: int, tag: str
    ) -> tuple[Placed, Happened]:
        """Trade signed lots with another execution of the line, each at its mark and for nothing.

        Parameters
        ----------
        tag : str
            What the orders are named by: they are made once.
        """
        orders: list[Order] = []
        fills: list[Fill] = []
        for number, (symbol, lots) in enumerate(trades):
            order_id = crossed_id(self.execution_id, tag, number)
            orders.append(crossing.order(self.account, symbol, lots, now_ns, order_id))
            fills.append(crossing.cross(self.account, orders[-1]))
        return Placed(orders=tuple(orders)), Happened(fills=tuple(fills))

    def reduce(self, symbol: str, left: Decimal, now_ns: int) -> Placed:
        """Order out of a position but for a share of it, on the engine's own behalf."""
        book = self.account.books[symbol]
        going = sum(each.lots for each in book.pending if not each.opens)
        lots = leaving.excess(book.lots, left, going)
        closing = self.account.flatten(symbol, now_ns, Cause.HANDOVER)
        return self._place([replace(each, lots=lots) for each in closing if lots])

    def cancel(
        self,
        *,
        only_entries: bool = False,
        symbols: Container[str] | None = None,
        ids: Container[str] | None = None,
    ) -> tuple[str, ...]:
        """Take back orders that wait to fill, of all instruments or some; return their ids."""
        gone: list[str] = []
        for symbol, book in self.account.books.items():
            if symbols is not None and symbol not in symbols:
                continue
            keep = [
                order
                for order in book.pending
                if (only_entries and not order.opens)
                or (ids is not None and order.order_id not in ids)
            ]
            gone += [order.order_id for order in book.pending if order not in keep]
            book.pending = keep
        return tuple(gone)

    def publish(self, now_ns: int) -> None:
        """Let it count, with what it holds and has on order by now, where its node sums that."""
        if self.seat.is_alone:
            return
        standing = Standing(
            equity_nanos=self.account.equity(),
            day=self.purse.day,
            pnl_nanos=self.day_pnl_nanos,
            orders=self.orders.at(now_ns),
            sides=self._sides(),
        )
        self.seat.put(standing, self._waiting())

    def dump(self) -> dict[str, Any]:
        """Return everything that changes, as plain values."""
        waiting = (order for book in self.account.books.values() for order in book.pending)
        kept = accounts.dump(self.account) | {"rates": [self.orders.dump()]}
        return kept | self.purse.dump(
            entries=sum(order.opens for order in waiting),
            slippage_ppm=self.account.rules.slippage_ppm,
        )

    def load(self, state: Mapping[str, Any]) -> None:
        """Put what `dump` returned into a venue of the same instruments and rules."""
        accounts.load(self.account, dict(state))
        self.purse.load(state)
        for sent in state.get("rates", ())[:1]:
            self.orders.load(sent)

    def _place(self, orders: Iterable[Order]) -> Placed:
        accepted: list[Order] = []
        denied: list[Denied] = []
        for number, order in enumerate(orders):
            named = replace(order, order_id=self._order_id(order, number))
            denial = rules.judge(self._request(named, accepted, self.answers))
            if denial is None:
                accepted.append(named)
                if named.cause is not Cause.HANDOVER:
                    self.orders.note(named.decided_ns)
            else:
                denied.append(Denied(order=named, denial=denial))
        self.account.submit(accepted)
        return Placed(orders=tuple(accepted), denials=tuple(denied))

    def _request(
        self, order: Order, earlier: list[Order], answers: Answers = NOBODY_ASKED
    ) -> GateRequest:
        book = self.account.books[order.symbol]
        lots, free = book.lots, self.account.unpledged()
        for each in earlier:
            if each.symbol == order.symbol:  # it will have closed before this one opens
                lots += each.lots if each.side is Side.BUY else -each.lots
                value = book.terms.nanos(each.lots * book.mark)
                free += value - matching.fee(value, self.account.rules.fee_ppm)
        return GateRequest(
            order=order,
            terms=book.terms,
            limits=self.limits,
            symbols=self.terms.keys(),
            fee_ppm=self.account.rules.fee_ppm,
            is_running=self.is_running,
            risk_state=self.risk_state,
            epoch=self.epoch,
            highest_epoch=self.highest_epoch,
            mark_ticks=book.mark,
            lots_before=lots,
            free_nanos=matching.spendable(free, self.account.reserve_nanos),
            day_pnl_nanos=self.day_pnl_nanos,
            serves=self.serves,
            around=self._around(order, answers) if order.opens else Around(killed=self.seat.killed),
        )

    def _around(self, order: Order, answers: Answers) -> Around:
        seat, symbol = self.seat, order.symbol
        return Around(
            **seat.exposure(symbol, order.side, self.account.equity, self._sides),
            orders=self.orders.at(order.decided_ns),
            mark_ticks=self.account.books[symbol].mark,
            beside=seat.all_beside(symbol, self.purse.day),
            rival=seat.match(symbol, order.side, None, order.decided_ns),
            killed=seat.killed,
            vetoed=answers.against(order.order_id, order.lots),
        )

    def _sides(self) -> Mapping[str, Sides]:
        found: dict[str, Sides] = {}
        for symbol, book in self.account.books.items():
            if book.lots or book.pending:
                bought = sum(each.lots for each in book.pending if each.side is Side.BUY)
                sold = sum(each.lots for each in book.pending if each.side is Side.SELL)
                nanos, mark = book.terms.nanos, book.mark
                found[symbol] = Sides(
                    nanos(max(0, book.lots + bought) * mark), nanos(max(0, sold - book.lots) * mark)
                )
        return found

    def _waiting(self) -> Mapping[str, tuple[Waiting, ...]]:
        return {
            symbol: tuple(self._waits(each) for each in book.pending)
            for symbol, book in self.account.books.items()
            if book.pending
        }

    def _waits(self, order: Order) -> Waiting:
        """Return an order as others may meet it: until the next bar of its instrument."""
        bar_ns = self._bar_ns.get(order.symbol)
        until_ns = -1 if bar_ns is None else order.decided_ns + bar_ns
        return Waiting(order.side, None, order.decided_ns, until_ns)

    def _order_id(self, order: Order, number: int) -> str:
        which = number if order.cause is Cause.SIGNAL else order.cause
        return f"{self.execution_id}-{order.symbol}-{order.decided_ns}-{which}"

    def _named(self, fill: Fill) -> Fill:
        order_id = f"{self.execution_id}-{fill.symbol}-{fill.ts_ns}-{fill.cause}"
        return replace(fill, order_id=order_id)


def crossed_id(execution_id: str, tag: str, number: int) -> str:
    """Return the name of an execution's order in what was handed over by one key."""
    return f"{execution_id}-{tag}-{number}"
