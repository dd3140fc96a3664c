"""What an alert, a rule, a channel and a delivery are, and how an alert's state changes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any


class Severity(StrEnum):
    """How much an alert matters, from mild to severe."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """Its place from mild to severe."""
        return _SEVERITIES.index(self)


_SEVERITIES = tuple(Severity)


class State(StrEnum):
    """Where an alert is; `resolved` and `lapsed` are its ends."""

    PENDING = "pending"  # its condition holds, but not for long enough: nobody is told
    FIRING = "firing"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"
    LAPSED = "lapsed"  # it never fired, and is forgotten


class Trigger(StrEnum):
    """What happens to an alert."""

    FIRE = "fire"
    LAPSE = "lapse"
    ACKNOWLEDGE = "acknowledge"
    RESOLVE = "resolve"


ARROWS: dict[tuple[State, Trigger], State] = {
    (State.PENDING, Trigger.FIRE): State.FIRING,
    (State.PENDING, Trigger.LAPSE): State.LAPSED,
    (State.FIRING, Trigger.ACKNOWLEDGE): State.ACKNOWLEDGED,
    (State.FIRING, Trigger.RESOLVE): State.RESOLVED,
    (State.ACKNOWLEDGED, Trigger.FIRE): State.FIRING,  # it has become worse since
    (State.ACKNOWLEDGED, Trigger.RESOLVE): State.RESOLVED,
}
OPEN = frozenset({State.PENDING, State.FIRING, State.ACKNOWLEDGED})
TOLD = frozenset({State.FIRING, State.ACKNOWLEDGED, State.RESOLVED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """Why an alert is raised: of whom, what to say, and what makes two of them the same.

    Parameters
    ----------
    key : str
        While an alert with it is open, the same again only counts.
    rule_id : str
        The rule that it is raised by; it says whether and where people are told.
    lasts_s : float or None
        It resolves by itself when it was not raised again for so long; None: somebody resolves it.
    """

    key: str
    severity: Severity
    subject_type: str
    subject_id: str
    title: str
    message: str
    rule_id: str
    details: Mapping[str, Any] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    lasts_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One thing that somebody should know, from its first sign to its end.

    Parameters
    ----------
    count : int
        How often it was raised while it was open.
    since, fired_at, last_at : datetime
        The first sign; when people were told; the last sign.
    is_muted : bool
        Its rule tells nobody: it is kept, but not sent.
    """

    alert_id: str
    key: str
    rule_id: str
    severity: Severity
    state: State
    subject_type: str
    subject_id: str
    title: str
    message: str
    details: Mapping[str, Any]
    labels: Mapping[str, str]
    count: int
    since: datetime
    last_at: datetime
    is_muted: bool = False
    fired_at: datetime | None = None
    acknowledged_at: datetime | None = None
    acknowledged_by: str | None = None
    comment: str = ""
    resolved_at: datetime | None = None
    expires_at: datetime | None = None

    @property
    def is_open(self) -> bool:
        """Whether it has not ended."""
        return self.state in OPEN


class Kind(StrEnum):
    """How a channel sends."""

    WEBHOOK = "webhook"
    APPRISE = "apprise"


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """Where alerts are sent. Its URL is a secret: it may hold its receiver's token.

    Parameters
    ----------
    severity : Severity
        It gets what is at least so severe.
    secret : str
        What a webhook's requests are signed by; empty for other kinds.
    """

    channel_id: str
    kind: Kind
    name: str
    url: str = field(repr=False)
    secret: str = field(repr=False)
    severity: Severity
    created_at: datetime
    created_by: str
    removed_at: datetime | None = None


class Outcome(StrEnum):
    """Where a delivery is; `delivered` and `failed` are its ends."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


class Notice(StrEnum):
    """What a delivery tells of its alert."""

    FIRING = "firing"
    RESOLVED = "resolved"
    TEST = "test"


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One notice on its way to one channel. `attempts` counts those that began."""

    delivery_id: int
    channel_id: str
    alert_id: str
    event_id: str
    notice: Notice
    body: str = field(repr=False)
    state: Outcome
    attempts: int
    next_at: datetime
    created_at: datetime
    status_code: int | None = None
    error: str = ""
    took_ms: float | None = None
    ended_at: datetime | None = None
