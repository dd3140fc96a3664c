"""The SQL of alerts."""

from collections.abc import Collection
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from strategy_engine.alerts.model import OPEN, Alert, Severity, State
from strategy_engine.infra import database

TABLE = sa.Table(
    "alerts",
    database.control,
    sa.Column("alert_id", sa.String(40), primary_key=True),
    sa.Column("key", sa.String(200), nullable=False),
    # The key while it is open, so that of two that are raised at once one stays.
    sa.Column("open_key", sa.String(200), unique=True),
    sa.Column("rule_id", sa.String(60), nullable=False),
    sa.Column("severity", sa.String(10), nullable=False),
    sa.Column("state", sa.String(20), nullable=False),
    sa.Column("subject_type", sa.String(30), nullable=False),
    sa.Column("subject_id", sa.String(200), nullable=False),
    sa.Column("title", sa.String(200), nullable=False),
    sa.Column("message", sa.Text, nullable=False),
    sa.Column("details", sa.JSON, nullable=False),
    sa.Column("labels", sa.JSON, nullable=False),
    sa.Column("count", sa.BigInteger, nullable=False),
    sa.Column("since", database.UtcDateTime, nullable=False),
    sa.Column("last_at", database.UtcDateTime, nullable=False),
    sa.Column("is_muted", sa.Boolean, nullable=False),
    sa.Column("fired_at", database.UtcDateTime),
    sa.Column("acknowledged_at", database.UtcDateTime),
    sa.Column("acknowledged_by", sa.String(100)),
    sa.Column("comment", sa.Text, nullable=False),
    sa.Column("resolved_at", database.UtcDateTime),
    sa.Column("expires_at", database.UtcDateTime),
    sa.Index("ix_alerts_fired_at", "fired_at"),
    sa.Index("ix_alerts_rule_id", "rule_id", "open_key"),
    sa.Index("ix_alerts_subject", "subject_type", "subject_id"),
)
_A = TABLE.c


async def insert(connection: AsyncConnection, alert: Alert) -> None:
    """Store a new alert."""
    await connection.execute(sa.insert(TABLE).values(**_row(alert)))


async def update(connection: AsyncConnection, alert: Alert) -> None:
    """Store everything of an alert that was read in the same write transaction."""
    where = _A.alert_id == alert.alert_id
    await connection.execute(sa.update(TABLE).where(where).values(**_row(alert)))


async def forget(connection: AsyncConnection, alert_id: str) -> None:
    """Forget an alert that never fired."""
    await connection.execute(sa.delete(TABLE).where(_A.alert_id == alert_id))


async def get(connection: AsyncConnection, alert_id: str) -> Alert | None:
    """Return one alert."""
    rows = await connection.execute(sa.select(TABLE).where(_A.alert_id == alert_id))
    row = rows.one_or_none()
    return None if row is None else _alert(row)


async def open_one(connection: AsyncConnection, key: str) -> Alert | None:
    """Return the alert with a key that has not ended."""
    rows = await connection.execute(sa.select(TABLE).where(_A.open_key == key))
    row = rows.one_or_none()
    return None if row is None else _alert(row)


async def open_of_rules(
    connection: AsyncConnection, rule_ids: Collection[str]
) -> dict[str, list[Alert]]:
    """Return what has not ended of some rules, by rule."""
    rows = await connection.execute(
        sa.select(TABLE).where(_A.open_key.is_not(None), _A.rule_id.in_(rule_ids))
    )
    found: dict[str, list[Alert]] = {}
    for row in rows:
        found.setdefault(row.rule_id, []).append(_alert(row))
    return found


async def expired(connection: AsyncConnection, now: datetime) -> list[Alert]:
    """Return open alerts whose time is over."""
    rows = await connection.execute(
        sa.select(TABLE).where(_A.open_key.is_not(None), _A.expires_at <= now)
    )
    return [_alert(row) for row in rows]


async def muted(connection: AsyncConnection) -> list[Alert]:
    """Return alerts that fire though nobody was told."""
    rows = await connection.execute(
        sa.select(TABLE).where(
            _A.open_key.is_not(None), _A.is_muted, _A.state == State.FIRING.value
        )
    )
    return [_alert(row) for row in rows]


async def page(
    connection: AsyncConnection,
    *,
    states: Collection[State],
    filters: dict[str, str],
    limit: int,
    offset: int,
) -> tuple[list[Alert], int]:
    """Return alerts, newest first, and how many there are in all.

    Parameters
    ----------
    filters : dict
        Columns and what they must be.
    """
    wanted = sa.and_(
        _A.state.in_([each.value for each in states]),
        *(_A[name] == value for name, value in filters.items()),
    )
    rows = await connection.execute(
        sa.select(TABLE)
        .where(wanted)
        .order_by(_A.since.desc(), _A.alert_id)
        .limit(limit)
        .offset(offset)
    )
    total = await connection.scalar(sa.select(sa.func.count()).select_from(TABLE).where(wanted))
    return [_alert(row) for row in rows], int(total or 0)


async def counts(connection: AsyncConnection) -> dict[tuple[State, Severity], int]:
    """Return how many alerts have not ended."""
    rows = await connection.execute(
        sa.select(_A.state, _A.severity, sa.func.count())
        .where(_A.open_key.is_not(None))
        .group_by(_A.state, _A.severity)
    )
    return {(State(state), Severity(severity)): count for state, severity, count in rows}


def _row(alert: Alert) -> dict[str, Any]:
    values = {name: getattr(alert, name) for name in Alert.__slots__}
    return values | {
        "severity": alert.severity.value,
        "state": alert.state.value,
        "details": dict(alert.details),
        "labels": dict(alert.labels),
        "open_key": alert.key if alert.state in OPEN else None,
    }


def _alert(row: sa.Row[Any]) -> Alert:
    values: dict[str, Any] = {name: getattr(row, name) for name in Alert.__slots__}
    return Alert(**values | {"severity": Severity(row.severity), "state": State(row.state)})
