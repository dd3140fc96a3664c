"""A hint from one process to another that rows have changed: it may be lost.

On one host it is a datagram; on PostgreSQL it is a notification besides, which other hosts hear.
The receiver re-reads the database on every hint and every half second besides, so nothing
depends on a hint's arrival.
"""

import asyncio
import contextlib
import hashlib
import os
import socket
import tempfile
from pathlib import Path

from strategy_engine.infra import database, outages, postgres

REREAD_S = 0.5
LONGEST_PATH = 107  # sun_path holds 108 bytes with its terminator


def path_of(data_dir: Path, name: str) -> Path:
    """Return where a process of this engine listens: in its data directory if the path fits.

    A hint says nothing and changes nothing, so a path that others can reach does no harm.
    """
    path = data_dir / "run" / f"{name}.sock"
    if len(os.fsencode(path)) <= LONGEST_PATH:
        return path
    digest = hashlib.sha256(os.fsencode(data_dir.absolute())).hexdigest()[:24]
    return Path(tempfile.gettempdir()) / f"strategy-engine-{digest}-{name}.sock"


class WakeUp:
    """A socket that sets an event when poked. Must be made inside the running loop."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._event = asyncio.Event()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        path.unlink(missing_ok=True)
        self._socket.bind(str(path))
        asyncio.get_running_loop().add_reader(self._socket.fileno(), self._drain)

    async def wait(self, timeout_s: float = REREAD_S) -> None:
        """Return at the next poke, or after `timeout_s`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._event.wait()
        self._event.clear()

    def set(self) -> None:
        """Wake the waiter from inside this process."""
        self._event.set()

    async def listen(self, server: str | None) -> None:
        """Hear the hints of other hosts too, for ever; without a server there are none."""
        if server is not None:
            await postgres.listen(server, self.set, timeout_s=database.TIMEOUT_S)

    def close(self) -> None:
        """Stop listening and remove the socket."""
        asyncio.get_running_loop().remove_reader(self._socket.fileno())
        self._socket.close()
        self._path.unlink(missing_ok=True)

    def _drain(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                self._socket.recv(16)
                self._event.set()


def poke(path: Path) -> None:
    """Send a hint; whether anybody listens does not matter."""
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sender,
        contextlib.suppress(OSError),
    ):
        sender.sendto(b"!", str(path))


class Bell:
    """Rings for the node of this host at once, and by `run` for the nodes of every other."""

    def __init__(self, path: Path, opened: database.Database) -> None:
        self._path = path
        self._database = opened
        self._rung = asyncio.Event()

    def ring(self) -> None:
        """Send a hint, after the commit that it tells of."""
        poke(self._path)
        self._rung.set()

    async def run(self) -> None:
        """Notify the other hosts of what was rung, for ever; one notice for many rings."""
        while True:
            await self._rung.wait()
            self._rung.clear()
            with contextlib.suppress(outages.DatabaseAwayError):
                await self._database.notify()
