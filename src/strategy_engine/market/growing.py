"""Bars that more bars come after: what a live feed adds is appended, and read like a history."""

import numpy as np

from strategy_engine.market.model import COLUMNS, Bars, Floats, Ints
from strategy_engine.market.recorded import BusBar

_LEAST_ROOM = 1_024


class GrowingBars:
    """One instrument's history, with room for what comes.

    A view that was handed out keeps its length: appending never changes what it shows.
    """

    def __init__(self, past: Bars) -> None:
        self.timeframe_ns = past.timeframe_ns
        self._length = len(past)
        self._ts_ns: Ints = past.ts_ns
        self._columns: dict[str, Floats] = {name: getattr(past, name) for name in COLUMNS}
        self._shown: Bars | None = past

    def __len__(self) -> int:
        return self._length

    @property
    def last_close_ns(self) -> int:
        """When the last bar closed; 0 if there is none."""
        return int(self._ts_ns[self._length - 1]) + self.timeframe_ns if self._length else 0

    @property
    def bars(self) -> Bars:
        """What there is by now."""
        if self._shown is None:
            stop = self._length
            self._shown = Bars(
                ts_ns=self._ts_ns[:stop],
                timeframe_ns=self.timeframe_ns,
                **{name: column[:stop] for name, column in self._columns.items()},
            )
        return self._shown

    def append(self, bar: BusBar) -> bool:
        """Take a bar in; False, and nothing done, if it is not later than the last one."""
        if bar.close_ns <= self.last_close_ns:
            return False
        if self._length == self._ts_ns.size or not self._ts_ns.flags.writeable:
            self._make_room()
        self._ts_ns[self._length] = bar.close_ns - self.timeframe_ns
        for name, column in self._columns.items():
            column[self._length] = getattr(bar, name)
        self._length += 1
        self._shown = None
        return True

    def _make_room(self) -> None:
        room = max(_LEAST_ROOM, 2 * self._length)
        self._ts_ns = _moved(self._ts_ns, self._length, room)
        self._columns = {
            name: _moved(column, self._length, room) for name, column in self._columns.items()
        }


def _moved[T: np.generic](
    column: np.ndarray[tuple[int], np.dtype[T]], length: int, room: int
) -> np.ndarray[tuple[int], np.dtype[T]]:
    moved = np.empty(room, dtype=column.dtype)
    moved[:length] = column[:length]
    return moved
