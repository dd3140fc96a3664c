"""Values as JSON can hold them, going out and coming in. Pure."""

import math
import re
import reprlib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Any

LONGEST_ECHO = 200
LONGEST_SENTENCE = 4_000
DEEPEST = 32
MOST_VALUES = 100_000
LARGEST_INT = 2**63 - 1

_PAST_DEEPEST = "…"
# Unicode's control characters (C0, C1, DEL), and the two separators that end a line as well.
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f]")
_LINE_END = re.compile(r"\r\n|[\n\v\f\r\x85\u2028\u2029]")


class UnfitError(ValueError):
    """A value of a request's body that the engine could not keep, compare or show."""


def number(value: Any) -> float:
    """Return a finite float: 0.0 for what is undefined or no number."""
    return maybe_number(value) or 0.0


def maybe_number(value: Any) -> float | None:
    """Return a finite float, or None for what is undefined or no number."""
    try:
        converted = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return converted if math.isfinite(converted) else None


def text(value: Any) -> str:
    """Return a string that UTF-8 can carry: lone surrogates become question marks."""
    return str(value).encode(errors="replace").decode()


def lines(value: Any) -> str:
    """Return a text that cannot steer what shows it: control characters become question marks.

    What a strategy says of itself may be anything; only its line ends and tabs stay.
    """
    return _CONTROL.sub("?", _LINE_END.sub("\n", text(value)))


def line(value: Any) -> str:
    """Return a text as one line that cannot steer what shows it."""
    parts = (each.strip() for each in lines(value).replace("\t", " ").split("\n"))
    return " ".join(each for each in parts if each)


def utc(moment: datetime) -> datetime:
    """Return an aware time in UTC; it is written with a Z."""
    return moment.astimezone(UTC)


def plain(value: Any, depth: int = 0) -> Any:
    """Return the value made of JSON's own kinds; a number that is not finite becomes null."""
    match value:
        case None | bool():
            return value
        case Enum():
            return plain(value.value, depth)
        case str():
            return text(value)
        case int() | float():
            return value if math.isfinite(value) else None
        case datetime():
            return utc(value).isoformat().replace("+00:00", "Z")
        case _:
            return _nested(value, depth)


def shown(value: Any) -> Any:
    """Return a value as `plain` does, its texts unable to steer what shows them."""
    return _tamed(plain(value))


def echo(value: Any) -> Any:
    """Return a value short enough to be named in an error, whatever a caller has sent."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float) and abs(value) <= LARGEST_INT:
        return plain(value)
    whole = value if isinstance(value, str) else reprlib.repr(value)
    return lines(whole if len(whole) <= LONGEST_ECHO else f"{whole[:LONGEST_ECHO]}…")


def sentence(value: str) -> str:
    """Return a message as one line; a long one loses its middle, not what to do."""
    if len(value) <= LONGEST_SENTENCE:
        return line(value)
    half = LONGEST_SENTENCE // 2
    return line(f"{value[:half]} … {value[-half:]}")


def check_body(body: Any) -> None:
    """Refuse a decoded JSON body that holds what no database or client would take.

    Raises
    ------
    UnfitError
        It says where: NUL or a lone surrogate in a text, a number that is not finite or beyond
        64 bits, nesting or a count beyond reason.
    """
    waiting: list[tuple[str, Any, int]] = [("", body, 0)]
    seen = 0
    while waiting:
        where, value, depth = waiting.pop()
        seen += 1
        if depth > DEEPEST:
            raise UnfitError(f"{where[:LONGEST_ECHO]} is nested deeper than {DEEPEST} levels")
        if seen > MOST_VALUES:
            raise UnfitError(f"the body holds more than {MOST_VALUES:,} values")
        _check_value(where, value)
        waiting += [(_join(where, name), each, depth + 1) for name, each in _members(value)]


def _check_value(where: str, value: Any) -> None:
    at = text(where[:LONGEST_ECHO]) or "the body"
    if isinstance(value, str):
        if "\x00" in value:
            raise UnfitError(f"{at} holds a NUL character; remove it")
        if not _is_unicode(value):
            raise UnfitError(f"{at} holds a lone surrogate, which is no character; remove it")
    elif isinstance(value, float) and not math.isfinite(value):
        raise UnfitError(f"{at} is {value}; send a finite number")
    elif isinstance(value, int) and abs(value) > LARGEST_INT:
        raise UnfitError(f"{at} is an integer beyond 64 bits")


def _is_unicode(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _members(value: Any) -> list[tuple[str, Any]]:
    if isinstance(value, dict):
        for name in value:
            _check_value("a member's name", name)
        return list(value.items())
    if isinstance(value, list):
        return [(str(index), each) for index, each in enumerate(value)]
    return []


def _join(where: str, name: str) -> str:
    return f"{where}.{name}"[:LONGEST_ECHO] if where else name


def _tamed(value: Any) -> Any:
    match value:
        case str():
            return lines(value)
        case dict():
            return {lines(name): _tamed(each) for name, each in value.items()}
        case list():
            return [_tamed(each) for each in value]
        case _:
            return value


def _nested(value: Any, depth: int) -> Any:
    if depth >= DEEPEST:
        return _PAST_DEEPEST
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: plain(getattr(value, each.name), depth + 1) for each in fields(value)}
    if isinstance(value, Mapping):
        return {text(name): plain(each, depth + 1) for name, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(each, depth + 1) for each in value]
    try:
        return plain(float(value), depth)
    except (TypeError, ValueError, OverflowError):
        return text(value)
