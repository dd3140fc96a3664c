"""What a flag may say, and what it says to whom. Pure."""

import functools
import hashlib
import math
import operator
import re
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Any, TypeGuard

from strategy_engine.core import versions
from strategy_engine.core.errors import InvalidError
from strategy_engine.flags.model import (
    Content,
    Flag,
    FlagType,
    FlagValue,
    Reason,
    Resolved,
    Rule,
    Subject,
    Values,
)

LONGEST_LIFE = timedelta(days=366)  # what is meant to stay is a parameter, not a flag
LONGEST_KEY = 60
LONGEST_TEXT = 1_000
LONGEST_NAME = 100
MOST_RULES = 50
LARGEST_NUMBER = 2.0**53  # beyond it a float no longer tells two whole numbers apart
_KEY = re.compile(r"[a-z][a-z0-9_.-]*", re.ASCII)
_COMPARISON = re.compile(r"\s*(>=|<=|==|>|<)?\s*(\S+)\s*")
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
    "==": operator.eq,
}
_SCALE = 1 << 53  # as many shares as a float tells apart
_NAMES = ("strategy_name", "strategy_id", "execution_id")
_SHARES = ("share_of_executions", "share_of_decisions")

type _Comparison = tuple[Callable[[Any, Any], bool], tuple[Any, ...]]


# -- what it says


def evaluate(flag: Flag, subject: Subject, *, close_ns: int | None, now: datetime) -> Resolved:
    """Return what a flag says to a decision at the close of a bar: the first rule that holds.

    Without the bar, no share of decisions holds.
    """
    content = flag.content
    if not flag.is_live(now):
        return Resolved(value=content.default, reason=Reason.ENDED)
    for number, rule in enumerate(content.rules):
        if _holds(rule, flag.key, subject, close_ns):
            is_share = any(getattr(rule, name) is not None for name in _SHARES)
            reason = Reason.SHARE if is_share else Reason.RULE
            return Resolved(value=rule.value, reason=reason, rule=number)
    return Resolved(value=content.default, reason=Reason.DEFAULT)


def defaults(flags: Iterable[Flag]) -> dict[str, FlagValue]:
    """Return what flags say where no rule counts."""
    return {flag.key: flag.content.default for flag in flags}


def is_same(one: Values, other: Values) -> bool:
    """Say whether two readings are equal in value and in type: `True` is not 1."""
    return one == other and all(type(one[key]) is type(other[key]) for key in one)


def place(key: str, execution_id: str, close_ns: int | None = None) -> float:
    """Return where an execution, or one decision of it, lies on a flag's scale: from 0 below 1."""
    parts = [key, execution_id] if close_ns is None else [key, execution_id, str(close_ns)]
    digest = hashlib.sha256("\x1f".join(parts).encode()).digest()
    return (int.from_bytes(digest[:8]) >> 11) / _SCALE


def is_within(version: str, wanted: str) -> bool:
    """Say whether a version meets every comparison."""
    if not versions.is_version(version):
        return False
    mine = versions.order(version)
    return all(compare(mine, bound) for compare, bound in _comparisons(wanted))


def _holds(rule: Rule, key: str, subject: Subject, close_ns: int | None) -> bool:
    return (
        all(getattr(rule, name) in {None, getattr(subject, name)} for name in _NAMES)
        and (rule.versions is None or is_within(subject.version, rule.versions))
        and _is_in_shares(rule, key, subject.execution_id, close_ns)
    )


def _is_in_shares(rule: Rule, key: str, execution_id: str, close_ns: int | None) -> bool:
    executions, decisions = rule.share_of_executions, rule.share_of_decisions
    if executions is not None and not (execution_id and place(key, execution_id) < executions):
        return False
    if decisions is None:
        return True
    is_known = bool(execution_id) and close_ns is not None
    return is_known and place(key, execution_id, close_ns) < decisions


@functools.lru_cache(maxsize=1_024)
def _comparisons(wanted: str) -> tuple[_Comparison, ...]:
    found = []
    for part in wanted.split(","):
        match = _COMPARISON.fullmatch(part)
        if match is None or not versions.is_version(match.group(2)):
            raise InvalidError(
                f"versions {wanted!r} must be comparisons with semantic versions, such as"
                f" '>=1.2.0,<2.0.0'; {part.strip()!r} is none",
                field="versions",
                value=wanted,
                accepted=">=, <=, >, < or == before MAJOR.MINOR.PATCH, joined by commas",
            )
        found.append((_COMPARE[match.group(1) or "=="], versions.order(match.group(2))))
    return tuple(found)


