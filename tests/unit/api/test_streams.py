"""Streams: read once for all who follow, resumed, ended, and let go of."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest

from strategy_engine.api import streams
from strategy_engine.core.errors import UnavailableError
from strategy_engine.infra.outages import DatabaseAwayError

LONG_S = 30.0


@dataclass(frozen=True)
class Sent:
    number: int

    @property
    def encoded(self) -> bytes:
        return f"id: {self.number}\n\n".encode()


@dataclass
class Source:
    """Something that happens when a test says so; it counts how often it is read."""

    batches: list[streams.Batch[Sent]] = field(default_factory=list)
    error: Exception | None = None
    reads: int = 0
    is_read: asyncio.Event = field(default_factory=asyncio.Event)

    async def read(self, last: Sent | None) -> streams.Batch[Sent]:
        self.reads += 1
        self.is_read.set()
        if self.error is not None:
            error, self.error = self.error, None
            raise error
        known = 0 if last is None else last.number
        every = [each for batch in self.batches for each in batch.events if each.number > known]
        ends = any(batch.last_words for batch in self.batches)
        return streams.Batch(events=every, last_words=b"bye" if ends else None)

    def happens(self, *numbers: int, ends: bool = False) -> None:
        batch = streams.Batch(events=[Sent(n) for n in numbers], last_words=b"x" if ends else None)
        self.batches.append(batch)


def everything(_each: Sent) -> bool:
    return True


async def rest(stream: Any) -> bytes:
    return b"".join([each async for each in stream])


async def test_a_stream_tells_what_was_what_comes_and_the_end() -> None:
    following, source = streams.Streams(reread_s=0.001), Source()
    source.happens(1, 2)
    stream = following.follow("a", source.read, everything)
    told = [await anext(stream) for _ in range(3)]
    source.happens(3, ends=True)

    assert b"".join(told) == b"retry: 1000\n\nid: 1\n\nid: 2\n\n"
    assert await rest(stream) == b"id: 3\n\nbye"
    assert (following.readers, following.followed) == (0, 0)


async def test_many_who_follow_one_thing_read_it_once() -> None:
    following, source = streams.Streams(reread_s=LONG_S), Source()
    source.happens(1, 2, ends=True)

    told = await asyncio.gather(
        *(rest(following.follow("a", source.read, everything)) for _ in range(20))
    )

    assert set(told) == {b"retry: 1000\n\nid: 1\n\nid: 2\n\nbye"}
    assert source.reads == 1


async def test_each_gets_only_what_it_does_not_know() -> None:
    following, source = streams.Streams(reread_s=LONG_S), Source()
    source.happens(1, 2, 3, ends=True)

    told = await rest(following.follow("a", source.read, lambda each: each.number > 2))

    assert told == b"retry: 1000\n\nid: 3\n\nbye"


async def test_nothing_is_read_for_who_has_left() -> None:
    following, source = streams.Streams(reread_s=0.001), Source()
    stream = following.follow("a", source.read, everything)
    await anext(stream)
    waiting = asyncio.create_task(anext(stream))
    await source.is_read.wait()
    assert (following.readers, following.followed) == (1, 1)

    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting

    assert (following.readers, following.followed) == (0, 0)
    reading = [each for each in asyncio.all_tasks() if "_keep_reading" in repr(each)]
    async with asyncio.timeout(LONG_S):
        ended = await asyncio.gather(*reading, return_exceptions=True)
    assert all(isinstance(each, asyncio.CancelledError) for each in ended)


async def test_a_silence_is_filled_with_heartbeats() -> None:
    following, source = streams.Streams(reread_s=LONG_S, heartbeat_s=0.001), Source()
    stream = following.follow("a", source.read, everything)

    told = [await anext(stream) for _ in range(3)]
    await stream.aclose()

    assert told == [b"retry: 1000\n\n", b": still here\n\n", b": still here\n\n"]


async def test_a_database_that_is_away_only_delays() -> None:
    following = streams.Streams(reread_s=0.001)
    source = Source(error=DatabaseAwayError("locked"))
    source.happens(1, ends=True)

    assert await rest(following.follow("a", source.read, everything)) == (
        b"retry: 1000\n\nid: 1\n\nbye"
    )
    assert source.reads == 2


async def test_what_breaks_the_reading_breaks_the_stream() -> None:
    following = streams.Streams(reread_s=LONG_S, heartbeat_s=0.001)
    source = Source(error=RuntimeError("no such column"))

    with pytest.raises(RuntimeError, match="no such column"):
        await rest(following.follow("a", source.read, everything))


async def test_there_are_only_so_many_streams() -> None:
    following, source = streams.Streams(reread_s=LONG_S, most=1), Source()
    following.refuse_when_full()
    stream = following.follow("a", source.read, everything)
    await anext(stream)

    with pytest.raises(UnavailableError, match="1 streams are open"):
        following.refuse_when_full()
    await stream.aclose()
    following.refuse_when_full()


def test_an_event_is_encoded_as_the_standard_says() -> None:
    sent = streams.encoded(name="stage", json_text='{"a":1}', event_id="3-1")

    assert sent == b'id: 3-1\nevent: stage\ndata: {"a":1}\n\n'
    assert streams.encoded(name="end", json_text="{}") == b"event: end\ndata: {}\n\n"
