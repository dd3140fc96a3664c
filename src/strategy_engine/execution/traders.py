"""What differs by kernel in the life of an execution: a strategy's process and its desk."""

import time
from collections.abc import Collection, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Protocol

from strategy_engine.execution import limiting, rules, shown, veto
from strategy_engine.execution.conversation import Conversation
from strategy_engine.execution.desk import Desk
from strategy_engine.execution.history import Cursor, History, Series
from strategy_engine.execution.model import Execution, Observation
from strategy_engine.execution.native_desk import NativeDesk
from strategy_engine.execution.tally import Kept, Tally
from strategy_engine.execution.ticks import TickHistory, place_of
from strategy_engine.execution.veto import Vet
from strategy_engine.flags.live import LiveFlags
from strategy_engine.market.feeds import BarEvent, MarketEvent
from strategy_engine.matching.settings import Settings
from strategy_engine.registry.model import Content
from strategy_engine.sandbox.protocol import messages
from strategy_engine.venue.model import BarProcessed, Closed, Flowed, RiskState, Tenure
from strategy_engine.venue.native import NativeVenue
from strategy_engine.venue.native_gate import NativeGate
from strategy_engine.venue.oversight import Oversight, Seat
from strategy_engine.venue.paper import PaperVenue


class Gate(Protocol):
    """What the runner sets of a venue's gate."""

    epoch: int
    highest_epoch: int
    risk_state: RiskState
    serves: Tenure
    seat: Seat


class AnyDesk(Protocol):
    """What an execution has come to, whichever kernel it has."""

    tally: Tally

    @property
    def is_flat(self) -> bool:
        """Whether nothing is held in any instrument."""
        ...

    def holds(self, symbol: str) -> bool:
        """Whether there is a position in an instrument."""
        ...

    def restore(self, kept: Kept) -> None:
        """Go on where the ledger stands."""
        ...

    def dump(self) -> Mapping[str, Any]:
        """Return the account as the ledger keeps it."""
        ...

    @property
    def owes(self) -> bool:
        """Whether the ledger has still to hear of what was taken back between two bars."""
        ...

    def take_back(self, *, only_entries: bool) -> tuple[str, ...]:
        """Take back what waits to fill, from any thread; return its ids. The next entry says so."""
        ...

    def take_back_these(self, order_ids: Collection[str]) -> None:
        """Take back what still waits of some orders."""
        ...

    def cut(self, deed_id: str, factor: Decimal) -> None:
        """Leave a share of every position, each at its next price; once for a deed."""
        ...

    def flow(self, target_nanos: int | None, at: datetime) -> Flowed | None:
        """Let capital enter or leave until what was contributed is the target, as far as it can."""
        ...

    def withdraw_entries(self, symbols: Collection[str]) -> BarProcessed | None:
        """Take back what waits to open a position in some instruments, between two bars."""
        ...

    def close(self) -> Closed:
        """Take back every order, and return the entry that ends the execution."""
        ...

    def observe(self, *, is_final: bool = False) -> Observation:
        """Return what the execution has come to by now."""
        ...


class Trader(Protocol):
    """A strategy's process with its desk. Errors are those of `Conversation`."""

    @property
    def desk(self) -> AnyDesk:
        """What it has come to."""
        ...

    @property
    def gate(self) -> Gate:
        """What its orders pass."""
        ...

    @property
    def takes_ticks(self) -> bool:
        """Whether it has a use for quotes and trades."""
        ...

    async def load(
        self, talk: Conversation, series: Mapping[str, Series], ticks: TickHistory
    ) -> int:
        """Give the process its code; return how many bars of history it wants."""
        ...

    def sit_down(self, mine: Execution, past: History) -> None:
        """Take a desk, as if nothing had been traded yet."""
        ...

    async def warm_up(self) -> None:
        """Let the strategy start where its desk stands."""
        ...

    def mark(
        self, event: MarketEvent, *, cancel_entries: bool = False, closes: Collection[str] = ()
    ) -> BarProcessed | None:
        """Let a bar or tick fill and mark; the entry is to be kept before the strategy hears of it.

        With `cancel_entries`, what could open a position is taken back first; of instruments in
        `closes` everything is, and the position is closed at the next price.
        """
        ...

    async def decide(self, event: MarketEvent) -> None:
        """Show the strategy a bar or tick, and hear what it decides; nothing is placed yet."""
        ...

    async def conclude(self, event: MarketEvent) -> BarProcessed | None:
        """Place what was decided, once it may go; return the last entry, None if nothing changed.

        Raises
        ------
        DrainedError
            If the execution is to be left as it stands instead.
        """
        ...

    def pass_by(self, event: MarketEvent) -> BarProcessed | None:
        """End a bar or tick without asking the strategy; return its last entry, if it has one."""
        ...

    async def catch_up(self, seen: Cursor) -> None:
        """Show the strategy what it has missed after `seen`; it decides nothing on it."""
        ...

    def finish(self) -> BarProcessed | None:
        """End the session where the feed ends; return the entry of what that did, if anything."""
        ...

    async def stop(self) -> None:
        """Let the strategy end by its own hook, if it ever began."""
        ...


