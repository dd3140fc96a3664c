"""Limits that are broken, from when they are until they are not: begun, wider, over. Pure."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from strategy_engine.core import ids
from strategy_engine.risk import rules
from strategy_engine.risk.model import Action
from strategy_engine.risk.rules import Bounds, Finding, Measure, State
from strategy_engine.venue.limits import Scope

BREACH = "breach"

type Key = tuple[Scope, str, Measure]


@dataclass(frozen=True, slots=True, kw_only=True)
class Breach:
    """One limit that is or was broken. One row for as long as it lasts.

    Parameters
    ----------
    scope, subject
        What broke it; `limit_scope`, `limit_subject` whose limit it is.
    executions : tuple of str
        Those that the action was about.
    sample : int
        The observations behind the value.
    """

    breach_id: str
    measure: Measure
    scope: Scope
    subject: str
    value: float
    limit: float
    limit_scope: Scope
    limit_subject: str
    action: Action
    factor: float
    executions: tuple[str, ...]
    sample: int
    message: str
    began_at: datetime
    ended_at: datetime | None = None

    @property
    def key(self) -> Key:
        """What is broken, and by whom."""
        return self.scope, self.subject, self.measure


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """A breach that lasts, and executions that came to its subject since it began."""

    breach: Breach
    executions: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What a look changes of the breaches there are."""

    begun: tuple[Breach, ...] = ()
    joined: tuple[Joined, ...] = ()
    ended: tuple[Breach, ...] = ()


def follow(lasting: Mapping[Key, Breach], findings: Iterable[Finding], now: datetime) -> Changes:
    """Return what findings change: what is not known, or only nearly over, ends nothing."""
    begun, joined, ended = list[Breach](), list[Joined](), list[Breach]()
    for each in findings:
        breach = lasting.get(each.key)
        if breach is None:
            if each.state is State.BROKEN:
                begun.append(_begin(each, now))
        elif each.state is State.WITHIN:
            ended.append(over(breach, now))
        elif each.state is State.BROKEN:
            joined += _join(breach, each)
    return Changes(begun=tuple(begun), joined=tuple(joined), ended=tuple(ended))


def gone(lasting: Mapping[Key, Breach], subjects: set[tuple[Scope, str]]) -> list[Breach]:
    """Return the breaches that nothing may be found of again: nobody runs of their subject.

    Of a correlation both have to run: without one of them nothing is known of the other's.
    """
    return [each for each in lasting.values() if _is_gone(each, subjects)]


def _is_gone(breach: Breach, subjects: set[tuple[Scope, str]]) -> bool:
    if breach.measure is Measure.CORRELATION:
        return any((Scope.EXECUTION, each) not in subjects for each in breach.executions)
    return (breach.scope, breach.subject) not in subjects


def has_ended(breach: Breach, ended: Collection[str]) -> bool:
    """Say whether a breach is over because those of its executions have ended that matter to it."""
    each_is = [each in ended for each in breach.executions]
    return any(each_is) if breach.measure is Measure.CORRELATION else all(each_is)


def lifted(
    lasting: Mapping[Key, Breach], bounds: Mapping[tuple[Scope, str], Bounds], now: datetime
) -> tuple[Breach, ...]:
    """Return the breaches of limits that are no more, ended, of subjects whose limits are known."""
    return tuple(
        over(each, now)
        for each in lasting.values()
        if (found := bounds.get((each.scope, each.subject))) is not None
        and each.measure not in found
    )


def over(breach: Breach, now: datetime) -> Breach:
    """Return a breach that is over."""
    return replace(breach, ended_at=now)


def _begin(finding: Finding, now: datetime) -> Breach:
    bound, value = finding.bound, finding.seen.value
    return Breach(
        breach_id=ids.new_id(BREACH),
        measure=finding.measure,
        scope=finding.scope,
        subject=finding.subject,
        value=0.0 if value is None else value,
        limit=bound.limit,
        limit_scope=bound.scope,
        limit_subject=bound.subject,
        action=bound.action,
        factor=bound.factor,
        executions=finding.executions,
        sample=finding.seen.n,
        message=f"{rules.name_of(finding.scope, finding.subject)}: {finding.message}",
        began_at=now,
    )


def _join(breach: Breach, finding: Finding) -> list[Joined]:
    """Return who came to what was stopped: it is stopped as well."""
    new = tuple(each for each in finding.executions if each not in breach.executions)
    if not new or breach.action is Action.ALERT:
        return []
    wider = replace(breach, executions=(*breach.executions, *new))
    return [Joined(breach=wider, executions=new)]
