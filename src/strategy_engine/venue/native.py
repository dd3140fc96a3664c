"""The venue of one native execution: the order book behind the gate, and all that is told of it.

Nothing here decides a price: `matching` does, by the same `Exchange` as in a backtest.
"""

from collections.abc import Container, Iterable, Mapping
from decimal import Decimal
from typing import Any

from msgspec.structs import replace

from strategy_engine.matching.exchange import Exchange, Pair, Prices, Times
from strategy_engine.matching.model import (
    Cause,
    Conditions,
    Rules,
    Side,
    Terms,
)
from strategy_engine.matching.orderbook import OrderBook
from strategy_engine.matching.ticket import (
    Cancel,
    Cancelled,
    CancelRejected,
    Instruction,
    Modify,
    ModifyRejected,
    OrderEvent,
    OrderType,
    Ticket,
)
from strategy_engine.venue import changes, leaving, native_view, rules
from strategy_engine.venue.aggregates import Standing
from strategy_engine.venue.model import RiskState
from strategy_engine.venue.native_gate import Given, NativeGate
from strategy_engine.venue.native_orders import OpenOrders
from strategy_engine.venue.native_view import View
from strategy_engine.venue.oversight import Seat
from strategy_engine.venue.purse import Purse
from strategy_engine.venue.tape import Tape

DAILY_LOSS = "the day's loss limit is used up"
REPLACED = "another execution serves the instrument now"


