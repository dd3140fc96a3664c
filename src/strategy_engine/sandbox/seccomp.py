"""What a child may ask of the kernel: a literal allow-list, and how it is put in force.

What is not in the table is refused with EPERM; a number newer than the table with ENOSYS, at which
libraries fall back on what they used before; a call of a foreign ABI ends the child.
"""

import ctypes
import errno
from collections.abc import Iterable

from strategy_engine.sandbox import bpf, libc, syscalls
from strategy_engine.sandbox.bpf import NARROW as INT
from strategy_engine.sandbox.bpf import OWN_PID, WIDE, Rule, Test

NEEDS = "Linux 4.14 or later with seccomp filters, on x86_64 or aarch64"

REFUSED = bpf.errno(errno.EPERM)
_ABSENT = bpf.errno(errno.ENOSYS)
_NO_TERMINAL = bpf.errno(errno.ENOTTY)

_SET_MODE_FILTER = 1
_TSYNC = 1
_INSTRUCTION_BYTES = 8

_READ, _WRITE, _EXEC = 1, 2, 4
_MAP_PRIVATE = 0x2
_MAP_ANONYMOUS = 0x20
# FIXED, DENYWRITE, NORESERVE, POPULATE, STACK, FIXED_NOREPLACE: not SHARED, not GROWSDOWN, which
# some limits do not count, not LOCKED, not HUGETLB
_MAP_HARMLESS = 0x10 | 0x800 | 0x4000 | 0x8000 | 0x2_0000 | 0x10_0000
_MREMAP_MAYMOVE = 1
_FUTEX_FLAGS = 0x180  # PRIVATE, CLOCK_REALTIME

_O_NONBLOCK = 0x800
_O_STATUS = 0x3 | 0x400 | _O_NONBLOCK | 0x8000 | 0x2_0000  # access, APPEND, LARGEFILE on either
_O_READING = 0x100 | _O_NONBLOCK | 0x8_0000  # NOCTTY, NONBLOCK, CLOEXEC; the access mode is 0
# DIRECTORY, NOFOLLOW, LARGEFILE: the same bits mean other things on the other architecture
_O_OF_ARCH = {
    syscalls.Machine.X86_64: 0x1_0000 | 0x2_0000 | 0x8000,
    syscalls.Machine.AARCH64: 0x4000 | 0x8000 | 0x2_0000,
}


def _is(argument: int, value: int, mask: int = INT) -> Test:
    return Test(argument=argument, mask=mask, value=value)


def _within(argument: int, allowed: int, mask: int = INT) -> Test:
    return Test(argument=argument, mask=mask & ~allowed, value=0)


def _any_of(name: str, argument: int, values: Iterable[int]) -> tuple[Rule, ...]:
    return tuple(Rule(name=name, tests=(_is(argument, value),)) for value in values)


def _plain(names: str, action: int = bpf.ALLOW) -> tuple[Rule, ...]:
    return tuple(Rule(name=name, action=action) for name in names.split())


