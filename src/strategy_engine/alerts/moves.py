"""Alerts begin, move and end, in the caller's transaction: the row, its audit, its deliveries."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from strategy_engine.alerts import channel_store, notices, rulebook, rules, store
from strategy_engine.alerts.model import ARROWS, Alert, Cause, Notice, State, Trigger
from strategy_engine.alerts.rules import Rule
from strategy_engine.core import ids
from strategy_engine.core.transitions import next_state
from strategy_engine.infra import audit

SUBJECT = "alert"
PREFIX = "alert"
_LONGEST_TITLE = 200
_LONGEST_MESSAGE = 4_000


async def raised(
    connection: AsyncConnection,
    cause: Cause,
    *,
    at: datetime,
    begins: State = State.FIRING,
) -> Alert:
    """Begin an alert, or count the one that is open; people are told once, and if it gets worse."""
    known = await store.open_one(connection, cause.key)
    if known is None:
        return await _begin(connection, cause, at=at, begins=begins)
    again = rules.counted(known, cause.severity, cause.message[:_LONGEST_MESSAGE], at)
    again = replace(again, details=dict(cause.details))
    is_worse = again.severity is not known.severity
    if is_worse or known.state is State.PENDING:
        return await _fire(connection, again, known.state, at=at)
    await store.update(connection, again)
    return again


async def moved(
    connection: AsyncConnection,
    alert: Alert,
    trigger: Trigger,
    *,
    at: datetime,
    actor: str = audit.ENGINE,
    why: str = "",
) -> Alert:
    """Move an alert by its table; who was told that it fires is told that it ended."""
    if trigger is Trigger.FIRE:
        return await _fire(connection, alert, alert.state, at=at)
    state = next_state(ARROWS, alert.state, trigger)
    if state is State.LAPSED:
        await store.forget(connection, alert.alert_id)
        return replace(alert, state=state)
    after = replace(alert, state=state)
    if trigger is Trigger.ACKNOWLEDGE:
        after = replace(after, acknowledged_at=at, acknowledged_by=actor, comment=why)
    else:
        after = replace(after, resolved_at=at)
    await store.update(connection, after)
    arrow = _Arrow(trigger=trigger, before=alert.state, at=at, actor=actor, why=why)
    await _audit(connection, after, arrow)
    if state is State.RESOLVED and not after.is_muted:
        await _tell(connection, after, Notice.RESOLVED, at=at)
    return after


async def unmuted(connection: AsyncConnection, alert: Alert, *, at: datetime) -> Alert:
    """Tell people of an alert that fires now that its rule is muted no more."""
    after = replace(alert, is_muted=False)
    await store.update(connection, after)
    await _tell(connection, after, Notice.FIRING, at=at)
    return after


async def _begin(
    connection: AsyncConnection, cause: Cause, *, at: datetime, begins: State
) -> Alert:
    expires_at = None if cause.lasts_s is None else at + timedelta(seconds=cause.lasts_s)
    alert = Alert(
        alert_id=ids.new_id(PREFIX),
        key=cause.key[: rules.LONGEST_KEY],
        rule_id=cause.rule_id,
        severity=cause.severity,
        state=State.PENDING,
        subject_type=cause.subject_type,
        subject_id=cause.subject_id,
        title=cause.title[:_LONGEST_TITLE],
        message=cause.message[:_LONGEST_MESSAGE],
        details=dict(cause.details),
        labels=dict(cause.labels),
        count=1,
        since=at,
        last_at=at,
        expires_at=expires_at,
    )
    await store.insert(connection, alert)
    if begins is State.PENDING:
        return alert
    return await _fire(connection, alert, State.PENDING, at=at)


async def _fire(
    connection: AsyncConnection,
    alert: Alert,
    before: State,
    *,
    at: datetime,
) -> Alert:
    # One that fires already has only become worse: its state is what the arrow leads to.
    is_worse = before is State.FIRING
    state = before if is_worse else next_state(ARROWS, before, Trigger.FIRE)
    rule = await rulebook.get(connection, alert.rule_id)
    is_muted = rule is not None and rule.is_silent(at)
    after = replace(alert, state=state, fired_at=alert.fired_at or at, is_muted=is_muted)
    await store.update(connection, after)
    await _audit(connection, after, _Arrow(trigger=Trigger.FIRE, before=before, at=at))
    if not is_muted:
        await _tell(connection, after, Notice.FIRING, at=at, rule=rule)
    return after


async def _tell(
    connection: AsyncConnection,
    alert: Alert,
    notice: Notice,
    *,
    at: datetime,
    rule: Rule | None = None,
) -> None:
    rule = rule or await rulebook.get(connection, alert.rule_id)
    # That a channel fails is told by the others.
    but = alert.subject_id if alert.rule_id == rules.UNDELIVERED else None
    channels = await channel_store.active(connection)
    found = notices.rows(notices.receivers(channels, alert, rule, but=but), alert, notice, at=at)
    if found:
        await channel_store.queue(connection, found)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Arrow:
    trigger: Trigger
    before: State
    at: datetime
    actor: str = audit.ENGINE
    why: str = ""


async def _audit(connection: AsyncConnection, alert: Alert, arrow: _Arrow) -> None:
    entry = audit.Entry(
        at=arrow.at,
        actor=arrow.actor,
        subject_type=SUBJECT,
        subject_id=alert.alert_id,
        action=arrow.trigger.value,
        from_state=arrow.before.value,
        to_state=alert.state.value,
        details={
            "severity": alert.severity.value,
            "key": alert.key,
            "rule_id": alert.rule_id,
            "title": alert.title,
            "message": alert.message,
            "subject_type": alert.subject_type,
            "subject_id": alert.subject_id,
            "comment": arrow.why,
        },
    )
    await audit.record(connection, entry)
