"""The walls around a child, put up in the child itself right after the fork.

The order is part of the wall: descriptors first, so that nothing else is at hand; limits before
privileges are given up; the system call filter last, for it forbids what the others need. What is
the same for every child is made once in the zygote, by `prepare`.
"""

import ctypes
import fcntl
import math
import os
import platform
import resource
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass

from strategy_engine.sandbox import bpf, landlock, seccomp, syscalls
from strategy_engine.sandbox.model import (
    MIB,
    ChildLimits,
    ConfinementMode,
    ConfinementReport,
    Layer,
)

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_NAME = 15
_PR_SET_NO_NEW_PRIVS = 38

_SOCKET_FD = 3
_NICENESS = 5
_WORST_OOM_SCORE = 1000
_MAPPED_FILES_BYTES = 64 * MIB  # read-only maps of libraries count in AS, though they cost little
_HIGHEST_FD = 2**31 - 1
_STATM_BYTES = 256

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """A process's memory as the kernel counts it for limits."""

    address_space_bytes: int
    data_bytes: int


def prctl(option: int, value: int | bytes) -> None:
    """Call prctl(2).

    Raises
    ------
    OSError
        With the kernel's error.
    """
    argument = ctypes.c_ulong(value) if isinstance(value, int) else value
    nothing = ctypes.c_ulong(0)
    if _libc.prctl(option, argument, nothing, nothing, nothing) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def die_with(parent_pid: int) -> None:
    """Have the kernel kill this process when `parent_pid`'s thread dies; end if it has."""
    prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:  # it died before prctl was called
        os._exit(1)


def name_process(name: str) -> None:
    """Have `ps` and `top` show `name`, cut to the 15 bytes that the kernel keeps."""
    prctl(_PR_SET_NAME, name.encode()[:15])


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """The system call filter of this machine; only the process's own id is missing in it."""

    machine: syscalls.Machine
    code: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Walls:
    """What is made once for every child. In place of what cannot be made stands why."""

    ruleset: landlock.Ruleset | str
    filter: Filter | str

    @property
    def fd(self) -> int | None:
        """The ruleset's descriptor, which a child keeps until Landlock is in force."""
        return self.ruleset.fd if isinstance(self.ruleset, landlock.Ruleset) else None


def prepare() -> Walls:
    """Make what is the same for every child. Never fails: a report tells what is missing."""
    return Walls(ruleset=_make_ruleset(), filter=_make_filter())


def _make_ruleset() -> landlock.Ruleset | str:
    try:
        return landlock.prepare(landlock.readable_paths())
    except OSError as error:
        return str(error)


def _make_filter() -> Filter | str:
    machine = syscalls.machine()
    if machine is None:
        return f"there is no filter for {platform.machine()}"
    return Filter(machine=machine, code=bpf.encode(seccomp.program(machine)))


def keep_only(sock: socket.socket, log_fd: int, *, later_fd: int | None) -> socket.socket:
    """Close every descriptor but the socket, and point 0 at nothing, 1 and 2 at the log pipe.

    `later_fd`, if there is one, stays open too: it is the ruleset, and Landlock closes it.
    """
    kept_fd, kept_log_fd = (
        fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _SOCKET_FD + 1)  # none is its own target
        for fd in (sock.detach(), log_fd)
    )
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (kept_log_fd, 1), (kept_log_fd, 2)):
        os.dup2(source, target)
    os.dup2(kept_fd, _SOCKET_FD, inheritable=False)
    last_fd = _SOCKET_FD if later_fd is None else later_fd
    os.closerange(_SOCKET_FD + 1, last_fd)
    os.closerange(last_fd + 1, _HIGHEST_FD)
    return socket.socket(fileno=_SOCKET_FD)


