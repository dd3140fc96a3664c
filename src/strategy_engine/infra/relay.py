"""Publishes what the outboxes hold: at least once, and in order for each execution.

Nothing that trades waits for it, and however long the broker is away, nothing is lost.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Self

import msgspec
import sqlalchemy as sa

from strategy_engine.core.clock import Clock
from strategy_engine.core.errors import EngineError
from strategy_engine.infra import eventlog, logs, outbox
from strategy_engine.infra.bus import codec, links, topics
from strategy_engine.infra.bus.broker import BusSettings
from strategy_engine.infra.bus.links import Link
from strategy_engine.infra.bus.model import Bus, Encoding, Message
from strategy_engine.infra.database import Database
from strategy_engine.infra.outbox import Waiting
from strategy_engine.infra.webhooks import service as webhooks
from strategy_engine.infra.webhooks.model import Webhook

AT_ONCE = 500
BUSY_S = 0.0
IDLE_S = 0.1
UNHEARD_S = 0.5  # inside the process nobody waits for an event
AWAY_S = 0.25
RETRY_DELAYS_S = (0.1, 0.25, 0.5, 1.0, 2.0)
TRIM_S = 60.0

EXECUTIONS, PIPELINES = "executions", "pipelines"

_log = logs.get("bus")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Queue:
    """The events on some topics in one file's outbox."""

    database: Database
    table: sa.Table
    topics: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Which events a relay publishes. What it has of an execution goes in this order.

    Two files have no common order, so it follows from what must have been written before what: an
    execution is told to have begun before its first fill, and to have ended after its last one.
    """

    first: Queue
    middle: Queue | None = None
    last: Queue | None = None

    def queues(self) -> list[Queue]:
        """Return the queues that there are."""
        return [each for each in (self.first, self.middle, self.last) if each is not None]


def executions(control: Database, ledger: Database) -> Route:
    """Return the events that the node publishes."""
    return Route(
        first=Queue(database=control, table=outbox.CONTROL, topics=(topics.STARTED,)),
        middle=Queue(
            database=ledger,
            table=outbox.LEDGER,
            topics=(topics.TRADE, topics.DENIED, topics.POSITION, topics.METRICS),
        ),
        last=Queue(database=control, table=outbox.CONTROL, topics=(topics.ERROR, topics.STOPPED)),
    )


def pipelines(control: Database) -> Route:
    """Return the events that control publishes."""
    names = (topics.STAGE_COMPLETED, topics.PIPELINE_FAILED, topics.DEPLOYED)
    return Route(first=Queue(database=control, table=outbox.CONTROL, topics=names))


@dataclass(frozen=True, slots=True, kw_only=True)
class Keeping:
    """How a relay writes, and how long it keeps what it has published.

    Parameters
    ----------
    published_s : float
        Seconds; 0 to forget what is published at once.
    idle_s : float
        How long to wait before looking again where nothing was found.
    """

    encoding: Encoding = Encoding.JSON
    published_s: float = 86_400.0
    idle_s: float = IDLE_S

    @classmethod
    def of(cls, settings: BusSettings) -> Self:
        """Return what the settings ask for: a bus inside the process replays nothing."""
        return cls(
            encoding=settings.layout.encoding,
            published_s=settings.keep_s if settings.is_remote else 0.0,
            idle_s=IDLE_S if settings.is_remote else UNHEARD_S,
        )


@dataclass(slots=True)
class _State:
    is_connected: bool = True
    detail: str = ""
    trouble: str = ""  # why nothing is published though the bus is there
    failures: int = 0  # since it worked last
    failed: int = 0
    published: int = 0
    reported_s: float = float("-inf")
    trimmed_s: float = float("-inf")
    ripe: set[str] = field(default_factory=set)
    kept: dict[tuple[str, ...], int] = field(default_factory=dict)  # since the broker is away
    webhooks: Sequence[Webhook] = ()  # that may want what is published


class Relay:
    """Publishes one route. One at a time: the row that it reports in is its lease.

    Parameters
    ----------
    name, holder : str
        What is published, and the identity of the process that does. A process that is started
        again under its own identity goes on at once; another one waits until it is silent.
    home : Database
        Where it reports.
    """

    def __init__(  # noqa: PLR0913 - what it is wired with, each a thing of its own
        self,
        *,
        name: str,
        holder: str,
        home: Database,
        bus: Bus,
        route: Route,
        clock: Clock,
        keeping: Keeping,
    ) -> None:
        self._name = name
        self._holder = holder
        self._home = home
        self._bus = bus
        self._route = route
        self._clock = clock
        self._keeping = keeping
        self._state = _State()
        self._holds = False

    async def run(self) -> None:
        """Publish without end."""
        while True:
            try:
                delay_s = await self._turn()
            except Exception as error:  # noqa: BLE001 - the task's edge: what trades must go on
                delay_s = self._failed(error)
            await asyncio.sleep(delay_s)

    async def drain(self) -> None:
        """Publish everything that waits now, if it is this process's to publish.

        Raises
        ------
        UnavailableError
            If the bus or a database is away.
        """
        while self._holds and await self._pass():
            pass

    async def _turn(self) -> float:
        state, now_s = self._state, self._clock.monotonic_s()
        if now_s - state.reported_s >= links.REPORT_S:
            state.reported_s = now_s
            await self._report()
        if not self._holds:
            return links.REPORT_S
        if not state.is_connected:
            await self._keep_what_waits()
            return AWAY_S  # the next report asks whether it is back
        more = await self._pass()
        self._recovered()
        if now_s - state.trimmed_s >= TRIM_S:
            state.trimmed_s = now_s
            await self._trim()
        return BUSY_S if more else self._keeping.idle_s

    # -- publishing

    async def _pass(self) -> bool:
        """Publish what waits; say whether there may be more."""
        # What is in the middle is read first: its beginning was committed before it, so it is
        # found by the later read; and an ending waits for a read that began after it was seen.
        middle = await self._waiting(self._route.middle)
        first = await self._beginning(is_busy=bool(middle or self._state.ripe))
        last = await self._waiting(self._route.last)
        await self._publish(self._route.first, first)
        if len(first) == AT_ONCE:
            return True
        await self._publish(self._route.middle, middle)
        if len(middle) == AT_ONCE:
            return True
        ripe = [each for each in last if each.event_id in self._state.ripe]
        await self._publish(self._route.last, ripe)
        self._state.ripe = {each.event_id for each in last} - {each.event_id for each in ripe}
        return bool(self._state.ripe) or len(ripe) == AT_ONCE

    async def _beginning(self, *, is_busy: bool) -> list[Waiting]:
        # A webhook is known here before anything is published that happened after it was made:
        # the middle was read before it, and what is ripe was seen in an earlier pass.
        queue = self._route.first
        async with queue.database.read() as connection:
            found = await outbox.waiting(connection, queue.table, queue.topics, limit=AT_ONCE)
            if found or is_busy:
                self._state.webhooks = await webhooks.active(connection)
        return found

    async def _waiting(self, queue: Queue | None) -> list[Waiting]:
        if queue is None:
            return []
        async with queue.database.read() as connection:
            return await outbox.waiting(connection, queue.table, queue.topics, limit=AT_ONCE)

    async def _publish(self, queue: Queue | None, found: Sequence[Waiting]) -> None:
        if queue is None or not found:
            return
        messages = [message_of(each, self._keeping.encoding) for each in found]
        await self._keep(found, self._state.webhooks)
        try:
            await self._bus.publish(messages)
        except EngineError as error:
            self._connected(str(error))
            raise
        ids = [each.outbox_id for each in found]
        async with queue.database.write(in_turn=False) as connection:
            if self._keeping.published_s:
                await outbox.mark(connection, queue.table, ids, self._clock.now())
            else:
                await outbox.remove(connection, queue.table, ids)
        self._state.published += len(found)

    async def _keep(self, found: Sequence[Waiting], wanting: Sequence[Webhook] = ()) -> None:
        """Keep events for those who follow here, and for webhooks, before they are published."""
        is_followed = any(each.topic not in eventlog.LEFT_OUT for each in found)
        if is_followed or webhooks.are_wanted(wanting, found):
            async with self._home.write() as connection:
                await eventlog.keep(connection, found)
                await webhooks.queue(connection, wanting, found, at=self._clock.now())

    async def _keep_what_waits(self) -> None:
        """Let those who follow here hear of it, though the broker is away."""
        for queue in self._route.queues():
            after = self._state.kept.get(queue.topics, 0)
            async with queue.database.read() as connection:
                found = await outbox.waiting(
                    connection, queue.table, queue.topics, limit=AT_ONCE, after=after
                )
            if found:
                await self._keep(found)
                self._state.kept[queue.topics] = found[-1].outbox_id

    async def _trim(self) -> None:
        before = self._clock.now() - timedelta(seconds=self._keeping.published_s)
        for queue in self._route.queues():
            async with queue.database.write(in_turn=False) as connection:
                await outbox.trim(connection, queue.table, queue.topics, before)

    # -- reporting

    async def _report(self) -> None:
        state = self._state
        try:
            await self._bus.ping()
            self._connected("")
        except EngineError as error:
            self._connected(str(error))
        waiting, oldest_at = await self._lag()
        link = Link(
            name=self._name,
            holder=self._holder,
            is_connected=state.is_connected,
            detail=state.detail or state.trouble,
            waiting=waiting,
            oldest_at=oldest_at,
            counts={"published": state.published, "publish_failures": state.failed},
            seen_at=self._clock.now(),
        )
        async with self._home.write() as connection:
            self._holds = await links.report(connection, link)

    async def _lag(self) -> tuple[int, datetime | None]:
        total, oldest = 0, []
        for queue in self._route.queues():
            async with queue.database.read() as connection:
                lag = await outbox.lag(connection, queue.table, queue.topics)
            total += lag.waiting
            oldest += [] if lag.oldest_at is None else [lag.oldest_at]
        return total, min(oldest, default=None)

    def _connected(self, trouble: str) -> None:
        state = self._state
        if state.is_connected and trouble:
            _log.warning("bus_away", relay=self._name, why=trouble)
            state.kept.clear()
        elif not state.is_connected and not trouble:
            _log.info("bus_back", relay=self._name)
        state.is_connected, state.detail = not trouble, trouble

    def _failed(self, error: Exception) -> float:
        state = self._state
        if not state.failures:
            _log.warning("bus_not_published", relay=self._name, why=repr(error))
        delay_s = RETRY_DELAYS_S[min(state.failures, len(RETRY_DELAYS_S) - 1)]
        state.trouble = (str(error) or repr(error)) if state.is_connected else ""
        state.failures += 1
        state.failed += 1
        return delay_s

    def _recovered(self) -> None:
        if self._state.failures:
            _log.info("bus_published_again", relay=self._name, failures=self._state.failures)
        self._state.failures, self._state.trouble = 0, ""


def message_of(waiting: Waiting, encoding: Encoding) -> Message:
    """Return an event as the message that is published."""
    topic = topics.named(waiting.topic)
    payload = msgspec.json.decode(waiting.payload)
    return codec.encode(waiting.topic, payload, type_name=topic.payload.__name__, encoding=encoding)
