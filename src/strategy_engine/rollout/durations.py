"""How long something lasts: by the clock, or by bars. Pure."""

import math
import re
from dataclasses import dataclass
from typing import Any

from strategy_engine.core.errors import InvalidError

_SECONDS = {"s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0, "w": 604_800.0}
_WRITTEN = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)\s*(s|m|h|d|w|b|bars?)", re.ASCII)
_LONGEST_S = 366 * 86_400.0
MOST_BARS = 1_000_000
ACCEPTED = "such as 10s, 30m, 4h, 5d or 20 bars"


@dataclass(frozen=True, slots=True, kw_only=True)
class Duration:
    """A time in seconds, a number of bars, or nothing: over at once."""

    seconds: float = 0.0
    bars: int = 0

    def is_over(self, *, elapsed_s: float, bars: int) -> bool:
        """Say whether so much has passed."""
        return elapsed_s >= self.seconds and bars >= self.bars

    def __str__(self) -> str:
        if self.bars:
            return f"{self.bars} bars"
        for unit in ("w", "d", "h", "m"):
            if self.seconds and self.seconds % _SECONDS[unit] == 0:
                return f"{self.seconds / _SECONDS[unit]:.0f}{unit}"
        return f"{self.seconds:.6f}".rstrip("0").rstrip(".") + "s"


NONE = Duration()


def parse(given: Any, field: str) -> Duration:
    """Return the duration that was written, a bare number being seconds.

    Raises
    ------
    InvalidError
        If it is none, or longer than a year.
    """
    found = _duration(given)
    if found is None or not 0 <= found.seconds <= _LONGEST_S or found.bars > MOST_BARS:
        raise InvalidError(
            f"{field} is {given!r}; it must be a duration of at most a year, {ACCEPTED}",
            field=field,
            value=str(given),
            accepted=ACCEPTED,
        )
    return found


def parse_time(given: Any, field: str) -> Duration:
    """Return the duration that was written, by the clock: what it bounds may see no bars at all.

    Raises
    ------
    InvalidError
        If it is none, longer than a year, or told in bars.
    """
    found = parse(given, field)
    if found.bars:
        raise InvalidError(
            f"{field} is {given!r}; it goes by the clock, so that bars do not measure it:"
            " write such as 10s, 30m, 4h or 5d",
            field=field,
            value=str(given),
            accepted="such as 10s, 30m, 4h or 5d",
        )
    return found


def _duration(given: Any) -> Duration | None:
    if isinstance(given, bool):
        return None
    if isinstance(given, int | float):
        return Duration(seconds=float(given)) if math.isfinite(given) else None
    written = _WRITTEN.fullmatch(str(given).strip().lower())
    if written is None:
        return None
    number, unit = float(written[1]), written[2]
    if unit in _SECONDS:
        return Duration(seconds=number * _SECONDS[unit])
    return Duration(bars=int(number)) if number == int(number) else None