# -- what it may say


def check_key(key: str) -> None:
    """Refuse a key that code, a command line or an audit could not hold.

    Raises
    ------
    InvalidError
        With the key and what is accepted.
    """
    if not _KEY.fullmatch(key) or len(key) > LONGEST_KEY:
        accepted = f"a lower-case letter, then letters, digits, _ . -; at most {LONGEST_KEY}"
        raise InvalidError(
            f"key {key[:LONGEST_KEY]!r} must be {accepted}", field="key", accepted=accepted
        )


def check(content: Content) -> None:
    """Refuse a flag whose values have another type than its own, or whose rules say nothing.

    Its end is judged apart: a flag that has expired may be described still.

    Raises
    ------
    InvalidError
        With the field, its value and what is accepted.
    """
    _check_value("default", content.default, content.type)
    _check_text("owner", content.owner, LONGEST_NAME, least=1)
    _check_text("description", content.description, LONGEST_TEXT)
    if len(content.rules) > MOST_RULES:
        raise InvalidError(
            f"{len(content.rules)} rules; at most {MOST_RULES} are read",
            field="rules",
            value=len(content.rules),
            accepted=f"at most {MOST_RULES}",
        )
    for number, rule in enumerate(content.rules):
        _check_rule(f"rules.{number}", rule, content.type)


def check_expiry(expires_at: datetime, now: datetime) -> None:
    """Refuse an end that is past, or so far that it is none.

    Raises
    ------
    InvalidError
        With the time and the limits.
    """
    if not now < expires_at <= now + LONGEST_LIFE:
        raise InvalidError(
            f"expires_at is {expires_at.isoformat()}; it must lie ahead, within"
            f" {LONGEST_LIFE.days} days: what is to stay longer is a parameter of the strategy",
            field="expires_at",
            value=expires_at.isoformat(),
            accepted=f"within {LONGEST_LIFE.days} days",
        )


def _check_rule(where: str, rule: Rule, kind: FlagType) -> None:
    _check_value(f"{where}.value", rule.value, kind)
    for name in _NAMES:
        text = getattr(rule, name)
        if text is not None:
            _check_text(f"{where}.{name}", text, LONGEST_NAME, least=1)
    if rule.versions is not None:
        _check_text(f"{where}.versions", rule.versions, LONGEST_TEXT)
        _comparisons(rule.versions)
    for name in _SHARES:
        share = getattr(rule, name)
        if share is not None and not (_is_number(share) and 0 <= share <= 1):
            raise InvalidError(
                f"{where}.{name} is {share!r}; it must be a fraction from 0 to 1",
                field=f"{where}.{name}",
                value=share,
                accepted="a number from 0 to 1",
            )


def _check_value(where: str, value: FlagValue, kind: FlagType) -> None:
    if not _is_of(value, kind):
        accepted = _ACCEPTED[kind]
        raise InvalidError(
            f"{where} is {str(value)[:LONGEST_NAME]!r}, and the flag is of type {kind};"
            f" it must be {accepted}",
            field=where,
            value=str(value)[:LONGEST_NAME],
            accepted=accepted,
        )


_ACCEPTED = {
    FlagType.BOOLEAN: "true or false",
    FlagType.STRING: f"a text of at most {LONGEST_TEXT} characters",
    FlagType.NUMBER: "a finite number that a float holds exactly enough: at most 2^53",
}


def _is_of(value: FlagValue, kind: FlagType) -> bool:
    match kind:
        case FlagType.BOOLEAN:
            return isinstance(value, bool)
        case FlagType.STRING:
            return isinstance(value, str) and len(value) <= LONGEST_TEXT and _is_plain(value)
        case FlagType.NUMBER:
            return _is_number(value) and abs(value) <= LARGEST_NUMBER


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _check_text(where: str, text: str, most: int, *, least: int = 0) -> None:
    if not least <= len(text.strip()) or len(text) > most or not _is_plain(text):
        accepted = f"{least} to {most} characters, none of them NUL"
        raise InvalidError(
            f"{where} is {text[:LONGEST_NAME]!r}; it must be {accepted}",
            field=where,
            value=text[:LONGEST_NAME],
            accepted=accepted,
        )


def _is_plain(text: str) -> bool:
    return "\x00" not in text and not any("\ud800" <= each <= "\udfff" for each in text)
