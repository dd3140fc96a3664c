"""The desk of a signal strategy: its venue, and the ledger entry of every bar."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from threading import RLock
from typing import Any

from strategy_engine.core.money import NANOS
from strategy_engine.execution.alone import alone
from strategy_engine.execution.cuts import Cuts
from strategy_engine.execution.history import History
from strategy_engine.execution.model import Observation
from strategy_engine.execution.tally import Kept, Tally
from strategy_engine.flags.sticky import Reading, Sticky
from strategy_engine.market.feeds import BarEvent
from strategy_engine.matching.model import Decision, Fill, Terms
from strategy_engine.sandbox.protocol import messages
from strategy_engine.venue.gate import GateRequest
from strategy_engine.venue.model import (
    BarProcessed,
    Closed,
    Flowed,
    Happened,
    Placed,
)
from strategy_engine.venue.paper import NOTHING_HAPPENED, NOTHING_PLACED, PaperVenue
from strategy_engine.venue.vetting import Answers


class Desk:
    """Everything about one execution that changes with a bar. No I/O: the runner does that."""

    def __init__(
        self,
        venue: PaperVenue,
        history: History,
        capital_nanos: int,
        flags: Sticky | None = None,
    ) -> None:
        self.venue = venue
        self._flags = flags or Sticky()
        self._reading: Reading | None = None  # for the decision that is being made
        self.tally = Tally(venue.execution_id, venue.epoch, history, capital_nanos)
        self._untold: list[tuple[str, messages.Filled]] = []
        self._happened = NOTHING_HAPPENED  # in this bar, and not yet in the ledger
        self._cuts = Cuts()
        self._is_cutting = False  # and the ledger has not heard of it
        self.lock = RLock()

    @alone
    def restore(self, kept: Kept) -> None:
        """Go on where the ledger stands."""
        self.venue.load(kept.checkpoint.account)
        self._flags.load(kept.checkpoint.account)
        self._cuts.load(kept.checkpoint.account)
        self.tally.restore(kept)
        self._untold = [
            (symbol, messages.Filled(**dict(zip(_FILLED, told, strict=True))))
            for symbol, *told in kept.checkpoint.undelivered
        ]
        self.venue.publish(self.tally.place[0])

    @property
    def is_flat(self) -> bool:
        """Whether nothing is held in any instrument."""
        return not any(book.lots for book in self.venue.account.books.values())

    def holds(self, symbol: str) -> bool:
        """Whether there is a position in an instrument."""
        return self.venue.account.books[symbol].lots != 0

    def dump(self) -> Mapping[str, Any]:
        """Return the account as the ledger keeps it."""
        return self.venue.dump() | self._flags.dump() | self._cuts.dump()

    # -- what risk does to it, from any thread and at any instant

    @property
    def owes(self) -> bool:
        """Whether the ledger has still to hear of what was taken back between two bars."""
        return bool(self._happened.cancelled) or self._is_cutting

    @alone
    def take_back(self, *, only_entries: bool) -> tuple[str, ...]:
        """Take back what waits to fill; return its ids. The next entry says so."""
        return self._owe(self.venue.cancel(only_entries=only_entries))

    @alone
    def take_back_these(self, order_ids: Collection[str]) -> None:
        """Take back what still waits of some orders."""
        self._owe(self.venue.cancel(ids=order_ids))

    @alone
    def cut(self, deed_id: str, factor: Decimal) -> None:
        """Leave a share of every position, each at its next price; once for a deed."""
        held = [each for each in self.venue.terms if self.holds(each)]
        self._is_cutting = self._cuts.begin(deed_id, factor, held) or self._is_cutting

    def _owe(self, gone: tuple[str, ...]) -> tuple[str, ...]:
        happened = self._happened
        self._happened = Happened(fills=happened.fills, cancelled=happened.cancelled + gone)
        return gone

    # -- bar by bar

    @alone
    def mark(
        self, event: BarEvent, *, cancel_entries: bool = False, closes: Collection[str] = ()
    ) -> BarProcessed | None:
        """Let a bar fill and mark; the entry is to be kept before the strategy hears of its fills.

        With `cancel_entries`, what waits to open a position is taken back first; of instruments in
        `closes` everything that waits is, and the position is closed at the open of its bar.
        """
        gone = self._happened.cancelled  # between the bars
        gone += self.venue.cancel(symbols=closes) if closes else ()
        if cancel_entries:
            gone += self.venue.cancel(only_entries=True)
        placed = self._leave(event.symbol, event.ts_ns, closes)
        series = self.tally.history.series[event.symbol]
        happened = self.venue.on_bar(
            event.symbol, (event.ts_ns, event.close_ns), series.ticks_at(event.index)
        )
        if gone:
            happened = Happened(fills=happened.fills, cancelled=gone + happened.cancelled)
        self.tally.enter(event)
        self._happened = happened
        if not happened.fills:
            return None
        self._untold += [(each.symbol, _told(each, series.terms)) for each in happened.fills]
        return self._entry(is_decided=False, placed=placed)

    def _leave(self, symbol: str, now_ns: int, closes: Collection[str]) -> Placed:
        """Order out of all of a position, or of what is cut of it."""
        left = self._cuts.take(symbol)
        if symbol in closes:
            return self.venue.flatten(symbol, now_ns)
        return self.venue.reduce(symbol, left, now_ns)

    @alone
    def bar_message(self, event: BarEvent) -> messages.Bar:
        """Return what the strategy is shown of a bar."""
        account = self.venue.account
        book = account.books[event.symbol]
        self._reading = self._flags.read(event.symbol, event.close_ns, is_held=book.lots != 0)
        return messages.Bar(
            symbol=event.symbol,
            open_ns=event.ts_ns,
            close_ns=event.close_ns,
            ohlcv=(event.open, event.high, event.low, event.close, event.volume),
            holding=messages.Holding(
                lots=book.lots,
                entry_price=book.entry_price,
                cash=account.cash / NANOS,
                equity=account.equity() / NANOS,
            ),
            fills=[filled for symbol, filled in self._untold if symbol == event.symbol],
            flags=self._flags.news(event.symbol, self._reading.values),
        )

    @alone
    def proposed(self, event: BarEvent, decision: Decision) -> tuple[GateRequest, ...]:
        """Return what of a decision could open something, and would pass the gate by now."""
        return self.venue.proposed(event.symbol, decision, event.close_ns)

    @alone
    def hear(self, answers: Answers) -> None:
        """Take what was said of the orders that are placed next."""
        self.venue.answers = answers
        self.tally.notice(answers.notices)

    @alone
    def conclude(
        self, event: BarEvent, decision: Decision | None, state: bytes | None
    ) -> BarProcessed:
        """Place what was decided, and return the entry that ends the bar.

        Without a decision (the execution is paused) the strategy has not heard of its fills yet.
        """
        placed = NOTHING_PLACED
        if decision is not None:
            placed = self.venue.decide(event.symbol, decision, event.close_ns)
            self.tally.denials += len(placed.denials)
            if self._untold:
                self._untold = [each for each in self._untold if each[0] != event.symbol]
        if state is not None:
            self.tally.state = state
        entry = self._entry(is_decided=True, placed=placed, decision=decision, state=state)
        self.tally.leave(entry.equity_nanos)
        return entry

    @alone
    def withdraw_entries(self, symbols: Collection[str]) -> BarProcessed | None:
        """Take back what waits to open a position in some instruments; None if nothing is new."""
        self._owe(self.venue.cancel(only_entries=True, symbols=symbols))
        if not self.owes:
            return None
        entry = self._entry(is_decided=not self.tally.is_mid_bar, placed=NOTHING_PLACED)
        self.tally.stay(entry.equity_nanos)
        return entry

    @alone
    def cross(self, trades: Sequence[tuple[str, int]], tag: str) -> BarProcessed:
        """Trade signed lots with another of the line at the marks, between two bars.

        The strategy hears of these fills with its next bar.
        """
        placed, happened = self.venue.cross(trades, self.tally.place[0], tag)
        series = self.tally.history.series
        self._untold += [
            (each.symbol, _told(each, series[each.symbol].terms)) for each in happened.fills
        ]
        self._happened = Happened(fills=happened.fills, cancelled=self._happened.cancelled)
        entry = self._entry(is_decided=not self.tally.is_mid_bar, placed=placed)
        self.tally.stay(entry.equity_nanos)
        return entry

    @alone
    def flow(self, target_nanos: int | None, at: datetime) -> Flowed | None:
        """Let capital enter or leave until what was contributed is the target; None: nothing moves.

        What cannot leave yet is reserved. Between two bars, or when a bar's fills are in the
        ledger and the strategy has not been asked about it; never in between.
        """
        amount = self.tally.settle(self.venue.purse, target_nanos)
        if not amount:
            return None
        self.venue.publish(self.tally.place[0])
        return Flowed(
            **self.tally.flow(amount, at),
            equity_nanos=self.venue.account.equity(),
            cash_nanos=self.venue.account.cash,
            account=self.dump(),
            undelivered=tuple(_plain(each) for each in self._untold),
        )

    @alone
    def close(self) -> Closed:
        """Take back every order that waits, and return the entry that ends the execution."""
        cancelled = self._happened.cancelled + self.venue.cancel()
        self.venue.publish(self.tally.place[0])
        return Closed(**self.tally.end(), cancelled=cancelled, account=self.dump())

    def observe(self, *, is_final: bool = False) -> Observation:
        """Return what the execution has come to by now."""
        return self.tally.observe(self.venue.account.equity(), is_final=is_final)

    def _entry(
        self,
        *,
        is_decided: bool,
        placed: Placed,
        decision: Decision | None = None,
        state: bytes | None = None,
    ) -> BarProcessed:
        venue, happened, reading = self.venue, self._happened, self._reading
        self._happened, self._reading, self._is_cutting = NOTHING_HAPPENED, None, False
        venue.publish(self.tally.place[0])
        return BarProcessed(
            **self.tally.stamp(happened.fills),
            is_decided=is_decided,
            equity_nanos=venue.account.equity(),
            cash_nanos=venue.account.cash,
            terms=venue.terms,
            account=self.dump(),
            cancelled=happened.cancelled,
            orders=placed.orders,
            denials=placed.denials,
            decision=decision,
            undelivered=tuple(_plain(each) for each in self._untold),
            state=state,
            flags=(reading.values or None) if reading else None,
            are_flags_new=reading is not None and reading.is_new,
        )


_FILLED = messages.Filled.__struct_fields__


def _told(fill: Fill, terms: Terms) -> messages.Filled:
    return messages.Filled(
        side=fill.side.value,
        quantity=terms.quantity(fill.lots),
        price=terms.price(fill.price_ticks),
        fee=fill.fee_nanos / NANOS,
        pnl=fill.pnl_nanos / NANOS,
        ts_ns=fill.ts_ns,
        cause=fill.cause.value,
    )


def _plain(untold: tuple[str, messages.Filled]) -> tuple[object, ...]:
    symbol, filled = untold
    return (symbol, *(getattr(filled, name) for name in _FILLED))
