"""Limits of several scopes, and the tightest of them. Pure.

A limit on one order counts in whatever scope it is set: the tightest holds. A limit on what is held
or done is of its holder: that of a version or of an execution measures the execution, that of a
line, an account or the engine measures all of theirs together. So each holder has its own.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, cast

from strategy_engine.core import money
from strategy_engine.core.errors import InvalidError
from strategy_engine.venue import hours

PPB = 1_000_000_000
_MOST_MONEY = 1_000_000_000
_MOST_UNITS = 1_000_000_000_000
_MOST_COUNT = 1_000_000
_MOST_S = 31_536_000


class Scope(StrEnum):
    """What a limit or a deed of risk is about; the subject of `ENGINE` is empty text."""

    VERSION = "version"
    EXECUTION = "execution"
    LINE = "line"
    ACCOUNT = "account"
    ENGINE = "engine"


class Unit(StrEnum):
    """What a limit's value is."""

    MONEY = "money"  # in account currency
    LOSS = "loss"  # in account currency; the sign does not matter
    UNITS = "units"  # of the instrument
    COUNT = "count"
    RATIO = "ratio"
    DROP = "drop"  # a fraction; the sign does not matter
    NUMBER = "number"  # seconds, basis points: what the name's ending says
    NAMES = "names"
    HOURS = "hours"
    FLAG = "flag"
    ACTIONS = "actions"  # by a limit's name, what the monitor does when it is broken


class Of(StrEnum):
    """What a limit measures."""

    ORDER = "order"  # one order, whoever sends it: the tightest of all scopes holds
    HOLDER = "holder"  # what an execution, a line, an account or the engine holds and does


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One name: its unit, where its value may lie, and what it measures."""

    name: str
    unit: Unit
    of: Of = Of.HOLDER
    low: float = 0
    high: float = _MOST_MONEY


_U = Unit
GATE: tuple[Kind, ...] = (
    Kind(name="max_position_size", unit=_U.MONEY),
    Kind(name="daily_loss_limit", unit=_U.LOSS, low=-_MOST_MONEY),
    Kind(name="max_order_quantity", unit=_U.UNITS, of=Of.ORDER, high=_MOST_UNITS),
    Kind(name="max_order_notional", unit=_U.MONEY, of=Of.ORDER),
    Kind(name="max_orders_per_minute", unit=_U.COUNT, high=_MOST_COUNT),
    Kind(name="max_cancels_per_minute", unit=_U.COUNT, high=_MOST_COUNT),
    Kind(name="price_collar", unit=_U.RATIO, of=Of.ORDER, high=10),
    Kind(name="max_leverage", unit=_U.RATIO, high=1_000),
    Kind(name="allowed_symbols", unit=_U.NAMES, of=Of.ORDER),
    Kind(name="trading_hours", unit=_U.HOURS, of=Of.ORDER),
    Kind(name="allow_self_match", unit=_U.FLAG, of=Of.ORDER),
)
MONITOR: tuple[Kind, ...] = (
    Kind(name="soft_drawdown", unit=_U.DROP, low=-1, high=1),
    Kind(name="max_drawdown", unit=_U.DROP, low=-1, high=1),
    Kind(name="max_consecutive_losses", unit=_U.COUNT, low=1, high=_MOST_COUNT),
    Kind(name="max_exposure", unit=_U.MONEY),
    Kind(name="max_concentration", unit=_U.RATIO, high=1),
    Kind(name="max_var_95", unit=_U.RATIO, high=1),
    Kind(name="max_correlation", unit=_U.RATIO, low=-1, high=1),
    Kind(name="max_silence_s", unit=_U.NUMBER, high=_MOST_S),
    Kind(name="max_staleness_s", unit=_U.NUMBER, high=_MOST_S),
    Kind(name="max_slippage_bps", unit=_U.NUMBER, high=10_000),
    Kind(name="reduce_factor", unit=_U.RATIO, high=0.99),
    Kind(name="actions", unit=_U.ACTIONS),
)
_MANY = frozenset({Unit.NAMES, Unit.HOURS, Unit.ACTIONS})  # none says all that another does
ACTIONS = ("alert", "reduce", "pause", "halt")
WATCHED = (
    "daily_loss_limit",
    *(each.name for each in MONITOR if each.name not in {"reduce_factor", "actions"}),
)
KINDS: Mapping[str, Kind] = {each.name: each for each in (*GATE, *MONITOR)}
SHARED_ONLY = frozenset({"allow_self_match"})  # nobody may allow it to himself
OWN = tuple(name for name in KINDS if name not in SHARED_ONLY)  # of versions and executions
VALIDATION = ("max_var", "max_marginal_var")  # of a version; validation reads them, nobody else

type Plain = float | int | bool | str | Sequence[str] | Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitSet:
    """What one scope says, each value checked; `unknown` are names that mean nothing here."""

    values: Mapping[str, Any] = field(default_factory=dict)
    unknown: tuple[str, ...] = ()

    def get(self, name: str) -> Any:
        """Return a value as it was given, losses and drawdowns negative; None: not limited."""
        return self.values.get(name)

    def to_plain(self) -> dict[str, Any]:
        """Return the values as JSON has them."""
        return {
            name: list(each) if isinstance(each, tuple) else each
            for name, each in self.values.items()
        }

    def without(self, *names: str) -> "LimitSet":
        """Return this set without some names."""
        kept = {name: each for name, each in self.values.items() if name not in names}
        return LimitSet(values=kept)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """One value in force, and where it comes from.

    `value` is what the gate counts with: billionths of money, units and ratios, whole numbers.
    """

    name: str
    scope: Scope
    subject: str
    given: Any
    value: Any

    @property
    def said(self) -> str:
        """Return whose limit it is and what, for a sentence."""
        whose = self.scope.value if self.scope is Scope.ENGINE else f"{self.scope} {self.subject}"
        return f"{self.name} of {whose} is {_shown(self)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Everything in force for one execution; of each name the tightest a holder, first of all."""

    by_name: Mapping[str, tuple[Limit, ...]] = field(default_factory=dict)

    def every(self, name: str) -> tuple[Limit, ...]:
        """Return a name's limits: one of each holder, of an order's the tightest alone."""
        return self.by_name.get(name, ())

    def of(self, name: str, scope: Scope = Scope.EXECUTION) -> Limit | None:
        """Return what holds a holder; of a version and of its execution it is the same one."""
        holder = _holder(scope)
        return next((each for each in self.every(name) if _holder(each.scope) is holder), None)


