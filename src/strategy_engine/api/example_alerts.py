"""One example of every request and answer about alerts."""

from typing import Any

_ALERT_ID = "alert_3b1c6a5d0f7e4c2a9b8d1e2f"
_CHANNEL_ID = "chan_7d2f0c9a1b4e4f6d8a3c5e1b"
_RULE_ID = "rule_0a94c1f2e37b4d5689ab12cd"
_EXECUTION_ID = "exec_fd61a03af4f77d870fc21e05"
_AT = "2025-08-24T10:00:00Z"

METRIC: dict[str, Any] = {
    "scope": "execution",
    "name": "max_drawdown",
    "below": -0.1,
    "clear": -0.08,
    "for_s": 60.0,
}
CREATE_RULE: dict[str, Any] = {
    "name": "Drawdown of 10 %",
    "severity": "warning",
    "metric": METRIC,
    "labels": {"team": "fx"},
}
PUT_RULE: dict[str, Any] = {"enabled": False}
RULE: dict[str, Any] = {
    "rule_id": _RULE_ID,
    "name": CREATE_RULE["name"],
    "severity": "warning",
    "enabled": True,
    "metric": METRIC | {"above": None, "subject": None},
    "event": None,
    "labels": {"team": "fx"},
    "channels": None,
    "muted_until": None,
    "key": "{rule_id}:{subject_id}",
    "resolve_after_s": 3600.0,
    "built_in": False,
    "created_by": "ada (key_1a2b)",
    "updated_at": _AT,
}
RULES: dict[str, Any] = {"rules": [RULE], "count": 1}
ALERT: dict[str, Any] = {
    "alert_id": _ALERT_ID,
    "key": f"{_RULE_ID}:{_EXECUTION_ID}",
    "rule_id": _RULE_ID,
    "severity": "warning",
    "state": "firing",
    "subject_type": "execution",
    "subject_id": _EXECUTION_ID,
    "title": f"Drawdown of 10 %: {_EXECUTION_ID}",
    "message": "max_drawdown is -0.112, below -0.1",
    "details": {"metric": "max_drawdown", "value": -0.112},
    "labels": {"team": "fx"},
    "count": 1,
    "since": "2025-08-24T09:59:00Z",
    "fired_at": _AT,
    "last_at": _AT,
    "muted": False,
    "acknowledged_at": None,
    "acknowledged_by": None,
    "comment": "",
    "resolved_at": None,
}
ALERTS: dict[str, Any] = {"alerts": [ALERT], "count": 1, "total": 1, "limit": 50, "offset": 0}
ACKNOWLEDGE: dict[str, Any] = {"comment": "the new period starts here; I watch it"}
CREATE_CHANNEL: dict[str, Any] = {
    "kind": "webhook",
    "name": "desk",
    "url": "https://ops.example/alerts",
    "severity": "warning",
}
CHANNEL: dict[str, Any] = {
    "channel_id": _CHANNEL_ID,
    "kind": "webhook",
    "name": "desk",
    "target": "https://ops.example/…",
    "severity": "warning",
    "created_at": _AT,
    "created_by": "ada (key_1a2b)",
}
CREATED_CHANNEL: dict[str, Any] = CHANNEL | {
    "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
}
CHANNELS: dict[str, Any] = {"channels": [CHANNEL], "count": 1}
TESTED: dict[str, Any] = {
    "channel_id": _CHANNEL_ID,
    "event_id": "test_3b1c6a5d0f7e4c2a9b8d1e2f.test.info",
}
DELIVERIES: dict[str, Any] = {
    "deliveries": [
        {
            "delivery_id": 12,
            "channel_id": _CHANNEL_ID,
            "alert_id": _ALERT_ID,
            "event_id": f"{_ALERT_ID}.firing.warning",
            "notice": "firing",
            "state": "delivered",
            "attempts": 1,
            "status_code": 204,
            "error": "",
            "took_ms": 41.5,
            "created_at": _AT,
            "next_at": _AT,
            "ended_at": _AT,
        }
    ],
    "count": 1,
    "total": 1,
    "limit": 50,
    "offset": 0,
}
