"""What a fresh process is shown of a transcript, and whether it answers the same. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from msgspec.structs import replace

from strategy_engine.core import clock
from strategy_engine.execution import rules
from strategy_engine.matching.model import PPB, Decision
from strategy_engine.matching.ticket import Executed, Instruction, Modify, OrderEvent, Updated
from strategy_engine.sandbox.protocol import messages
from strategy_engine.venue.model import Turn, TurnKind

type Said = Decision | tuple[tuple[int, Instruction], ...] | None

_LONGEST_SHOWN = 300
_WARM_UPS = messages.WarmUp | messages.NativeWarmUp
_BARS = messages.Bar | messages.NativeBar
_MARKET = messages.NativeBar | messages.NativeQuote | messages.NativeTrade
_WITH_EVENTS = _MARKET | messages.OrderEvents

_encode = msgspec.msgpack.Encoder().encode
_events = msgspec.msgpack.Decoder(list[OrderEvent]).decode


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """What comparing has come to.

    Parameters
    ----------
    compared, mismatches : int
        Decisions; those that a fresh process makes otherwise.
    wrong_bars : int
        Bars that the strategy was shown otherwise than the history has them.
    first_mismatch, first_wrong_bar : str
        The first of each, with what was decided or shown and what should have been.
    up_to_no : int
        The last turn of the transcript that was judged.
    trouble : str
        Why nothing could be compared just now; empty when it could.
    held_up : int
        How many times in a row that was so: what stands here is as old as that.
    """

    compared: int = 0
    mismatches: int = 0
    wrong_bars: int = 0
    first_mismatch: str = ""
    first_wrong_bar: str = ""
    up_to_no: int = 0
    trouble: str = ""
    held_up: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Showing:
    """What a fresh process is asked for a turn, decoded and as a frame."""

    message: messages.ToChild
    frame: bytes


class Script:
    """What one fresh process is shown, turn by turn, from the first warm-up on.

    It lives on where the live process was started again: a later warm-up is not shown to it, so
    that what a restart lost is found. What that says otherwise, it is told in its own terms: bars
    that nobody was asked about, flags that ceased, and lots of orders that were taken over.
    """

    def __init__(self) -> None:
        self._is_begun = False
        self._seen: dict[str, int] = {}  # when the last bar closed that it knows, by symbol
        self._unsure: set[str] = set()  # instruments whose flags may have ceased
        self._filled: Counter[str] = Counter()  # lots, by order
        self._taken_over: Mapping[str, int] = {}  # those lots, when the live process began

    def showing(self, turn: Turn) -> Showing | None:
        """Return what is asked for the next turn; None: it knows that already."""
        message = decode(turn)
        if not self._is_begun:
            self._is_begun = True
            self._see(message)
            return Showing(message=message, frame=turn.asked)
        if turn.kind is not TurnKind.ASKED:
            self._unsure = set(self._seen)
            self._taken_over = dict(self._filled)
        told = self._told(message, is_restart=turn.kind is not TurnKind.ASKED)
        if told is None:
            return None
        self._see(told)
        frame = turn.asked if told is message else messages.encode(told)
        return Showing(message=told, frame=frame)

    def answered(self, answer: messages.FromChild) -> Said:
        """Return what the live process decided, as one says it that was never started again."""
        said = said_by(answer)
        if not isinstance(said, tuple) or not self._taken_over:
            return said
        return tuple((ts_ns, self._whole(each)) for ts_ns, each in said)

    def _told(self, message: messages.ToChild, *, is_restart: bool) -> messages.ToChild | None:
        if isinstance(message, _WARM_UPS):
            return self._caught_up(message, is_restart=is_restart)
        if isinstance(message, messages.Bar):
            return self._with_flags(message)
        if isinstance(message, _WITH_EVENTS):
            return self._with_events(message)
        return message

    def _caught_up(self, message: _WARM_UPS, *, is_restart: bool) -> messages.ToChild | None:
        bars = [_after(each, self._seen.get(each.symbol, -1)) for each in message.bars]
        if not is_restart and bars == message.bars:
            return message
        if not any(each.open_ns for each in bars):
            return None
        if isinstance(message, messages.WarmUp):
            return messages.WarmUp(bars=bars)
        return messages.NativeWarmUp(
            start_ns=message.start_ns, bars=bars, balance_nanos=message.balance_nanos
        )

    def _with_flags(self, message: messages.Bar) -> messages.Bar:
        if message.symbol not in self._unsure:
            return message
        self._unsure.discard(message.symbol)
        return replace(message, flags={}) if message.flags is None else message

    def _with_events(self, message: _WITH_EVENTS) -> messages.ToChild:
        events: list[OrderEvent] = _events(message.events)
        if not events:
            return message
        for each in events:
            if isinstance(each, Executed):
                self._filled[each.client_order_id] += each.lots
        whole = [self._whole(each) for each in events]
        if whole == events:
            return message
        return replace(message, events=msgspec.Raw(_encode(whole)))

    def _whole[T: (OrderEvent, Instruction)](self, said: T) -> T:
        # A process that took an order over knows it by the lots that were left of it then.
        if not isinstance(said, Updated | Modify) or said.lots is None:
            return said
        return replace(said, lots=said.lots + self._taken_over.get(said.client_order_id, 0))

    def _see(self, message: messages.ToChild) -> None:
        if isinstance(message, _BARS):
            self._seen[message.symbol] = message.close_ns
        elif isinstance(message, _WARM_UPS):
            for each in message.bars:
                last_ns = _last_close_ns(each)
                self._seen[each.symbol] = max(last_ns, self._seen.get(each.symbol, -1))


def decode(turn: Turn) -> messages.ToChild:
    """Return what was asked in a turn."""
    message: messages.ToChild = messages.decode_for_child(turn.asked)
    return message


def said_by(answer: messages.FromChild) -> Said:
    """Return what an answer decides; None where it decides nothing.

    Raises
    ------
    ContractBrokenError
        If it is what no strategy may answer.
    """
    match answer:
        case messages.Decided():
            decided = rules.decision_of(answer)
            return Decision(
                action=decided.action,
                size_ppb=decided.size_ppb,
                stop_loss_ppb=decided.stop_loss_ppb,
                take_profit_ppb=decided.take_profit_ppb,
            )
        case messages.NativeActed():
            return tuple(rules.instructions_of(answer.asked))
        case _:
            return None


def is_decision(message: messages.ToChild, live: Said, fresh: Said) -> bool:
    """Say whether a turn counts as a decision: on a bar always, elsewhere if anything was asked."""
    return isinstance(message, _BARS) or bool(live) or bool(fresh)


def told(message: messages.ToChild, live: Said, fresh: Said) -> str:
    """Say in one line where two answers differ."""
    return f"{place(message)}: live it decided {_words(live)}; a fresh process: {_words(fresh)}"


def place(message: messages.ToChild) -> str:
    """Name the bar, or what else was shown."""
    match message:
        case messages.Bar() | messages.NativeBar():
            return f"{message.symbol}, the bar that closed {_time(message.close_ns)}"
        case messages.NativeQuote() | messages.NativeTrade():
            kind = "quote" if isinstance(message, messages.NativeQuote) else "trade"
            return f"{message.symbol}, the {kind} of {_time(message.ts_ns)}"
        case messages.OrderEvents():
            return f"what became of orders by {_time(message.now_ns)}"
        case _:
            return "the warm-up"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One bar as a strategy was shown it."""

    symbol: str
    open_ns: int
    ohlcv: tuple[float, ...]


