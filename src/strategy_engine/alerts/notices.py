"""What is sent of an alert, and to whom. Pure."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import msgspec

from strategy_engine.alerts.model import Alert, Channel, Notice, Outcome
from strategy_engine.alerts.rules import Rule

_SHOWN = (
    "alert_id",
    "key",
    "rule_id",
    "severity",
    "state",
    "subject_type",
    "subject_id",
    "title",
    "message",
    "details",
    "labels",
    "count",
    "since",
    "fired_at",
    "last_at",
    "resolved_at",
)


def receivers(
    channels: Iterable[Channel], alert: Alert, rule: Rule | None, *, but: str | None = None
) -> list[Channel]:
    """Return the channels that are told of an alert."""
    chosen = None if rule is None else rule.channels
    return [
        each
        for each in channels
        if each.channel_id != but
        and alert.severity.rank >= each.severity.rank
        and (chosen is None or each.channel_id in chosen)
    ]


def rows(
    channels: Iterable[Channel], alert: Alert, notice: Notice, *, at: datetime
) -> list[dict[str, Any]]:
    """Return what is to be sent as rows."""
    # It fires again only when it has become worse: so often it is told, and not once more.
    event_id = f"{alert.alert_id}.{notice}.{alert.severity}"
    return [
        {
            "channel_id": each.channel_id,
            "alert_id": alert.alert_id,
            "event_id": event_id,
            "notice": notice.value,
            "body": body(alert, notice, event_id, at),
            "state": Outcome.PENDING.value,
            "attempts": 0,
            "next_at": at,
            "created_at": at,
            "error": "",
        }
        for each in channels
    ]


def body(alert: Alert, notice: Notice, event_id: str, at: datetime) -> str:
    """Return a notice in the form that webhooks have."""
    told = {
        "event_id": event_id,
        "topic": f"alert.{notice}",
        "created_at": at,
        "payload": {name: getattr(alert, name) for name in _SHOWN},
    }
    return msgspec.json.encode(told).decode()
