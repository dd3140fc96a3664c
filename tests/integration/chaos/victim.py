"""An engine to be killed: its processes by what they are, the kills, and how long it takes back."""

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import Any

ALL = "everything"
CONTROL = "control"
NODE = "node"
ZYGOTE = "zygote"
CHILD = "child"

GONE_S = 10.0
BACK_S = 120.0  # how long a test waits; what it took is printed


type Moved[T] = Callable[[T, T], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """One process of the engine, as the kernel lists it."""

    pid: int
    parent: int
    name: str

    @property
    def is_zygote(self) -> bool:
        return self.name.startswith("zygote-")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """What was killed, and how long it took until health answered and work moved again."""

    what: str
    healthy_s: float
    moving_s: float

    def __str__(self) -> str:
        return f"{self.what}: healthy {self.healthy_s:.2f} s, moving {self.moving_s:.2f} s"


@dataclass(slots=True)
class Victim:
    """A real engine, its data, and everything that was done to it."""

    start: Callable[..., Any]
    server: str | None = None  # a PostgreSQL database; None: SQLite files
    environment: dict[str, str] = field(default_factory=dict)
    engine: Any = None
    kills: list[Kill] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.engine = self.start(database_url=self.server, wait=False, **self.environment)
        self._until_healthy()

    @property
    def data_dir(self) -> Path:
        return self.engine.data_dir

    def restart(self, **changes: str) -> None:
        """Start the engine again on its port and its data."""
        self.environment |= changes
        self.engine = self.start(
            port=self.engine.port,
            data_dir=self.engine.data_dir,
            database_url=self.server,
            wait=False,
            **self.environment,
        )
        self._until_healthy()

    def _until_healthy(self) -> None:
        until(self._is_healthy, self._tail, BACK_S)

    def _tail(self) -> str:
        return str(self.engine.tail())

    def _is_healthy(self) -> bool:
        assert self.engine.process.poll() is None, self.engine.tail()
        with contextlib.suppress(OSError, HTTPException):
            status, health = self.engine.call("GET", "/health")
            return bool(status == 200 and health["status"] == "healthy")
        return False

    def ask(self, path: str) -> Any:
        """Return an answer, however often the connection is cut by a kill."""
        deadline = time.monotonic() + BACK_S
        while True:
            try:
                return self.engine.get(path)
            except (OSError, HTTPException):
                assert time.monotonic() < deadline, self.engine.tail()
                time.sleep(0.01)

    def tell(self, path: str) -> tuple[int, Any]:
        """Post to a path, again if a kill cuts the connection; return the status and the answer."""
        deadline = time.monotonic() + BACK_S
        while True:
            try:
                return self.engine.call("POST", path)
            except (OSError, HTTPException):
                assert time.monotonic() < deadline, self.engine.tail()
                time.sleep(0.01)

    def processes(self) -> list[Process]:
        """Return every living process of the engine, the supervisor first."""
        listed = {each.pid: each for each in _listed()}
        root = self.engine.process.pid
        return [each for each in listed.values() if root in _line(each, listed)]

    def those(self, what: str) -> list[int]:
        """Return the pids of what a kill is about; children and zygotes are the node's."""
        found = self.processes()
        if what == ALL:
            return [each.pid for each in found]
        if what in {CONTROL, NODE}:
            return [each.pid for each in found if each.name == f"engine-{what}"]
        nodes = {each.pid for each in found if each.name == "engine-node"}
        zygotes = [each.pid for each in found if each.parent in nodes and each.is_zygote]
        if what == ZYGOTE:
            return zygotes
        return [each.pid for each in found if each.parent in zygotes]

    def kill[T](
        self, what: str, chance: random.Random, look: Callable[[], T], has_moved: Moved[T]
    ) -> Kill:
        """Kill -9 by chance, start again what does not start by itself, and wait for work.

        `has_moved` compares what `look` saw when health answered with what it sees later.
        """
        pids = self.those(what)
        chosen = pids if what == ALL else [chance.choice(pids)] if pids else []
        for pid in chosen:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        until(lambda: not any(map(is_alive, chosen)), lambda: f"{what} outlives SIGKILL")
        died = time.monotonic()
        if what == ALL:
            self.engine.process.wait(GONE_S)
            until(lambda: not any(map(is_alive, pids)), lambda: "a process outlives its supervisor")
            self.restart()
        else:
            until(lambda: self._is_back(what, chosen), self._tail, BACK_S)
            self.ask("/health")
        healthy = time.monotonic()
        before = look()
        until(lambda: has_moved(before, look()), self._tail, BACK_S)
        kill = Kill(what=what, healthy_s=healthy - died, moving_s=time.monotonic() - died)
        self.kills.append(kill)
        return kill

    def _is_back(self, what: str, gone: list[int]) -> bool:
        return what in {ZYGOTE, CHILD} or bool(set(self.those(what)) - set(gone))


def _line(process: Process, listed: dict[int, Process]) -> Iterator[int]:
    while True:
        yield process.pid
        if process.parent not in listed:
            return
        process = listed[process.parent]


def _listed() -> Iterator[Process]:
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            with contextlib.suppress(OSError):
                name, rest = (path / "stat").read_text().rsplit(")", 1)
                state, parent = rest.split()[:2]
                if state != "Z":
                    yield Process(
                        pid=int(path.name), parent=int(parent), name=name.split("(", 1)[1]
                    )


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def until(is_so: Callable[[], bool], why: Callable[[], str], timeout_s: float = GONE_S) -> None:
    deadline = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < deadline, why()
        time.sleep(0.01)
