"""Channels: made, listed, tried out, removed."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from strategy_engine.alerts import channel_store, notices, rules, store
from strategy_engine.alerts.model import (
    Alert,
    Channel,
    Kind,
    Notice,
    Severity,
    State,
    Trigger,
)
from strategy_engine.alerts.moves import moved
from strategy_engine.alerts.sending import Sends
from strategy_engine.core import ids
from strategy_engine.core.clock import Clock
from strategy_engine.core.errors import ConflictError, InvalidError, NotFoundError
from strategy_engine.infra import audit
from strategy_engine.infra.database import Database
from strategy_engine.infra.webhooks.rules import make_secret

SUBJECT = "alert_channel"
PREFIX = "chan"
MOST = 20
LONGEST_NAME = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Channels:
    """Channels as doors see them."""

    database: Database
    clock: Clock
    sender: Sends

    async def create(
        self, *, kind: Kind, name: str, url: str, severity: Severity, actor: str
    ) -> Channel:
        """Make a channel; a webhook's secret is shown once, its URL never again.

        Raises
        ------
        InvalidError
            If the name or the URL is none, or the URL must not be sent to.
        ConflictError
            If there are too many.
        """
        if not name.strip() or len(name) > LONGEST_NAME or not name.isprintable():
            raise InvalidError(
                f"name must be 1 to {LONGEST_NAME} printable characters", field="name", value=name
            )
        await self.sender.check(kind, url)
        channel = Channel(
            channel_id=ids.new_id(PREFIX),
            kind=kind,
            name=name,
            url=url,
            secret=make_secret() if kind is Kind.WEBHOOK else "",
            severity=severity,
            created_at=self.clock.now(),
            created_by=actor,
        )
        async with self.database.write() as connection:
            if len(await channel_store.active(connection)) >= MOST:
                raise ConflictError(f"there are {MOST} channels, which is the most; remove one")
            await channel_store.insert(connection, channel)
            await self._audit(connection, channel, "create", actor)
        return channel

    async def list(self) -> Sequence[Channel]:
        """Return the channels that are not removed, oldest first."""
        async with self.database.read() as connection:
            return await channel_store.active(connection)

    async def get(self, channel_id: str) -> Channel:
        """Return one channel, a removed one too.

        Raises
        ------
        NotFoundError
            If there never was one.
        """
        async with self.database.read() as connection:
            return await _known(connection, channel_id)

    async def remove(self, channel_id: str, *, actor: str) -> Channel:
        """Send a channel nothing any more.

        Raises
        ------
        NotFoundError
            If there is none.
        """
        now = self.clock.now()
        async with self.database.write() as connection:
            channel = await _known(connection, channel_id)
            if channel.removed_at is not None:
                raise _unknown(channel_id)
            await channel_store.remove(connection, channel_id, now)
            await self._audit(connection, channel, "remove", actor)
            failing = await store.open_one(connection, failing_key(channel_id))
            if failing is not None:
                why = "the channel was removed"
                await moved(connection, failing, Trigger.RESOLVE, at=now, actor=actor, why=why)
        return channel

    async def try_out(self, channel_id: str, *, actor: str) -> str:
        """Send a channel a notice that means nothing, once; return the id it is logged under.

        Raises
        ------
        NotFoundError
            If there is none.
        """
        now = self.clock.now()
        test = Alert(
            alert_id=ids.new_id("test"),
            key="test",
            rule_id="test",
            severity=Severity.INFO,
            state=State.FIRING,
            subject_type=SUBJECT,
            subject_id=channel_id,
            title="A test",
            message=f"{actor} tries this channel out; there is nothing to do",
            details={},
            labels={},
            count=1,
            since=now,
            last_at=now,
            fired_at=now,
        )
        async with self.database.write() as connection:
            channel = await _known(connection, channel_id)
            if channel.removed_at is not None:
                raise _unknown(channel_id)
            found = notices.rows([channel], test, Notice.TEST, at=now)
            await channel_store.queue(connection, found)
            await self._audit(connection, channel, "test", actor)
        return str(found[0]["event_id"])

    async def _audit(
        self, connection: AsyncConnection, channel: Channel, action: str, actor: str
    ) -> None:
        entry = audit.Entry(
            at=self.clock.now(),
            actor=actor,
            subject_type=SUBJECT,
            subject_id=channel.channel_id,
            action=action,
            details={"kind": channel.kind.value, "name": channel.name},  # a URL may hold a token
        )
        await audit.record(connection, entry)


def failing_key(channel_id: str) -> str:
    """Return the key of the alert that a channel does not get its alerts."""
    return f"{rules.UNDELIVERED}:{channel_id}"


async def _known(connection: AsyncConnection, channel_id: str) -> Channel:
    channel = await channel_store.get(connection, channel_id)
    if channel is None:
        raise _unknown(channel_id)
    return channel


def _unknown(channel_id: str) -> NotFoundError:
    return NotFoundError(
        f"no channel {channel_id[:60]!r}; GET /alerts/channels lists those that exist",
        field="channel_id",
        value=channel_id[:60],
    )
