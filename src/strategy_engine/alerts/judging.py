"""What rules make of measurements and events. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from strategy_engine.alerts import rules
from strategy_engine.alerts.model import Alert, Cause, State, Trigger
from strategy_engine.alerts.rules import Rule, Scope, Threshold
from strategy_engine.infra.eventlog import Event

ALERTS = "alert"  # what alerts do raises no alerts


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """The metrics of one subject by the names of the API; None: not known now.

    Parameters
    ----------
    names : tuple of str
        What else the subject is called, and whose it is: its line, its version.
    notes : mapping
        Why a metric is as it is, in words.
    """

    scope: Scope
    subject_id: str
    metrics: Mapping[str, float | None]
    names: tuple[str, ...] = ()
    told: Mapping[str, str] | None = None
    notes: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Begin:
    """A new alert, and the state that it begins in."""

    cause: Cause
    state: State


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """An alert that there is, and what moves it."""

    alert: Alert
    trigger: Trigger
    why: str


def measured(
    found: Iterable[Rule],
    readings: Sequence[Reading],
    opened: Mapping[str, Sequence[Alert]],
    now: datetime,
) -> list[Begin | Move]:
    """Return what measurements make of alerts.

    Parameters
    ----------
    opened : mapping
        The alerts that have not ended, by their rule.
    """
    steps: list[Begin | Move] = []
    for rule in found:
        if rule.threshold is not None and rule.is_enabled:
            of_rule = [each for each in opened.get(rule.rule_id, ()) if each.expires_at is None]
            steps += _of_rule(rule, rule.threshold, readings, of_rule, now)
    return steps


def _of_rule(
    rule: Rule,
    threshold: Threshold,
    readings: Sequence[Reading],
    opened: Sequence[Alert],
    now: datetime,
) -> list[Begin | Move]:
    by_key = {each.key: each for each in opened}
    steps: list[Begin | Move] = []
    for reading in readings:
        if not _is_meant(threshold, reading):
            continue
        key = rules.key_of(rule, _told(reading))
        alert = by_key.pop(key, None)
        value = reading.metrics.get(threshold.name)
        holds = threshold.holds(value, is_open=alert is not None and alert.fired_at is not None)
        step = rules.step(alert, holds=holds, for_s=threshold.for_s, now=now)
        if isinstance(step, State):
            steps.append(Begin(cause=_beyond(rule, threshold, reading, key), state=step))
        elif step is not None and alert is not None:
            steps.append(_move(alert, step, threshold, reading))
    return steps + [_gone(each) for each in by_key.values()]


def _is_meant(threshold: Threshold, reading: Reading) -> bool:
    if reading.scope is not threshold.scope:
        return False
    wanted = threshold.subject
    return wanted is None or wanted == reading.subject_id or wanted in reading.names


def _told(reading: Reading) -> dict[str, str]:
    whose = dict(reading.told or {})
    return whose | {"subject_type": reading.scope.value, "subject_id": reading.subject_id}


def _beyond(rule: Rule, threshold: Threshold, reading: Reading, key: str) -> Cause:
    value = reading.metrics[threshold.name]
    return Cause(
        key=key,
        severity=rule.severity,
        subject_type=reading.scope.value,
        subject_id=reading.subject_id,
        title=f"{rule.name}: {reading.subject_id}",
        message=_said(threshold, reading),
        rule_id=rule.rule_id,
        details={"metric": threshold.name, "value": value, **(reading.told or {})},
        labels=rule.labels,
    )


def _said(threshold: Threshold, reading: Reading) -> str:
    value = reading.metrics.get(threshold.name)
    said = threshold.said(0.0 if value is None else value)
    why = (reading.notes or {}).get(threshold.name, "")
    return f"{said}: {why}" if why else said


def _move(alert: Alert, trigger: Trigger, threshold: Threshold, reading: Reading) -> Move:
    value = reading.metrics.get(threshold.name)
    if trigger is Trigger.FIRE:
        details = {**alert.details, "value": value}
        alert = replace(alert, message=_said(threshold, reading), details=details)
    return Move(alert=alert, trigger=trigger, why=f"{threshold.name} is {value}")


def _gone(alert: Alert) -> Move:
    is_told = alert.state is not State.PENDING
    trigger = Trigger.RESOLVE if is_told else Trigger.LAPSE
    return Move(alert=alert, trigger=trigger, why="it is no longer measured")


def happened(found: Iterable[Rule], events: Iterable[Event]) -> list[Cause]:
    """Return the alerts that events raise, in the order of the events."""
    matching = [each for each in found if each.match is not None and each.is_enabled]
    return [
        _of_event(rule, event)
        for event in events
        if not rules.is_below(event.topic, ALERTS)
        for rule in matching
        if rule.match is not None and rule.match.fits(event.topic, event.payload)
    ]


def _of_event(rule: Rule, event: Event) -> Cause:
    whose = {
        "execution_id": event.execution_id,
        "strategy_id": event.strategy_id,
        "line": event.line,
    }
    known = {name: value for name, value in whose.items() if value is not None}
    told = {
        **known,
        "subject_type": event.subject_type,
        "subject_id": event.subject_id,
        "topic": event.topic,
    }
    return Cause(
        key=rules.key_of(rule, told),
        severity=rule.severity,
        subject_type=event.subject_type,
        subject_id=event.subject_id,
        title=f"{rule.name}: {event.subject_id}",
        message=_words(event),
        rule_id=rule.rule_id,
        details={"topic": event.topic, "at": event.at.isoformat(), **known},
        labels=rule.labels,
        lasts_s=rule.lasts_s,
    )


def _words(event: Event) -> str:
    for name in ("error", "message", "reason", "why", "comment"):
        said = event.payload.get(name)
        if isinstance(said, str) and said:
            return said
    return f"{event.topic} of {event.subject_id} by {event.actor}"
