"""Time is aware UTC, and comes from a clock that a test can set."""

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

NANOS_PER_SECOND = 1_000_000_000


class Clock(Protocol):
    """Where a room learns what time it is."""

    def now(self) -> datetime:
        """Return the current time, aware, in UTC."""
        ...

    def monotonic_s(self) -> float:
        """Return seconds that never go back, for measuring durations."""
        ...


class SystemClock:
    """The machine's own time."""

    def now(self) -> datetime:
        """Return the current time, aware, in UTC."""
        return datetime.now(UTC)

    def monotonic_s(self) -> float:
        """Return seconds that never go back, for measuring durations."""
        return time.monotonic()


class SteppedClock:
    """A clock that stands still until it is moved."""

    def __init__(self, start: datetime) -> None:
        self._start = start
        self._now = start

    def now(self) -> datetime:
        """Return the time it was last set to."""
        return self._now

    def monotonic_s(self) -> float:
        """Return the seconds it was advanced since it was made."""
        return (self._now - self._start).total_seconds()

    def advance(self, seconds: float) -> None:
        """Move the clock forward."""
        self._now += timedelta(seconds=seconds)


def from_nanos(ts_ns: int) -> datetime:
    """Return the aware UTC time of nanoseconds since 1970 (microseconds kept)."""
    return datetime.fromtimestamp(0, UTC) + timedelta(microseconds=ts_ns // 1_000)


def to_nanos(moment: datetime) -> int:
    """Return nanoseconds since 1970 of an aware time."""
    delta = moment - datetime.fromtimestamp(0, UTC)
    return (delta.days * 86_400 + delta.seconds) * NANOS_PER_SECOND + delta.microseconds * 1_000
