"""The shapes of events, and their examples."""

import json
from typing import Any

from strategy_engine.api import shapes, streams
from strategy_engine.infra import eventlog

EVENT: dict[str, Any] = {
    "event_id": "audit-117",
    "topic": "execution.ready",
    "at": "2025-08-24T10:00:02Z",
    "actor": "engine",
    "subject_type": "execution",
    "subject_id": "exec_5d2b368bc7e9ca25b7456eed",
    "execution_id": "exec_5d2b368bc7e9ca25b7456eed",
    "strategy_id": "strat_3cf019e30fd4ee51475a4158",
    "line": "RSI Mean Reversion",
    "severity": None,
    "payload": {"from_state": "starting", "to_state": "running", "epoch": 1},
}
EVENTS: dict[str, Any] = {"events": [EVENT], "count": 1, "next": "117-40", "forgotten": 0}


class Event(shapes.Answer):
    """One thing that happened. `payload` has what its topic says of it."""

    model_config = shapes.example(EVENT)

    event_id: str
    topic: shapes.Line
    at: shapes.Time
    actor: shapes.Line
    subject_type: str
    subject_id: shapes.Line
    execution_id: str | None
    strategy_id: str | None
    line: shapes.MaybeLine
    severity: str | None
    payload: shapes.Shown


class Events(shapes.Answer):
    """What happened, oldest first. `next` is the `after` of what follows."""

    model_config = shapes.example(EVENTS)

    events: list[Event]
    count: int
    next: str
    forgotten: int


def event(of: eventlog.Event) -> Event:
    """Return an event as it is shown."""
    table = "event" if of.is_published else "audit"
    return Event(
        event_id=f"{table}-{of.number}",
        topic=of.topic,
        at=of.at,
        actor=of.actor,
        subject_type=of.subject_type,
        subject_id=of.subject_id,
        execution_id=of.execution_id,
        strategy_id=of.strategy_id,
        line=of.line,
        severity=of.severity,
        payload=dict(of.payload),
    )


def gap(forgotten: int) -> bytes:
    """Return what is sent to who was away for longer than events are kept."""
    return streams.encoded(name="gap", json_text=json.dumps({"forgotten": forgotten}))
