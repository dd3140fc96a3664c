"""A webhook, and the delivery of one event to it."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from strategy_engine.core.transitions import next_state


class State(StrEnum):
    """Where a delivery is; `delivered` and `failed` are its ends."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


class Trigger(StrEnum):
    """What an attempt came to."""

    ACCEPT = "accept"
    RETRY = "retry"
    GIVE_UP = "give_up"


ARROWS: dict[tuple[State, Trigger], State] = {
    (State.PENDING, Trigger.ACCEPT): State.DELIVERED,
    (State.PENDING, Trigger.RETRY): State.PENDING,
    (State.PENDING, Trigger.GIVE_UP): State.FAILED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """Where events are sent. `topics` empty: all of them."""

    webhook_id: str
    url: str
    topics: tuple[str, ...]
    secret: str = field(repr=False)
    created_at: datetime
    created_by: str
    removed_at: datetime | None = None

    def wants(self, topic: str) -> bool:
        """Say whether it is told of a topic."""
        return self.removed_at is None and (not self.topics or topic in self.topics)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One event on its way to one webhook. `attempts` counts those that began."""

    delivery_id: int
    webhook_id: str
    event_id: str
    topic: str
    body: str = field(repr=False)
    state: State
    attempts: int
    next_at: datetime
    created_at: datetime
    status_code: int | None = None
    error: str = ""
    took_ms: float | None = None
    ended_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """What became of one request: a status, or why there is none."""

    status_code: int | None = None
    error: str = ""
    took_ms: float = 0.0

    def trigger(self, attempts: int, most: int) -> Trigger:
        """Return what follows: accepted by any 2xx, given up at a 410 or after the last attempt."""
        if self.status_code is not None and 200 <= self.status_code < 300:  # noqa: PLR2004 - HTTP's own
            return Trigger.ACCEPT
        is_gone = self.status_code == 410  # noqa: PLR2004 - Gone: it wants no more
        return Trigger.GIVE_UP if is_gone or attempts >= most else Trigger.RETRY

    def moved(self, state: State, attempts: int, most: int) -> State:
        """Return the state of a delivery after this attempt."""
        return next_state(ARROWS, state, self.trigger(attempts, most))
