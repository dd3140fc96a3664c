"""The venue of one native execution: the order book behind the gate, and all that is told of it.

Nothing here decides a price: `matching` does, by the same `Exchange` as in a backtest.
"""

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from msgspec.structs import replace

from strategy_engine.matching.exchange import Exchange, Pair, Prices, Times
from strategy_engine.matching.model import (
    DAY_NS,
    Cause,
    Conditions,
    Order,
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
from strategy_engine.venue import (
    ceilings,
    changes,
    leaving,
    matches,
    native_orders,
    rules,
    vetting,
)
from strategy_engine.venue.aggregates import Beside, Standing
from strategy_engine.venue.gate import Around, GateRequest, TicketRequest
from strategy_engine.venue.limits import Limit, Limits
from strategy_engine.venue.model import ALWAYS, RiskState
from strategy_engine.venue.native_orders import OpenOrders
from strategy_engine.venue.oversight import Seat
from strategy_engine.venue.purse import Purse
from strategy_engine.venue.rates import Rate
from strategy_engine.venue.tape import Tape
from strategy_engine.venue.vetting import NOBODY_ASKED, Answers

DAILY_LOSS = "the day's loss limit is used up"
REPLACED = "another execution serves the instrument now"

type Given = Iterable[tuple[int, Instruction]]


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What a strategy knows of its account that has heard of everything until now.

    Parameters
    ----------
    balance_nanos : int
        The account without what open positions gain or lose.
    holdings : sequence
        Symbol, signed lots and average entry price of every position.
    working : sequence of Ticket
        What has not ended for it, with the terms it has by now and the lots that are left.
    filled : mapping
        Lots that had filled of those, by name; those of none are left out.
    """

    balance_nanos: int
    holdings: tuple[tuple[str, int, float], ...]
    working: tuple[Ticket, ...]
    filled: Mapping[str, int]


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
        self.seat = seat or Seat()
        self.orders, self.cancels = Rate(), Rate()
        self._exits: set[str] = set()  # orders that could open nothing when they were judged
        self.epoch = epoch
        self.highest_epoch = epoch
        self.is_running = True
        self.risk_state = RiskState.ACTIVE
        self.serves = ALWAYS
        self.answers = NOBODY_ASKED  # of who is asked outside before an order goes
        self.tape = Tape(execution_id)
        self._exchange = Exchange(capital_nanos, self.terms.values(), how, conditions)
        self._open = OpenOrders(self._exchange)
        self._how = how
        self.purse = Purse(self._exchange.book.funds)

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

    @property
    def limits(self) -> Limits:
        """Return what it is held to by now."""
        return self.seat.limits

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

    def proposed(self, given: Given, now_ns: int) -> tuple[GateRequest, ...]:
        """Return what of instructions could open something, and might go by now; nothing changes.

        Each is judged as if those before it had gone, as far as it could open more by that.
        """
        earlier: dict[str, Ticket] = {}
        found: list[GateRequest] = []
        for _, each in given:
            if isinstance(each, Ticket):
                asked = self._request(each, now_ns, NOBODY_ASKED, vetting.ahead(each, earlier))
                earlier[each.client_order_id] = each
                denial = rules.judge_ticket(asked)
            elif isinstance(each, Modify) and (more := self._enlarged(each, earlier)) is not None:
                asked = self._request(more, now_ns, NOBODY_ASKED, vetting.ahead(more, earlier))
                denial = rules.judge_change(asked)
            else:
                continue
            if asked.request.order.opens and denial is None:
                found.append(asked.request)
        return tuple(found)

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
        if self.seat.is_alone:
            return
        standing = Standing(
            equity_nanos=self.book.equity(),
            day=self.purse.day,
            pnl_nanos=self.day_pnl_nanos,
            orders=self.orders.at(now_ns),
            cancels=self.cancels.at(now_ns),
            sides=self._open.sides(),
        )
        self.seat.put(standing, self._open.waiting())

    def view(self) -> View:
        """Return what a strategy knows that has heard of everything but refusals."""
        book = self.book
        waiting = [each for _, each in self._exchange.waiting if isinstance(each, Ticket)]
        held = [(name, each) for name, each in book.positions.items() if each.lots]
        paid = sum(each.entry_nanos if each.lots > 0 else -each.entry_nanos for _, each in held)
        works = [
            replace(
                each.ticket, lots=each.leaves, limit_ticks=each.limit, trigger_ticks=each.trigger
            )
            for each in book.working
        ]
        return View(
            balance_nanos=book.cash + paid,
            holdings=tuple((name, each.lots, each.entry_price or 0.0) for name, each in held),
            working=(*works, *waiting, *self.tape.refused),
            filled={each.order_id: each.filled for each in book.working if each.filled},
        )

    def dump(self) -> dict[str, Any]:
        """Return everything that changes, but for what is still to be told, as plain values."""
        book = self.book.dump()
        return {
            "cash": book.pop("cash"),
            "positions": book.pop("positions"),
            "book": book,
            "waiting": self._exchange.dump_waiting(),
            "tape": self.tape.dump(),
            "rates": [self.orders.dump(), self.cancels.dump()],
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
        self.orders.load(sent)
        self.cancels.load(taken_back)
        self._exits = set(state.get("exits", ()))

    # -- the gate

    def _begin_at(self, now_ns: int) -> None:
        self._exchange.seen.clear()
        self.purse.come_to(now_ns)
        if self.risk_state is not RiskState.ACTIVE:
            self.cancel_entries(now_ns, f"the execution is {self.risk_state}")
        if (why := self.seat.killed) is not None:
            self._cancel_killed(now_ns, why)
        if ceilings.used_up(self.limits, self.day_pnl_nanos, self._beside) is not None:
            self.cancel_entries(now_ns, DAILY_LOSS)
        self._end_tenures(now_ns)
        if self._exits:
            self._judge_exits(now_ns)

    def _end_tenures(self, now_ns: int) -> None:
        """Take back entries that work where others serve; what was decided last meets a price."""
        over = {each for each in self.terms if not self.serves.of(each).holds(now_ns + 1)}
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
        for name in () if self.seat.is_alone else sorted(self._exits):
            order, leaves = self._open.find(name) or (None, 0)
            if order is None or not self._open.may_open(order, leaves):
                continue
            asked = self._request(replace(order, lots=leaves), now_ns, self.answers)
            denial = rules.judge_change(asked)
            if denial is not None:
                self.cancel(name, now_ns, denial.message)

    def _cancel_killed(self, now_ns: int, why: str) -> None:
        for order, _ in tuple(self._open.each()):
            name = order.client_order_id
            if not name.startswith(rules.ENGINES_OWN) and self._open.find(name) is not None:
                self.cancel(name, now_ns, f"an emergency stop is in force: {why}")

    def _ask(self, order: Ticket, now_ns: int, *, is_restart: bool) -> None:
        self.tape.count(order.client_order_id)
        asked = self._request(order, now_ns, self.answers)
        opens = asked.request.order.opens
        denial = rules.judge_ticket(asked)
        if denial is not None:
            self.tape.deny(order, denial, now_ns, opens=opens)
        elif is_restart:
            self.tape.refuse_again(order, now_ns, opens=opens)
        else:
            self.orders.note(now_ns)
            if not opens and not order.reduce_only:
                self._exits.add(order.client_order_id)
            self.tape.place(order, now_ns, opens=opens)
            self._exchange.ask([(now_ns, order)])

    def _modify(self, change: Modify, now_ns: int) -> None:
        name = change.client_order_id
        found = self._open.find(name)
        denial = None
        if found is not None:  # of what does not work the book says so
            changed = rules.changed(*found, change, self._open.filled(name))
            answers = NOBODY_ASKED if self._enlarged(change, {}) is None else self.answers
            denial = rules.judge_change(self._request(changed, now_ns, answers))
        if denial is None:
            self.orders.note(now_ns)
            self._exchange.ask([(now_ns, change)])
            return
        self.tape.denials += 1
        code, message = denial.code, denial.message
        self._hear([ModifyRejected(client_order_id=name, ts_ns=now_ns, code=code, message=message)])

    def _enlarged(self, change: Modify, earlier: Mapping[str, Ticket]) -> Ticket | None:
        """Return what a change makes of an order that has more at stake by it; None: it has not."""
        name = change.client_order_id
        found = self._open.find(name)
        if found is None and name in earlier:
            found = earlier[name], earlier[name].lots
        if found is None:
            return None
        order, leaves = found
        changed = rules.changed(order, leaves, change, self._open.filled(name))
        position = self.book.positions.get(order.symbol)
        mark = 0 if position is None else position.mark
        before, after = (rules.price_at_most(each, mark) for each in (order, changed))
        return changed if vetting.enlarges((leaves, before), (changed.lots, after)) else None

    def _take_back(self, asked: Cancel, now_ns: int) -> None:
        denial = ceilings.judge_cancel(self.limits, self.cancels.at(now_ns), self._beside)
        if denial is None:
            self.cancels.note(now_ns)
            self._exchange.ask([(now_ns, asked)])
            return
        self.tape.denials += 1
        name, code, message = asked.client_order_id, denial.code, denial.message
        self._hear([CancelRejected(client_order_id=name, ts_ns=now_ns, code=code, message=message)])

    def _request(
        self, order: Ticket, now_ns: int, answers: Answers = NOBODY_ASKED, ahead: int = 0
    ) -> TicketRequest:
        position = self.book.positions.get(order.symbol)
        held, mark = (0, 0) if position is None else (position.lots, position.mark)
        beside = self._open.beside(order) + ahead
        opens = rules.may_open(order, held, beside)
        request = GateRequest(
            order=Order(
                symbol=order.symbol,
                side=order.side,
                lots=order.lots,
                opens=opens,
                decided_ns=now_ns,
                order_id=order.client_order_id,
            ),
            terms=self.terms.get(order.symbol) or next(iter(self.terms.values())),
            limits=self.limits,
            symbols=self.terms.keys(),
            fee_ppm=self._how.fee_ppm,
            is_running=self.is_running,
            risk_state=self.risk_state,
            epoch=self.epoch,
            highest_epoch=self.highest_epoch,
            mark_ticks=rules.price_at_most(order, mark),
            lots_before=held + (beside if order.side is Side.BUY else -beside),
            free_nanos=0,  # money is the venue's to judge
            day_pnl_nanos=self.day_pnl_nanos,
            serves=self.serves,
            around=self._around(order, mark, now_ns, answers)
            if opens
            else Around(killed=self.seat.killed),
        )
        return TicketRequest(
            request=request,
            is_known=order.client_order_id in self.tape.symbols,
            working=sum(1 for _ in self._open.each()),
            entries_left=self._entries_left(order, held, now_ns),
        )

    def _entries_left(self, order: Ticket, held: int, now_ns: int) -> int | None:
        most = self._how.max_trades_per_day
        if most is None or held * _sign(order) > 0:  # adding is no new entry
            return None
        might = sum(self._open.may_open(each, leaves) for each, leaves in self._open.each())
        return most - self.tape.entries_of(now_ns // DAY_NS) - might

    def _around(self, order: Ticket, mark_ticks: int, now_ns: int, answers: Answers) -> Around:
        seat, symbol, price = self.seat, order.symbol, native_orders.price_of(order)
        rival = None
        if not matches.is_asleep(order):
            rival = seat.match(symbol, order.side, price, now_ns)
        return Around(
            **seat.exposure(symbol, order.side, self.book.equity, self._open.sides),
            orders=self.orders.at(now_ns),
            mark_ticks=mark_ticks,
            prices=native_orders.prices_of(order, mark_ticks),
            beside=seat.all_beside(symbol, self.purse.day),
            rival=rival,
            killed=seat.killed,
            vetoed=answers.against(order.client_order_id, order.lots),
        )

    def _beside(self, limit: Limit) -> Beside:
        return self.seat.beside(limit.scope, "", self.purse.day)

    def _is_of(self, asked: Instruction, symbols: Container[str] | None) -> bool:
        return symbols is None or self.tape.symbols.get(asked.client_order_id) in symbols

    def _hear(self, events: Iterable[OrderEvent]) -> None:
        self.tape.hear(events)


def _sign(order: Ticket) -> int:
    return 1 if order.side is Side.BUY else -1


def _is_order(instruction: Instruction, name: str) -> bool:
    return isinstance(instruction, Ticket) and instruction.client_order_id == name
