"""What a version must reach: the default and the production profile, and what overrides them."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from strategy_engine.core.errors import InvalidError

DEFAULT, PRODUCTION = "default", "production"
_MANY = 10_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Criteria:
    """The limits of the gates. Fractions, never percent; None: the gate does not exist.

    `max_drawdown` is signed. `max_var` is a share of equity lost in a day, `max_marginal_var` a
    share of this version's capital. `min_trades` and `min_daily_returns` are the samples below
    which a metric says nothing; `min_total_trades` and `min_years` are gates of their own.
    `overrides` names what a request set.
    """

    profile: str = DEFAULT
    min_sharpe_ratio: float = 1.0
    max_drawdown: float = -0.15
    min_win_rate: float = 0.55
    min_alpha: float = 1e-9
    min_trades: int = 10
    min_daily_returns: int = 30
    payoff_profile: bool = False
    min_profit_factor: float = 1.3
    accept_inconclusive: bool = False
    max_var: float | None = None
    max_marginal_var: float | None = None
    max_correlation: float | None = None
    min_psr: float | None = None
    min_dsr: float | None = None
    min_total_trades: int | None = None
    min_years: float | None = None
    min_out_of_sample_ratio: float | None = None
    min_doubled_costs_sharpe: float | None = None
    overrides: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return every limit by its name."""
        return {each.name: getattr(self, each.name) for each in fields(self)} | {
            "overrides": list(self.overrides)
        }


PROFILES = {
    DEFAULT: Criteria(),
    PRODUCTION: Criteria(
        profile=PRODUCTION,
        min_psr=0.95,
        min_dsr=0.95,
        min_total_trades=100,
        min_years=2.0,
        min_out_of_sample_ratio=0.5,
        min_doubled_costs_sharpe=0.0,
    ),
}

# Where each number may lie. What is not here is a flag.
_NUMBERS: dict[str, tuple[float, float]] = {
    "min_sharpe_ratio": (-100, 100),
    "max_drawdown": (-1, 1),
    "min_win_rate": (0, 1),
    "min_alpha": (-100, 100),
    "min_profit_factor": (0, 1_000),
    "max_var": (-1, 1),
    "max_marginal_var": (-1, 1),
    "max_correlation": (-1, 1),
    "min_psr": (0, 1),
    "min_dsr": (0, 1),
    "min_years": (0, 1_000),
    "min_out_of_sample_ratio": (-100, 100),
    "min_doubled_costs_sharpe": (-100, 100),
}
_COUNTS: dict[str, tuple[int, int]] = {
    "min_trades": (1, _MANY),
    "min_daily_returns": (2, _MANY),
    "min_total_trades": (0, _MANY),
}
_FLAGS = ("payoff_profile", "accept_inconclusive")
_DECLARED = ("max_var", "max_marginal_var", "max_correlation")
NAMES = (*_NUMBERS, *_COUNTS, *_FLAGS)


def criteria(given: Mapping[str, Any], profile: str = DEFAULT) -> Criteria:
    """Return a profile's limits with those that a request gives in their place.

    Raises
    ------
    InvalidError
        If the profile or a name is unknown, or a value has the wrong type or is out of range.
    """
    base = PROFILES.get(profile)
    if base is None:
        raise InvalidError(
            f"validation_profile {profile!r} is unknown; it is one of {', '.join(PROFILES)}",
            field="validation_profile",
            value=profile,
            accepted=list(PROFILES),
        )
    chosen: dict[str, Any] = {name: _value(name, value) for name, value in given.items()}
    overrides = sorted(name for name, value in chosen.items() if value != getattr(base, name))
    return replace(base, **chosen, overrides=tuple(overrides))


def with_declared(base: Criteria, risk_limits: Mapping[str, Any]) -> Criteria:
    """Return the limits with those that a version declares itself where the request is silent.

    Raises
    ------
    InvalidError
        If a declared limit has the wrong type or is out of range.
    """
    declared: dict[str, Any] = {
        name: _value(name, risk_limits[name])
        for name in _DECLARED
        if risk_limits.get(name) is not None and getattr(base, name) is None
    }
    return replace(base, **declared)


def _value(name: str, value: Any) -> float | bool:
    if name in _FLAGS:
        return _flag(name, value)
    if name in _COUNTS:
        return _count(name, value)
    if name in _NUMBERS:
        return _number(name, value)
    raise InvalidError(
        f"validation_criteria has no {name!r}; it takes {', '.join(NAMES)}",
        field=f"validation_criteria.{name}",
        value=value,
        accepted=list(NAMES),
    )


def _number(name: str, value: Any) -> float:
    low, high = _NUMBERS[name]
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not low <= value <= high:
        raise _refusal(name, value, f"a number from {low:g} to {high:g}")
    if name == "max_drawdown":
        return -abs(float(value))
    return abs(float(value)) if name in {"max_var", "max_marginal_var"} else float(value)


def _count(name: str, value: Any) -> int:
    low, high = _COUNTS[name]
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise _refusal(name, value, f"a whole number from {low} to {high}")
    return value


def _flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise _refusal(name, value, "true or false")
    return value


def _refusal(name: str, value: Any, accepted: str) -> InvalidError:
    return InvalidError(
        f"{name} is {value!r}; it must be {accepted}",
        field=f"validation_criteria.{name}",
        value=value,
        accepted=accepted,
    )
