"""How much memory the engine uses: every process of its tree, shared pages counted once."""

import contextlib
import os
from pathlib import Path

PROC = Path("/proc")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_KIB = 1 << 10


def engine_bytes(root_pid: int, proc: Path = PROC) -> int:
    """Return the memory of a process and all it has forked, in bytes.

    The proportional share (Pss) where the kernel lets us read it. A confined child's is closed to
    an ordinary user; what such a child has beyond the zygote it was forked from is counted.
    """
    total = 0
    waiting: list[tuple[int, int]] = [(root_pid, 0)]
    while waiting:
        pid, parent_rss = waiting.pop()
        rss = _resident(pid, proc)
        share = _proportional(pid, proc)
        total += max(0, rss - parent_rss) if share is None else share
        waiting += [(child, rss) for child in _children(pid, proc)]
    return total


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


def _children(pid: int, proc: Path) -> list[int]:
    found: list[int] = []
    with contextlib.suppress(OSError):
        for thread in (proc / str(pid) / "task").iterdir():
            with contextlib.suppress(OSError):
                found += [int(child) for child in (thread / "children").read_text().split()]
    return found
