"""The gate of one native execution: what is asked about its orders, and what is known of them."""

from collections.abc import Iterable, Mapping

from strategy_engine.matching.model import DAY_NS, Order, Rules, Side, Terms
from strategy_engine.matching.orderbook import OrderBook
from strategy_engine.matching.ticket import Instruction, Modify, Ticket
from strategy_engine.venue import ceilings, matches, native_orders, rules, vetting
from strategy_engine.venue.aggregates import Beside
from strategy_engine.venue.gate import Around, GateRequest, TicketRequest
from strategy_engine.venue.limits import Limit, Limits
from strategy_engine.venue.model import ALWAYS, Denial, RiskState
from strategy_engine.venue.native_orders import OpenOrders
from strategy_engine.venue.oversight import Seat
from strategy_engine.venue.purse import Purse
from strategy_engine.venue.rates import Rate
from strategy_engine.venue.tape import Tape
from strategy_engine.venue.vetting import NOBODY_ASKED, Answers

type Given = Iterable[tuple[int, Instruction]]


class NativeGate:
    """What the orders of a native execution are held to by now. Judges; places nothing.

    Parameters
    ----------
    seat : Seat
        Its place among the others of its node.
    epoch : int
        Which copy of the execution this is; `highest_epoch` is raised when it hears of a newer.
    """

    def __init__(  # noqa: PLR0913 - what an order is judged by, each a thing of its own
        self,
        book: OrderBook,
        *,
        terms: Mapping[str, Terms],
        how: Rules,
        still_open: OpenOrders,
        tape: Tape,
        purse: Purse,
        seat: Seat,
        epoch: int,
    ) -> None:
        self.seat = seat
        self.orders, self.cancels = Rate(), Rate()
        self.epoch = epoch
        self.highest_epoch = epoch
        self.is_running = True
        self.risk_state = RiskState.ACTIVE
        self.serves = ALWAYS
        self.answers = NOBODY_ASKED  # of who is asked outside before an order goes
        self._book, self._terms, self._how = book, terms, how
        self._open, self._tape, self._purse = still_open, tape, purse

    @property
    def limits(self) -> Limits:
        """Return what it is held to by now."""
        return self.seat.limits

    @property
    def is_spent(self) -> bool:
        """Whether the day's loss limit is used up, its own or one that it shares."""
        return ceilings.used_up(self.limits, self._purse.day_pnl_nanos, self._beside) is not None

    def asked(self, order: Ticket, now_ns: int) -> TicketRequest:
        """Return what the gate is asked of an order, with what was said of it outside."""
        return self._request(order, now_ns, self.answers)

    def judge_change(self, change: Modify, now_ns: int) -> Denial | None:
        """Judge what a change makes of an order; of what does not work the book says so."""
        found = self._open.find(change.client_order_id)
        if found is None:
            return None
        changed = rules.changed(*found, change, self._open.filled(change.client_order_id))
        answers = NOBODY_ASKED if self._enlarged(change, {}) is None else self.answers
        return rules.judge_change(self._request(changed, now_ns, answers))

    def judge_cancel(self, now_ns: int) -> Denial | None:
        """Judge whether an order may be taken back now."""
        return ceilings.judge_cancel(self.limits, self.cancels.at(now_ns), self._beside)

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

    def _request(
        self, order: Ticket, now_ns: int, answers: Answers = NOBODY_ASKED, ahead: int = 0
    ) -> TicketRequest:
        position = self._book.positions.get(order.symbol)
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
            terms=self._terms.get(order.symbol) or next(iter(self._terms.values())),
            limits=self.limits,
            symbols=self._terms.keys(),
            fee_ppm=self._how.fee_ppm,
            is_running=self.is_running,
            risk_state=self.risk_state,
            epoch=self.epoch,
            highest_epoch=self.highest_epoch,
            mark_ticks=rules.price_at_most(order, mark),
            lots_before=held + (beside if order.side is Side.BUY else -beside),
            free_nanos=0,  # money is the venue's to judge
            day_pnl_nanos=self._purse.day_pnl_nanos,
            serves=self.serves,
            around=self._around(order, mark, now_ns, answers)
            if opens
            else Around(killed=self.seat.killed),
        )
        return TicketRequest(
            request=request,
            is_known=order.client_order_id in self._tape.symbols,
            working=sum(1 for _ in self._open.each()),
            entries_left=self._entries_left(order, held, now_ns),
        )

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
        position = self._book.positions.get(order.symbol)
        mark = 0 if position is None else position.mark
        before, after = (rules.price_at_most(each, mark) for each in (order, changed))
        return changed if vetting.enlarges((leaves, before), (changed.lots, after)) else None

    def _entries_left(self, order: Ticket, held: int, now_ns: int) -> int | None:
        most = self._how.max_trades_per_day
        if most is None or held * _sign(order) > 0:  # adding is no new entry
            return None
        might = sum(self._open.may_open(each, leaves) for each, leaves in self._open.each())
        return most - self._tape.entries_of(now_ns // DAY_NS) - might

    def _around(self, order: Ticket, mark_ticks: int, now_ns: int, answers: Answers) -> Around:
        seat, symbol, price = self.seat, order.symbol, native_orders.price_of(order)
        rival = None
        if not matches.is_asleep(order):
            rival = seat.match(symbol, order.side, price, now_ns)
        return Around(
            **seat.exposure(symbol, order.side, self._book.equity, self._open.sides),
            orders=self.orders.at(now_ns),
            mark_ticks=mark_ticks,
            prices=native_orders.prices_of(order, mark_ticks),
            beside=seat.all_beside(symbol, self._purse.day),
            rival=rival,
            killed=seat.killed,
            vetoed=answers.against(order.client_order_id, order.lots),
        )

    def _beside(self, limit: Limit) -> Beside:
        return self.seat.beside(limit.scope, "", self._purse.day)


def _sign(order: Ticket) -> int:
    return 1 if order.side is Side.BUY else -1
