"""How often something happened within the last minute of the feed's clock."""

from collections import deque

MINUTE_NS = 60 * 1_000_000_000


class Rate:
    """Instants of the last minute, counted. Time never goes back here: what is older is now."""

    __slots__ = ("_count", "_seen")

    def __init__(self) -> None:
        self._seen: deque[list[int]] = deque()  # instant, how many; oldest first
        self._count = 0

    def note(self, now_ns: int) -> None:
        """Count one more."""
        seen = self._seen
        if seen and seen[-1][0] >= now_ns:
            seen[-1][1] += 1
        else:
            seen.append([now_ns, 1])
        self._count += 1

    def at(self, now_ns: int) -> int:
        """Return how many there were in the minute until now; forget what was before it."""
        seen = self._seen
        while seen and seen[0][0] <= now_ns - MINUTE_NS:
            self._count -= seen.popleft()[1]
        return self._count

    def dump(self) -> list[list[int]]:
        """Return what counts still, as plain values."""
        return [list(each) for each in self._seen]

    def load(self, plain: list[list[int]]) -> None:
        """Put what `dump` returned in place of what is there."""
        self._seen = deque(list(each) for each in plain)
        self._count = sum(each[1] for each in plain)
