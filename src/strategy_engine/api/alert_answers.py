"""The shapes of answers about alerts."""

from typing import Any

from strategy_engine.alerts import model, sending, wording
from strategy_engine.alerts.rules import Rule
from strategy_engine.api import example_alerts as examples
from strategy_engine.api import shapes


class Alert(shapes.Answer):
    """One thing that somebody should know.

    `since` is its first sign, `fired_at` when people were told, `last_at` its last sign, and
    `count` how often it was raised while it was open.
    """

    model_config = shapes.example(examples.ALERT)

    alert_id: str
    key: shapes.Line
    rule_id: str
    severity: str
    state: str
    subject_type: str
    subject_id: shapes.Line
    title: shapes.Line
    message: shapes.Lines
    details: shapes.Shown
    labels: shapes.Shown
    count: int
    since: shapes.Time
    fired_at: shapes.Time | None
    last_at: shapes.Time
    muted: bool
    acknowledged_at: shapes.Time | None
    acknowledged_by: shapes.MaybeLine
    comment: shapes.Lines
    resolved_at: shapes.Time | None


class Alerts(shapes.Page):
    """Alerts, newest first."""

    model_config = shapes.example(examples.ALERTS)

    alerts: list[Alert]


class MetricCondition(shapes.Answer):
    """A metric that is beyond a limit."""

    scope: str
    name: str
    above: shapes.MaybeNumber
    below: shapes.MaybeNumber
    clear: shapes.MaybeNumber
    subject: shapes.MaybeLine
    for_s: shapes.Number


class EventCondition(shapes.Answer):
    """Events on a topic, whose fields have these values."""

    topic: str
    fields: shapes.Json


class AlertRule(shapes.Answer):
    """When people are told, of what, and where."""

    model_config = shapes.example(examples.RULE)

    rule_id: str
    name: shapes.Line
    severity: str
    enabled: bool
    metric: MetricCondition | None
    event: EventCondition | None
    labels: shapes.Shown
    channels: list[str] | None
    muted_until: shapes.Time | None
    key: shapes.Line
    resolve_after_s: shapes.Number
    built_in: bool
    created_by: shapes.Line
    updated_at: shapes.Time | None


class AlertRules(shapes.Answer):
    """The rules: the built-in ones first, then the others by their age."""

    model_config = shapes.example(examples.RULES)

    rules: list[AlertRule]
    count: int


class Channel(shapes.Answer):
    """Where alerts are sent; of its URL no more than where to."""

    model_config = shapes.example(examples.CHANNEL)

    channel_id: str
    kind: str
    name: shapes.Line
    target: shapes.Line
    severity: str
    created_at: shapes.Time
    created_by: shapes.Line


class CreatedChannel(Channel):
    """A new channel. A webhook's secret is shown here, and never again."""

    model_config = shapes.example(examples.CREATED_CHANNEL)

    secret: str


class Channels(shapes.Answer):
    """The channels that there are, oldest first."""

    model_config = shapes.example(examples.CHANNELS)

    channels: list[Channel]
    count: int


class Tested(shapes.Answer):
    """A test that is on its way; the channel's deliveries tell what came of it."""

    model_config = shapes.example(examples.TESTED)

    channel_id: str
    event_id: str


class AlertDelivery(shapes.Answer):
    """A notice on its way to a channel; `state` is pending, delivered or failed."""

    delivery_id: int
    channel_id: str
    alert_id: str
    event_id: shapes.Line
    notice: str
    state: str
    attempts: int
    status_code: int | None
    error: shapes.Line
    took_ms: shapes.MaybeNumber
    created_at: shapes.Time
    next_at: shapes.Time
    ended_at: shapes.Time | None


class AlertDeliveries(shapes.Page):
    """What was sent, newest first."""

    model_config = shapes.example(examples.DELIVERIES)

    deliveries: list[AlertDelivery]


def alert(of: model.Alert) -> Alert:
    """Return an alert as it is shown."""
    values = {name: getattr(of, name) for name in Alert.model_fields if name != "muted"}
    plain = {"details": dict(of.details), "labels": dict(of.labels), "muted": of.is_muted}
    return Alert(**values | plain)


def rule(of: Rule) -> AlertRule:
    """Return a rule as it is shown."""
    shown: dict[str, Any] = wording.plain(of)
    return AlertRule(
        rule_id=of.rule_id,
        built_in=of.is_built_in,
        created_by=of.created_by or "engine",
        updated_at=of.updated_at,
        **shown,
    )


def channel(of: model.Channel) -> dict[str, Any]:
    """Return what may be shown of a channel."""
    return {
        "channel_id": of.channel_id,
        "kind": of.kind.value,
        "name": of.name,
        "target": sending.shown(of.kind, of.url),
        "severity": of.severity.value,
        "created_at": of.created_at,
        "created_by": of.created_by,
    }