def confine(
    limits: ChildLimits,
    *,
    label: str,
    zygote_pid: int,
    mode: ConfinementMode,
    walls: Walls,
) -> ConfinementReport:
    """Put up every layer but the descriptors', and report on all of them.

    Parameters
    ----------
    limits : ChildLimits
        What the child may use; memory counts from its size at this call.
    label : str
        What `ps` shows of it, cut to 15 bytes.
    zygote_pid : int
        The parent whose death must be the child's.
    mode : ConfinementMode
        OFF leaves Landlock and the filter out.
    walls : Walls
        What `prepare` made; its ruleset is closed afterwards.
    """
    steps: tuple[tuple[str, Callable[[], object]], ...] = (
        ("session", os.setsid),
        ("name", lambda: name_process(label)),
        ("parent_death", lambda: die_with(zygote_pid)),
        ("oom_score", _be_first_to_go),  # before DUMPABLE=0, which gives /proc/self to root
        ("not_dumpable", lambda: prctl(_PR_SET_DUMPABLE, 0)),
        ("nice", lambda: os.nice(_NICENESS)),
        ("batch", lambda: os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))),
        ("rlimits", lambda: _limit_resources(limits)),
        ("no_new_privs", lambda: prctl(_PR_SET_NO_NEW_PRIVS, 1)),
    )
    standing = Layer(name="descriptors", is_on=True, why="")
    common = tuple(_put_up(name, step) for name, step in steps)
    if mode is ConfinementMode.OFF:
        walls = _left_out(walls)
    files = _restrict_files(walls)
    return ConfinementReport(layers=(standing, *common, *files, _filter_calls(walls)))


def _left_out(walls: Walls) -> Walls:
    if walls.fd is not None:
        os.close(walls.fd)
    why = f"left out: STRATEGY_SANDBOX={ConfinementMode.OFF}"
    return Walls(ruleset=why, filter=why)


def _restrict_files(walls: Walls) -> tuple[Layer, ...]:
    if not isinstance(walls.ruleset, landlock.Ruleset):
        return _without_landlock(walls.ruleset)
    try:
        landlock.restrict(walls.ruleset)
    except OSError as error:
        return _without_landlock(str(error))
    return landlock_layers(walls.ruleset.abi)


def _without_landlock(why: str) -> tuple[Layer, ...]:
    return tuple(
        Layer(name=part.name, is_on=False, why=why, needs=part.needs) for part in landlock.PARTS
    )


def landlock_layers(abi: int) -> tuple[Layer, ...]:
    """Return which parts stand once a ruleset is in force on a kernel of this version."""
    return tuple(
        Layer(
            name=part.name,
            is_on=part.abi <= abi,
            why="" if part.abi <= abi else f"this kernel has Landlock ABI {abi}",
            needs=part.needs,
        )
        for part in landlock.PARTS
    )


def _filter_calls(walls: Walls) -> Layer:
    made = walls.filter
    if not isinstance(made, Filter):
        return Layer(name="seccomp", is_on=False, why=made, needs=seccomp.NEEDS)
    code = bpf.bind(made.code, os.getpid())
    return _put_up("seccomp", lambda: seccomp.load(code, made.machine), needs=seccomp.NEEDS)


def _put_up(name: str, step: Callable[[], object], *, needs: str = "") -> Layer:
    try:
        step()
    except (OSError, ValueError) as error:
        return Layer(name=name, is_on=False, why=str(error), needs=needs)
    return Layer(name=name, is_on=True, why="", needs=needs)


def _be_first_to_go() -> None:
    # os.write, not pathlib: text layers touch a megabyte of pages that children else share
    fd = os.open("/proc/self/oom_score_adj", os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, b"%d" % _WORST_OOM_SCORE)
    finally:
        os.close(fd)


def size_of_self() -> Size:
    """Return this process's size as RLIMIT_AS and RLIMIT_DATA see it."""
    fd = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
    try:
        pages = os.read(fd, _STATM_BYTES).split()
    finally:
        os.close(fd)
    page_bytes = resource.getpagesize()
    return Size(
        address_space_bytes=int(pages[0]) * page_bytes, data_bytes=int(pages[5]) * page_bytes
    )


def resource_limits(limits: ChildLimits, size: Size) -> tuple[tuple[int, int, int], ...]:
    """Return (resource, soft, hard) for a child of `size`.

    FSIZE 0 lets it grow no file. NPROC counts a user's processes, so it is of no use here.
    """
    space = size.address_space_bytes + limits.memory_bytes + _MAPPED_FILES_BYTES
    data = size.data_bytes + limits.memory_bytes
    same = (
        (resource.RLIMIT_AS, space),
        (resource.RLIMIT_DATA, data),
        (resource.RLIMIT_NOFILE, limits.open_files),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    )
    fixed = tuple((which, value, value) for which, value in same)
    if limits.cpu_s is None:
        return fixed
    # the soft limit sends SIGXCPU, which a child may ignore; a second later the hard one kills it
    cpu_s = math.ceil(limits.cpu_s)
    return (*fixed, (resource.RLIMIT_CPU, cpu_s, cpu_s + 1))


def _limit_resources(limits: ChildLimits) -> None:
    for which, soft, hard in resource_limits(limits, size_of_self()):
        resource.setrlimit(which, (soft, hard))
