"""The desk of a native strategy: its venue, what it has still to hear, and the ledger's entries."""

import dataclasses
from collections.abc import Collection, Iterable
from datetime import datetime
from decimal import Decimal
from threading import RLock
from typing import Any

import msgspec

from strategy_engine.execution import native_market, native_told, rules
from strategy_engine.execution.alone import alone
from strategy_engine.execution.conversation import Happening
from strategy_engine.execution.cuts import Cuts
from strategy_engine.execution.history import BEFORE_ALL, Cursor, History
from strategy_engine.execution.model import Observation
from strategy_engine.execution.tally import Kept, Tally
from strategy_engine.execution.ticks import place_of
from strategy_engine.market.feeds import BarEvent, MarketEvent
from strategy_engine.matching.ticket import (
    Cancel,
    Instruction,
    OrderEvent,
    Ticket,
)
from strategy_engine.sandbox.protocol import messages
from strategy_engine.venue.gate import GateRequest
from strategy_engine.venue.model import BarProcessed, Closed, Flowed
from strategy_engine.venue.native import NativeVenue
from strategy_engine.venue.native_view import View
from strategy_engine.venue.tape import Taken
from strategy_engine.venue.vetting import Answers

HELD_BACK = "the execution is paused or ends: entries are taken back"
GIVEN_UP = "another execution serves the instrument now: entries are taken back"
STOPPED = "risk has stopped the execution: what waits is taken back"
CUT = "risk cuts the position: what waits in the instrument is taken back"
LEAVING = "the execution closes its positions"
ENDED = "the execution has ended"


