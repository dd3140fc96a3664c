"""The engine's own account of a native run: what was asked reaches the order book again. Pure."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from strategy_engine.core import money
from strategy_engine.matching import ticket
from strategy_engine.matching.exchange import Exchange
from strategy_engine.matching.settings import Settings
from strategy_engine.matching.ticket import Executed, OrderEvent
from strategy_engine.pipeline import replays
from strategy_engine.pipeline.backtest import Ledgered
from strategy_engine.pipeline.history import History, Ints
from strategy_engine.pipeline.model import StrategyFailedError
from strategy_engine.pipeline.native.forms import Given
from strategy_engine.pipeline.native.tape import Happening, Kind, Market, Tape
from strategy_engine.pipeline.replays import Filled

if TYPE_CHECKING:
    from strategy_engine.pipeline.native.steps import Steps

# Σ over bars and ticks of the orders that work: what a replay costs grows with it.
MOST_WORK = 5_000_000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Played:
    """What a run came to, and why orders were refused, by how often."""

    ledgered: Ledgered
    refusals: Counter[str]


def play(steps: "Steps", part: History, settings: Settings) -> Played:
    """Let an order book live through a history and what was asked on it.

    Raises
    ------
    StrategyFailedError
        If more orders work for longer than the engine replays.
    """
    tape, times = Tape(part), part.timeline()
    venue = exchange(part, settings)
    player = _Player(venue, part, times)
    due = _arrivals(steps, tape, times)
    work = waiting = 0
    for met, happening in enumerate(tape):
        while waiting < len(due) and due[waiting][0] <= met:
            venue.ask(due[waiting][1])
            waiting += 1
        player.meet(happening)
        work += len(venue.book.working)
        if work > MOST_WORK:
            raise StrategyFailedError(
                f"after {met + 1:,} of {len(tape):,} bars and ticks its working orders have met"
                f" {work:,} prices, more than the engine replays; cancel orders that are far away"
            )
    return Played(ledgered=player.ledgered(settings.capital_nanos), refusals=player.refusals)


def exchange(part: History, settings: Settings) -> Exchange:
    """Return the venue that a version's orders go to."""
    terms = [each.terms for each in part.series]
    return Exchange(settings.capital_nanos, terms, settings.rules, settings.conditions)


class _Player:
    """Keeps what an account lived through."""

    def __init__(self, venue: Exchange, part: History, times: Ints) -> None:
        self._venue = venue
        self._market = Market(part)
        self._part = part
        self._times = times
        self._fills: list[Filled] = []
        self._held: dict[str, list[tuple[int, int]]] = {each.symbol: [] for each in part.series}
        self._closes = {each.symbol: each.bars.close_ns for each in part.series}
        self.refusals: Counter[str] = Counter()

    def meet(self, happening: Happening) -> None:
        for event in self._market.meet(self._venue, happening):
            if isinstance(event, Executed):
                self._book(event, happening)
            else:
                self._note(event)

    def ledgered(self, capital_nanos: int) -> Ledgered:
        fills, times = self._fills, self._times
        trips = [(each.fill.round_trip, each.slot) for each in fills]
        held = {
            each.symbol: replays.stepped(self._held[each.symbol], 0, len(each.bars))
            for each in self._part.series
        }
        lanes = [
            (each.bars.close_ns, replays.worth(each.ticks()[3], held[each.symbol], each.terms))
            for each in self._part.series
        ]
        return Ledgered(
            capital=capital_nanos / money.NANOS,
            close_ns=times,
            equity=replays.equity(lanes, fills, capital_nanos, times),
            fills=tuple(each.fill for each in fills),
            fill_slots=tuple(each.slot for each in fills),
            round_trips=tuple(trip for trip, _ in trips if trip is not None),
            trip_slots=tuple(at for trip, at in trips if trip is not None),
            held=held,
        )

    def _book(self, event: Executed, happening: Happening) -> None:
        # Within a bar, cash moves by every fill; at its end, which is what is looked at, by all.
        slot = min(int(np.searchsorted(self._times, happening.ts_ns)), self._times.size - 1)
        cash = self._venue.book.cash
        self._fills.append(Filled(fill=ticket.as_fill(event), slot=slot, cash_nanos=cash))
        closes, at = self._closes[event.symbol], happening.index
        if happening.kind is not Kind.BAR:
            at = min(int(np.searchsorted(closes, happening.ts_ns)), closes.size - 1)
        self._held[event.symbol].append((at, event.position_lots))

    def _note(self, event: OrderEvent) -> None:
        match event:
            case ticket.Rejected() | ticket.ModifyRejected() | ticket.CancelRejected():
                self.refusals[f"{event.code}: {event.message}"] += 1
            case ticket.Cancelled() if event.why != "requested":
                self.refusals[f"cancelled: {event.why}"] += 1
            case _:
                return


def _arrivals(steps: "Steps", tape: Tape, times: Ints) -> Sequence[tuple[int, Sequence[Given]]]:
    # After how many happenings each step's instructions are given to the venue.
    places = _places(steps, tape)
    if not steps.late_bars:
        return [(at, step.asked) for at, step in zip(places, steps.steps, strict=True)]
    found = []
    for at, step in zip(places, steps.steps, strict=True):
        slot = int(np.searchsorted(times, tape.ts_ns[at - 1])) if at else -1
        if slot + steps.late_bars < times.size:
            late_ns = int(times[slot + steps.late_bars])
            met = int(np.searchsorted(tape.ts_ns, late_ns, side="right"))
            found.append((met, [(max(ts_ns, late_ns), each) for ts_ns, each in step.asked]))
    return found


def _places(steps: "Steps", tape: Tape) -> list[int]:
    if steps.happenings == len(tape):
        return [each.met for each in steps.steps]
    # The same bars without their ticks: what was given after a tick counts as given after the bar.
    after = {bar: met for met, bar in reversed(list(enumerate(tape.bars_met())))}
    return [after[each.symbol, each.index] for each in steps.steps]
