"""What a new version may do at most while it is rolled out, as a request asked for it. Pure."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from strategy_engine.core.errors import InvalidError
from strategy_engine.rollout.model import Options
from strategy_engine.rollout.rules import Bounds

LOSS_BUDGET = "loss_budget"
NAMES = tuple(each.name for each in dataclasses.fields(Bounds) if each.name != LOSS_BUDGET)


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """What a bound may be: from `least` to `most`, or above `least` where that is left out."""

    least: float
    most: float
    is_above: bool = False
    is_whole: bool = False

    def holds(self, value: Any) -> bool:
        """Say whether a value is a number in it."""
        if not isinstance(value, int | float) or isinstance(value, bool):
            return False
        if not math.isfinite(value) or (self.is_whole and value != int(value)):
            return False
        return self.least <= value <= self.most and not (self.is_above and value == self.least)

    def __str__(self) -> str:
        number = "a whole number" if self.is_whole else "a number"
        return f"{number} {'above' if self.is_above else 'from'} {self.least:g} to {self.most:g}"


# A bound that whatever trades goes beyond at once would undo every rollout: it is none.
RANGES = {
    LOSS_BUDGET: Range(least=0, most=1, is_above=True),
    "max_reject_share": Range(least=0, most=1),
    "max_slippage_bps": Range(least=0, most=10_000),
    "max_order_ratio": Range(least=0, most=1e6, is_above=True),
    "max_exposure": Range(least=0, most=1_000, is_above=True),
    "max_silence_s": Range(least=1, most=30 * 86_400.0),
    "max_restarts": Range(least=0, most=100, is_whole=True),
    "max_decision_ms": Range(least=0.01, most=60_000),
    "fewest_orders": Range(least=1, most=1e9, is_whole=True),
    "harmless": Range(least=0, most=100),
    "alpha": Range(least=0, most=0.5, is_above=True),
}


def bounds(options: Options) -> Bounds:
    """Return the usual bounds, with those that were asked for in their places.

    Raises
    ------
    InvalidError
        If one is unknown, or is no number that a bound can be; it is named.
    """
    for name, value in options.bounds.items():
        if name not in NAMES:
            told = "is an option of its own" if name == LOSS_BUDGET else "is no bound"
            raise InvalidError(
                f"bounds.{name} {told}; there are {', '.join(NAMES)}",
                field=f"bounds.{name}",
                value=name,
                accepted=list(NAMES),
            )
        _check(value, f"bounds.{name}", RANGES[name])
    _check(options.loss_budget, LOSS_BUDGET, RANGES[LOSS_BUDGET])
    asked: dict[str, Any] = {LOSS_BUDGET: options.loss_budget} | options.bounds
    return Bounds(**asked)


def _check(value: Any, field: str, accepted: Range) -> None:
    if not accepted.holds(value):
        raise InvalidError(
            f"{field} is {value!r}; it must be {accepted}",
            field=field,
            value=str(value),
            accepted=str(accepted),
        )