class NativeDesk:
    """Everything about one native execution that changes with a bar. No I/O.

    The ledger keeps beside the account what the strategy knew of it when it was last told, and
    what it has not heard since: so one that starts again knows what it knew, and hears the rest.
    """

    def __init__(self, venue: NativeVenue, history: History, capital_nanos: int) -> None:
        self.venue = venue
        self.tally = Tally(venue.execution_id, venue.gate.epoch, history, capital_nanos)
        self._is_restart = False
        self._told_ns = history.time_at(self.tally.cursor)  # of what it was shown last
        self._view = venue.view()
        self._filled: dict[str, int] = {}  # of orders that its process knows by what was left
        self._news: bytes | None = None
        self._untold_nanos = 0  # that flowed since it was told last
        self._cuts = Cuts()
        self._is_owing = False
        self._telling: int | None = None  # so many of what happened are on their way to it
        self.lock = RLock()

    @alone
    def restore(self, kept: Kept) -> None:
        """Go on where the ledger stands."""
        checkpoint = kept.checkpoint
        self.venue.load(checkpoint.account, kept.orders)
        self.venue.tape.untold = [
            msgspec.convert(each, OrderEvent) for each in checkpoint.undelivered
        ]
        self._cuts.load(checkpoint.account)
        self.tally.restore(kept)
        self.tally.denials = self.venue.tape.denials
        self._view = msgspec.convert(checkpoint.account["view"], View)
        self._untold_nanos = checkpoint.account.get("untold", 0)
        self._told_ns = self.known_ns
        self._is_restart = True
        self.venue.publish(self.tally.place[0])

    @property
    def is_flat(self) -> bool:
        """Whether nothing is held in any instrument."""
        return self.venue.is_flat

    def holds(self, symbol: str) -> bool:
        """Whether there is a position in an instrument."""
        return self.venue.book.positions[symbol].lots != 0

    def dump(self) -> dict[str, Any]:
        """Return the account as the ledger keeps it, with what the strategy knows of it."""
        return (
            self.venue.dump()
            | self._cuts.dump()
            | {
                "view": msgspec.to_builtins(self._view),
                "untold": self._untold_nanos,
                "place": list(self.tally.place),
            }
        )

    @property
    def told_ns(self) -> int:
        """When that was which it was shown last."""
        return self._told_ns

    @property
    def known_ns(self) -> int:
        """When that was which it may know: where it stands between two bars."""
        tally = self.tally
        at_ns = tally.history.time_at(tally.known)
        return at_ns if tally.is_mid_bar else max(at_ns, tally.place[0])

    # -- what risk does to it, from any thread and at any instant

    @property
    def owes(self) -> bool:
        """Whether the ledger has still to hear of what was taken back between two bars."""
        return self._is_owing

    @alone
    def take_back(self, *, only_entries: bool) -> tuple[str, ...]:
        """Take back what waits to fill; return its names. The next entry says so."""
        before, now_ns = self.venue.open_names, max(0, self.tally.cursor[0])
        if only_entries:
            self.venue.cancel_entries(now_ns, STOPPED)
        else:
            self.venue.cancel_all(now_ns, STOPPED)
        gone = before - self.venue.open_names
        self._is_owing = self._is_owing or bool(gone)
        return tuple(sorted(gone))

    @alone
    def take_back_these(self, order_ids: Collection[str]) -> None:
        """Take back what still waits of some orders."""
        for name in sorted(self.venue.open_names.intersection(order_ids)):
            self.venue.cancel(name, max(0, self.tally.cursor[0]), STOPPED)
            self._is_owing = True

    @alone
    def cut(self, deed_id: str, factor: Decimal) -> None:
        """Leave a share of every position, each at its next price; once for a deed."""
        held = [each for each in self.venue.terms if self.holds(each)]
        self._is_owing = self._cuts.begin(deed_id, factor, held) or self._is_owing

    # -- what the strategy is told

    @alone
    def warm_up_message(self) -> messages.NativeWarmUp:
        """Return what a strategy starts with: as it was when it was told last."""
        self._filled = dict(self._view.filled)
        return native_told.warm_up(
            self._view,
            start_ns=self._told_ns,
            bars=self.tally.history.frames_before(self.tally.known),
            state=self.tally.state,
            orders_made=self.venue.tape.orders_made,
        )

    @alone
    def catch_up_message(self, seen: Cursor) -> messages.NativeWarmUp:
        """Return the bars that a strategy was not shown after `seen`."""
        now = self.tally.known
        return messages.NativeWarmUp(
            start_ns=self.known_ns,
            bars=self.tally.history.frames_between(seen, now),
            balance_nanos=self._view.balance_nanos,
        )

    @alone
    def events_message(self) -> messages.OrderEvents | None:
        """Return what it has not heard, at the time of what it was shown last; None for nothing."""
        if not self.venue.tape.untold and not self._untold_nanos:
            return None
        return messages.OrderEvents(
            now_ns=self._told_ns, events=self._untold(), flowed_nanos=self._untold_nanos
        )

    @alone
    def message(self, event: MarketEvent) -> Happening:
        """Return what the strategy is shown of a bar or tick, after what became of its orders."""
        told: dict[str, Any] = {
            "symbol": event.symbol,
            "events": self._untold(),
            "flowed_nanos": self._untold_nanos,
            "is_last": self.tally.history.is_last(place_of(event)),
        }
        return native_told.message(event, told)

    # -- what it asks for

    @alone
    def proposed(
        self, acted: messages.NativeActed, now_ns: int, *, is_start: bool = False
    ) -> tuple[GateRequest, ...]:
        """Return what could open something of what it asks for, and might pass the gate by now."""
        given = self._given(acted)
        if is_start and self._is_restart:  # it gets no new order
            given = [each for each in given if not isinstance(each[1], Ticket)]
        return self.venue.gate.proposed(given, now_ns)

    @alone
    def hear(self, answers: Answers) -> None:
        """Take what was said of the orders that are placed next."""
        self.venue.gate.answers = answers
        self.tally.notice(answers.notices)

    @alone
    def started(self, acted: messages.NativeActed) -> None:
        """Take what a strategy asks for in its start; of a second one, no new orders."""
        before = self._view
        self._hear(acted, self._told_ns, self._told_ns, is_restart=self._is_restart)
        if self._is_restart:  # it knows no more than it did when it was told last
            working = (*before.working, *self.venue.tape.refused)
            self._view = dataclasses.replace(before, working=working)

    @alone
    def answered(self, acted: messages.NativeActed) -> None:
        """Take what a strategy asks for that has heard everything, between two bars."""
        self._tell()
        self._hear(acted, self._told_ns, self._told_ns)

    @alone
    def caught_up(self, acted: messages.NativeActed) -> None:
        """Take what a strategy has to say of the bars that it was not shown in their time."""
        self._told_ns = self.known_ns
        self._hear(acted, self._told_ns, self._told_ns)

    @alone
    def stopping(self, asked: Iterable[messages.Asked]) -> None:
        """Do what a strategy asks for in its end: cancels. It gets no new order."""
        for _, each in rules.instructions_of(asked):
            if isinstance(each, Cancel):
                self.venue.cancel(each.client_order_id, self._told_ns, ENDED)
            else:
                self.tally.notice([native_told.refused(each)])

    # -- bar by bar

    @alone
    def mark(
        self, event: MarketEvent, *, cancel_entries: bool = False, closes: Collection[str] = ()
    ) -> BarProcessed | None:
        """Let a bar or tick fill and mark; the entry is to be kept before the strategy hears of it.

        With `cancel_entries`, what could open a position is taken back first; of instruments in
        `closes` everything is, and the position is closed at its bar's open, or at its tick.
        """
        venue, is_bar = self.venue, isinstance(event, BarEvent)
        if closes:
            venue.cancel_all(event.ts_ns, LEAVING, symbols=closes)
        if cancel_entries:
            venue.cancel_entries(event.ts_ns, HELD_BACK)
        # Where there are ticks they are the market: bars are there to look at.
        if not (is_bar and self.tally.history.ticks.has(event.symbol)):
            self._leave(event.symbol, event.ts_ns, closes)
            series = self.tally.history.series[event.symbol]
            native_market.meet(venue, series, event)
        self.tally.enter(event)
        return self._entry(is_decided=False) if venue.tape.has_fills else None

    def _leave(self, symbol: str, now_ns: int, closes: Collection[str]) -> None:
        """Order out of all of a position, or of what is cut of it."""
        left = self._cuts.take(symbol)
        if symbol in closes:
            self.venue.flatten(symbol, now_ns)
        elif left < 1:  # with what waits to exit besides, it could go beyond flat
            self.venue.cancel_all(now_ns, CUT, symbols=(symbol,))
            self.venue.flatten(symbol, now_ns, left)

    @alone
    def conclude(
        self, event: MarketEvent, acted: messages.NativeActed | None
    ) -> BarProcessed | None:
        """Judge what was asked for, and return the entry that ends the bar or tick.

        A tick that changes nothing has none: who starts again meets it again. Without an answer
        (the execution is paused) the strategy has not heard of anything.
        """
        is_quiet = not self.venue.tape.untold and not self._untold_nanos
        if acted is not None:
            self._tell()
            since_ns, self._told_ns = self._told_ns, place_of(event)[0]
            self._hear(acted, since_ns, self._told_ns)
            is_quiet = is_quiet and not acted.asked and self._news is None
        if is_quiet and not isinstance(event, BarEvent) and not self.tally.is_mid_bar:
            self.tally.pass_by()
            self.venue.publish(self.tally.place[0])
            return None
        entry = self._entry(is_decided=True)
        self.tally.leave(entry.equity_nanos)
        return entry

    @alone
    def end_session(self) -> BarProcessed | None:
        """End the session where the feed ends; return the entry of what that did, if anything."""
        if self.tally.cursor == BEFORE_ALL:
            return None
        self.venue.end_session(self.tally.cursor[0])
        if not self.venue.tape.has_news:
            return None
        entry = self._entry(is_decided=True)
        self.tally.leave(entry.equity_nanos)
        return entry

    @alone
    def withdraw_entries(self, symbols: Collection[str]) -> BarProcessed | None:
        """Take back what waits to open a position in some instruments; None if nothing does."""
        if self.tally.cursor == BEFORE_ALL:
            return None
        self.venue.cancel_entries(self.tally.cursor[0], GIVEN_UP, symbols=symbols)
        if not self.venue.tape.has_news and not self._is_owing:
            return None
        entry = self._entry(is_decided=not self.tally.is_mid_bar)
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
        self._untold_nanos += amount
        self.venue.publish(self.tally.place[0])
        numbered = self.tally.flow(amount, at)
        taken, news = self.venue.tape.take(), self._news
        self._news = None
        return Flowed(
            **numbered,
            equity_nanos=self.venue.book.equity(),
            cash_nanos=self.venue.book.cash,
            terms=self.venue.terms,
            account=self.dump(),
            undelivered=self._undelivered(),
            state=news,
            placings=taken.placings,
            changes=taken.changes,
        )

    @alone
    def close(self) -> Closed:
        """Take back every order, and return the entry that ends the execution."""
        self.venue.cancel_all(max(0, self.tally.cursor[0]), ENDED)
        self.venue.publish(self.tally.place[0])
        taken = self.venue.tape.take()
        return Closed(
            **self.tally.end(),
            cancelled=(),
            account=self.dump(),
            terms=self.venue.terms,
            placings=taken.placings,
            changes=taken.changes,
        )

    def observe(self, *, is_final: bool = False) -> Observation:
        """Return what the execution has come to by now."""
        return self.tally.observe(self.venue.book.equity(), is_final=is_final)

    def _entry(self, *, is_decided: bool) -> BarProcessed:
        venue, news = self.venue, self._news
        taken: Taken = venue.tape.take()
        self._news, self._is_owing = None, False
        venue.publish(self.tally.place[0])
        return BarProcessed(
            **self.tally.stamp(taken.fills),
            is_decided=is_decided,
            equity_nanos=venue.book.equity(),
            cash_nanos=venue.book.cash,
            terms=venue.terms,
            account=self.dump(),
            undelivered=self._undelivered(),
            state=news,
            placings=taken.placings,
            changes=taken.changes,
        )

    def _hear(
        self,
        acted: messages.NativeActed,
        since_ns: int,
        now_ns: int,
        *,
        is_restart: bool = False,
    ) -> None:
        self.venue.ask(self._given(acted), since_ns=since_ns, now_ns=now_ns, is_restart=is_restart)
        self._view = self.venue.view()
        self.tally.denials = self.venue.tape.denials
        self.tally.notice(acted.notices)
        if acted.state is not None:
            self.tally.state = self._news = acted.state

    def _given(self, acted: messages.NativeActed) -> list[tuple[int, Instruction]]:
        return [
            (ts_ns, native_told.whole(each, self._filled))
            for ts_ns, each in rules.instructions_of(acted.asked)
        ]

    def _tell(self) -> None:
        # What risk takes back while the strategy is asked it hears of the next time.
        self.venue.tape.tell(self._telling)
        self._telling, self._untold_nanos = None, 0

    def _undelivered(self) -> tuple[Any, ...]:
        return tuple(msgspec.to_builtins(each) for each in self.venue.tape.untold)

    def _untold(self) -> msgspec.Raw:
        self._telling = len(self.venue.tape.untold)
        return native_told.events(self.venue.tape.untold, self._filled)
