"""The engine's processes as the kernel counts them: how many, their memory and CPU.

Shared pages count once. Where there is no /proc, there is nothing to be known.
"""

import contextlib
import os
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

PROC = Path("/proc")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICKS = os.sysconf("SC_CLK_TCK")
_KIB = 1 << 10
_NODE = "engine-node"  # as the supervisor names it
_UTIME = 11  # of what follows the name in `stat`: user, system, waited-for user and system time


class Kind(StrEnum):
    """What a process is, by where it stands in the tree."""

    SUPERVISOR = "supervisor"
    CONTROL = "control"
    NODE = "node"
    ZYGOTE = "zygote"
    STRATEGY = "strategy"


_BELOW: Mapping[Kind, Kind] = {
    Kind.CONTROL: Kind.ZYGOTE,
    Kind.NODE: Kind.ZYGOTE,
    Kind.ZYGOTE: Kind.STRATEGY,
    Kind.STRATEGY: Kind.STRATEGY,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Processes of one kind: how many, bytes of memory, seconds of CPU since they began.

    The CPU of strategies that have ended is in it: their zygote has waited for them.
    """

    count: int = 0
    memory_bytes: int = 0
    cpu_s: float = 0.0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            count=self.count + other.count,
            memory_bytes=self.memory_bytes + other.memory_bytes,
            cpu_s=self.cpu_s + other.cpu_s,
        )


def engine_bytes(root_pid: int, proc: Path = PROC) -> int:
    """Return the memory of a process and all it has forked, in bytes."""
    return sum(each.memory_bytes for each in usage(root_pid, proc).values())


def usage(root_pid: int, proc: Path = PROC) -> dict[Kind, Usage]:
    """Return what the supervisor and all below it use, by kind.

    Memory is the proportional share (Pss) where the kernel lets us read it. A confined child's is
    closed to an ordinary user; what it has beyond the zygote it was forked from is counted.
    """
    found = dict.fromkeys(Kind, Usage())
    waiting: deque[tuple[int, Kind, int]] = deque([(root_pid, Kind.SUPERVISOR, 0)])
    while waiting:
        pid, kind, parent_rss = waiting.popleft()
        rss, share = _resident(pid, proc), _proportional(pid, proc)
        own_s, waited_s = _cpu(pid, proc)
        found[kind] += Usage(
            count=1 if rss else 0,
            memory_bytes=max(0, rss - parent_rss) if share is None else share,
            cpu_s=own_s,
        )
        if kind is Kind.ZYGOTE:
            found[Kind.STRATEGY] += Usage(cpu_s=waited_s)
        waiting += [(each, _kind(each, kind, proc), rss) for each in _children(pid, proc)]
    return found


def _kind(pid: int, parent: Kind, proc: Path) -> Kind:
    if parent is not Kind.SUPERVISOR:
        return _BELOW[parent]
    return Kind.NODE if _name(pid, proc) == _NODE else Kind.CONTROL


def _name(pid: int, proc: Path) -> str:
    try:
        return (proc / str(pid) / "comm").read_text().strip()
    except OSError:
        return ""


def _proportional(pid: int, proc: Path) -> int | None:
    try:
        lines = (proc / str(pid) / "smaps_rollup").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * _KIB for line in lines if line.startswith("Pss:")), None)


def _resident(pid: int, proc: Path) -> int:
    try:
        return int((proc / str(pid) / "statm").read_text().split()[1]) * _PAGE
    except OSError:
        return 0  # it has ended meanwhile


def _cpu(pid: int, proc: Path) -> tuple[float, float]:
    try:
        after_name = (proc / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0, 0.0
    user, system, waited_user, waited_system = map(int, after_name[_UTIME : _UTIME + 4])
    return (user + system) / _TICKS, (waited_user + waited_system) / _TICKS


def _children(pid: int, proc: Path) -> list[int]:
    found: list[int] = []
    with contextlib.suppress(OSError):
        for thread in (proc / str(pid) / "task").iterdir():
            with contextlib.suppress(OSError):
                found += [int(child) for child in (thread / "children").read_text().split()]
    return found
