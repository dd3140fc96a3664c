"""Alerts: raised by whoever has something to say, acknowledged by people, resolved."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from strategy_engine.alerts import channel_store, moves, rules, store
from strategy_engine.alerts.model import (
    TOLD,
    Alert,
    Cause,
    Delivery,
    Outcome,
    Severity,
    State,
    Trigger,
)
from strategy_engine.core.clock import Clock
from strategy_engine.core.errors import NotFoundError
from strategy_engine.infra.database import Database

LONGEST_COMMENT = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Alerts:
    """Alerts as rooms and doors see them; every process has its own, and all share the rows."""

    database: Database
    clock: Clock

    async def raise_alert(  # noqa: PLR0913 - what an alert says, each a thing of its own
        self,
        connection: AsyncConnection | None,
        *,
        key: str,
        severity: Severity | str,
        subject_type: str,
        subject_id: str,
        title: str,
        message: str,
        details: Mapping[str, Any] | None = None,
        at: datetime | None = None,
        rule_id: str = rules.RISK,
        labels: Mapping[str, str] | None = None,
        lasts_s: float | None = None,
    ) -> Alert:
        """Raise an alert: people are told by every channel that wants it, in this transaction.

        While one with this key is open, the same again only counts; if it is more severe, people
        are told again.

        Parameters
        ----------
        connection : AsyncConnection or None
            The caller's transaction on the control database; None: one of its own.
        lasts_s : float or None
            Resolve it when it was not raised again for so long; None: until `resolve`.
        """
        cause = Cause(
            key=key[: rules.LONGEST_KEY],
            severity=Severity(severity),
            subject_type=subject_type,
            subject_id=subject_id,
            title=title,
            message=message,
            rule_id=rule_id,
            details=details or {},
            labels=labels or {},
            lasts_s=lasts_s,
        )
        async with self._within(connection) as writing:
            return await moves.raised(writing, cause, at=at or self.clock.now())

    async def resolve(
        self,
        key: str,
        *,
        connection: AsyncConnection | None = None,
        at: datetime | None = None,
        why: str = "",
    ) -> Alert | None:
        """End the open alert with a key; None if there is none."""
        at = at or self.clock.now()
        async with self._within(connection) as writing:
            alert = await store.open_one(writing, key)
            if alert is None:
                return None
            is_told = alert.state is not State.PENDING
            trigger = Trigger.RESOLVE if is_told else Trigger.LAPSE
            return await moves.moved(writing, alert, trigger, at=at, why=why)

    async def acknowledge(self, alert_id: str, *, comment: str, actor: str) -> Alert:
        """Say that somebody cares for an alert: it stays open, and is told again if it gets worse.

        Raises
        ------
        NotFoundError
            If there is none.
        IllegalTransitionError
            If it does not fire.
        """
        async with self.database.write() as connection:
            alert = await _known(connection, alert_id)
            return await moves.moved(
                connection,
                alert,
                Trigger.ACKNOWLEDGE,
                at=self.clock.now(),
                actor=actor,
                why=comment[:LONGEST_COMMENT],
            )

    async def get(self, alert_id: str) -> Alert:
        """Return one alert.

        Raises
        ------
        NotFoundError
            If there is none.
        """
        async with self.database.read() as connection:
            return await _known(connection, alert_id)

    async def page(
        self,
        *,
        states: Collection[State] = TOLD,
        filters: Mapping[str, str] | None = None,
        limit: int = 50,
        offset: int = 0,
    ) -> tuple[Sequence[Alert], int]:
        """Return alerts, newest first, and how many there are in all.

        Parameters
        ----------
        filters : mapping, optional
            `severity`, `rule_id`, `subject_type`, `subject_id`, `key`: what they must be.
        """
        async with self.database.read() as connection:
            return await store.page(
                connection, states=states, filters=dict(filters or {}), limit=limit, offset=offset
            )

    async def counts(self) -> dict[tuple[State, Severity], int]:
        """Return how many alerts have not ended, by state and severity."""
        async with self.database.read() as connection:
            return await store.counts(connection)

    async def deliveries(
        self,
        filters: Mapping[str, str],
        *,
        state: Outcome | None = None,
        limit: int = 50,
        offset: int = 0,
    ) -> tuple[Sequence[Delivery], int]:
        """Return what was sent, newest first: of an `alert_id`, to a `channel_id`, or all of it."""
        states = frozenset(Outcome) if state is None else frozenset({state})
        async with self.database.read() as connection:
            return await channel_store.page(
                connection, dict(filters), states=states, limit=limit, offset=offset
            )

    def _within(
        self, connection: AsyncConnection | None
    ) -> AbstractAsyncContextManager[AsyncConnection]:
        return self.database.write() if connection is None else nullcontext(connection)


async def _known(connection: AsyncConnection, alert_id: str) -> Alert:
    alert = await store.get(connection, alert_id)
    if alert is None:
        raise NotFoundError(
            f"no alert {alert_id[:60]!r}; GET /alerts lists those that exist",
            field="alert_id",
            value=alert_id[:60],
        )
    return alert
