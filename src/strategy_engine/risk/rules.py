"""From what is observed of an execution, line, account or engine to what risk does. Pure.

What is not declared leads to nothing; nor does a figure of too few observations, which says so.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum, auto
from typing import Any, Protocol

from strategy_engine.risk.model import Action
from strategy_engine.venue.limits import Scope

RELIEF = 0.95  # a breach is over once the value is this share of its limit: it does not flutter
REDUCE_FACTOR = 0.5


class Measure(StrEnum):
    """What is watched, by the name of its limit."""

    DAILY_LOSS = "daily_loss_limit"
    SOFT_DRAWDOWN = "soft_drawdown"
    MAX_DRAWDOWN = "max_drawdown"
    LOSSES = "max_consecutive_losses"
    EXPOSURE = "max_exposure"
    CONCENTRATION = "max_concentration"
    VAR = "max_var_95"
    CORRELATION = "max_correlation"
    SILENCE = "max_silence_s"
    STALENESS = "max_staleness_s"
    SLIPPAGE = "max_slippage_bps"
    ENVELOPE = "backtest_envelope"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """How one measure is judged.

    Parameters
    ----------
    is_floor : bool
        The limit is the least (a signed loss), and reaching it breaks it; else the most.
    reaches : bool
        A value equal to the limit breaks it.
    fewest : int
        Observations below which nothing follows from the value.
    """

    measure: Measure
    action: Action
    said: str
    is_floor: bool = False
    reaches: bool = False
    fewest: int = 0

    def breaks(self, value: float, limit: float) -> bool:
        """Say whether a value is beyond its limit."""
        if self.is_floor:
            return value <= limit
        return value >= limit if self.reaches else value > limit

    def is_over(self, value: float, limit: float) -> bool:
        """Say whether a breach that lasts has ended."""
        eased = limit * RELIEF
        return value >= eased if self.is_floor else value <= eased


RULES: tuple[Rule, ...] = (
    Rule(
        measure=Measure.DAILY_LOSS,
        action=Action.PAUSE,
        said="the day's P&L is {value:,.2f}",
        is_floor=True,
    ),
    Rule(
        measure=Measure.SOFT_DRAWDOWN,
        action=Action.REDUCE,
        said="the drawdown is {value:.2%}",
        is_floor=True,
    ),
    Rule(
        measure=Measure.MAX_DRAWDOWN,
        action=Action.HALT,
        said="the drawdown is {value:.2%}",
        is_floor=True,
    ),
    Rule(
        measure=Measure.LOSSES,
        action=Action.PAUSE,
        said="{value:.0f} round trips in a row have lost",
        reaches=True,
    ),
    Rule(measure=Measure.EXPOSURE, action=Action.ALERT, said="gross exposure is {value:,.2f}"),
    Rule(
        measure=Measure.CONCENTRATION,
        action=Action.ALERT,
        said="{value:.1%} of gross exposure is in one instrument",
    ),
    Rule(
        measure=Measure.VAR,
        action=Action.ALERT,
        said="1-day 95 % VaR is {value:.2%} of equity",
        fewest=30,
    ),
    Rule(
        measure=Measure.CORRELATION,
        action=Action.ALERT,
        said="the correlation of daily returns is {value:.2f}",
        fewest=30,
    ),
    Rule(
        measure=Measure.SILENCE,
        action=Action.PAUSE,
        said="its process has not answered for {value:.1f} s",
    ),
    Rule(
        measure=Measure.STALENESS,
        action=Action.PAUSE,
        said="no bar has come for {value:.1f} s longer than one lasts",
    ),
    Rule(
        measure=Measure.SLIPPAGE,
        action=Action.ALERT,
        said="fills cost {value:.2f} bps more than expected",
        fewest=10,
    ),
    Rule(
        measure=Measure.ENVELOPE,
        action=Action.ALERT,
        said="results are {value:.2f} × as far from the backtest's mean as its envelope allows",
        fewest=10,
    ),
)
OF: dict[Measure, Rule] = {each.measure: each for each in RULES}


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """A limit in force, whose it is, and what follows when it is broken."""

    limit: float
    scope: Scope
    subject: str
    action: Action
    factor: float = REDUCE_FACTOR


type Bounds = Mapping[Measure, Bound]

# What holds without any limit declared: somebody is told, and nothing is done.
UNDECLARED: dict[Measure, float] = {
    Measure.SILENCE: 60.0,
    Measure.STALENESS: 120.0,
    Measure.ENVELOPE: 1.0,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A figure, the number of observations behind it, and who has a part in it.

    Parameters
    ----------
    value : float or None
        None: it is not defined yet.
    executions : tuple of str
        Those that an action is about; empty: all of the subject.
    told : str
        What else there is to say of it.
    """

    value: float | None
    n: int
    executions: tuple[str, ...] = ()
    told: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What is known of one subject at one look."""

    scope: Scope
    subject: str
    executions: tuple[str, ...]
    values: Mapping[Measure, Seen]


class State(Enum):
    """What a look says of one limit."""

    WITHIN = auto()
    EASING = auto()  # within again, but too near to the limit for a breach to end
    BROKEN = auto()
    UNKNOWN = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one limit of one subject comes to."""

    measure: Measure
    scope: Scope
    subject: str
    state: State
    seen: Seen
    bound: Bound
    executions: tuple[str, ...]
    message: str

    @property
    def key(self) -> tuple[Scope, str, Measure]:
        """What it is a finding about."""
        return self.scope, self.subject, self.measure