_RULES: tuple[Rule, ...] = (
    # the hottest first: the filter looks from the top
    *_plain("read write poll ppoll recvfrom clock_gettime clock_nanosleep brk munmap"),
    # WAIT, WAKE, REQUEUE, CMP_REQUEUE, WAKE_OP, WAIT_BITSET, WAKE_BITSET: no priority inheritance
    *(
        Rule(name="futex", tests=(_is(1, operation, INT & ~_FUTEX_FLAGS),))
        for operation in (0, 1, 3, 4, 5, 9, 10)
    ),
    Rule(name="sendto", tests=(_is(4, 0, WIDE),)),  # to its peer only: it names no address
    # Memory: nothing writable is ever executable, and code comes from files only, which are those
    # that Landlock lets it open.
    Rule(
        name="mmap",
        tests=(
            _within(2, _READ | _WRITE, WIDE),
            Test(argument=3, mask=WIDE & ~(_MAP_HARMLESS | _MAP_ANONYMOUS), value=_MAP_PRIVATE),
        ),
    ),
    Rule(
        name="mmap",
        tests=(
            _within(2, _READ | _EXEC, WIDE),
            Test(argument=3, mask=WIDE & ~_MAP_HARMLESS, value=_MAP_PRIVATE),
        ),
    ),
    Rule(name="mprotect", tests=(_within(2, _READ | _WRITE, WIDE),)),
    Rule(name="mremap", tests=(_within(3, _MREMAP_MAYMOVE, WIDE),)),
    # NORMAL, RANDOM, SEQUENTIAL, WILLNEED, DONTNEED, FREE, HUGEPAGE, NOHUGEPAGE
    *_any_of("madvise", 2, (0, 1, 2, 3, 4, 8, 14, 15)),
    # Files: reading only, and Landlock says which. What has a path but no content (stat, chdir)
    # cannot be told apart here, and imports need it: a known leak.
    *_plain("close close_range fstat lseek pread64 readv writev getdents64 getcwd"),
    *_plain("stat lstat newfstatat statx access faccessat faccessat2 chdir"),
    *_plain("dup dup2 dup3"),
    # DUPFD, GETFD, SETFD, GETFL, DUPFD_CLOEXEC; SETFL without ASYNC
    *_any_of("fcntl", 1, (0, 1, 2, 3, 1030)),
    Rule(name="fcntl", tests=(_is(1, 4), _within(2, _O_STATUS, WIDE))),
    *_any_of("ioctl", 1, (0x5421, 0x5450, 0x5451)),  # FIONBIO, FIONCLEX, FIOCLEX
    Rule(name="ioctl", action=_NO_TERMINAL, tests=(_is(1, 0x5401),)),  # TCGETS: isatty() says no
    Rule(name="ioctl", action=_NO_TERMINAL, tests=(_is(1, 0x5413),)),  # TIOCGWINSZ: its width
    # Time, and who am I
    *_plain("clock_getres gettimeofday time nanosleep select pselect6 restart_syscall"),
    *_plain("getpid gettid getppid getuid geteuid getgid getegid getresuid getresgid getgroups"),
    *_plain("getpgrp uname sysinfo getcpu getrusage times getrandom getrlimit sched_yield"),
    *(
        Rule(name=name, tests=(_is(0, 0),))  # 0 is itself
        for name in ("getpgid", "getsid", "sched_getaffinity", "sched_getscheduler")
    ),
    Rule(name="getpriority", tests=(_is(0, 0), _is(1, 0))),
    Rule(name="prlimit64", tests=(_is(0, 0), _is(2, 0, WIDE))),  # read its own, set none
    # GET_NAME, GET_DUMPABLE, GET_SECCOMP, GET_NO_NEW_PRIVS: it asks, and changes nothing
    *(Rule(name="prctl", tests=(_is(0, option),)) for option in (16, 3, 21, 39)),
    # Signals: to itself only
    *_plain("rt_sigaction rt_sigprocmask rt_sigreturn rt_sigpending sigaltstack"),
    Rule(name="kill", tests=(_is(0, OWN_PID),)),
    Rule(name="tgkill", tests=(_is(0, OWN_PID),)),
    *_plain("exit exit_group"),
    # libc tries these first, and takes ENOSYS for an older kernel
    *_plain("clone3 openat2 rseq epoll_pwait2 futex_waitv", _ABSENT),
)


def policy(machine: syscalls.Machine) -> tuple[Rule, ...]:
    """Return the whole table for an architecture; a call that is not in it is refused."""
    reading = _O_READING | _O_OF_ARCH[machine]
    return (
        *_RULES,
        Rule(name="openat", tests=(_within(2, reading),)),
        Rule(name="open", tests=(_within(1, reading),)),
    )


def program(machine: syscalls.Machine) -> tuple[bpf.Instruction, ...]:
    """Return the filter of an architecture, for `bpf.encode`."""
    return bpf.assemble(
        policy(machine),
        syscalls.ABIS[machine],
        otherwise=REFUSED,
        unknown=_ABSENT,
        foreign=bpf.KILL_PROCESS,
    )


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def load(code: bytes, machine: syscalls.Machine) -> None:
    """Put a filter in force in every thread of this process, or in none.

    Raises
    ------
    OSError
        With the kernel's error, or ESRCH when a thread could not follow.
    """
    given = _Program(len(code) // _INSTRUCTION_BYTES, code)
    number = syscalls.ABIS[machine].numbers["seccomp"]
    if libc.call(number, _SET_MODE_FILTER, _TSYNC, bytes(given)):  # the thread that differs
        raise OSError(errno.ESRCH, "a thread has a filter of its own")
