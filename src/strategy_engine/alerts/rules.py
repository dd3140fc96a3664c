"""What a rule is, when it holds, and what that makes of an alert. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any

from strategy_engine.alerts.model import Alert, Severity, State, Trigger

RISK = "risk"  # what risk raises itself
UNDELIVERED = "undelivered"
DEFAULT_KEY = "{rule_id}:{subject_id}"
DEFAULT_LASTS_S = 3_600.0
LONGEST_KEY = 200
_PLACE = re.compile(r"\{([a-z_]+)\}")


class Scope(StrEnum):
    """Of what a metric is."""

    EXECUTION = "execution"
    VERSION = "version"
    LINE = "line"
    ENGINE = "engine"


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """A metric that is beyond a limit, for so long.

    Parameters
    ----------
    above, below : float or None
        One of the two: beyond it, the condition holds.
    clear : float or None
        An alert ends only when the metric is back within this one; None: the limit itself.
    subject : str or None
        Only of this one, by its id or name; None: of every one.
    for_s : float
        It must hold so long before anybody is told.
    """

    scope: Scope
    name: str
    above: float | None = None
    below: float | None = None
    clear: float | None = None
    subject: str | None = None
    for_s: float = 0.0

    def holds(self, value: float | None, *, is_open: bool) -> bool | None:
        """Say whether the metric is beyond its limit; None: nobody knows."""
        if value is None or value != value:  # noqa: PLR0124 - not a number is none
            return None
        back = self.clear if is_open and self.clear is not None else None
        if self.above is not None:
            return value > (self.above if back is None else back)
        return value < ((self.below or 0.0) if back is None else back)

    def said(self, value: float) -> str:
        """Return the condition in words."""
        limit, way = (self.above, "above") if self.above is not None else (self.below, "below")
        return f"{self.name} is {value:.6g}, {way} {limit:.6g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """Events on a topic or below it, whose fields have these values; in a text `*` is any text."""

    topic: str
    fields: Mapping[str, str | float | bool | None] = field(default_factory=dict)

    def fits(self, topic: str, told: Mapping[str, Any]) -> bool:
        """Say whether an event is one of these."""
        if not is_below(topic, self.topic):
            return False
        return all(_same(_field(told, name), value) for name, value in self.fields.items())


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """When people are told, of what, and where.

    Parameters
    ----------
    channels : tuple of str or None
        Only these; None: every channel that takes its severity.
    lasts_s : float
        An alert of an event resolves when none came for so long.
    key : str
        What makes two alerts the same; see `DEFAULT_KEY`.
    """

    rule_id: str
    name: str
    severity: Severity
    threshold: Threshold | None = None
    match: Match | None = None
    is_enabled: bool = True
    labels: Mapping[str, str] = field(default_factory=dict)
    channels: tuple[str, ...] | None = None
    muted_until: datetime | None = None
    key: str = DEFAULT_KEY
    lasts_s: float = DEFAULT_LASTS_S
    is_built_in: bool = False
    created_by: str = ""
    updated_at: datetime | None = None

    def is_silent(self, now: datetime) -> bool:
        """Say whether nobody is told of what it finds."""
        return not self.is_enabled or (self.muted_until is not None and now < self.muted_until)


def is_below(topic: str, prefix: str) -> bool:
    """Say whether a topic is another one, or one of those below it.

    Examples
    --------
    >>> is_below("strategy.error", "strategy"), is_below("strategy.error", "strat")
    (True, False)
    """
    return topic == prefix or topic.startswith(f"{prefix}.")


def key_of(rule: Rule, told: Mapping[str, str]) -> str:
    """Return the key of an alert; what its template names and nobody told is empty."""
    known = {"rule_id": rule.rule_id, **told}
    return _PLACE.sub(lambda found: known.get(found[1], ""), rule.key)[:LONGEST_KEY]


def step(
    alert: Alert | None, *, holds: bool | None, for_s: float, now: datetime
) -> State | Trigger | None:
    """Return what a condition makes of its alert.

    Returns
    -------
    State, Trigger or None
        A state: a new alert begins in it. A trigger: the alert that there is moves by it. What is
        not known changes nothing.
    """
    if holds is None:
        return None
    if alert is None:
        begins = State.PENDING if for_s > 0 else State.FIRING
        return begins if holds else None
    if alert.state is State.PENDING:
        if not holds:
            return Trigger.LAPSE
        return Trigger.FIRE if now - alert.since >= timedelta(seconds=for_s) else None
    return None if holds else Trigger.RESOLVE


def counted(alert: Alert, severity: Severity, message: str, at: datetime) -> Alert:
    """Return an open alert that was raised once more; it never becomes milder."""
    worst = max(alert.severity, severity, key=lambda each: each.rank)
    expires_at = alert.expires_at
    if expires_at is not None:
        expires_at = max(expires_at, at + (expires_at - alert.last_at))
    return replace(
        alert,
        severity=worst,
        message=message,
        count=alert.count + 1,
        last_at=max(at, alert.last_at),
        expires_at=expires_at,
    )


def _field(told: Mapping[str, Any], name: str) -> Any:
    found: Any = told
    for part in name.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def _same(found: Any, wanted: Any) -> bool:
    if isinstance(found, bool) or isinstance(wanted, bool):
        return found is wanted
    if isinstance(found, str) and isinstance(wanted, str):
        return fnmatchcase(found, wanted.replace("[", "[[]").replace("?", "[?]"))
    return bool(found == wanted)