class Says(Protocol):
    """What one scope says: a limit set, or a plain mapping of the names."""

    def get(self, name: str, /) -> Any:
        """Return what it says by a name, None for nothing."""
        ...


def bounds_of(
    sets: Iterable[tuple[tuple[Scope, str], Says]], *, with_undeclared: bool = False
) -> dict[Measure, Bound]:
    """Return the tightest of several limit sets, each bound with whose it is.

    Parameters
    ----------
    sets : iterable
        Of whom, and what is said; of one more may be said than once.
    with_undeclared : bool
        Add what holds where nothing is declared: it alerts.
    """
    found: dict[Measure, Bound] = {}
    for (scope, subject), given in sets:
        for rule in RULES:
            value = given.get(rule.measure)
            if value is None:
                continue
            bound = _bound(rule, float(value), scope, subject, given)
            current = found.get(rule.measure)
            if current is None or _is_tighter(rule, bound.limit, current.limit):
                found[rule.measure] = bound
    if with_undeclared:
        for measure, limit in UNDECLARED.items():
            usual = Bound(limit=limit, scope=Scope.ENGINE, subject="", action=Action.ALERT)
            found.setdefault(measure, usual)
    return found


def _bound(rule: Rule, limit: float, scope: Scope, subject: str, given: Says) -> Bound:
    chosen = (given.get("actions") or {}).get(rule.measure)
    factor = given.get("reduce_factor")
    return Bound(
        limit=limit,
        scope=scope,
        subject=subject,
        action=rule.action if chosen is None else Action(chosen),
        factor=REDUCE_FACTOR if factor is None else float(factor),
    )


def _is_tighter(rule: Rule, limit: float, than: float) -> bool:
    return limit > than if rule.is_floor else limit < than


def judge(observed: Observed, bounds: Bounds) -> list[Finding]:
    """Return what every limit in force comes to, in the order of the table."""
    return [
        _finding(observed, rule, bounds[rule.measure], observed.values[rule.measure])
        for rule in RULES
        if rule.measure in bounds and rule.measure in observed.values
    ]


def _finding(observed: Observed, rule: Rule, bound: Bound, seen: Seen) -> Finding:
    state = _state(rule, bound, seen)
    return Finding(
        measure=rule.measure,
        scope=observed.scope,
        subject=observed.subject,
        state=state,
        seen=seen,
        bound=bound,
        executions=seen.executions or observed.executions,
        message=_message(rule, bound, seen, state),
    )


def _state(rule: Rule, bound: Bound, seen: Seen) -> State:
    value = seen.value
    if value is None or not math.isfinite(value) or seen.n < rule.fewest:
        return State.UNKNOWN
    if rule.breaks(value, bound.limit):
        return State.BROKEN
    return State.WITHIN if rule.is_over(value, bound.limit) else State.EASING


def _message(rule: Rule, bound: Bound, seen: Seen, state: State) -> str:
    whose = f"{rule.measure} of {name_of(bound.scope, bound.subject)} is {bound.limit:g}"
    if state is State.UNKNOWN:
        return f"{seen.n} observations, {rule.fewest} are needed; {whose}"
    told = f" ({seen.told})" if seen.told else ""
    return f"{rule.said.format(value=seen.value)}{told}; {whose}"


def name_of(scope: Scope, subject: str) -> str:
    """Return how a subject is told to people."""
    return "the engine" if scope is Scope.ENGINE else f"{scope} {subject}"


def strictest(findings: Iterable[Finding]) -> dict[tuple[Scope, str], Finding]:
    """Return for each subject the broken limit whose action is the strictest."""
    found: dict[tuple[Scope, str], Finding] = {}
    for each in findings:
        key = each.scope, each.subject
        if key not in found or rank(each.bound.action) > rank(found[key].bound.action):
            found[key] = each
    return found


def rank(action: Action) -> int:
    """Return where an action stands from mild to strict."""
    return list(Action).index(action)
