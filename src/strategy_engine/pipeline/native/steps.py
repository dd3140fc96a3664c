"""The choices of a native strategy: what it asked of the venue, step by step."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Any

import msgspec

from strategy_engine.matching import ticket
from strategy_engine.matching.settings import Settings
from strategy_engine.matching.ticket import Executed, Instruction
from strategy_engine.pipeline.backtest import Ledgered
from strategy_engine.pipeline.chosen import Advice, Chosen, Compared, Difference
from strategy_engine.pipeline.history import History
from strategy_engine.pipeline.model import Finding, Level
from strategy_engine.pipeline.native import forms, replay
from strategy_engine.pipeline.native.forms import Formed, Given, Step
from strategy_engine.pipeline.native.tape import Tape

SETTLES = 100  # bars that indicators may take after a restart, until choices must be the same

_INSTRUCTION_BYTES, _SEEN_BYTES = 700, 500  # with what they are kept in
_MICROSECOND = 1_000
_SHOWN = 3  # instructions of a step

ADVICE = Advice(
    illegal="it must stand such bars: look before it divides, indexes or orders",
    inputs="decide by the data, self.clock, self.cache and seeded numbers only, never by chance,"
    " id(), or what a class or module remembers",
    state="keep what it remembers with on_save and on_load, find its orders and positions in"
    " self.cache, and warm its indicators up in on_start",
    sharing="keep its state in self, not in the class or the module",
    warm_up="raise the parameter lookback until the bars that it requests in on_start are there",
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Steps:
    """One run of a native strategy.

    Parameters
    ----------
    happenings : int
        How many bars and ticks its history has.
    stopping : tuple
        What it asked for in `on_stop`; nothing of it is traded.
    seen : tuple of Executed
        The fills as the strategy saw them: information that nobody believes.
    late_bars : int
        By how many bars everything arrives later than it was given.
    resumed : int or None
        After how many bars and ticks another process took over, if one did.
    """

    steps: tuple[Step, ...]
    happenings: int
    stopping: tuple[Given, ...] = ()
    seen: tuple[Executed, ...] = ()
    notices: tuple[str, ...] = ()
    late_bars: int = 0
    resumed: int | None = None

    @property
    def advice(self) -> Advice:
        """What to tell its author."""
        return ADVICE

    def replay(self, part: History, settings: Settings) -> Ledgered:
        """Return what an account comes to that lives through the bars and the instructions."""
        return replay.play(self, part, settings).ledgered

    def delayed(self, bars: int) -> "Steps":
        """Return the same instructions, each arriving so many bars later."""
        return replace(self, late_bars=self.late_bars + bars)

    def differences(self, other: Chosen, part: History) -> list[Difference]:
        """Return the first difference, if any, over the bars and ticks that both have.

        After a restart the other may take some bars to warm up; not to say something at once.
        """
        theirs = _steps(other)
        until = min(self.happenings, theirs.happenings)
        settling = theirs.settling(part)
        for one, two in forms.paired(self.steps, theirs.steps, until, settling):
            if one is None or two is None or one.form != two.form:
                at = (one or two or forms.NOTHING).step
                if at.met in settling:
                    continue
                return [
                    Difference(
                        symbol=at.symbol,
                        index=at.index,
                        close_ns=_moment_of(at, part),
                        one=said(one.step.asked if one else ()),
                        other=said(two.step.asked if two else ()),
                    )
                ]
        return []

    def settling(self, part: History) -> range:
        """Return the counts of bars and ticks met at which a resumed run still warms up.

        Where there are ticks, that is until it has seen so many bars, but no more than half of what
        it has seen: the other half is compared.
        """
        if self.resumed is None:
            return range(0)
        half = (self.happenings - self.resumed) // 2
        until = Tape(part).met_after_bars(self.resumed, SETTLES)
        taken = max(SETTLES * len(part.series), min(half, until - self.resumed))
        return range(self.resumed + 1, self.resumed + 1 + taken)

    def unsettled(self, through: Chosen, part: History) -> list[int]:
        """Return how long after its restart each choice came that differs while it warms up."""
        settling = self.settling(part)
        pairs = forms.paired(_steps(through).steps, self.steps, self.happenings, settling)
        unlike = ((one or two or forms.NOTHING).step for one, two in pairs if not _alike(one, two))
        return [each.met - settling.start + 1 for each in unlike if each.met in settling]

    def compared(self, other: Chosen, part: History, start: int) -> Compared:
        """Compare from a bar on, whatever orders are called."""
        mine = forms.nameless(self.steps, start)
        theirs = forms.nameless(_steps(other).steps, start)
        acting = mine.keys() | theirs.keys()
        return Compared(
            bars=sum(max(0, len(each.bars) - start) for each in part.series),
            acting=len(acting),
            mismatches=sum(mine.get(at) != theirs.get(at) for at in acting),
        )

    def turns(self, part: History) -> list[int]:
        """Return the closing times of the bars at which it asked for an order."""
        return [
            _moment_of(each, part)
            for each in self.steps
            if each.index >= 0 and any(isinstance(one, ticket.Ticket) for _, one in each.asked)
        ]

    def rows(self, part: History) -> list[tuple[int, str, str]]:
        """Return every order that it asked for: when (to the microsecond), for what, and which."""
        del part
        return [
            (ts_ns // _MICROSECOND * _MICROSECOND, one.symbol, decision(one.side, one.type))
            for each in self.steps
            for ts_ns, one in each.asked
            if isinstance(one, ticket.Ticket)
        ]

    def count(self) -> int:
        """Return how many instructions there are."""
        return sum(len(each.asked) for each in self.steps)

    def silence(self, part: History, settings: Settings) -> str:
        """Return what became of its orders instead of a trade, and what to do about it."""
        bars = f"no trade in {part.bar_count():,} bars"
        if not self.count():
            wants = "; ".join(self.notices)
            return f"{bars}: it asked for no order; {wants or 'loosen its entry condition'}"
        refused = replay.play(self, part, settings).refusals
        told = "; ".join(f"{count} × {why}" for why, count in refused.most_common(_SHOWN))
        advice = told or "none of its orders met its price"
        return f"{bars}: {self.count():,} instructions, no fill; {advice}"

    def notes(self, ledgered: Ledgered) -> list[Finding]:
        """Return what it noticed, and whether it saw other fills than there were."""
        found = [Finding(level=Level.WARNING, message=each) for each in self.notices]
        if doubt := self._doubt(ledgered):
            found.append(Finding(level=Level.WARNING, message=doubt))
        return found

    def told(self) -> Mapping[str, Any]:
        """Return a digest of the instructions, how many there were, and the notices."""
        every = [one for each in self.steps for _, one in each.asked]
        return {
            "decisions_digest": self._digest(),
            "instructions": len(every),
            "orders": sum(isinstance(each, ticket.Ticket) for each in every),
            "notices": list(self.notices),
        }

    def size_bytes(self) -> int:
        """Return about how much memory it takes."""
        given = self.count() + len(self.stopping)
        return given * _INSTRUCTION_BYTES + len(self.seen) * _SEEN_BYTES

    def _doubt(self, ledgered: Ledgered) -> str:
        fills = [ticket.as_fill(each) for each in self.seen]
        pairs = enumerate(zip_longest(fills, ledgered.fills))
        first = next((at for at, (one, other) in pairs if one != other), None)
        if first is None:
            return ""
        return (
            f"the strategy saw {len(fills):,} fills and the engine books {len(ledgered.fills):,}:"
            f" they differ from fill {first + 1} on; only the engine's count"
        )

    def _digest(self) -> str:
        found = hashlib.sha256()
        for each in self.steps:
            found.update(f"{each.symbol} {each.index} {each.met}\n".encode())
            found.update(msgspec.msgpack.encode(each.asked))
        return found.hexdigest()


def decision(side: str, kind: str) -> str:
    """Return an order as it is compared between the backtest and the live path."""
    return f"{side} {kind}"


def said(asked: Sequence[Given]) -> str:
    """Return what was asked in a step, in words."""
    words = [_words(each) for _, each in asked[:_SHOWN]]
    more = f" and {len(asked) - _SHOWN} more" if len(asked) > _SHOWN else ""
    return ", ".join(words) + more if words else "nothing"


def order_words(made: ticket.Ticket) -> str:
    """Return an order in words: side, type, lots and prices."""
    prices = [
        f"{word} {price}"
        for word, price in (
            ("at", made.limit_ticks),
            ("trigger", made.trigger_ticks),
            ("trailing", made.trailing_ticks),
        )
        if price is not None
    ]
    return " ".join([made.side.value, made.type.value, str(made.lots), *prices])


def _words(asked: Instruction) -> str:
    match asked:
        case ticket.Ticket():
            return order_words(asked)
        case ticket.Modify():
            return f"change of {asked.client_order_id}"
        case ticket.Cancel():
            return f"cancel of {asked.client_order_id}"


def _moment_of(step: Step, part: History) -> int:
    for each in part.series:
        if each.symbol == step.symbol and len(each.bars):
            return int(each.bars.ts_ns[0] if step.index < 0 else each.bars.close_ns[step.index])
    return 0


def _steps(other: Chosen) -> Steps:
    if not isinstance(other, Steps):
        raise TypeError(f"{type(other).__name__} is no run of a native strategy")
    return other


def _alike(one: Formed | None, two: Formed | None) -> bool:
    return one is not None and two is not None and one.form == two.form
