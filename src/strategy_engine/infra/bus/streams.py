"""The bus on Redis Streams, in NautilusTrader's own layout."""

from collections.abc import Awaitable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from strategy_engine.core.errors import InvalidError, UnavailableError
from strategy_engine.infra import logs
from strategy_engine.infra.bus import codec
from strategy_engine.infra.bus.model import BEGINNING, Layout, Message, Received

ANSWER_S = 2.0  # how long the server may take, beside what it was asked to wait

_log = logs.get("bus")


class RedisBus:
    """Streams of a Redis server. A call that fails says so at once: who calls tries again.

    Parameters
    ----------
    url : str
        `redis://[[user]:password@]host[:port][/db]`, or `rediss://`, or `unix://`.
    """

    def __init__(self, url: str, layout: Layout) -> None:
        self._layout = layout
        self.address = address_of(url)
        self._redis = Redis.from_url(
            url,
            protocol=2,
            socket_timeout=ANSWER_S,
            socket_connect_timeout=ANSWER_S,
            retry=Retry(NoBackoff(), 0),
        )
        # A read may be asked to wait, so it has connections of its own with more patience.
        self._reader = Redis.from_url(
            url,
            protocol=2,
            socket_timeout=2 * ANSWER_S,
            socket_connect_timeout=ANSWER_S,
            retry=Retry(NoBackoff(), 0),
        )

    async def publish(self, messages: Sequence[Message]) -> None:
        """Append messages to their streams in order; return when the server has them all."""
        limit = self._layout.max_length or None
        pipe = self._redis.pipeline(transaction=False)
        for message in messages:
            pipe.xadd(
                self._layout.stream_of(message.topic),
                codec.fields_of(message),  # type: ignore[arg-type]  # its stub wants no str keys
                maxlen=limit,
                approximate=True,
            )
        await self._ask(pipe.execute())

    async def read(
        self, positions: Mapping[str, str], *, wait_s: float = 0.5, limit: int = 1_000
    ) -> list[Received]:
        """Return what came after a position in each stream, waiting `wait_s` for the first."""
        block_ms = max(1, int(min(wait_s, ANSWER_S) * 1_000)) if wait_s > 0 else None
        answer = await self._ask(
            self._reader.xread(dict(positions), count=limit, block=block_ms)  # type: ignore[arg-type]  # invariant keys
        )
        return [
            received
            for stream, entries in answer or ()
            for received in _received(stream.decode(), entries)
        ]

    async def newest(self, stream: str) -> str:
        """Return the position of a stream's last entry, or `BEGINNING`."""
        entries = await self._ask(self._redis.xrevrange(stream, count=1))
        newest: str = entries[0][0].decode() if entries else BEGINNING
        return newest

    async def ping(self) -> None:
        """Return if the server answers."""
        await self._ask(self._redis.ping())

    async def aclose(self) -> None:
        """Close every connection."""
        await self._redis.aclose()
        await self._reader.aclose()

    async def _ask(self, command: Awaitable[Any]) -> Any:
        try:
            return await command
        except (RedisError, OSError, TimeoutError) as error:
            raise UnavailableError(
                f"Redis at {self.address} does not serve: {type(error).__name__}: {error}"
            ) from None


def address_of(url: str) -> str:
    """Return where a server is, without the user and the password of its URL."""
    parts = urlsplit(url)
    if parts.scheme == "unix":
        return parts.path
    return f"{parts.hostname or 'localhost'}:{parts.port or 6379}{parts.path}"


def _received(
    stream: str, entries: Sequence[tuple[bytes, Mapping[bytes, bytes]]]
) -> list[Received]:
    found = []
    for entry_id, fields in entries:
        try:
            message = codec.message_of(fields)
        except InvalidError as error:
            message = Message(topic="", type_name="", payload=b"", encoding="")
            _log.warning(
                "bus_entry_unreadable", stream=stream, entry=entry_id.decode(), why=str(error)
            )
        found.append(Received(stream=stream, entry_id=entry_id.decode(), message=message))
    return found
