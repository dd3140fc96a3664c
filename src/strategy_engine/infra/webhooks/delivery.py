"""Sends what is queued: one request at a time for a webhook, many webhooks at once.

A delivery is claimed in a transaction before it is sent and settled in one afterwards. Who dies in
between leaves a claim that runs out: the event is sent again, so it arrives at least once.
"""

import asyncio
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from strategy_engine.core.clock import Clock
from strategy_engine.infra import logs
from strategy_engine.infra.database import Database
from strategy_engine.infra.outages import DatabaseAwayError
from strategy_engine.infra.webhooks import posting, rules, store
from strategy_engine.infra.webhooks.model import Attempt, Delivery, State, Webhook
from strategy_engine.infra.webhooks.posting import TIMEOUT_S, Letter, Poster
from strategy_engine.infra.webhooks.targets import Targets

if TYPE_CHECKING:
    import httpx

LOOK_S = 0.5
CLAIM_S = 20.0
REST_S = 5.0  # after a failure a webhook gets nothing else for so long
MOST_AT_ONCE = 16
TRIM_S = 60.0

_log = logs.get("webhooks")


@dataclass(slots=True, kw_only=True)
class Deliverer:
    """Sends events until it is cancelled. As many processes as like may do so on one database."""

    database: Database
    clock: Clock
    targets: Targets
    look_s: float = LOOK_S
    timeout_s: float = TIMEOUT_S
    _busy: set[str] = field(default_factory=set)
    _rests: dict[str, float] = field(default_factory=dict)
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
        now_s = self.clock.monotonic_s()
        async with self.database.read() as connection:
            due = await store.due(connection, self.clock.now())
        for webhook_id in due:
            is_resting = self._rests.get(webhook_id, 0.0) > now_s
            if webhook_id in self._busy or is_resting or len(self._busy) >= MOST_AT_ONCE:
                continue
            self._busy.add(webhook_id)
            group.create_task(self._serve(webhook_id))
        if now_s - self._trimmed_s >= TRIM_S:
            self._trimmed_s = now_s
            await self._trim()

    async def _trim(self) -> None:
        now, most = self.clock.now(), rules.MOST_WAITING
        async with self.database.write() as connection:
            known = [each.webhook_id for each in await store.active(connection)]
            for webhook_id in known:
                before = now - rules.LONGEST_WAIT
                await store.give_up(connection, webhook_id, now, before=before, most=most)
            await store.trim(connection, known, before=now - rules.KEPT, most=most)

    async def _serve(self, webhook_id: str) -> None:
        try:
            async with posting.client(self.timeout_s) as client:
                while await self._send_next(client, webhook_id):
                    pass
        except Exception as error:  # noqa: BLE001 - the task's edge: one webhook stops no other
            self._rests[webhook_id] = self.clock.monotonic_s() + REST_S
            _waits(error)
        finally:
            self._busy.discard(webhook_id)

    async def _send_next(self, client: "httpx.AsyncClient", webhook_id: str) -> bool:
        """Send a webhook's next event; say whether to go on with it at once."""
        webhook, delivery = await self._claim(webhook_id)
        if webhook is None or delivery is None:
            return False
        poster = Poster(clock=self.clock, targets=self.targets, timeout_s=self.timeout_s)
        letter = Letter(
            url=webhook.url,
            secret=webhook.secret,
            event_id=delivery.event_id,
            body=delivery.body,
        )
        attempt = await poster.post(client, letter)
        settled = self._settled(delivery, attempt)
        async with self.database.write() as connection:
            await store.settle(connection, settled)
        if settled.state is State.DELIVERED:
            return True
        self._rests[webhook_id] = self.clock.monotonic_s() + REST_S
        _log.warning(
            "webhook not delivered",
            webhook_id=webhook_id,
            event_id=delivery.event_id,
            attempts=delivery.attempts,
            state=settled.state.value,
            why=settled.error,
        )
        return False

    async def _claim(self, webhook_id: str) -> tuple[Webhook | None, Delivery | None]:
        now = self.clock.now()
        async with self.database.write() as connection:
            webhook = await store.get(connection, webhook_id)
            if webhook is None or webhook.removed_at is not None:
                # Queued by who had read the webhooks before it was removed.
                await store.drop(connection, webhook_id, now)
                return None, None
            until = now + timedelta(seconds=CLAIM_S)
            return webhook, await store.claim(connection, webhook_id, now, until)

    def _settled(self, delivery: Delivery, attempt: Attempt) -> Delivery:
        now = self.clock.now()
        state = attempt.moved(delivery.state, delivery.attempts, rules.MOST_ATTEMPTS)
        is_open = state is State.PENDING
        return replace(
            delivery,
            state=state,
            next_at=now + rules.delay(delivery.attempts) if is_open else now,
            ended_at=None if is_open else now,
            status_code=attempt.status_code,
            error=attempt.error,
            took_ms=attempt.took_ms,
        )


def _waits(error: Exception) -> None:
    why = str(error) if isinstance(error, DatabaseAwayError) else repr(error)
    _log.warning("webhooks wait", why=why)
