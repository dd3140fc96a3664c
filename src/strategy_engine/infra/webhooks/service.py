"""Webhooks: made, listed, removed; and events queued for them before they are published."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from strategy_engine.core import ids
from strategy_engine.core.clock import Clock
from strategy_engine.core.errors import ConflictError, NotFoundError
from strategy_engine.infra import audit
from strategy_engine.infra.database import Database
from strategy_engine.infra.outbox import Waiting
from strategy_engine.infra.webhooks import rules, store
from strategy_engine.infra.webhooks.model import Delivery, State, Webhook

SUBJECT = "webhook"
MOST = 50
PREFIX = "hook"


class Checks(Protocol):
    """Says whether a URL's host may be sent to."""

    async def check(self, url: str) -> None:
        """Raise if it may not."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhooks:
    """Webhooks as doors see them."""

    database: Database
    clock: Clock
    targets: Checks

    async def create(self, url: str, topics: Sequence[str], *, actor: str) -> Webhook:
        """Make a webhook; its secret is shown once, by who made it.

        Raises
        ------
        InvalidError
            If the URL or a topic is none, or the URL's host must not be sent to.
        ConflictError
            If there are too many.
        """
        rules.check_url(url)
        rules.check_topics(topics)
        await self.targets.check(url)
        webhook = Webhook(
            webhook_id=ids.new_id(PREFIX),
            url=url,
            topics=tuple(dict.fromkeys(topics)),
            secret=rules.make_secret(),
            created_at=self.clock.now(),
            created_by=actor,
        )
        async with self.database.write() as connection:
            if len(await store.active(connection)) >= MOST:
                raise ConflictError(f"there are {MOST} webhooks, which is the most; remove one")
            await store.insert(connection, webhook)
            await audit.record(connection, self._entry(webhook, "create", actor))
        return webhook

    async def list(self) -> list[Webhook]:
        """Return the webhooks that are not removed, oldest first."""
        async with self.database.read() as connection:
            return await store.active(connection)

    async def remove(self, webhook_id: str, *, actor: str) -> Webhook:
        """Send a webhook nothing any more.

        Raises
        ------
        NotFoundError
            If there is none.
        """
        async with self.database.write() as connection:
            webhook = await store.get(connection, webhook_id)
            if webhook is None or webhook.removed_at is not None:
                raise _unknown(webhook_id)
            await store.remove(connection, webhook_id, self.clock.now())
            await audit.record(connection, self._entry(webhook, "remove", actor))
        return webhook

    async def deliveries(
        self, webhook_id: str, *, state: State | None = None, limit: int = 50, offset: int = 0
    ) -> tuple[Sequence[Delivery], int]:
        """Return what was sent to a webhook, newest first, and how much there is in all.

        Raises
        ------
        NotFoundError
            If there never was one.
        """
        states = frozenset(State) if state is None else frozenset({state})
        async with self.database.read() as connection:
            if await store.get(connection, webhook_id) is None:
                raise _unknown(webhook_id)
            return await store.page(
                connection, webhook_id, states=states, limit=limit, offset=offset
            )

    def _entry(self, webhook: Webhook, action: str, actor: str) -> audit.Entry:
        return audit.Entry(
            at=self.clock.now(),
            actor=actor,
            subject_type=SUBJECT,
            subject_id=webhook.webhook_id,
            action=action,
            details={"topics": list(webhook.topics)},  # a URL may hold a token of its receiver
        )


async def active(connection: AsyncConnection) -> Sequence[Webhook]:
    """Return the webhooks that are not removed, in the caller's reading."""
    return await store.active(connection)


async def queue(
    connection: AsyncConnection,
    webhooks: Sequence[Webhook],
    events: Sequence[Waiting],
    *,
    at: datetime,
) -> None:
    """Queue events for the webhooks that want them; again the same ones is no change."""
    rows = [
        {
            "webhook_id": webhook.webhook_id,
            "event_id": event.event_id,
            "topic": event.topic,
            "body": _body(event),
            "state": State.PENDING.value,
            "attempts": 0,
            "next_at": at,
            "created_at": at,
            "error": "",
        }
        for event in events
        for webhook in webhooks
        if webhook.wants(event.topic)
    ]
    if rows:
        await store.queue(connection, rows)


def are_wanted(webhooks: Sequence[Webhook], events: Sequence[Waiting]) -> bool:
    """Say whether any webhook is told of any of these events."""
    return any(webhook.wants(event.topic) for event in events for webhook in webhooks)


def _body(event: Waiting) -> str:
    told = {
        "event_id": event.event_id,
        "topic": event.topic,
        "created_at": event.created_at,
        "payload": msgspec.Raw(event.payload.encode()),
    }
    return msgspec.json.encode(told).decode()


def _unknown(webhook_id: str) -> NotFoundError:
    return NotFoundError(
        f"no webhook {webhook_id[:60]!r}; GET /webhooks lists those that exist",
        field="webhook_id",
        value=webhook_id[:60],
    )
