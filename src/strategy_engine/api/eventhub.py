"""Everything that happens, as a stream without end: read once, encoded once, for whoever follows.

Who comes with a place first gets from the database what came after it, and then what is new, from
a buffer that all share. Who is slower than the buffer is long is let go: it comes back with the
last place that it had, and has lost nothing. A stream's place belongs to the stream: it is what
this reader has been sent, or did not want.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field, replace

from strategy_engine.api import event_answers, streams
from strategy_engine.core.errors import UnavailableError
from strategy_engine.infra import eventlog, logs, wakeup
from strategy_engine.infra.eventlog import Event, EventLog, Place
from strategy_engine.infra.outages import DatabaseAwayError

MOST_READERS = 200
BUFFERED = 2_000
_RETRY_MS = 1_000

_log = logs.get("api")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Told:
    event: Event
    encoded: bytes


@dataclass(slots=True, kw_only=True)
class _Buffer:
    """The newest events, numbered from the first one that was ever in it."""

    told: list[_Told] = field(default_factory=list)
    first: int = 0
    is_ready: bool = False
    failure: Exception | None = None
    news: asyncio.Condition = field(default_factory=asyncio.Condition)
    is_left: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def end(self) -> int:
        return self.first + len(self.told)

    def add(self, events: list[_Told]) -> None:
        self.told += events
        beyond = len(self.told) - BUFFERED
        if beyond > BUFFERED:  # by halves: each that is moved is moved once
            del self.told[:beyond]
            self.first += beyond


class Hub:
    """Everything that is followed without end in this process.

    Parameters
    ----------
    reread_s : float
        How often the database is read while anybody follows.
    """

    def __init__(
        self,
        *,
        reread_s: float = wakeup.REREAD_S,
        heartbeat_s: float = streams.HEARTBEAT_S,
        most: int = MOST_READERS,
    ) -> None:
        self._reread_s = reread_s
        self._heartbeat_s = heartbeat_s
        self._most = most
        self._readers = 0
        self._buffer = _Buffer()
        self._task: asyncio.Task[None] | None = None

    @property
    def readers(self) -> int:
        """How many follow."""
        return self._readers

    def refuse_when_full(self) -> None:
        """Refuse another stream where there are too many.

        Raises
        ------
        UnavailableError
            With how many there are.
        """
        if self._readers >= self._most:
            raise UnavailableError(
                f"{self._most} streams of events are open, which is the most; close one, or read"
                " them as JSON"
            )

    async def follow(
        self, log: EventLog, after: Place | None, wants: Callable[[Event], bool]
    ) -> AsyncGenerator[bytes]:
        """Yield what happens after a place; None: from now on."""
        buffer = self._join(log)
        try:
            known = await log.end() if after is None else after
            yield f"retry: {_RETRY_MS}\nid: {known}\n\n".encode()
            if gap := await log.forgotten(known):
                yield event_answers.gap(gap)
            async with contextlib.aclosing(self._everything(log, buffer, known)) as everything:
                async for place, each in everything:
                    if each is None:
                        yield f": still here\nid: {place}\n\n".encode()
                    elif wants(each.event):
                        yield f"id: {place}\n".encode() + each.encoded
        except DatabaseAwayError as error:
            _log.warning("events end", why=str(error))  # who follows comes back with its place
        finally:
            await self._leave()

    async def _everything(
        self, log: EventLog, buffer: _Buffer, known: Place
    ) -> AsyncGenerator[tuple[Place, _Told | None]]:
        await self._until_ready(buffer)
        at = buffer.end
        while found := await log.after(known):
            for event in found:
                known = event.place
                yield known, told(event)
            if len(found) < eventlog.AT_ONCE:
                break
        while at >= buffer.first:
            while buffer.first <= at < buffer.end:
                each = buffer.told[at - buffer.first]
                at += 1
                if each.event.is_after(known):
                    known = beyond(known, each.event)
                    yield known, each
            if at >= buffer.first and not await self._wait(buffer, at):
                yield known, None
        _log.warning("a slow reader of events is let go", place=str(known))

    async def _until_ready(self, buffer: _Buffer) -> None:
        async with buffer.news:
            await buffer.news.wait_for(lambda: buffer.is_ready or buffer.failure is not None)
        if buffer.failure is not None:
            raise buffer.failure

    async def _wait(self, buffer: _Buffer, at: int) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._heartbeat_s), buffer.news:
                await buffer.news.wait_for(lambda: buffer.end > at or buffer.failure is not None)
        if buffer.failure is not None:
            raise buffer.failure
        return buffer.end > at

    def _join(self, log: EventLog) -> _Buffer:
        if self._task is None or self._task.done():
            self._buffer = _Buffer()
            self._task = asyncio.create_task(self._read(log, self._buffer))
        self._readers += 1
        return self._buffer

    async def _leave(self) -> None:
        self._readers -= 1
        if self._readers == 0 and self._task is not None:
            task, self._task = self._task, None
            self._buffer.is_left.set()
            await asyncio.wait({task})  # cut off in its read, it would leave a connection open

    async def _read(self, log: EventLog, buffer: _Buffer) -> None:
        place: Place | None = None
        while not buffer.is_left.is_set():
            try:
                place = await log.end() if place is None else place
                found = [told(each) for each in await log.after(place)]
                place = found[-1].event.place if found else place
                await _publish(buffer, found)
            except DatabaseAwayError as error:
                _log.warning("events wait", why=str(error))
                found = []
            except Exception as error:  # noqa: BLE001 - the task's edge: its readers are told
                _log.error("events not read", why=repr(error))
                async with buffer.news:
                    buffer.failure = error
                    buffer.news.notify_all()
                return
            if len(found) < eventlog.AT_ONCE:
                await _pause(buffer, self._reread_s)


async def _pause(buffer: _Buffer, most_s: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(most_s):
            await buffer.is_left.wait()


async def _publish(buffer: _Buffer, found: list[_Told]) -> None:
    async with buffer.news:
        buffer.is_ready = True
        buffer.add(found)
        buffer.news.notify_all()


def told(event: Event) -> _Told:
    """Return an event encoded, without the place that each stream has of its own."""
    shown = event_answers.event(event)
    encoded = streams.encoded(name=event.topic, json_text=shown.model_dump_json())
    return _Told(event=event, encoded=encoded)


def beyond(known: Place, event: Event) -> Place:
    """Return the place of who knew one and now knows an event that came after it."""
    name = "event_no" if event.is_published else "audit_id"
    return replace(known, **{name: event.number})
