"""A rule as JSON says it: read with every mistake named, and written back. Pure."""

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from strategy_engine.alerts.model import Severity
from strategy_engine.alerts.rules import (
    DEFAULT_KEY,
    DEFAULT_LASTS_S,
    LONGEST_KEY,
    Match,
    Rule,
    Scope,
    Threshold,
    is_below,
)
from strategy_engine.core.errors import InvalidError

RULE_ID = re.compile(r"[a-z0-9_]{1,60}", re.ASCII)
MOST_LABELS = 20
MOST_FIELDS = 20
LONGEST_TEXT = 200
LONGEST_S = 30 * 86_400.0
PLACES = frozenset(
    {"rule_id", "subject_type", "subject_id", "topic", "execution_id", "strategy_id", "line"}
)
_TOPIC = re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+)*", re.ASCII)
_NAME = re.compile(r"[A-Za-z0-9_.]{1,60}", re.ASCII)


def rule(content: Mapping[str, Any], *, rule_id: str) -> Rule:
    """Return the rule that a JSON object says.

    Raises
    ------
    InvalidError
        With the field, its value, and what is accepted.
    """
    metric, event = content.get("metric"), content.get("event")
    if metric is not None and event is not None:
        raise _wrong("event", event, "a rule is on a metric or on an event, not on both")
    return Rule(
        rule_id=rule_id,
        name=_text(content, "name", rule_id),
        severity=_severity(content.get("severity", Severity.WARNING.value)),
        threshold=None if metric is None else _threshold(metric),
        match=None if event is None else _match(event),
        is_enabled=bool(content.get("enabled", True)),
        labels=_labels(content.get("labels") or {}),
        channels=None if content.get("channels") is None else tuple(content["channels"]),
        muted_until=_moment(content.get("muted_until")),
        key=_key(content.get("key") or DEFAULT_KEY),
        lasts_s=_seconds("resolve_after_s", content.get("resolve_after_s", DEFAULT_LASTS_S)),
    )


def plain(rule: Rule) -> dict[str, Any]:
    """Return a rule as the JSON object that says it."""
    return {
        "name": rule.name,
        "severity": rule.severity.value,
        "enabled": rule.is_enabled,
        "metric": None if rule.threshold is None else _plain_metric(rule.threshold),
        "event": None
        if rule.match is None
        else {"topic": rule.match.topic, "fields": dict(rule.match.fields)},
        "labels": dict(rule.labels),
        "channels": None if rule.channels is None else list(rule.channels),
        "muted_until": None if rule.muted_until is None else rule.muted_until.isoformat(),
        "key": rule.key,
        "resolve_after_s": rule.lasts_s,
    }


def _plain_metric(threshold: Threshold) -> dict[str, Any]:
    return {
        "scope": threshold.scope.value,
        "name": threshold.name,
        "above": threshold.above,
        "below": threshold.below,
        "clear": threshold.clear,
        "subject": threshold.subject,
        "for_s": threshold.for_s,
    }


def _threshold(given: Mapping[str, Any]) -> Threshold:
    above, below, clear = (_number(given, name) for name in ("above", "below", "clear"))
    if (above is None) == (below is None):
        raise _wrong("metric", dict(given), "exactly one of above and below")
    name = str(given.get("name") or "")
    if not _NAME.fullmatch(name):
        raise _wrong("metric.name", name, "the name of a metric, such as max_drawdown")
    _check_clear(above, below, clear)
    scope = str(given.get("scope", Scope.EXECUTION.value))
    if scope not in {each.value for each in Scope}:
        raise _wrong("metric.scope", scope, [each.value for each in Scope])
    subject = given.get("subject")
    return Threshold(
        scope=Scope(scope),
        name=name,
        above=above,
        below=below,
        clear=clear,
        subject=None if subject is None else str(subject)[:LONGEST_TEXT],
        for_s=_seconds("metric.for_s", given.get("for_s", 0.0)),
    )


def _check_clear(above: float | None, below: float | None, clear: float | None) -> None:
    if clear is None:
        return
    if (above is not None and clear > above) or (below is not None and clear < below):
        raise _wrong("metric.clear", clear, "on the inner side of the limit, or the limit itself")


def _match(given: Mapping[str, Any]) -> Match:
    topic = str(given.get("topic") or "")
    if not _TOPIC.fullmatch(topic) or len(topic) > LONGEST_TEXT:
        raise _wrong("event.topic", topic, "a topic of GET /events, such as strategy.error")
    if is_below(topic, "alert"):
        raise _wrong("event.topic", topic, "a topic that is not of alerts: it would raise itself")
    fields = given.get("fields") or {}
    if len(fields) > MOST_FIELDS:
        raise _wrong("event.fields", len(fields), f"at most {MOST_FIELDS} fields")
    for name, value in fields.items():
        if not (value is None or isinstance(value, str | int | float | bool)):
            raise _wrong(f"event.fields.{name[:60]}", value, "a text, a number, a truth or null")
    return Match(topic=topic, fields=dict(fields))


def _severity(given: Any) -> Severity:
    if given not in {each.value for each in Severity}:
        raise _wrong("severity", given, [each.value for each in Severity])
    return Severity(given)


def _text(content: Mapping[str, Any], name: str, default: str) -> str:
    given = str(content.get(name) or default)
    if len(given) > LONGEST_TEXT // 2 or not given.isprintable():
        raise _wrong(name, given[:60], "at most 100 printable characters")
    return given


def _labels(given: Mapping[str, Any]) -> dict[str, str]:
    found = {str(name): str(value) for name, value in given.items()}
    if len(found) > MOST_LABELS:
        raise _wrong("labels", len(found), f"at most {MOST_LABELS}")
    if any(len(text) > LONGEST_TEXT for pair in found.items() for text in pair):
        raise _wrong("labels", "…", f"at most {LONGEST_TEXT} characters each")
    return found


def _key(given: str) -> str:
    unknown = set(re.findall(r"\{([^}]*)\}", given)) - PLACES
    if unknown or not given or len(given) > LONGEST_KEY or not given.isprintable():
        raise _wrong("key", given[:60], [f"{{{each}}}" for each in sorted(PLACES)])
    return given


def _number(given: Mapping[str, Any], name: str) -> float | None:
    value = given.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise _wrong(f"metric.{name}", value, "a finite number")
    return float(value)


def _seconds(name: str, value: Any) -> float:
    fits = isinstance(value, int | float) and not isinstance(value, bool)
    if not fits or not 0 <= value <= LONGEST_S:
        raise _wrong(name, value, f"seconds from 0 to {LONGEST_S:.0f}")
    return float(value)


def _moment(given: Any) -> datetime | None:
    if given is None:
        return None
    found = datetime.fromisoformat(given) if isinstance(given, str) else given
    if not isinstance(found, datetime):
        raise _wrong("muted_until", given, "a time in ISO 8601")
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def _wrong(name: str, value: Any, accepted: Any) -> InvalidError:
    said = accepted if isinstance(accepted, str) else ", ".join(accepted)
    return InvalidError(
        f"{name} is {value!r}; accepted: {said}", field=name, value=value, accepted=accepted
    )
