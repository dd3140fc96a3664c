"""What a new version may do at most while it is rolled out, as a request asked for it. Pure."""

import dataclasses
import math
from typing import Any

from strategy_engine.core.errors import InvalidError
from strategy_engine.rollout.model import Options
from strategy_engine.rollout.rules import Bounds

LOSS_BUDGET = "loss_budget"
NAMES = tuple(each.name for each in dataclasses.fields(Bounds) if each.name != LOSS_BUDGET)
_MOST = {"max_reject_share": 1.0, "alpha": 0.5}


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
        _check(value, f"bounds.{name}", most=_MOST.get(name, math.inf), is_open=name == "alpha")
    _check(options.loss_budget, LOSS_BUDGET, most=1.0, is_open=True)
    asked: dict[str, Any] = {LOSS_BUDGET: options.loss_budget} | options.bounds
    return Bounds(**asked)


def _check(value: Any, field: str, *, most: float, is_open: bool) -> None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if is_number and math.isfinite(value) and 0 <= value <= most and (value > 0 or not is_open):
        return
    accepted = "above 0" if is_open else "from 0"
    accepted += f" to {most:g}" if math.isfinite(most) else " on"
    raise InvalidError(
        f"{field} is {value!r}; it must be a number {accepted}",
        field=field,
        value=str(value),
        accepted=accepted,
    )
