"""What the kernel says of a process that may be gone at any moment."""

import os
import resource
from pathlib import Path


def rss_bytes(pid: int) -> int:
    """Return the memory that a process has in RAM; 0 when it is gone."""
    fields = _read(pid, "statm").split()
    return int(fields[1]) * resource.getpagesize() if fields else 0


def cpu_s(pid: int) -> float:
    """Return the CPU seconds that a process has used; 0 when it is gone."""
    # the name may hold anything, a closing bracket too: fields are counted from the last one
    fields = _read(pid, "stat").rpartition(")")[2].split()
    if not fields:
        return 0.0
    user, system = int(fields[11]), int(fields[12])
    return (user + system) / os.sysconf("SC_CLK_TCK")


def thread_names(pid: int) -> list[str]:
    """Return the names of a process's threads, sorted."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sorted((task / "comm").read_text(encoding="utf-8").strip() for task in tasks)


def reap_orphan(pidfd: int) -> int | None:
    """Reap a dead process that fell to this one (a subreaper, or PID 1); return how it ended.

    None when it fell to another, or is not dead.
    """
    try:
        found = os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOHANG)
    except (ChildProcessError, BlockingIOError):
        return None
    if found is None:
        return None
    return found.si_status if found.si_code == os.CLD_EXITED else -found.si_status


def _read(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""
