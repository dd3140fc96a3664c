import socket
from itertools import accumulate, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategy_engine.sandbox.protocol import framing


@given(
    bodies=st.lists(st.binary(max_size=300), max_size=20),
    sizes=st.lists(st.integers(min_value=1, max_value=500), max_size=30),
)
def test_frames_come_out_whole_however_the_stream_is_cut(
    bodies: list[bytes], sizes: list[int]
) -> None:
    stream = b"".join(framing.encode(body) for body in bodies)
    cuts = [0, *(min(cut, len(stream)) for cut in accumulate(sizes)), len(stream)]
    reader = framing.FrameReader(300)

    frames = [frame for start, end in pairwise(cuts) for frame in reader.feed(stream[start:end])]

    assert frames == bodies
    assert reader.pending_bytes == 0


@given(body=st.binary(min_size=1, max_size=100), missing=st.integers(min_value=1, max_value=100))
def test_a_frame_that_lacks_bytes_is_not_given(body: bytes, missing: int) -> None:
    frame = framing.encode(body)
    cut = frame[: max(0, len(frame) - missing)]
    reader = framing.FrameReader(100)

    assert reader.feed(cut) == []
    assert reader.pending_bytes == len(cut)
    assert reader.feed(frame[len(cut) :]) == [body]


def test_a_frame_is_its_length_in_four_little_endian_bytes_and_its_body() -> None:
    assert framing.encode(b"bar") == b"\x03\x00\x00\x00bar"


@given(limit=st.integers(min_value=0, max_value=64), excess=st.integers(min_value=1, max_value=9))
def test_a_frame_above_the_limit_is_refused_by_its_header_alone(limit: int, excess: int) -> None:
    header = framing.HEADER.pack(limit + excess)

    with pytest.raises(framing.OversizedFrameError, match=f"the limit is {limit}"):
        framing.FrameReader(limit).feed(header)


def test_a_frame_of_exactly_the_limit_passes() -> None:
    assert framing.FrameReader(3).feed(framing.encode(b"bar")) == [b"bar"]


def test_what_cannot_be_a_length_is_no_oversized_frame_but_noise() -> None:
    with pytest.raises(framing.FrameError, match="something else wrote") as noise:
        framing.FrameReader(16).feed(b"Traceback (most recent call last)")

    assert not isinstance(noise.value, framing.OversizedFrameError)


def test_a_channel_gives_frames_one_by_one_and_none_at_the_end() -> None:
    engine, child = socket.socketpair()
    with engine, child:
        channel = framing.Channel(child)
        engine.sendall(framing.encode(b"one") + framing.encode(b"two"))
        engine.shutdown(socket.SHUT_WR)

        assert [channel.receive() for _ in range(4)] == [b"one", b"two", None, None]


def test_a_channel_sends_frames() -> None:
    engine, child = socket.socketpair()
    with engine, child:
        framing.Channel(child).send(b"decision")

        assert engine.recv(100) == framing.encode(b"decision")
