"""The supervisor: imports once, holds the port, forks control and node, forks again what dies.

It stays single-threaded and does nothing else, so that there is little in it that can break. The
listening socket is its own: while control is being replaced, clients wait in its backlog.
"""

import contextlib
import ctypes
import errno
import fcntl
import gc
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from strategy_engine.config import Settings
from strategy_engine.core.clock import SystemClock
from strategy_engine.core.errors import ConflictError, EngineError, InvalidError, UnavailableError

if TYPE_CHECKING:
    from strategy_engine.infra.lease import Lease

GRACE_S = 4.0
RETRY_S = 0.2
LONGEST_RETRY_S = 5.0
STEADY_S = 3.0
WAIT_LOOK_S = 0.5
WAIT_LOCK_S = 2.0
WAIT_SAID_S = 10.0
LOST_LEASE = 75  # the status of a process whose lease another engine has taken over
_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15

# Set before anything imports numpy or pyarrow: their threads would make forking unsafe.
_SINGLE_THREADED = {
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
}

# Blocked for the supervisor's whole life and taken by `sigtimedwait`, never by a handler.
_SIGNALS = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGCHLD})

type Main = Callable[[], int]


@dataclass(slots=True, kw_only=True)
class Process:
    """One of the two processes, and when it may be forked again."""

    name: str
    main: Main
    pid: int | None = None
    started_s: float = 0.0
    due_s: float = 0.0
    retry_s: float = RETRY_S


@dataclass(slots=True)
class Supervisor:
    """Keeps processes alive until it is told to stop, or one says that its lease is lost."""

    processes: list[Process]
    stopping: bool = field(default=False)
    status: int = 0

    def run(self) -> int:
        """Fork, wait, fork again; return 0 when a signal ended it, 75 when the lease is lost."""
        while not self.stopping:
            self.begin()
            now = time.monotonic()
            due = [each.due_s - now for each in self.processes if each.pid is None]
            self._wait(max(0.01, min([0.5, *due])))
        return self._shut_down()

    def begin(self) -> None:
        """Fork every process that does not run and is due."""
        now = time.monotonic()
        waiting = [each for each in self.processes if each.pid is None and now >= each.due_s]
        if waiting:
            gc.freeze()  # what is there by now is shared, and never looked at again
        for process in waiting:
            self._fork(process)

    def _wait(self, timeout_s: float) -> None:
        info = signal.sigtimedwait(_SIGNALS, timeout_s)
        if info is not None and info.si_signo != signal.SIGCHLD:
            self.stopping = True
        self._reap()

    def _fork(self, process: Process) -> None:
        _flush()
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            _become(process, parent)
        process.pid, process.started_s = pid, time.monotonic()

    def _reap(self) -> None:
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return
                self._died(pid, status)

    def _died(self, pid: int, status: int) -> None:
        for process in self.processes:
            if process.pid == pid:
                now = time.monotonic()
                steady = now - process.started_s >= STEADY_S
                process.retry_s = RETRY_S if steady else min(LONGEST_RETRY_S, process.retry_s * 2)
                process.pid = None
                process.due_s = now if steady else now + process.retry_s - RETRY_S
                if os.WIFEXITED(status) and os.WEXITSTATUS(status) == LOST_LEASE:
                    self._stand_down()
                if not self.stopping:
                    _say(f"{process.name} (pid {pid}) {_ending(status)}; starting it again")

    def _stand_down(self) -> None:
        if not self.status:
            _say(
                "another engine has taken over this node's lease while this one was silent; it"
                " stops. Start it again and it stands by"
            )
        self.stopping, self.status = True, LOST_LEASE

    def _shut_down(self) -> int:
        for process in self.processes:
            _signal(process.pid, signal.SIGTERM)
        deadline = time.monotonic() + GRACE_S
        while any(each.pid for each in self.processes) and time.monotonic() < deadline:
            self._wait(0.1)
        for process in self.processes:
            if process.pid:
                _say(f"{process.name} did not stop in {GRACE_S:g} s; killing it")
                _signal(process.pid, signal.SIGKILL)
        while any(each.pid for each in self.processes):
            self._wait(0.1)
        return self.status


