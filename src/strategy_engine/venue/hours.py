"""Trading hours: parts of the day in a time zone, and whether an instant lies in one. Pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

_HOUR = 60  # minutes
_DAY = 24 * _HOUR
_MINUTE_NS = 60 * 1_000_000_000
_WRITTEN = re.compile(r"(\d\d):(\d\d)-(\d\d):(\d\d)(?: ([A-Za-z0-9_+\-/]+))?")
ACCEPTED = "'HH:MM-HH:MM' or 'HH:MM-HH:MM Area/City', from 00:00 to 24:00; without a zone: UTC"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hours:
    """A part of every day, from a minute to before another; over midnight if it ends earlier."""

    written: str
    from_minute: int
    until_minute: int
    zone: str

    def holds(self, now_ns: int) -> bool:
        """Say whether an instant (nanoseconds since 1970) lies in it."""
        minute = _minute_of_day(self.zone, now_ns // _MINUTE_NS)
        if self.from_minute < self.until_minute:
            return self.from_minute <= minute < self.until_minute
        return minute >= self.from_minute or minute < self.until_minute


def parse(written: str) -> Hours | None:
    """Return what is written, or None if that is no part of a day in a known zone."""
    found = _WRITTEN.fullmatch(written)
    if found is None:
        return None
    first, first_minute, last, last_minute = (int(each) for each in found.groups()[:4])
    start, end, zone = first * _HOUR + first_minute, last * _HOUR + last_minute, found[5] or "UTC"
    is_time = max(first_minute, last_minute) < _HOUR and start < _DAY and end <= _DAY
    if not is_time or start == end or not _is_zone(zone):
        return None
    return Hours(written=written, from_minute=start, until_minute=end, zone=zone)


def holds(parts: Sequence[Hours], now_ns: int) -> bool:
    """Say whether an instant lies in one of several parts of the day."""
    return any(each.holds(now_ns) for each in parts)


def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # a folder of zones is an OSError
        return False
    return True


@lru_cache(maxsize=256)
def _minute_of_day(zone: str, minutes: int) -> int:
    local = datetime.fromtimestamp(minutes * 60, tz=UTC).astimezone(ZoneInfo(zone))
    return local.hour * _HOUR + local.minute
