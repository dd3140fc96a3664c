"""Sends alerts: at least once, tried again, logged; what does not arrive is itself an alert.

A delivery is claimed in a transaction before it is sent and settled in one afterwards. Who dies in
between leaves a claim that runs out: the notice is sent again.
"""

import asyncio
from dataclasses import dataclass, field, replace
from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from strategy_engine.alerts import channel_store, moves, store
from strategy_engine.alerts.channels import SUBJECT, failing_key
from strategy_engine.alerts.model import (
    Cause,
    Channel,
    Delivery,
    Notice,
    Outcome,
    Severity,
    Trigger,
)
from strategy_engine.alerts.rules import UNDELIVERED
from strategy_engine.alerts.sending import APPRISE_TIMEOUT_S, Sends, Sent
from strategy_engine.core.clock import Clock
from strategy_engine.infra import logs
from strategy_engine.infra.database import Database
from strategy_engine.infra.outages import DatabaseAwayError

LOOK_S = 0.25
CLAIM_S = APPRISE_TIMEOUT_S + 10.0
DELAYS_S = (1, 2, 5, 15, 60, 300, 900)
MOST_ATTEMPTS = len(DELAYS_S) + 1
KEPT = timedelta(days=90)
TRIM_S = 3_600.0

_log = logs.get("alerts")


@dataclass(slots=True, kw_only=True)
class Deliverer:
    """Sends alerts until it is cancelled; one notice at a time for a channel, many at once."""

    database: Database
    clock: Clock
    sender: Sends
    look_s: float = LOOK_S
    _busy: set[str] = field(default_factory=set)
    _trimmed_s: float = float("-inf")

    async def run(self) -> None:
        """Send what is due, without end."""
        async with asyncio.TaskGroup() as group:
            while True:
                try:
                    await self._begin(group)
                except Exception as error:  # noqa: BLE001 - the task's edge: it must go on
                    _waits(error)
                await asyncio.sleep(self.look_s)

    async def _begin(self, group: asyncio.TaskGroup) -> None:
        now = self.clock.now()
        async with self.database.read() as connection:
            due = await channel_store.due(connection, now)
        for channel_id in due:
            if channel_id not in self._busy:
                self._busy.add(channel_id)
                group.create_task(self._serve(channel_id))
        if self.clock.monotonic_s() - self._trimmed_s >= TRIM_S:
            self._trimmed_s = self.clock.monotonic_s()
            async with self.database.write() as connection:
                await channel_store.trim(connection, now - KEPT)

    async def _serve(self, channel_id: str) -> None:
        try:
            while await self._send_next(channel_id):
                pass
        except Exception as error:  # noqa: BLE001 - the task's edge: one channel stops no other
            _waits(error)
        finally:
            self._busy.discard(channel_id)

    async def _send_next(self, channel_id: str) -> bool:
        """Send a channel's next notice; say whether to go on with it at once."""
        now = self.clock.now()
        async with self.database.write() as connection:
            channel = await channel_store.get(connection, channel_id)
            until = now + timedelta(seconds=CLAIM_S)
            delivery = await channel_store.claim(connection, channel_id, now, until)
        if channel is None or delivery is None:
            return False
        settled = self._settled(delivery, await self.sender.send(channel, delivery))
        async with self.database.write() as connection:
            if await channel_store.settle(connection, settled):
                await self._follow(connection, channel, settled)
        if settled.state is not Outcome.DELIVERED:
            _log.warning(
                "alert not delivered",
                channel_id=channel_id,
                event_id=delivery.event_id,
                attempts=delivery.attempts,
                state=settled.state.value,
                why=settled.error,
            )
        return settled.state is Outcome.DELIVERED

    def _settled(self, delivery: Delivery, sent: Sent) -> Delivery:
        now = self.clock.now()
        state = outcome(delivery, sent)
        is_open = state is Outcome.PENDING
        wait = timedelta(seconds=DELAYS_S[min(delivery.attempts, len(DELAYS_S)) - 1])
        return replace(
            delivery,
            state=state,
            next_at=now + wait if is_open else now,
            ended_at=None if is_open else now,
            status_code=sent.status_code,
            error=sent.error,
            took_ms=sent.took_ms,
        )

    async def _follow(
        self, connection: AsyncConnection, channel: Channel, settled: Delivery
    ) -> None:
        """Tell by the other channels that this one fails; and that it works again."""
        now = self.clock.now()
        if settled.state is Outcome.DELIVERED:
            failing = await store.open_one(connection, failing_key(channel.channel_id))
            if failing is not None:
                why = "it takes alerts again"
                await moves.moved(connection, failing, Trigger.RESOLVE, at=now, why=why)
        elif settled.state is Outcome.FAILED and settled.notice is not Notice.TEST:
            await moves.raised(connection, _cause(channel, settled), at=now)


def outcome(delivery: Delivery, sent: Sent) -> Outcome:
    """Return where a delivery is after an attempt; a test is tried once.

    Gone (410) gives up at once: the receiver wants no more.
    """
    if sent.is_accepted:
        return Outcome.DELIVERED
    most = 1 if delivery.notice is Notice.TEST else MOST_ATTEMPTS
    is_over = sent.is_gone or delivery.attempts >= most
    return Outcome.FAILED if is_over else Outcome.PENDING


def _cause(channel: Channel, settled: Delivery) -> Cause:
    why = settled.error or f"answered {settled.status_code}"
    return Cause(
        key=failing_key(channel.channel_id),
        severity=Severity.CRITICAL,
        subject_type=SUBJECT,
        subject_id=channel.channel_id,
        title=f"Alerts do not reach the channel {channel.name}",
        message=f"{settled.event_id} was given up after {settled.attempts} attempts: {why}",
        rule_id=UNDELIVERED,
        details={"alert_id": settled.alert_id, "attempts": settled.attempts, "error": why},
    )


def _waits(error: Exception) -> None:
    why = str(error) if isinstance(error, DatabaseAwayError) else repr(error)
    _log.warning("alerts wait", why=why)