class SignalTrader:
    """A strategy that answers every bar with a decision; orders are the engine's to make."""

    def __init__(
        self,
        content: Content,
        settings: Settings,
        flags: LiveFlags | None = None,
        oversight: Oversight | None = None,
        vet: Vet | None = None,
    ) -> None:
        self._content = content
        self._settings = settings
        self._oversight = oversight
        self._vet = vet or veto.of_nobody()
        self._flags = flags
        self._talk: Conversation | None = None
        self._desk: Desk | None = None
        self._decided: messages.Decided | None = None

    @property
    def desk(self) -> Desk:
        """What it has come to."""
        return _there(self._desk)

    @property
    def gate(self) -> PaperVenue:
        """What its orders pass."""
        return self.desk.venue

    @property
    def takes_ticks(self) -> bool:
        """Whether it has a use for quotes and trades: a signal is given on bars."""
        return False

    async def load(
        self, talk: Conversation, series: Mapping[str, Series], ticks: TickHistory
    ) -> int:
        """Give the process its code; return how many bars of history it wants."""
        del ticks
        self._talk = talk
        if self._flags is not None:
            await self._flags.prepare()
        terms = [each.terms for each in series.values()]
        return (await talk.load(self._content, self._settings, terms)).lookback

    def sit_down(self, mine: Execution, past: History) -> None:
        """Take a desk, as if nothing had been traded yet."""
        settings = self._settings
        venue = PaperVenue(
            mine.execution_id,
            capital_nanos=settings.capital_nanos,
            terms=[each.terms for each in past.series.values()],
            how=settings.rules,
            epoch=mine.epoch,
            seat=seat_of(mine, self._content, self._oversight),
        )
        venue.answers = self._vet.unasked
        flags = shown.flags_of(mine, self._content, self._flags)
        self._desk = Desk(venue, past, settings.capital_nanos, flags)

    async def warm_up(self) -> None:
        """Let the strategy start where its desk stands."""
        tally = self.desk.tally
        await _there(self._talk).warm_up(tally.history.frames_before(tally.known), tally.state)

    def mark(
        self, event: MarketEvent, *, cancel_entries: bool = False, closes: Collection[str] = ()
    ) -> BarProcessed | None:
        """Let a bar fill and mark; the entry is to be kept before the strategy hears of it."""
        return self.desk.mark(_bar(event), cancel_entries=cancel_entries, closes=closes)

    async def decide(self, event: MarketEvent) -> None:
        """Show the strategy a bar with its fills, and hear what it decides."""
        desk, bar = self.desk, _bar(event)
        started_ns = time.perf_counter_ns()
        decided = await _there(self._talk).decide(desk.bar_message(bar))
        desk.tally.time(time.perf_counter_ns() - started_ns, decided.cpu_ns)
        self._decided = decided

    async def conclude(self, event: MarketEvent) -> BarProcessed:
        """Place what was decided, once it may go; return the bar's last entry."""
        desk, bar, decided = self.desk, _bar(event), _there(self._decided)
        decision = rules.decision_of(decided)
        desk.hear(await self._vet.ask(desk.proposed(bar, decision), desk.venue.seat))
        return desk.conclude(bar, decision, decided.state)

    def pass_by(self, event: MarketEvent) -> BarProcessed:
        """End a bar without asking the strategy; return the bar's last entry."""
        return self.desk.conclude(_bar(event), None, None)

    async def catch_up(self, seen: Cursor) -> None:
        """Show the strategy the bars after `seen`."""
        tally = self.desk.tally
        await _there(self._talk).warm_up(tally.history.frames_between(seen, tally.known), None)

    def finish(self) -> BarProcessed | None:
        """Return None: a signal's orders know no session."""
        return None

    async def stop(self) -> None:
        """Let the strategy end by its own hook, if it ever began."""
        if self._talk is not None:
            await self._talk.stop()