NO_LIMITS = Limits()


def parse(
    given: Mapping[str, Any], *, names: Collection[str] = KINDS, tolerant: bool = False
) -> LimitSet:
    """Return a checked set; None lifts nothing: it is as if the name were not there.

    Parameters
    ----------
    names : collection of str
        Those that may be given.
    tolerant : bool
        Names that are unknown are kept apart instead of refused: a version's are its author's.

    Raises
    ------
    InvalidError
        With the field, its value and what is accepted.
    """
    unknown = tuple(name for name in given if name not in names and name not in VALIDATION)
    if unknown and not tolerant:
        raise InvalidError(
            f"there is no limit {unknown[0]!r} here; there are: {', '.join(names)}",
            field=unknown[0],
            value=given[unknown[0]],
            accepted=list(names),
        )
    values = {
        name: _checked(KINDS[name], value)
        for name, value in given.items()
        if name in names and value is not None
    }
    return LimitSet(values=values, unknown=unknown)


def tightest(sets: Mapping[tuple[Scope, str], LimitSet]) -> Limits:
    """Return what is in force where several scopes say something."""
    found: dict[str, tuple[Limit, ...]] = {}
    for name, kind in KINDS.items():
        limits = [
            Limit(name=name, scope=scope, subject=subject, given=given, value=_exact(kind, given))
            for (scope, subject), each in sets.items()
            if (given := each.get(name)) is not None
        ]
        if limits:
            found[name] = tuple(_in_force(kind, limits))
    return Limits(by_name=found)


