"""The walls around a child, put up in the child itself right after the fork.

The order is part of the wall: descriptors first, so that nothing else is at hand; limits before
privileges are given up; the system call filter last, for it forbids what the others need.
"""

import ctypes
import math
import os
import resource
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass

from strategy_engine.sandbox.model import MIB, ChildLimits, ConfinementReport, Layer

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


def prctl(option: int, value: int | ctypes.Array[ctypes.c_char]) -> None:
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
    prctl(_PR_SET_NAME, ctypes.create_string_buffer(name.encode()[:15]))


def keep_only(sock: socket.socket, log_fd: int) -> socket.socket:
    """Close every descriptor but the socket, and point 0 at nothing, 1 and 2 at the log pipe."""
    kept_fd, kept_log_fd = (os.dup(fd) for fd in (sock.detach(), log_fd))
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (kept_log_fd, 1), (kept_log_fd, 2)):
        os.dup2(source, target)
    os.dup2(kept_fd, _SOCKET_FD, inheritable=False)
    os.closerange(_SOCKET_FD + 1, _HIGHEST_FD)
    return socket.socket(fileno=_SOCKET_FD)


def confine(limits: ChildLimits, *, label: str, zygote_pid: int) -> ConfinementReport:
    """Put up every layer but the descriptors', and report on all of them.

    Parameters
    ----------
    limits : ChildLimits
        What the child may use; memory counts from its size at this call.
    label : str
        What `ps` shows of it, cut to 15 bytes.
    zygote_pid : int
        The parent whose death must be the child's.
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
    return ConfinementReport(
        layers=(standing, *(_put_up(name, step) for name, step in steps), *_not_built())
    )


def _not_built() -> tuple[Layer, ...]:
    return tuple(
        Layer(name=name, is_on=False, why="not built in this version")
        for name in ("landlock", "seccomp")
    )


def _put_up(name: str, step: Callable[[], object]) -> Layer:
    try:
        step()
    except (OSError, ValueError) as error:
        return Layer(name=name, is_on=False, why=str(error))
    return Layer(name=name, is_on=True, why="")


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
