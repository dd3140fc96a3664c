"""One at a time at a desk: its runner's loop, or whoever stops it from another thread."""

import functools
from collections.abc import Callable
from threading import RLock
from typing import Concatenate, Protocol


class _Guarded(Protocol):
    lock: RLock


def alone[T: _Guarded, **P, R](
    method: Callable[Concatenate[T, P], R],
) -> Callable[Concatenate[T, P], R]:
    """Return the method so that nobody else is at the desk meanwhile. None of them waits inside."""

    @functools.wraps(method)
    def guarded(self: T, /, *args: P.args, **kwargs: P.kwargs) -> R:
        with self.lock:
            return method(self, *args, **kwargs)

    return guarded
