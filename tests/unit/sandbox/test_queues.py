import asyncio
import os
import socket

import pytest

from strategy_engine.sandbox.inbox import Inbox
from strategy_engine.sandbox.log import Log
from strategy_engine.sandbox.outbox import Outbox


def test_an_inbox_is_full_above_its_bytes_and_empties_in_order() -> None:
    inbox = Inbox(most_bytes=4)

    inbox.put(b"1234")
    was_full = inbox.is_full
    inbox.put(b"5")

    assert (was_full, inbox.is_full) == (False, True)
    assert [inbox.pop(), inbox.pop()] == [b"1234", b"5"]
    assert (len(inbox), inbox.is_full) == (0, False)


async def test_a_frame_wakes_one_who_waits_and_the_end_wakes_all() -> None:
    inbox = Inbox(most_bytes=100)
    waiting = [asyncio.ensure_future(inbox.wait()) for _ in range(3)]
    await asyncio.sleep(0)

    inbox.put(b"frame")
    done, still = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    inbox.wake_all()
    await asyncio.gather(*still)

    assert (len(done), len(still)) == (1, 2)


async def test_who_is_cancelled_when_woken_passes_the_turn_on() -> None:
    inbox = Inbox(most_bytes=100)
    first, second = (asyncio.ensure_future(inbox.wait()) for _ in range(2))
    await asyncio.sleep(0)

    inbox.put(b"frame")
    first.cancel()
    async with asyncio.timeout(5):
        await second

    assert first.cancelled()


def test_an_outbox_keeps_what_the_socket_does_not_take_and_sends_it_in_order() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(0)
        outbox = Outbox(ours)
        frames = [bytes([number]) * 300_000 for number in range(5)]
        for frame in frames:
            outbox.put(frame)

        outbox.flush()
        kept = outbox.waiting_bytes
        got = bytearray()
        while len(got) < 1_500_000:
            got += theirs.recv(1 << 20)
            outbox.flush()

    assert 0 < kept < 1_500_000
    assert bytes(got) == b"".join(frames)
    assert outbox.waiting_bytes == 0


def test_an_outbox_says_when_nobody_reads_any_more() -> None:
    ours, theirs = socket.socketpair()
    theirs.close()
    with ours:
        outbox = Outbox(ours)
        outbox.put(b"frame")

        with pytest.raises(ConnectionError):
            outbox.flush()
        outbox.clear()

    assert outbox.waiting_bytes == 0


def test_a_log_counts_everything_and_keeps_its_end() -> None:
    reading, writing = os.pipe()
    log = Log(reading)
    try:
        os.write(writing, b"a" * 5000 + b"end")
        is_open = log.read()
        is_open_when_empty = log.read()
        os.close(writing)
        is_open_at_last = log.read()
    finally:
        os.close(reading)

    assert (is_open, is_open_when_empty, is_open_at_last) == (True, True, False)
    assert log.total_bytes == 5003
    assert log.tail == b"a" * 4093 + b"end"


def test_a_log_forgets_what_was_printed_a_minute_ago_but_not_that_it_was() -> None:
    reading, writing = os.pipe()
    log = Log(reading)
    recent = []
    try:
        for now_s in (100.0, 130.0, 159.9, 160.0, 161.0):
            os.write(writing, b"a" * 1000)
            log.read(now_s)
            recent.append(log.recent_bytes)
        os.write(writing, b"a" * 1000)
        log.drain(10_000)
    finally:
        os.close(reading)
        os.close(writing)

    assert recent == [1000, 2000, 3000, 1000, 2000]
    assert (log.recent_bytes, log.total_bytes) == (3000, 6000)


def test_a_log_is_drained_up_to_a_bound() -> None:
    reading, writing = os.pipe()
    log = Log(reading)
    try:
        os.write(writing, b"a" * 1000)
        log.drain(10_000)
    finally:
        os.close(reading)
        os.close(writing)

    assert log.total_bytes == 1000
