"""What the command line decides without asking anybody: values, exit codes, texts. Pure."""

import json
import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from strategy_engine.core.errors import EngineError, InvalidError

OK = 0
FAILED = 1
USAGE = 2
GOES_ON = 3  # nothing failed, and not all has ended

ENDED_STATES = frozenset({"completed", "failed"})


def assignments(pairs: Iterable[str], option: str) -> dict[str, Any]:
    """Return `name=value` pairs as a mapping; a value is JSON where it reads as such, else text.

    Raises
    ------
    InvalidError
        If a pair lacks its name or `=`, repeats a name, or is no finite number.
    """
    found: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        name = name.strip()
        if not equals or not name:
            raise InvalidError(f"{option} {pair!r} must be written name=value, as in {option} n=14")
        if name in found:
            raise InvalidError(f"{option} {name} is given twice; give it once", field=name)
        found[name] = _value(text.strip(), f"{option} {name}")
    return found


def _value(text: str, where: str) -> Any:
    try:
        value = json.loads(text)
    except ValueError:
        return text
    try:
        json.dumps(value, allow_nan=False)
    except ValueError:
        raise InvalidError(f"{where}={text} is no finite number; give one that is") from None
    return value


_SPAN = re.compile(r"(\d{1,6})([mhd])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


def moment(text: str, now: datetime | None = None) -> str:
    """Return a time as ISO 8601, in UTC: one that is given, or so far from now.

    Raises
    ------
    InvalidError
        If it is neither a time nor a number of minutes, hours or days.
    """
    try:
        given = _moment(text, now)
    except (ValueError, OverflowError):
        raise InvalidError(
            f"{text!r} is no time; write 12h, 30d or 2026-03-01T12:00Z", value=text
        ) from None
    return (given.replace(tzinfo=UTC) if given.tzinfo is None else given).isoformat()


def _moment(text: str, now: datetime | None) -> datetime:
    span = _SPAN.fullmatch(text)
    if span is None:
        return datetime.fromisoformat(text)
    length = timedelta(**{_UNITS[span.group(2)]: int(span.group(1))})
    return (now or datetime.now(UTC)) + length


def flag_value(text: str, kind: str | None) -> Any:
    """Return a flag's value: JSON where it reads as such, but text where the flag is a string."""
    return text if kind == "string" else _value(text.strip(), "--default")


def flag_rule(text: str) -> dict[str, Any]:
    """Return a flag's rule from its JSON.

    Raises
    ------
    InvalidError
        If it is no JSON object with finite numbers.
    """
    found = _value(text, "--rule")
    if not isinstance(found, dict):
        raise InvalidError(
            f"--rule {text!r} must be a JSON object, such as"
            """ '{"value": true, "share_of_executions": 0.1}'"""
        )
    return found


def exit_code(error: EngineError) -> int:
    """Return 2 for what was asked wrongly on this side, 1 for what failed or was refused."""
    return USAGE if isinstance(error, InvalidError) else FAILED


def printable(text: str) -> str:
    """Return text that cannot steer a terminal: other control characters become `?`.

    What a strategy says in its errors is the user's, and may be anything.
    """
    return "".join(each if each.isprintable() or each in "\n\t" else "?" for each in text)
