"""What a child prints: counted, and its last bytes kept."""

import os

from strategy_engine.sandbox import rules

WINDOW_S = 60.0  # what is printed is limited by the minute: an execution may live for months
_CHUNK_BYTES = 1 << 16


class Log:
    """The read end of a log pipe; `recent_bytes` were printed in the window that now runs."""

    def __init__(self, fd: int) -> None:
        os.set_blocking(fd, False)
        self.fd = fd
        self.total_bytes = 0
        self.recent_bytes = 0
        self.tail = b""
        self._since_s = 0.0

    def read(self, now_s: float | None = None) -> bool:
        """Take what is there, at most one chunk; False when nobody can write any more.

        Without a time it belongs to the window that runs.
        """
        if now_s is not None and now_s - self._since_s >= WINDOW_S:
            self._since_s, self.recent_bytes = now_s, 0
        try:
            data = os.read(self.fd, _CHUNK_BYTES)
        except BlockingIOError:
            return True
        self.total_bytes += len(data)
        self.recent_bytes += len(data)
        self.tail = (self.tail + data)[-rules.LOG_TAIL_BYTES :]
        return bool(data)

    def drain(self, most_bytes: int) -> None:
        """Take what a dead writer left, up to `most_bytes` in its window."""
        while self.recent_bytes < most_bytes:
            before = self.total_bytes
            if not self.read() or self.total_bytes == before:
                return