def run(settings: Settings) -> int:
    """Serve until a signal ends it; return the exit status.

    Raises
    ------
    EngineError
        If it must not or cannot start: an open address without a key, a port or data directory
        in use, a database from a newer version.
    """
    refuse_open_door(settings)
    os.environ.update(_SINGLE_THREADED)
    _prepare(settings.data_dir)
    with _lock(settings.data_dir), _listen(settings.host, settings.port) as listener:
        if settings.m4_max_optimized:
            _say(prefer_fast_cpus())
        limit_cpus(settings.max_cpu)
        gc.disable()  # what is imported stays: looking for garbage in it only takes time
        # Imported here, once, after the environment is set; both processes inherit the pages.
        from strategy_engine import node  # noqa: PLC0415
        from strategy_engine.infra import migrate, postgres  # noqa: PLC0415
        from strategy_engine.sandbox import probe  # noqa: PLC0415

        if settings.server is not None:
            postgres.load()
        migrate.upgrade(settings.data_dir, settings.server)
        held = None if settings.server is None else _take_lease(settings)
        started_s, wall = SystemClock().monotonic_s(), probe.probe(settings.sandbox)
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        supervisor = Supervisor([Process(name="node", main=lambda: node.main(settings, held))])
        # The node first: what was trading trades again while all that answers is still imported.
        supervisor.begin()
        from strategy_engine import control  # noqa: PLC0415

        gc.enable()
        birth = control.Birth(listener=listener, started_s=started_s, wall=wall, lease=held)
        supervisor.processes.append(
            Process(name="control", main=lambda: control.main(settings, birth))
        )
        host, port = listener.getsockname()[:2]
        _say(f"Strategy Engine listens on http://{host}:{port} (data in {settings.data_dir})")
        status = supervisor.run()
        if held is not None and not status:
            _give_lease_back(settings, held)
        return status


def _take_lease(settings: Settings) -> "Lease":
    """Take this node's lease in a database that other engines can reach; wait while one has it.

    A port is held meanwhile and nobody serves it: clients wait in its backlog, as in a restart.
    """
    from strategy_engine.infra import database, lease  # noqa: PLC0415 - after the environment

    said_at = -WAIT_SAID_S

    def wait(why: object) -> None:
        nonlocal said_at
        if time.monotonic() - said_at >= WAIT_SAID_S:
            said_at = time.monotonic()
            _say(f"waiting: {why}")
        time.sleep(WAIT_LOOK_S)

    url = database.control_url(settings.data_dir, settings.server)
    engine = database.sync_engine(url, timeout_s=WAIT_LOCK_S)
    try:
        return lease.acquire(engine, lease.name_of(settings.node_id), wait)
    finally:
        engine.dispose()


def _give_lease_back(settings: Settings, held: "Lease") -> None:
    from strategy_engine.infra import database, lease, outages  # noqa: PLC0415 - the same

    url = database.control_url(settings.data_dir, settings.server)
    engine = database.sync_engine(url, timeout_s=WAIT_LOCK_S)  # whoever stops it waits for this
    try:
        with contextlib.suppress(outages.DatabaseAwayError), outages.told():
            lease.release(engine, held)
    finally:
        engine.dispose()


def refuse_open_door(settings: Settings) -> None:
    """Refuse an address that others can reach unless a key protects it.

    Raises
    ------
    InvalidError
        If the address is not a loopback one and there is no key.
    """
    if settings.api_key is None and not is_loopback(settings.host):
        raise InvalidError(
            f"host {settings.host} can be reached from other machines, and no key protects it;"
            " set STRATEGY_API_KEY (16 characters or more), or serve on 127.0.0.1",
            field="host",
            value=settings.host,
            accepted="127.0.0.1, ::1, or any address with STRATEGY_API_KEY",
        )