def _in_force(kind: Kind, limits: Iterable[Limit]) -> list[Limit]:
    """Return the limits that count, tightest first."""
    ordered = sorted(limits, key=lambda each: _slack(kind, each))
    if kind.unit in _MANY:
        return ordered  # none of them says all that another does
    if kind.of is Of.ORDER:
        return ordered[:1]
    first: dict[Scope, Limit] = {}
    for each in ordered:
        first.setdefault(_holder(each.scope), each)
    return list(first.values())


def _slack(kind: Kind, limit: Limit) -> float:
    if kind.unit in _MANY:
        return len(limit.value)
    value: float = limit.value
    return -value if kind.unit in {Unit.LOSS, Unit.DROP} else value


def _holder(scope: Scope) -> Scope:
    return Scope.EXECUTION if scope is Scope.VERSION else scope


# --- values


def _exact(kind: Kind, given: Any) -> Any:
    match kind.unit:
        case Unit.MONEY | Unit.LOSS | Unit.UNITS:
            return money.to_nanos(given)
        case Unit.RATIO | Unit.DROP:
            return round(given * PPB)
        case Unit.NAMES:
            return frozenset(given)
        case Unit.HOURS:
            return tuple(part for each in given if (part := hours.parse(each)) is not None)
        case _:
            return given


def _checked(kind: Kind, value: Any) -> Plain:
    return _CHECKS.get(kind.unit, _number)(kind, value)


def _number(kind: Kind, value: Any) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not kind.low <= value <= kind.high:  # NaN is nowhere
        raise _invalid(kind, value, f"a number from {kind.low:g} to {kind.high:g}")
    return cast("float", value)


def _loss(kind: Kind, value: Any) -> float:
    return -abs(_number(kind, value))


def _count(kind: Kind, value: Any) -> int:
    number = _number(kind, value)
    if not isinstance(number, int):
        raise _invalid(kind, value, f"a whole number from {kind.low:g} to {kind.high:g}")
    return number


def _actions(kind: Kind, value: Any) -> Mapping[str, str]:
    is_mapping = isinstance(value, Mapping)
    if not is_mapping or not all(
        name in WATCHED and action in ACTIONS for name, action in value.items()
    ):
        accepted = f"a mapping of {', '.join(WATCHED)} to one of {', '.join(ACTIONS)}"
        raise _invalid(kind, value, accepted)
    return dict(value)


def _flag(kind: Kind, value: Any) -> bool:
    if not isinstance(value, bool):
        raise _invalid(kind, value, "true or false")
    return value


def _names(kind: Kind, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(v, str) and v for v in value):
        raise _invalid(kind, value, "a list of instrument names; GET /instruments lists them")
    return tuple(dict.fromkeys(value))


def _hours(kind: Kind, value: Any) -> tuple[str, ...]:
    is_list = isinstance(value, list | tuple)
    if not is_list or not all(isinstance(v, str) and hours.parse(v) is not None for v in value):
        raise _invalid(kind, value, f"a list of {hours.ACCEPTED}")
    return tuple(value)


_CHECKS: Mapping[Unit, Callable[[Kind, Any], Plain]] = {
    Unit.LOSS: _loss,
    Unit.DROP: _loss,
    Unit.COUNT: _count,
    Unit.FLAG: _flag,
    Unit.ACTIONS: _actions,
    Unit.NAMES: _names,
    Unit.HOURS: _hours,
}


def _invalid(kind: Kind, value: Any, accepted: str) -> InvalidError:
    return InvalidError(
        f"{kind.name} is {value!r}; it must be {accepted}",
        field=kind.name,
        value=value,
        accepted=accepted,
    )


def _shown(limit: Limit) -> str:
    match KINDS[limit.name].unit:
        case Unit.MONEY | Unit.LOSS:
            return f"{money.to_decimal(limit.value):,.2f}"
        case Unit.NAMES | Unit.HOURS | Unit.ACTIONS:
            return ", ".join(limit.given) or "empty"
        case Unit.FLAG:
            return "true" if limit.given else "false"
        case Unit.COUNT:
            return f"{limit.given:,}"
        case _:
            return f"{limit.given:,g}"