def bars_of(message: messages.ToChild) -> list[Shown]:
    """Return every bar that a message shows."""
    if isinstance(message, _BARS):
        shown = Shown(symbol=message.symbol, open_ns=message.open_ns, ohlcv=message.ohlcv)
        return [shown]
    if not isinstance(message, _WARM_UPS):
        return []
    return [each for frame in message.bars for each in _each_bar(frame)]


def is_same_bar(one: Sequence[float], other: Sequence[float]) -> bool:
    """Say whether two bars agree to the last digit; an unknown volume agrees with itself."""
    return bool(np.array_equal(np.array(one), np.array(other), equal_nan=True))


def wrong_bar(shown: Shown, known: Sequence[float]) -> str:
    """Say in one line what was shown that is not what is known."""
    return (
        f"{shown.symbol}, the bar that opened {_time(shown.open_ns)}: it was shown"
        f" {_figures(shown.ohlcv)}; the history has {_figures(known)}"
    )


def _each_bar(frame: messages.Bars) -> Iterable[Shown]:
    opened = np.frombuffer(frame.open_ns, dtype="<i8").tolist()
    names = ("open", "high", "low", "close", "volume")
    columns = [np.frombuffer(getattr(frame, name), dtype="<f8").tolist() for name in names]
    rows = zip(opened, zip(*columns, strict=True), strict=True)
    return [Shown(symbol=frame.symbol, open_ns=at_ns, ohlcv=row) for at_ns, row in rows]


def _after(frame: messages.Bars, close_ns: int) -> messages.Bars:
    closes = np.frombuffer(frame.open_ns, dtype="<i8") + frame.duration_ns
    cut = 8 * int(np.searchsorted(closes, close_ns, side="right"))
    if not cut:
        return frame
    columns = ("open_ns", "open", "high", "low", "close", "volume")
    return replace(frame, **{name: getattr(frame, name)[cut:] for name in columns})


def _last_close_ns(frame: messages.Bars) -> int:
    opened = np.frombuffer(frame.open_ns, dtype="<i8")
    return int(opened[-1]) + frame.duration_ns if opened.size else -1


def _time(ts_ns: int) -> str:
    return clock.from_nanos(ts_ns).isoformat()


def _figures(ohlcv: Sequence[float]) -> str:
    return " ".join(f"{each!r}" for each in ohlcv)


def _words(said: Said) -> str:
    if isinstance(said, Decision):
        return _decision_words(said)
    if not said:
        return "nothing"
    return "; ".join(_instruction_words(each) for _, each in said)[:_LONGEST_SHOWN]


def _decision_words(said: Decision) -> str:
    shares = {
        "size": said.size_ppb,
        "stop loss": said.stop_loss_ppb,
        "take profit": said.take_profit_ppb,
    }
    told = [f"{name} {value / PPB:g}" for name, value in shares.items() if value is not None]
    return ", ".join([said.action.name, *told])


def _instruction_words(asked: Instruction) -> str:
    plain: dict[str, Any] = msgspec.to_builtins(asked)
    kind = plain.pop("kind")
    fields = (f"{name}={value}" for name, value in plain.items() if value or value == 0)
    return f"{kind} {' '.join(each for each in fields if not each.endswith('=False'))}"