def is_loopback(host: str) -> bool:
    """Say whether an address can be reached from this machine only."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return False
    addresses = {str(each[4][0]) for each in found}
    return bool(addresses) and all(a.startswith("127.") or a == "::1" for a in addresses)


def limit_cpus(max_cpu: float | None) -> None:
    """Bound the whole engine to a number of processors, rounded up to whole ones."""
    if max_cpu is None or not hasattr(os, "sched_setaffinity"):
        return
    allowed = sorted(os.sched_getaffinity(0))
    whole = max(1, -int(-max_cpu // 1))
    if whole < len(allowed):
        os.sched_setaffinity(0, allowed[:whole])


def prefer_fast_cpus(cpus: Path = Path("/sys/devices/system/cpu")) -> str:
    """Keep the engine on the fastest processors where they are told apart; say what was done."""
    allowed = os.sched_getaffinity(0)
    capacities: dict[int, int] = {}
    for cpu in allowed:
        with contextlib.suppress(OSError, ValueError):
            capacities[cpu] = int((cpus / f"cpu{cpu}" / "cpu_capacity").read_text())
    fast = {cpu for cpu, capacity in capacities.items() if capacity == max(capacities.values())}
    if len(capacities) < len(allowed) or fast == allowed:
        return f"M4_MAX: the {len(allowed)} processors here are not told apart: no effect"
    os.sched_setaffinity(0, fast)
    return f"M4_MAX: kept on the {len(fast)} fastest of {len(allowed)} processors"


def _prepare(data_dir: Path) -> None:
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        (data_dir / "run").mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise InvalidError(
            f"data directory {data_dir} cannot be used: {error.strerror}; choose another"
            " with --data-dir",
            field="data_dir",
            value=str(data_dir),
        ) from None


@contextlib.contextmanager
def _lock(data_dir: Path) -> Iterator[None]:
    with (data_dir / "run" / "engine.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConflictError(
                f"another engine uses {data_dir}; stop it, or choose another --data-dir",
                field="data_dir",
                value=str(data_dir),
            ) from None
        yield


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=1024)
    except OSError as error:
        busy = error.errno == errno.EADDRINUSE
        what = "is in use" if busy else f"cannot be used: {error.strerror or error}"
        raise UnavailableError(
            f"port {port} on {host} {what}; choose another with --port",
            field="port",
            value=port,
        ) from None


def _become(process: Process, parent: int) -> NoReturn:
    """Turn a fresh fork into one of the two processes; never return into the supervisor."""
    status = 1
    try:
        die_with_parent(parent)
        name_process(f"engine-{process.name}")
        gc.enable()
        # A terminal's Ctrl-C reaches the whole group; the supervisor alone decides what it means.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        status = process.main()
    except EngineError as error:
        _say(str(error))
    except BaseException:  # noqa: BLE001  the edge of a process: said, then ended
        sys.excepthook(*sys.exc_info())
    finally:
        _flush()
        os._exit(status)


def die_with_parent(parent: int) -> None:
    """Ask the kernel for SIGKILL when the parent dies; end at once if it has died already."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)


def name_process(name: str) -> None:
    """Give this process the name that `ps` and `top` show (15 characters at most)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_NAME, name.encode()[:15], 0, 0, 0)


def _signal(pid: int | None, number: signal.Signals) -> None:
    if pid is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def _ending(status: int) -> str:
    if os.WIFSIGNALED(status):
        return f"was ended by {signal.Signals(os.WTERMSIG(status)).name}"
    return f"ended with status {os.WEXITSTATUS(status)}"


def _say(line: str) -> None:
    with contextlib.suppress(OSError):  # a full disk below a log ends no engine
        sys.stderr.write(line + "\n")
    _flush()


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