class NativeVenue:
    """What one native execution holds and has on order, and the gate that its orders pass.

    Parameters
    ----------
    epoch : int
        Which copy of the execution this is; `highest_epoch` is raised when it hears of a newer.
    seat : Seat or None
        Its place among the others of its node; None: it is alone, and nothing limits it.
    """

    def __init__(  # noqa: PLR0913 - what a venue is made of, each a thing of its own
        self,
        execution_id: str,
        *,
        capital_nanos: int,
        terms: Iterable[Terms],
        how: Rules,
        conditions: Conditions,
        epoch: int,
        seat: Seat | None = None,
    ) -> None:
        self.execution_id = execution_id
        self.terms: Mapping[str, Terms] = {each.symbol: each for each in terms}
        self._exits: set[str] = set()  # orders that could open nothing when they were judged
        self.tape = Tape(execution_id)
        self._exchange = Exchange(capital_nanos, self.terms.values(), how, conditions)
        self._open = OpenOrders(self._exchange)
        self.purse = Purse(self._exchange.book.funds)
        self.gate = NativeGate(
            self._exchange.book,
            terms=self.terms,
            how=how,
            still_open=self._open,
            tape=self.tape,
            purse=self.purse,
            seat=seat or Seat(),
            epoch=epoch,
        )

    @property
    def book(self) -> OrderBook:
        """Return the order book."""
        return self._exchange.book

    @property
    def is_flat(self) -> bool:
        """Whether nothing is held in any instrument."""
        return not any(each.lots for each in self.book.positions.values())

    @property
    def day_pnl_nanos(self) -> int:
        """Return the change of equity since the feed's day began, what flowed apart."""
        return self.purse.day_pnl_nanos

    # -- the market

    def on_bar(self, symbol: str, times: Times, prices: Prices, volume_lots: int) -> None:
        """Let what was asked for reach the book, and the book meet a bar."""
        self._begin_at(times[0])
        self._hear(self._exchange.meet(symbol, times, prices, volume_lots))

    def on_quote(self, symbol: str, ts_ns: int, quote: Pair, lots: Pair) -> None:
        """Let what was asked for reach the book, and the book meet a quote."""
        self._begin_at(ts_ns)
        self._hear(self._exchange.meet_quote(symbol, ts_ns, quote, lots))

    def on_trade(self, symbol: str, ts_ns: int, price: int, lots: int) -> None:
        """Let what was asked for reach the book, and the book meet a trade."""
        self._begin_at(ts_ns)
        self._hear(self._exchange.meet_trade(symbol, ts_ns, price, lots))

    def end_session(self, now_ns: int) -> None:
        """End the session: orders at the close fill, orders for the day expire."""
        self._hear(self.book.on_session_end(now_ns))

    # -- what is asked of it

    def ask(self, given: Given, *, since_ns: int, now_ns: int, is_restart: bool = False) -> None:
        """Judge instructions that were given after one instant and until another.

        What may go waits for the next price. Times beyond those two are not believed: an order
        that claims to be older would meet prices that are known already.

        Parameters
        ----------
        is_restart : bool
            They were given in a start that is not the first: new orders would be the second of
            their kind, and are refused.
        """
        first_ns = min(since_ns + 1, now_ns)
        for given_ns, instruction in given:
            at_ns = min(max(given_ns, first_ns), now_ns)
            match instruction:
                case Ticket():
                    self._ask(instruction, at_ns, is_restart=is_restart)
                case Modify():
                    self._modify(instruction, at_ns)
                case Cancel():
                    self._take_back(instruction, at_ns)

    def cancel(self, name: str, now_ns: int, why: str) -> None:
        """Take an order back at once, between two prices."""
        gone = self._exchange.withdraw(lambda each: _is_order(each, name))
        if gone:
            self._hear([Cancelled(client_order_id=name, ts_ns=now_ns, why=why)])
        else:
            events = self.book.cancel(Cancel(client_order_id=name), now_ns)
            self._hear(changes.because(events, name, why))

    def cancel_entries(
        self, now_ns: int, why: str, *, symbols: Container[str] | None = None
    ) -> None:
        """Take back every order that could open a position, or those of some; exits go on."""
        self._cancel_entries(tuple(self._open.each()), now_ns, why, symbols)

    def cancel_all(self, now_ns: int, why: str, *, symbols: Container[str] | None = None) -> None:
        """Take back every order, or those of some instruments; forget what was asked of them."""
        for each in self._exchange.withdraw(lambda asked: self._is_of(asked, symbols)):
            if isinstance(each, Ticket):
                self._hear([Cancelled(client_order_id=each.client_order_id, ts_ns=now_ns, why=why)])
        for symbol in (None,) if symbols is None else self.terms:
            if symbol is None or symbol in (symbols or ()):
                self._hear(self.book.cancel_all(now_ns, symbol=symbol, why=why))

    @property
    def open_names(self) -> frozenset[str]:
        """Return the orders that have not ended, by name."""
        return frozenset(each.client_order_id for each, _ in self._open.each())

    def flatten(self, symbol: str, now_ns: int, left: Decimal = Decimal(0)) -> None:
        """Order out of a position, or all but a share of it, on the engine's own behalf."""
        held = self.book.positions[symbol].lots
        lots = leaving.excess(held, left, 0)
        if not lots:
            return
        order = Ticket(
            client_order_id=f"{rules.ENGINES_OWN}{symbol}-{now_ns}",
            symbol=symbol,
            side=Side.SELL if held > 0 else Side.BUY,
            type=OrderType.MARKET,
            lots=lots,
            reduce_only=True,
        )
        self.tape.place(order, now_ns, opens=False, cause=Cause.HANDOVER)
        self._hear(self.book.submit(order, now_ns))

    # -- what is kept and told of it

    def publish(self, now_ns: int) -> None:
        """Let it count, with what it holds and has on order by now, where its node sums that."""
        if self.gate.seat.is_alone:
            return
        standing = Standing(
            equity_nanos=self.book.equity(),
            day=self.purse.day,
            pnl_nanos=self.day_pnl_nanos,
            orders=self.gate.orders.at(now_ns),
            cancels=self.gate.cancels.at(now_ns),
            sides=self._open.sides(),
        )
        self.gate.seat.put(standing, self._open.waiting())

    def view(self) -> View:
        """Return what a strategy knows that has heard of everything but refusals."""
        return native_view.of(self._exchange, self.tape)

    def dump(self) -> dict[str, Any]:
        """Return everything that changes, but for what is still to be told, as plain values."""
        book = self.book.dump()
        return {
            "cash": book.pop("cash"),
            "positions": book.pop("positions"),
            "book": book,
            "waiting": self._exchange.dump_waiting(),
            "tape": self.tape.dump(),
            "rates": [self.gate.orders.dump(), self.gate.cancels.dump()],
            "exits": sorted(self._exits),
        } | self.purse.dump(
            entries=sum(self._open.may_open(each, leaves) for each, leaves in self._open.each()),
            slippage_ppm=self.book.funds.rules.slippage_ppm,
        )

    def load(self, state: Mapping[str, Any], symbols: Mapping[str, str]) -> None:
        """Put what `dump` returned into a venue of the same instruments and rules.

        Parameters
        ----------
        symbols : mapping
            The ids of all orders that the ledger has, and their instruments.
        """
        money = {"cash": state["cash"], "positions": state["positions"]}
        self.book.load(state["book"] | money)
        self._exchange.load_waiting(state["waiting"])
        self.purse.load(state)
        self.tape.load(state["tape"], symbols)
        sent, taken_back = state.get("rates", ([], []))
        self.gate.orders.load(sent)
        self.gate.cancels.load(taken_back)
        self._exits = set(state.get("exits", ()))

    # -- the gate

    def _begin_at(self, now_ns: int) -> None:
        self._exchange.seen.clear()
        self.purse.come_to(now_ns)
        if self.gate.risk_state is not RiskState.ACTIVE:
            self.cancel_entries(now_ns, f"the execution is {self.gate.risk_state}")
        if (why := self.gate.seat.killed) is not None:
            self._cancel_killed(now_ns, why)
        if self.gate.is_spent:
            self.cancel_entries(now_ns, DAILY_LOSS)
        self._end_tenures(now_ns)
        if self._exits:
            self._judge_exits(now_ns)

    def _end_tenures(self, now_ns: int) -> None:
        """Take back entries that work where others serve; what was decided last meets a price."""
        over = {each for each in self.terms if not self.gate.serves.of(each).holds(now_ns + 1)}
        if over:
            working = [(each.ticket, each.leaves) for each in self.book.working]
            self._cancel_entries(working, now_ns, REPLACED, over)

    def _cancel_entries(
        self,
        orders: Iterable[tuple[Ticket, int]],
        now_ns: int,
        why: str,
        symbols: Container[str] | None,
    ) -> None:
        for order, leaves in orders:
            is_meant = symbols is None or order.symbol in symbols
            is_entry = is_meant and self._open.may_open(order, leaves)
            if is_entry and self._open.find(order.client_order_id) is not None:
                self.cancel(order.client_order_id, now_ns, why)

    def _judge_exits(self, now_ns: int) -> None:
        """Judge as entries what was none, and would open now that what it closed is gone.

        Beside others only: a backtest knows of no line, and trades them.
        """
        self._exits &= {each.client_order_id for each, _ in self._open.each()}
        for name in () if self.gate.seat.is_alone else sorted(self._exits):
            order, leaves = self._open.find(name) or (None, 0)
            if order is None or not self._open.may_open(order, leaves):
                continue
            denial = rules.judge_change(self.gate.asked(replace(order, lots=leaves), now_ns))
            if denial is not None:
                self.cancel(name, now_ns, denial.message)

    def _cancel_killed(self, now_ns: int, why: str) -> None:
        for order, _ in tuple(self._open.each()):
            name = order.client_order_id
            if not name.startswith(rules.ENGINES_OWN) and self._open.find(name) is not None:
                self.cancel(name, now_ns, f"an emergency stop is in force: {why}")

    def _ask(self, order: Ticket, now_ns: int, *, is_restart: bool) -> None:
        self.tape.count(order.client_order_id)
        asked = self.gate.asked(order, now_ns)
        opens = asked.request.order.opens
        denial = rules.judge_ticket(asked)
        if denial is not None:
            self.tape.deny(order, denial, now_ns, opens=opens)
        elif is_restart:
            self.tape.refuse_again(order, now_ns, opens=opens)
        else:
            self.gate.orders.note(now_ns)
            if not opens and not order.reduce_only:
                self._exits.add(order.client_order_id)
            self.tape.place(order, now_ns, opens=opens)
            self._exchange.ask([(now_ns, order)])

    def _modify(self, change: Modify, now_ns: int) -> None:
        name = change.client_order_id
        denial = self.gate.judge_change(change, now_ns)
        if denial is None:
            self.gate.orders.note(now_ns)
            self._exchange.ask([(now_ns, change)])
            return
        self.tape.denials += 1
        code, message = denial.code, denial.message
        self._hear([ModifyRejected(client_order_id=name, ts_ns=now_ns, code=code, message=message)])

    def _take_back(self, asked: Cancel, now_ns: int) -> None:
        denial = self.gate.judge_cancel(now_ns)
        if denial is None:
            self.gate.cancels.note(now_ns)
            self._exchange.ask([(now_ns, asked)])
            return
        self.tape.denials += 1
        name, code, message = asked.client_order_id, denial.code, denial.message
        self._hear([CancelRejected(client_order_id=name, ts_ns=now_ns, code=code, message=message)])

    def _is_of(self, asked: Instruction, symbols: Container[str] | None) -> bool:
        return symbols is None or self.tape.symbols.get(asked.client_order_id) in symbols

    def _hear(self, events: Iterable[OrderEvent]) -> None:
        self.tape.hear(events)


def _is_order(instruction: Instruction, name: str) -> bool:
    return isinstance(instruction, Ticket) and instruction.client_order_id == name