class NativeTrader:
    """A NautilusTrader strategy: its orders go to our gate, its fills come from our ledger."""

    def __init__(
        self,
        content: Content,
        settings: Settings,
        oversight: Oversight | None = None,
        vet: Vet | None = None,
    ) -> None:
        self._content = content
        self._settings = settings
        self._oversight = oversight
        self._vet = vet or veto.of_nobody()
        self._talk: Conversation | None = None
        self._desk: NativeDesk | None = None
        self._acted: messages.NativeActed | None = None

    @property
    def desk(self) -> NativeDesk:
        """What it has come to."""
        return _there(self._desk)

    @property
    def gate(self) -> NativeGate:
        """What its orders pass."""
        return self.desk.venue.gate

    @property
    def takes_ticks(self) -> bool:
        """Whether it has a use for quotes and trades."""
        return True

    async def load(
        self, talk: Conversation, series: Mapping[str, Series], ticks: TickHistory
    ) -> int:
        """Give the process its code; return how many bars of history it wants."""
        self._talk = talk
        loaded = await talk.load_native(self._content, self._settings, series, ticks.offers)
        return loaded.lookback

    def sit_down(self, mine: Execution, past: History) -> None:
        """Take a desk, as if nothing had been traded yet."""
        settings = self._settings
        venue = NativeVenue(
            mine.execution_id,
            capital_nanos=settings.capital_nanos,
            terms=[each.terms for each in past.series.values()],
            how=settings.rules,
            conditions=settings.conditions,
            epoch=mine.epoch,
            seat=seat_of(mine, self._content, self._oversight),
        )
        venue.gate.answers = self._vet.unasked
        self._desk = NativeDesk(venue, past, settings.capital_nanos)

    async def warm_up(self) -> None:
        """Let the strategy start, knowing what it knew when it was told last."""
        desk = self.desk
        acted = await _there(self._talk).warm_up_native(desk.warm_up_message())
        await self._ask(acted, desk.told_ns, is_start=True)
        desk.started(acted)

    def mark(
        self, event: MarketEvent, *, cancel_entries: bool = False, closes: Collection[str] = ()
    ) -> BarProcessed | None:
        """Let a bar or tick fill and mark; the entry is to be kept before the strategy hears."""
        return self.desk.mark(event, cancel_entries=cancel_entries, closes=closes)

    async def decide(self, event: MarketEvent) -> None:
        """Show the strategy a bar or tick, and hear what it asks for."""
        desk = self.desk
        started_ns = time.perf_counter_ns()
        acted = await _there(self._talk).act(desk.message(event))
        desk.tally.time(time.perf_counter_ns() - started_ns, acted.cpu_ns)
        self._acted = acted

    async def conclude(self, event: MarketEvent) -> BarProcessed | None:
        """Do what was asked for, once it may be; return the last entry, None if nothing changed."""
        acted = _there(self._acted)
        await self._ask(acted, place_of(event)[0])
        return self.desk.conclude(event, acted)

    def pass_by(self, event: MarketEvent) -> BarProcessed | None:
        """End a bar or tick without asking the strategy; return its last entry, if it has one."""
        return self.desk.conclude(event, None)

    async def catch_up(self, seen: Cursor) -> None:
        """Tell the strategy what became of its orders, then show it the bars after `seen`."""
        desk, talk = self.desk, _there(self._talk)
        events = desk.events_message()
        if events is not None:
            acted = await talk.act(events)
            await self._ask(acted, desk.told_ns)
            desk.answered(acted)
        acted = await talk.warm_up_native(desk.catch_up_message(seen))
        await self._ask(acted, desk.known_ns)
        desk.caught_up(acted)

    def finish(self) -> BarProcessed | None:
        """End the session where the feed ends; return the entry of what that did, if anything."""
        return self.desk.end_session()

    async def stop(self) -> None:
        """Tell the strategy what it has not heard, and let it end by its own hook."""
        if self._talk is None:
            return
        desk = self.desk
        events = desk.events_message()
        if events is not None:
            desk.stopping((await self._talk.act(events)).asked)
        desk.stopping((await self._talk.stop_native()).asked)

    async def _ask(
        self, acted: messages.NativeActed, now_ns: int, *, is_start: bool = False
    ) -> None:
        desk = self.desk
        wanted = desk.proposed(acted, now_ns, is_start=is_start)
        desk.hear(await self._vet.ask(wanted, desk.venue.gate.seat))


def trader_of(
    content: Content,
    settings: Settings,
    flags: LiveFlags | None = None,
    oversight: Oversight | None = None,
    vet: Vet | None = None,
) -> Trader:
    """Return who trades a version: the one place where its kernel is asked for.

    Without an oversight it trades beside nobody, under its own limits; without a vet, nobody is
    asked before its orders go.
    """
    if content.is_native:
        return NativeTrader(content, settings, oversight, vet)
    return SignalTrader(content, settings, flags, oversight, vet)


def seat_of(mine: Execution, content: Content, oversight: Oversight | None) -> Seat:
    """Return an execution's place among the others of its node; a validation run has none."""
    own = limiting.own_sets(content, mine.config, mine.strategy_id, mine.execution_id)
    if oversight is None or not limiting.is_real(mine):
        return Seat(own)
    return oversight.seat(limiting.who(mine, content), own)


def _bar(event: MarketEvent) -> BarEvent:
    if not isinstance(event, BarEvent):
        raise TypeError(f"a signal strategy is shown bars, not {type(event).__name__}")
    return event


def _there[T](thing: T | None) -> T:
    if thing is None:
        raise RuntimeError("a trader loads and sits down before it trades")
    return thing
