"""Frames that wait for a receiver, and receivers that wait for a frame."""

import asyncio
import contextlib
from collections import deque


class Inbox:
    """A queue that knows how many bytes it holds, and whose waiters can be woken by more."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._queued_bytes = 0
        self._frames: deque[bytes] = deque()
        self._waiters: deque[asyncio.Future[None]] = deque()

    def __len__(self) -> int:
        return len(self._frames)

    @property
    def is_full(self) -> bool:
        """Whether nothing more should be read before something is taken."""
        return self._queued_bytes > self._most_bytes

    def put(self, frame: bytes) -> None:
        """Add a frame, and wake one who waits."""
        self._frames.append(frame)
        self._queued_bytes += len(frame)
        self._wake_one()

    def pop(self) -> bytes:
        """Take the oldest frame."""
        frame = self._frames.popleft()
        self._queued_bytes -= len(frame)
        return frame

    async def wait(self) -> None:
        """Wait until there may be a frame, or something else has happened."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if not waiter.cancelled():
                self._wake_one()  # it was this one's turn: the frame is another's now
            raise
        finally:
            with contextlib.suppress(ValueError):
                self._waiters.remove(waiter)

    def wake_all(self) -> None:
        """Wake everyone who waits."""
        while self._waiters:
            self._wake_one()

    def _wake_one(self) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
