"""What a child prints: counted, and its last bytes kept."""

import os

from strategy_engine.sandbox import rules

_CHUNK_BYTES = 1 << 16


class Log:
    """The read end of a log pipe."""

    def __init__(self, fd: int) -> None:
        os.set_blocking(fd, False)
        self.fd = fd
        self.total_bytes = 0
        self.tail = b""

    def read(self) -> bool:
        """Take what is there, at most one chunk; False when nobody can write any more."""
        try:
            data = os.read(self.fd, _CHUNK_BYTES)
        except BlockingIOError:
            return True
        self.total_bytes += len(data)
        self.tail = (self.tail + data)[-rules.LOG_TAIL_BYTES :]
        return bool(data)

    def drain(self, most_bytes: int) -> None:
        """Take what a dead writer left, up to `most_bytes` in all."""
        while self.total_bytes < most_bytes:
            before = self.total_bytes
            if not self.read() or self.total_bytes == before:
                return
