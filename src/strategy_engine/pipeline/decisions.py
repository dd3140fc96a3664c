"""A child's decisions, believed only after every one was found legal."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from strategy_engine.matching.model import BUY, HOLD, PPB, SELL, Action, Decision
from strategy_engine.pipeline.history import History
from strategy_engine.pipeline.model import ForgedAnswerError
from strategy_engine.sandbox.protocol import messages

type Actions = NDArray[np.int8]

_PLAIN = (HOLD, BUY, SELL)
_FARTHEST_PPB = 1_000 * PPB
_LONGEST_REASON = 500


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Choices:
    """What was decided at every bar of one symbol: actions, and the details of those that have any.

    Parameters
    ----------
    actions : array of int8, shape (n,)
        One `Action` a bar.
    details : mapping of int to Decision
        By the index of the bar; never a plain HOLD, BUY or SELL.
    """

    symbol: str
    actions: Actions
    details: Mapping[int, Decision]

    def __len__(self) -> int:
        return int(self.actions.size)

    def listed(self) -> list[Decision]:
        """Return the decision of every bar; the plain ones are shared."""
        chosen = [_PLAIN[action] if action < len(_PLAIN) else HOLD for action in self.actions]
        for index, decision in self.details.items():
            chosen[index] = decision
        return chosen

    def at(self, index: int) -> Decision:
        """Return the decision of one bar."""
        return self.details.get(index) or _PLAIN[int(self.actions[index])]

    def acting(self) -> NDArray[np.intp]:
        """Return the bars at which it decided something else than HOLD."""
        return np.flatnonzero(self.actions != Action.HOLD)

    def slice(self, start: int, stop: int | None = None) -> "Choices":
        """Return the decisions of the bars from `start` up to, not including, `stop`."""
        actions = self.actions[start:stop]
        return Choices(
            symbol=self.symbol,
            actions=actions,
            details={
                index - start: each
                for index, each in self.details.items()
                if 0 <= index - start < actions.size
            },
        )

    def delayed(self, bars: int) -> "Choices":
        """Return the same decisions, each so many bars later; the last ones fall off the end."""
        actions = np.zeros_like(self.actions)
        actions[bars:] = self.actions[: max(0, self.actions.size - bars)]
        return Choices(
            symbol=self.symbol,
            actions=actions,
            details={
                index + bars: each
                for index, each in self.details.items()
                if index + bars < self.actions.size
            },
        )


def unpack(answer: messages.Backtested, history: History, warm_up: int = 0) -> dict[str, Choices]:
    """Return the decisions of a child's answer.

    Raises
    ------
    ForgedAnswerError
        If a symbol is missing or not asked for, there are too few or too many decisions, one was
        taken before the warm-up was over, or one is illegal.
    """
    wanted = {each.symbol: len(each.bars) for each in history.series}
    symbols = [each.symbol for each in answer.decisions]
    if sorted(symbols) != sorted(wanted):
        raise ForgedAnswerError(
            f"the child answered decisions for {_shown(symbols)}; asked was {_shown(wanted)}"
        )
    return {each.symbol: _choices(each, wanted[each.symbol], warm_up) for each in answer.decisions}


def digest(chosen: Mapping[str, Choices]) -> str:
    """Return a digest that is equal for equal decisions."""
    found = hashlib.sha256()
    for symbol in sorted(chosen):
        found.update(f"{symbol}\n".encode())
        found.update(chosen[symbol].actions.tobytes())
        found.update(repr(sorted(chosen[symbol].details.items())).encode())
    return found.hexdigest()


def first_difference(one: Choices, other: Choices) -> int | None:
    """Return the first bar at which the decisions differ, over the bars that both have."""
    size = min(len(one), len(other))
    unequal = {int(at) for at in np.flatnonzero(one.actions[:size] != other.actions[:size])}
    unequal.update(
        index
        for index in one.details.keys() | other.details.keys()
        if index < size and _without_reason(one.at(index)) != _without_reason(other.at(index))
    )
    return min(unequal, default=None)


def mismatches(one: Choices, other: Choices, start: int = 0) -> tuple[int, int]:
    """Return how many bars from `start` differ, and at how many either decided to act."""
    acting = (one.actions != Action.HOLD) | (other.actions != Action.HOLD)
    unequal = one.actions != other.actions
    for index in one.details.keys() | other.details.keys():
        unequal[index] = _without_reason(one.at(index)) != _without_reason(other.at(index))
    return int(np.count_nonzero(unequal[start:])), int(np.count_nonzero(acting[start:]))


def said(decision: Decision) -> str:
    """Return a decision in words."""
    if decision.action is Action.TARGET:
        return f"target {(decision.size_ppb or 0) / PPB:+.4g}"
    size = "" if decision.size_ppb is None else f" of {decision.size_ppb / PPB:.4g}"
    return f"{decision.action.name}{size}"


def _without_reason(decision: Decision) -> Decision:
    return replace(decision, reason="") if decision.reason else decision


def _choices(answer: messages.Decisions, bars: int, warm_up: int) -> Choices:
    if len(answer.actions) != bars * messages.DECISION_BYTES:
        raise ForgedAnswerError(
            f"the child answered {len(answer.actions):,} decisions for {bars:,} bars of"
            f" {answer.symbol}; there must be one a bar"
        )
    actions = np.frombuffer(answer.actions, dtype=np.int8)
    illegal = np.flatnonzero((actions < min(Action)) | (actions > max(Action)))
    if illegal.size:
        raise ForgedAnswerError(
            f"the child decided {actions[illegal[0]]} at bar {illegal[0]} of {answer.symbol};"
            f" an action is {', '.join(f'{each.value} ({each.name})' for each in Action)}"
        )
    if np.any(actions[:warm_up]):
        raise ForgedAnswerError(
            f"the child decided on {answer.symbol} before its {warm_up} bars of warm-up were over"
        )
    details = dict(_details(answer, actions))
    bare = set(np.flatnonzero(actions == Action.TARGET).tolist()) - details.keys()
    if bare:
        raise ForgedAnswerError(
            f"the child's target at bar {min(bare)} of {answer.symbol} has no size"
        )
    return Choices(symbol=answer.symbol, actions=actions, details=details)


def _details(answer: messages.Decisions, actions: Actions) -> Iterable[tuple[int, Decision]]:
    last = -1
    for each in answer.details:
        if not last < each.index < actions.size:
            raise ForgedAnswerError(
                f"the child gave details of bar {each.index} of {answer.symbol} after bar {last};"
                f" they must rise and lie below {actions.size}"
            )
        last = each.index
        action = Action(int(actions[each.index]))
        _check_detail(each, action, answer.symbol)
        yield (
            each.index,
            Decision(
                action=action,
                size_ppb=each.size_ppb,
                stop_loss_ppb=each.stop_loss_ppb,
                take_profit_ppb=each.take_profit_ppb,
                reason=each.reason[:_LONGEST_REASON],
            ),
        )


def _check_detail(detail: messages.Detail, action: Action, symbol: str) -> None:
    lowest = -PPB if action is Action.TARGET else 0
    size = detail.size_ppb
    fine = action is not Action.TARGET if size is None else lowest <= size <= PPB
    distances = (detail.stop_loss_ppb, detail.take_profit_ppb)
    if not fine or not all(each is None or 0 <= each <= _FARTHEST_PPB for each in distances):
        raise ForgedAnswerError(
            f"the child's {action.name} at bar {detail.index} of {symbol} has size {size} and"
            f" distances {distances}, parts per billion; a size is at most {PPB}"
        )


def _shown(symbols: Iterable[str]) -> str:
    return ", ".join(sorted(symbols)) or "nothing"
