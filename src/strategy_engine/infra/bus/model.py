"""What a message on the bus is, where it is written, and what every bus can do."""

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

BEGINNING = "0-0"
_WAIT_S = 0.5
_MOST_READ = 1_000
# NautilusTrader's own form: a name and a tag, either side of a hyphen.
TRADER_ID = re.compile(r"[A-Za-z0-9_]+(?:-[A-Za-z0-9_]+)+")


class Encoding(StrEnum):
    """How a payload is written; every entry names its own."""

    JSON = "json"
    MSGPACK = "msgpack"


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How messages are laid out in streams, as NautilusTrader lays out its own.

    Parameters
    ----------
    max_length : int
        About how many entries a stream keeps; 0 for all of them.
    """

    trader_id: str = "STRATEGY-ENGINE-001"
    stream_per_topic: bool = True
    encoding: Encoding = Encoding.JSON
    max_length: int = 100_000

    def stream_of(self, topic: str) -> str:
        """Return the key of the stream that a topic is written to."""
        stream = f"trader-{self.trader_id}:stream"
        return f"{stream}:{topic}" if self.stream_per_topic else stream

    def own_stream_of(self, topic: str) -> str:
        """Return the key of a topic's own stream, however the others are written."""
        return f"trader-{self.trader_id}:stream:{topic}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One entry's fields; `encoding` is what the entry says of its payload."""

    topic: str
    type_name: str
    payload: bytes
    encoding: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A message, and where it stands in its stream."""

    stream: str
    entry_id: str
    message: Message


class Bus(Protocol):
    """A broker of streams. Every method raises `UnavailableError` while it is away."""

    async def publish(self, messages: Sequence[Message]) -> None:
        """Append messages to their streams in order; return when the broker has them all."""
        ...

    async def read(
        self, positions: Mapping[str, str], *, wait_s: float = _WAIT_S, limit: int = _MOST_READ
    ) -> list[Received]:
        """Return what came after a position in each stream, waiting `wait_s` for the first."""
        ...

    async def newest(self, stream: str) -> str:
        """Return the position of a stream's last entry, or `BEGINNING`."""
        ...

    async def ping(self) -> None:
        """Return if the broker answers."""
        ...

    async def aclose(self) -> None:
        """Let go of the broker."""
        ...


async def subscribe(bus: Bus, positions: Mapping[str, str]) -> AsyncIterator[Received]:
    """Return what comes after a position in each stream, without end."""
    after = dict(positions)
    while True:
        for received in await bus.read(after):
            after[received.stream] = received.entry_id
            yield received


def is_after(entry_id: str, other: str) -> bool:
    """Say whether an entry came after another one of its stream."""
    return _parts(entry_id) > _parts(other)


def _parts(entry_id: str) -> tuple[int, int]:
    milliseconds, _, number = entry_id.partition("-")
    return int(milliseconds), int(number or 0)
