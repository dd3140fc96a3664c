"""The choices of a signal strategy: one decision a bar, for every symbol."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from strategy_engine.core import money
from strategy_engine.matching.model import Action
from strategy_engine.matching.settings import Settings
from strategy_engine.pipeline import backtest, decisions
from strategy_engine.pipeline.backtest import Ledgered
from strategy_engine.pipeline.chosen import Advice, Chosen, Compared, Difference
from strategy_engine.pipeline.decisions import Choices
from strategy_engine.pipeline.history import History, Series
from strategy_engine.pipeline.model import Finding

_DETAIL_BYTES = 400  # with what it is kept in; measured

ADVICE = Advice(
    illegal="it must answer 'HOLD' where it cannot decide",
    inputs="decide by market_data and seeded numbers only, never by chance, the clock, id(), or"
    " what a class or module remembers",
    state="keep what it remembers with save_state and load_state",
    sharing="keep its state in self, not in the class or the module",
    warm_up="raise the class attribute lookback until its indicators no longer feel where the"
    " window begins",
)


class Signals(Mapping[str, Choices]):
    """Every symbol's decisions, by symbol."""

    __slots__ = ("_by_symbol",)

    def __init__(self, by_symbol: Mapping[str, Choices]) -> None:
        self._by_symbol = dict(by_symbol)

    def __getitem__(self, symbol: str) -> Choices:
        return self._by_symbol[symbol]

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_symbol)

    def __len__(self) -> int:
        return len(self._by_symbol)

    @property
    def advice(self) -> Advice:
        """What to tell its author."""
        return ADVICE

    def replay(self, part: History, settings: Settings) -> Ledgered:
        """Return what an account comes to that lives through the bars and the decisions."""
        return backtest.replay(self, part, settings)

    def delayed(self, bars: int) -> "Signals":
        """Return the same decisions, each so many bars later."""
        return Signals(backtest.delayed(self, bars))

    def differences(self, other: Chosen, part: History) -> list[Difference]:
        """Return the first difference of every symbol, over the bars that both have."""
        theirs, found = _signals(other), list[Difference]()
        for each in part.series:
            if each.symbol not in self or each.symbol not in theirs:
                continue
            mine, other_s = self[each.symbol], theirs[each.symbol]
            at = decisions.first_difference(mine, other_s)
            if at is not None:
                found.append(_difference(each, at, mine, other_s))
        return found

    def compared(self, other: Chosen, part: History, start: int) -> Compared:
        """Compare from a bar on, counted in every symbol's own bars."""
        del part
        theirs = _signals(other)
        counted = [decisions.mismatches(each, theirs[s], start) for s, each in self.items()]
        return Compared(
            bars=sum(max(0, len(each) - start) for each in self.values()),
            acting=sum(acting for _, acting in counted),
            mismatches=sum(different for different, _ in counted),
        )

    def turns(self, part: History) -> list[int]:
        """Return the closing times of the bars at which it changed its mind, in order."""
        return sorted(
            close_ns
            for each in part.series
            for close_ns in each.bars.close_ns[_changes(self[each.symbol])].tolist()
        )

    def rows(self, part: History) -> list[tuple[int, str, str]]:
        """Return every decision but HOLD: close of its bar, symbol, and its word."""
        return [
            (close_ns, each.symbol, Action(action).name)
            for each in part.series
            for own in (self[each.symbol],)
            for at in (own.acting(),)
            for close_ns, action in zip(
                each.bars.close_ns[at].tolist(), own.actions[at].tolist(), strict=True
            )
        ]

    def count(self) -> int:
        """Return how many decisions there are, one a bar."""
        return sum(map(len, self.values()))

    def silence(self, part: History, settings: Settings) -> str:
        """Return what it said instead of trading, and what to do about it."""
        del part
        actions = [action for each in self.values() for action in each.actions.tolist()]
        said = Counter(Action(action).name for action in actions)
        words = ", ".join(f"{name} {said[name]:,}" for name in ("BUY", "SELL", "TARGET", "HOLD"))
        if said["BUY"] or said["TARGET"] or (said["SELL"] and settings.rules.allow_short):
            advice = (
                "no entry came to a whole lot: raise position_size"
                f" ({settings.rules.position_size_ppb / 1e9:g}), capital"
                f" ({settings.capital_nanos / money.NANOS:,.0f}) or max_position_size"
            )
        elif said["SELL"]:
            advice = "SELL opens a short only with allow_short"
        else:
            advice = "loosen its entry condition, or test it on data where it is met"
        return f"no trade in {self.count():,} bars ({words}); {advice}"

    def notes(self, ledgered: Ledgered) -> Sequence[Finding]:
        """Return nothing: what a signal says is all in its decisions."""
        del ledgered
        return ()

    def told(self) -> Mapping[str, Any]:
        """Return a digest of the decisions."""
        return {"decisions_digest": decisions.digest(self)}

    def size_bytes(self) -> int:
        """Return about how much memory it takes."""
        return sum(
            each.actions.nbytes + len(each.details) * _DETAIL_BYTES for each in self.values()
        )


def _signals(other: Chosen) -> Signals:
    if not isinstance(other, Signals):
        raise TypeError(f"{type(other).__name__} is no run of a signal strategy")
    return other


def _difference(each: Series, at: int, one: Choices, other: Choices) -> Difference:
    return Difference(
        symbol=each.symbol,
        index=at,
        close_ns=int(each.bars.close_ns[at]),
        one=decisions.said(one.at(at)),
        other=decisions.said(other.at(at)),
    )


def _changes(choices: Choices) -> NDArray[np.intp]:
    actions = choices.actions
    before = np.concatenate(([np.int8(Action.HOLD)], actions[:-1]))
    changed = np.flatnonzero((actions != before) & (actions != Action.HOLD))
    return changed if changed.size else choices.acting()
