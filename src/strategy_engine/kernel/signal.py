"""What a strategy may answer, and the decision it stands for."""

import math
from dataclasses import dataclass
from functools import lru_cache
from numbers import Real

from strategy_engine.kernel.failures import ContractError, readable
from strategy_engine.matching.model import BUY, HOLD, PPB, SELL, Action, Decision

_LONGEST_REASON = 500
_FARTHEST = 1_000.0
_ACCEPTED = "'BUY', 'SELL', 'HOLD', a target position from -1 to 1, or a Signal"


@dataclass(frozen=True, slots=True)
class Signal:
    """A decision with its own size, protection or reason.

    Parameters
    ----------
    action : str or float
        'BUY', 'SELL', 'HOLD', or a target position from -1 to 1 (a share of capital).
    size : float, optional
        Share of equity for BUY and SELL, above 0 to 1; the execution's own when left out.
    stop_loss, take_profit : float, optional
        Fractions of the entry price (their sign does not matter); 0 switches one off, None
        leaves the execution's own.
    reason : str
        Kept with the order.
    """

    action: str | float
    size: float | None = None
    stop_loss: float | None = None
    take_profit: float | None = None
    reason: str = ""


WORDS = {
    spelled: decision
    for word, decision in (("BUY", BUY), ("SELL", SELL), ("HOLD", HOLD))
    for spelled in (word, word.lower(), word.title())
}


def to_decision(value: object) -> Decision:
    """Return the decision that a strategy's answer stands for; the plain words share one each.

    Raises
    ------
    ContractError
        If the answer is none of those accepted; it names the value.
    """
    if isinstance(value, str):
        return _from_word(value)
    if isinstance(value, Signal):
        return _from_signal(value)
    if value is None:
        raise ContractError("generate_signal returned None; return 'HOLD' to do nothing")
    return _target(_share(value, "the target position", low=-1.0, high=1.0))


def _from_word(value: str) -> Decision:
    decision = WORDS.get(value.upper())
    if decision is None:
        raise ContractError(f"generate_signal returned {_shown(value)}; it may return {_ACCEPTED}")
    return decision


def _from_signal(signal: Signal) -> Decision:
    plain = to_decision(signal.action)
    if plain.action is Action.TARGET and signal.size is not None:
        raise ContractError("a Signal with a target position takes no size: the target is the size")
    size = plain.size_ppb
    if signal.size is not None:
        size = _size(signal.size)
    if not isinstance(signal.reason, str):
        raise ContractError(f"a Signal's reason is {_shown(signal.reason)}; it must be text")
    return Decision(
        action=plain.action,
        size_ppb=size,
        stop_loss_ppb=_distance(signal.stop_loss, "stop_loss", below=1.0),
        take_profit_ppb=_distance(signal.take_profit, "take_profit", below=_FARTHEST),
        reason=readable(signal.reason, _LONGEST_REASON),
    )


@lru_cache(maxsize=4096)
def _target(ppb: int) -> Decision:
    return Decision(action=Action.TARGET, size_ppb=ppb)


def _size(value: object) -> int:
    ppb = _share(value, "a Signal's size", low=0.0, high=1.0)
    if not ppb:
        raise ContractError("a Signal's size is 0; return 'HOLD' to do nothing")
    return ppb


def _share(value: object, what: str, *, low: float, high: float) -> int:
    number = _number(value, what)
    if not low <= number <= high:
        raise ContractError(f"{what} is {number!r}; it must be from {low:g} to {high:g}")
    return round(number * PPB)


def _distance(value: object, what: str, *, below: float) -> int | None:
    if value is None:
        return None
    magnitude = abs(_number(value, f"a Signal's {what}"))
    if not magnitude < below:
        raise ContractError(
            f"a Signal's {what} is {value!r}; it must be a fraction of the price (0.05 is 5 %)"
        )
    return round(magnitude * PPB)


def _number(value: object, what: str) -> float:
    # numpy's bool is no Real; Python's is, and a strategy that answers True means something else.
    if value.__class__ is not float and (isinstance(value, bool) or not isinstance(value, Real)):
        raise ContractError(f"{what} is {_shown(value)}; generate_signal may return {_ACCEPTED}")
    number = float(value)
    if math.isnan(number):
        raise ContractError(f"{what} is NaN; is the history too short for the indicator?")
    return number


def _shown(value: object) -> str:
    return readable(f"{value!r} ({type(value).__name__})", 200)
