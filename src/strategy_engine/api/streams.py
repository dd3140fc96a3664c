"""Server-sent events: what is followed is read once and encoded once, for whoever follows it.

The wire format is that of the HTML standard, section 9.2. A reader that is slow holds up nobody,
and costs no memory of its own: all readers of one thing share its events.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.types import Send

from strategy_engine.api import edges
from strategy_engine.core.errors import UnavailableError
from strategy_engine.infra import logs, wakeup
from strategy_engine.infra.outages import DatabaseAwayError

MEDIA_TYPE = "text/event-stream"
HEARTBEAT_S = 15.0
MOST_STREAMS = 500
_RETRY_MS = 1_000
_HEARTBEAT = b": still here\n\n"
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}

_log = logs.get("api")


class Told(Protocol):
    """One event, encoded."""

    @property
    def encoded(self) -> bytes:
        """The event as it is sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch[E: Told]:
    """What is new of a thing. `last_words`: it has ended, and this is sent at the very end."""

    events: Sequence[E]
    last_words: bytes | None = None


@dataclass(slots=True, kw_only=True)
class _Feed[E: Told]:
    events: list[E] = field(default_factory=list)
    last_words: bytes | None = None
    readers: int = 0
    news: asyncio.Condition = field(default_factory=asyncio.Condition)
    task: asyncio.Task[None] | None = None

    def has_more(self, sent: int) -> bool:
        return len(self.events) > sent or self.last_words is not None

    async def wait(self, sent: int, timeout_s: float) -> bool:
        """Return whether there is more than was sent, waiting for it."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s), self.news:
                await self.news.wait_for(lambda: self.has_more(sent))
        if self.task is not None and self.task.done():
            self.task.result()  # what broke it is the reader's to know
        return self.has_more(sent)


class Streams:
    """Everything that is followed in this process.

    Parameters
    ----------
    reread_s : float
        How often a followed thing is read from the database: once for all who follow it.
    """

    def __init__(
        self,
        *,
        reread_s: float = wakeup.REREAD_S,
        heartbeat_s: float = HEARTBEAT_S,
        most: int = MOST_STREAMS,
    ) -> None:
        self._reread_s = reread_s
        self._heartbeat_s = heartbeat_s
        self._most = most
        self._feeds: dict[str, _Feed[Any]] = {}

    @property
    def readers(self) -> int:
        """How many streams are open."""
        return sum(each.readers for each in self._feeds.values())

    @property
    def followed(self) -> int:
        """How many things are followed."""
        return len(self._feeds)

    def refuse_when_full(self) -> None:
        """Refuse another stream where there are too many.

        Raises
        ------
        UnavailableError
            With how many there are.
        """
        if self.readers >= self._most:
            raise UnavailableError(
                f"{self._most} streams are open, which is the most; read it as JSON, or close one"
            )

    async def follow[E: Told](
        self,
        key: str,
        read: Callable[[E | None], Awaitable[Batch[E]]],
        wants: Callable[[E], bool],
    ) -> AsyncGenerator[bytes]:
        """Yield what happens to a thing until it ends; those events that are wanted.

        Parameters
        ----------
        key : str
            Names the thing: who follows the same one shares its events.
        read : callable
            Returns what came after an event; all of it after None.
        """
        feed = self._join(key, read)
        try:
            yield f"retry: {_RETRY_MS}\n\n".encode()
            sent = 0
            while True:
                for each in feed.events[sent:]:
                    sent += 1
                    if wants(each):
                        yield each.encoded
                if feed.last_words is not None and sent == len(feed.events):
                    yield feed.last_words
                    return
                if not await feed.wait(sent, self._heartbeat_s):
                    yield _HEARTBEAT
        finally:
            self._leave(key, feed)

    def _join[E: Told](self, key: str, read: Callable[[E | None], Awaitable[Batch[E]]]) -> _Feed[E]:
        feed: _Feed[E] | None = self._feeds.get(key)
        if feed is None:
            feed = self._feeds[key] = _Feed()
            feed.task = asyncio.create_task(self._keep_reading(feed, read))
        feed.readers += 1
        return feed

    def _leave(self, key: str, feed: "_Feed[Any]") -> None:
        feed.readers -= 1
        if feed.readers == 0:
            if feed.task is not None:
                feed.task.cancel()
            self._feeds.pop(key, None)

    async def _keep_reading[E: Told](
        self, feed: _Feed[E], read: Callable[[E | None], Awaitable[Batch[E]]]
    ) -> None:
        while feed.last_words is None:
            try:
                batch = await read(feed.events[-1] if feed.events else None)
            except DatabaseAwayError as error:
                _log.warning("stream waits", why=str(error))
            else:
                async with feed.news:
                    feed.events += batch.events
                    feed.last_words = batch.last_words
                    feed.news.notify_all()
            if feed.last_words is None:
                await asyncio.sleep(self._reread_s)


class EventStream(StreamingResponse):
    """The answer that carries a stream; what it holds is let go as soon as its reader leaves."""

    def __init__(self, events: AsyncGenerator[bytes]) -> None:
        super().__init__(events, media_type=MEDIA_TYPE, headers=_HEADERS)
        self._events = events

    async def stream_response(self, send: Send) -> None:
        """Send every event as it comes."""
        async with contextlib.aclosing(self._events):
            await super().stream_response(send)


def encoded(*, name: str, json_text: str, event_id: str | None = None) -> bytes:
    """Return an event as it is sent; JSON holds no line ends."""
    head = "" if event_id is None else f"id: {event_id}\n"
    return f"{head}event: {name}\ndata: {json_text}\n\n".encode()


def are_wanted(request: Request) -> bool:
    """Say whether who asks takes a stream; of a HEAD, which it would never end, nobody does."""
    is_asked = MEDIA_TYPE in request.headers.get("accept", "").lower()
    return is_asked and edges.IS_HEAD not in request.scope
