"""Budget: shutting a child in costs at most 3 ms and 1 MiB more than forking it alone.

Forks a process as warm as a lean zygote again and again, in turns: a child that only says it is
there, and one that closes its descriptors and puts up every layer first. Times run from the fork
to the child's word, memory is what is private and written to then (`Private_Dirty`), which only
root may read of a child that is shut in; who cannot read it has not shown that it is kept, and it
fails. Beside it stands how many times a bare fork that is.
"""

import argparse
import gc
import json
import os
import re
import socket
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

from strategy_engine.sandbox import confinement, procfs, share, spawn, warmth
from strategy_engine.sandbox.launcher import WARM_MODULES
from strategy_engine.sandbox.model import ChildLimits, ConfinementMode

BUDGET_MS = 3.0
BUDGET_KIB = 1024
RUNS = 200

type Child = Callable[[socket.socket, int], socket.socket]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object on the last line")
    options = parser.parse_args()
    os.environ.update(spawn.ENVIRONMENT)
    gc.disable()
    warmth.warm(WARM_MODULES["lean"])
    walls = confinement.prepare()
    share.keep_shared()
    assert len(procfs.thread_names(os.getpid())) == 1, "a fork would copy locks"
    alone, confined = measure(walls)
    figures = judge(alone, confined)
    print_table(figures)
    if options.json:
        print(json.dumps(figures))
    return 0 if figures["ok"] else 1


def measure(
    walls: confinement.Walls,
) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
    """Return (milliseconds, KiB) of each child, alone and confined, taken in turns."""

    def alone(sock: socket.socket, log_fd: int) -> socket.socket:
        del log_fd
        return sock

    def confined(sock: socket.socket, log_fd: int) -> socket.socket:
        kept = confinement.keep_only(sock, log_fd, later_fd=walls.fd)
        report = confinement.confine(
            ChildLimits(),
            label="benchmark",
            zygote_pid=os.getppid(),
            mode=ConfinementMode.REQUIRE,
            walls=walls,
        )
        kept.sendall(b"".join(layer.name.encode() for layer in report.missing))
        return kept

    for warming in (alone, confined) * 5:
        one(warming)
    pairs = [(one(alone), one(confined)) for _ in range(RUNS)]
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


def one(child: Child) -> tuple[float, float]:
    ours, theirs = socket.socketpair()
    log_fd, log_end = os.pipe()
    begun = time.perf_counter()
    pid = os.fork()
    if pid == 0:
        try:
            ours.close()
            kept = child(theirs, log_end)
            kept.sendall(b".")
            kept.recv(1)
        finally:
            os._exit(0)
    theirs.close()
    os.close(log_end)
    said = ours.recv(1024)
    took_ms = (time.perf_counter() - begun) * 1e3
    if said != b".":
        why = said or os.read(log_fd, 1024)
        raise RuntimeError(f"the wall is not whole on this machine: {why.decode()!r}")
    memory_kib = private_dirty_kib(pid)
    ours.close()
    os.close(log_fd)
    os.waitpid(pid, 0)
    return took_ms, memory_kib


def private_dirty_kib(pid: int) -> float:
    try:
        told = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except PermissionError:
        return float("nan")
    found = re.search(r"Private_Dirty: +(\d+) kB", told)
    assert found is not None
    return float(found[1])


def judge(
    alone: list[tuple[float, float]], confined: list[tuple[float, float]]
) -> dict[str, float | bool | None]:
    fork_ms, fork_kib = (statistics.median(each) for each in zip(*alone, strict=True))
    both_ms, both_kib = (statistics.median(each) for each in zip(*confined, strict=True))
    extra_ms, extra_kib = both_ms - fork_ms, both_kib - fork_kib
    is_memory_known = extra_kib == extra_kib  # noqa: PLR0124  (NaN: only root may read it)
    return {
        "fork_ms": round(fork_ms, 3),
        "fork_and_confine_ms": round(both_ms, 3),
        "confine_ms": round(extra_ms, 3),
        "budget_ms": BUDGET_MS,
        "ratio_to_fork": round(both_ms / fork_ms, 2),
        "fork_kib": fork_kib if is_memory_known else None,
        "fork_and_confine_kib": both_kib if is_memory_known else None,
        "confine_kib": extra_kib if is_memory_known else None,
        "budget_kib": BUDGET_KIB,
        "ok": extra_ms <= BUDGET_MS and extra_kib <= BUDGET_KIB,
    }


def print_table(figures: dict[str, float | bool | None]) -> None:
    print(f"{'':<18}{'median ms':>12}{'private KiB':>14}")
    for name, row in (("fork alone", "fork"), ("fork and confine", "fork_and_confine")):
        print(f"{name:<18}{figures[f'{row}_ms']!s:>12}{figures[f'{row}_kib']!s:>14}")
    print(f"{'confinement':<18}{figures['confine_ms']!s:>12}{figures['confine_kib']!s:>14}")
    print(f"{'budget':<18}{BUDGET_MS!s:>12}{BUDGET_KIB!s:>14}")
    print(f"fork and confine is {figures['ratio_to_fork']} × a fork alone")


if __name__ == "__main__":
    sys.exit(main())
