"""The bus inside one process: streams in memory, for an engine without a broker."""

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence

from strategy_engine.infra.bus.model import BEGINNING, Layout, Message, Received, is_after

LONGEST = 1_000  # entries a stream keeps for who reads late


class LocalBus:
    """Keeps the last messages of every stream, and hands them to whoever reads."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        longest = min(LONGEST, layout.max_length or LONGEST)
        self._longest = longest
        self._streams: dict[str, deque[Received]] = {}
        self._count = 0
        self._has_news = asyncio.Condition()

    async def publish(self, messages: Sequence[Message]) -> None:
        """Append messages to their streams in order."""
        for message in messages:
            self._count += 1
            stream = self._layout.stream_of(message.topic)
            entry = Received(stream=stream, entry_id=f"{self._count}-0", message=message)
            self._streams.setdefault(stream, deque(maxlen=self._longest)).append(entry)
        async with self._has_news:
            self._has_news.notify_all()

    async def read(
        self, positions: Mapping[str, str], *, wait_s: float = 0.5, limit: int = 1_000
    ) -> list[Received]:
        """Return what came after a position in each stream, waiting `wait_s` for the first."""
        try:
            async with asyncio.timeout(wait_s), self._has_news:
                await self._has_news.wait_for(lambda: self._after(positions))
        except TimeoutError:
            return self._after(positions)[:limit]
        return self._after(positions)[:limit]

    async def newest(self, stream: str) -> str:
        """Return the position of a stream's last entry, or `BEGINNING`."""
        entries = self._streams.get(stream)
        return entries[-1].entry_id if entries else BEGINNING

    async def ping(self) -> None:
        """Return: it cannot be away."""

    async def aclose(self) -> None:
        """Forget everything."""
        self._streams.clear()

    def _after(self, positions: Mapping[str, str]) -> list[Received]:
        return [
            entry
            for stream, position in positions.items()
            for entry in self._streams.get(stream, ())
            if is_after(entry.entry_id, position)
        ]
