"""A stage's time limit. It stands still while the stage waits for a worker and has none at work."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar


class _StageClock:
    """Counts what a stage waits for and what it has; moves its deadline while it only waits."""

    def __init__(self, limit: asyncio.Timeout) -> None:
        self._limit = limit
        self._loop = asyncio.get_running_loop()
        self._left_s: float | None = None
        self.waiting = 0
        self.held = 0

    def settle(self) -> None:
        """Stop or go on, as what is counted says; what has run out stays so."""
        is_idle = self.waiting > 0 and self.held == 0
        if is_idle == (self._left_s is not None) or self._limit.expired():
            return
        now = self._loop.time()
        if self._left_s is None:
            self._left_s = (self._limit.when() or now) - now
            self._limit.reschedule(None)
        else:
            self._limit.reschedule(now + self._left_s)
            self._left_s = None


# Tasks inherit it, so that whatever a stage starts counts for that stage.
_CURRENT: ContextVar[_StageClock | None] = ContextVar("stage_clock", default=None)


@asynccontextmanager
async def limited(limit_s: float) -> AsyncIterator[asyncio.Timeout]:
    """Give what is done inside so many seconds of its own; waiting for a worker is nobody's.

    Raises
    ------
    TimeoutError
        When they are used up.
    """
    async with asyncio.timeout(limit_s) as limit:
        token = _CURRENT.set(_StageClock(limit))
        try:
            yield limit
        finally:
            _CURRENT.reset(token)


@contextmanager
def waiting() -> Iterator[None]:
    """Count the stage as waiting for a worker."""
    clock = _CURRENT.get()
    if clock is None:
        yield
        return
    clock.waiting += 1
    clock.settle()
    try:
        yield
    finally:
        clock.waiting -= 1
        clock.settle()


@contextmanager
def holding() -> Iterator[None]:
    """Count the stage as having a worker."""
    clock = _CURRENT.get()
    if clock is None:
        yield
        return
    clock.held += 1
    clock.settle()
    try:
        yield
    finally:
        clock.held -= 1
        clock.settle()
