"""Frames that wait for a slow reader, up to a limit."""

import socket
from collections import deque


class Outbox:
    """Sends what the socket takes at once, and keeps the rest in order."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._waiting: deque[memoryview] = deque()
        self.waiting_bytes = 0

    def put(self, frame: bytes) -> None:
        """Add a frame; `flush` sends it."""
        self._waiting.append(memoryview(frame))
        self.waiting_bytes += len(frame)

    def flush(self) -> None:
        """Send as much as the socket takes now.

        Raises
        ------
        ConnectionError
            If the other end is gone.
        """
        while self._waiting:
            try:
                sent = self._sock.send(self._waiting[0])
            except BlockingIOError:
                return
            self._drop(sent)

    def clear(self) -> None:
        """Forget what waits: nobody will read it."""
        self._waiting.clear()
        self.waiting_bytes = 0

    def _drop(self, sent: int) -> None:
        self.waiting_bytes -= sent
        if sent == len(self._waiting[0]):
            self._waiting.popleft()
        else:
            self._waiting[0] = self._waiting[0][sent:]
