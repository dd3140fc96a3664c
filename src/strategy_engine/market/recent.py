"""What was read lately, kept until what it was read from changes; for several threads."""

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from threading import Lock


class Recent[T]:
    """The last so many series that were asked for.

    Reading takes no lock: two threads may read the same file at once, and both are right.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._held: OrderedDict[Path, tuple[object, T]] = OrderedDict()
        self._lock = Lock()

    def get(self, path: Path, stamp: object, read: Callable[[], T]) -> T:
        """Return what a path held when it had this stamp, read again if that is not known."""
        with self._lock:
            known = self._held.get(path)
        found = known[1] if known is not None and known[0] == stamp else read()
        with self._lock:
            self._held[path] = stamp, found
            self._held.move_to_end(path)
            while len(self._held) > self._size:
                self._held.popitem(last=False)
        return found
