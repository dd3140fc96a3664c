"""Frames on a byte stream: a 4-byte little-endian length, then that many bytes."""

import select
import socket
import struct
from collections import deque

HEADER = struct.Struct("<I")
LARGEST_FRAME_BYTES = 1 << 30  # nobody may ask for more, so the top bits tell noise from a length
_CHUNK_BYTES = 1 << 18


class FrameError(ValueError):
    """The stream holds what cannot be the next frame."""


class OversizedFrameError(FrameError):
    """A frame announces more bytes than its reader takes."""


def encode(body: bytes) -> bytes:
    """Return `body` as one frame.

    Raises
    ------
    OversizedFrameError
        If the body is longer than any reader takes.
    """
    if len(body) > LARGEST_FRAME_BYTES:
        raise OversizedFrameError(
            f"a frame of {len(body)} bytes; the limit is {LARGEST_FRAME_BYTES}; send it in parts"
        )
    return HEADER.pack(len(body)) + body


class FrameReader:
    """Cuts a stream that arrives in pieces into frames."""

    def __init__(self, max_bytes: int = LARGEST_FRAME_BYTES) -> None:
        self._max_bytes = max_bytes
        self._buffer = bytearray()

    @property
    def pending_bytes(self) -> int:
        """How many bytes of an unfinished frame are held."""
        return len(self._buffer)

    def feed(self, data: bytes) -> list[bytes]:
        """Take what arrived, and return the frames that it completes.

        Raises
        ------
        OversizedFrameError
            If a frame announces more than `max_bytes`.
        FrameError
            If what should be a length cannot be one. The reader is of no use after either.
        """
        self._buffer += data
        frames = []
        start = 0
        while (end := self._end_of_frame(start)) is not None:
            frames.append(bytes(memoryview(self._buffer)[start + HEADER.size : end]))
            start = end
        if start:
            del self._buffer[:start]
        return frames

    def _end_of_frame(self, start: int) -> int | None:
        if len(self._buffer) - start < HEADER.size:
            return None
        (length,) = HEADER.unpack_from(self._buffer, start)
        if length > LARGEST_FRAME_BYTES:
            raise FrameError(
                f"a frame cannot start with {length:#010x}; something else wrote to the stream"
            )
        if length > self._max_bytes:
            raise OversizedFrameError(f"a frame of {length} bytes; the limit is {self._max_bytes}")
        end: int = start + HEADER.size + length
        return end if end <= len(self._buffer) else None


class Channel:
    """The child's end of the socket: whole frames, one at a time, blocking."""

    def __init__(self, sock: socket.socket, max_bytes: int = LARGEST_FRAME_BYTES) -> None:
        self._sock = sock
        self._reader = FrameReader(max_bytes)
        self._frames: deque[bytes] = deque()
        self._poll = select.poll()
        self._poll.register(sock, select.POLLIN)

    def receive(self) -> bytes | None:
        """Return the next frame, waiting for it; None when the engine will send no more."""
        while not self._frames:
            self._poll.poll()  # first: under SCHED_BATCH this wakes later, and cheaper, than recv
            data = self._sock.recv(_CHUNK_BYTES)
            if not data:
                return None
            self._frames.extend(self._reader.feed(data))
        return self._frames.popleft()

    def send(self, body: bytes) -> None:
        """Send one frame, waiting until the engine's socket took it all."""
        self._sock.sendall(encode(body))
