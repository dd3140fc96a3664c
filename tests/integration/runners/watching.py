"""What the tests of the process wall watch from outside."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

RUNNERS = str(Path(__file__).parent)
PATIENCE_S = 10.0


async def until(is_so: Callable[[], bool]) -> None:
    """Look again and again, for at most `PATIENCE_S`."""
    async with asyncio.timeout(PATIENCE_S):
        while not is_so():  # noqa: ASYNC110  (the kernel sends no event for most of it)
            await asyncio.sleep(0.002)


def wait_until(is_so: Callable[[], bool]) -> bool:
    """Look again and again, for at most `PATIENCE_S`; return whether it came to be."""
    deadline = time.monotonic() + PATIENCE_S
    while not is_so():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.002)
    return True


def is_gone(pid: int) -> bool:
    """Tell whether a process runs no more: there is none, or only its status is left."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True
    return status.rpartition(")")[2].split()[0] in {"Z", "X"}


def descriptors(of: int | str = "self") -> int:
    return sum(1 for _ in Path(f"/proc/{of}/fd").iterdir())


def offspring(pid: int) -> set[int]:
    """Return the living and the unreaped children of a process."""
    return {int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}
