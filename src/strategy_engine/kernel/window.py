"""What a strategy sees: the last bars as read-only arrays whose memory holds no later bar."""

from collections.abc import Callable, ItemsView, Iterator, KeysView, Mapping, Sequence, ValuesView
from datetime import datetime
from types import MappingProxyType
from typing import Any, NoReturn, Protocol

import numpy as np
from numpy.typing import NDArray

from strategy_engine.core import clock

DEFAULT_LOOKBACK = 512
MAX_LOOKBACK = 100_000
_SPARE_BARS = 1024  # how many bars fit before the window moves to new memory
_ITEM_BYTES = 8
_NOT_A_TIME = np.iinfo(np.int64).min  # NaT, what numpy calls it as a datetime64

type Cells = memoryview[Any]
type Row = Sequence[float]  # open, high, low, close, volume


class _Column:
    """One column's memory: a writer for the kernel, a read-only array for the strategy."""

    __slots__ = ("shown", "writer")

    def __init__(self, cells: int, dtype: str, filled_with: float) -> None:
        memory = bytearray(cells * _ITEM_BYTES)
        np.frombuffer(memory, dtype=dtype)[:] = filled_with
        self.writer: Cells = memoryview(memory).cast("q" if dtype == "<i8" else "d")
        # Through a read-only memoryview, so that no `.base` leads to an array that can be written.
        self.shown: NDArray[Any] = np.frombuffer(memoryview(memory).toreadonly(), dtype=dtype)


class Window:
    """The last `lookback` bars. Memory that a strategy may hold on to is never written again."""

    __slots__ = (
        "_close",
        "_high",
        "_low",
        "_open",
        "_times",
        "_volume",
        "columns",
        "end",
        "last_close_ns",
        "lookback",
        "room",
        "seen",
        "start",
    )

    def __init__(self, lookback: int = DEFAULT_LOOKBACK) -> None:
        self.lookback = lookback
        # One cell more than is ever written: after the last bar there is always an empty one.
        self.room = lookback + _SPARE_BARS
        self.start = self.end = self.seen = 0
        self.last_close_ns = 0
        self._allocate()

    def append(self, close_ns: int, row: Row) -> None:
        """Add a bar that closed at `close_ns` (nanoseconds since 1970)."""
        end = self.end
        if end == self.room:
            self._move()
            end = self.end
        self._open[end], self._high[end], self._low[end], self._close[end], self._volume[end] = row
        self._times[end] = self.last_close_ns = close_ns
        self.end = end = end + 1
        self.seen += 1
        if end > self.lookback:
            self.start = end - self.lookback

    def view(self, name: str) -> NDArray[Any]:
        """Return the visible bars of one column, oldest first, read-only."""
        return self.columns[name][self.start : self.end]

    def _allocate(self) -> None:
        cells = self.room + 1
        open_, high, low, close, volume = (_Column(cells, "<f8", np.nan) for _ in range(5))
        times = _Column(cells, "<i8", _NOT_A_TIME)
        self._open, self._high, self._low = open_.writer, high.writer, low.writer
        self._close, self._volume, self._times = close.writer, volume.writer, times.writer
        self.columns = {
            "prices": close.shown,
            "open": open_.shown,
            "high": high.shown,
            "low": low.shown,
            "close": close.shown,
            "volume": volume.shown,
            "timestamps": times.shown.view("<M8[ns]"),
        }

    def _move(self) -> None:
        first = self.end - self.lookback + 1  # the oldest bar still visible after the next one
        kept = [column[first : self.end] for column in self._writers()]
        self._allocate()
        for column, values in zip(self._writers(), kept, strict=True):
            column[: len(values)] = values
        self.start, self.end = 0, len(kept[0])

    def _writers(self) -> tuple[Cells, ...]:
        return self._open, self._high, self._low, self._close, self._volume, self._times


class Standing(Protocol):
    """What the execution holds in the instrument, and has: known to the engine, read lazily."""

    def position(self) -> float:
        """Return the signed quantity held."""
        ...

    def entry_price(self) -> float | None:
        """Return the average entry price, None when flat."""
        ...

    def equity(self) -> float:
        """Return cash and positions at their marks."""
        ...

    def cash(self) -> float:
        """Return the cash."""
        ...


class MarketData(dict[str, Any]):
    """The mapping that `generate_signal` gets: nothing is stored, each key is read when asked.

    One object serves every bar; arrays taken from it keep their values.
    """

    __slots__ = ("_flags", "_parameters", "_standing", "_symbol", "_window")

    def __init__(
        self, symbol: str, window: Window, standing: Standing, parameters: Mapping[str, Any]
    ) -> None:
        super().__init__()
        self._symbol = symbol
        self._window = window
        self._standing = standing
        self._parameters = MappingProxyType(dict(parameters))
        self._flags: Mapping[str, Any] = MappingProxyType({})

    def __missing__(self, key: str) -> Any:
        window = self._window
        column = window.columns.get(key)
        if column is not None:
            return column[window.start : window.end]
        read = _READERS.get(key)
        if read is None:
            raise KeyError(f"{key!r} is not in market_data; it holds {', '.join(KEYS)}")
        return read(self)

    def get(self, key: str, default: Any = None) -> Any:
        """Return a key's value, or `default` if there is no such key."""
        if key not in _KEY_SET:
            return default
        return self[key]

    def keys(self) -> KeysView[str]:  # type: ignore[override]  # dict_keys cannot be made in Python
        """Return the keys."""
        return KeysView(self)

    def values(self) -> ValuesView[Any]:  # type: ignore[override]  # the same
        """Return the values, read one by one."""
        return ValuesView(self)

    def items(self) -> ItemsView[str, Any]:  # type: ignore[override]  # the same
        """Return keys and values, read one by one."""
        return ItemsView(self)

    def copy(self) -> dict[str, Any]:
        """Return a plain dictionary of this bar's values."""
        return {key: self[key] for key in KEYS}

    def __contains__(self, key: object) -> bool:
        return key in _KEY_SET

    def __iter__(self) -> Iterator[str]:
        return iter(KEYS)

    def __len__(self) -> int:
        return len(KEYS)

    def __repr__(self) -> str:
        return f"<market data of {self._symbol}: {', '.join(KEYS)}>"

    __eq__ = object.__eq__
    __ne__ = object.__ne__

    def _read_only(self, *_: object, **__: object) -> NoReturn:
        raise TypeError("market_data is read-only; keep what you need in the strategy's attributes")

    __setitem__ = __delitem__ = _read_only
    __ior__ = update = setdefault = pop = popitem = clear = _read_only

    def see_flags(self, flags: Mapping[str, Any]) -> None:
        """Show these feature flags from now on."""
        self._flags = MappingProxyType(dict(flags))


def _time(seen: MarketData) -> datetime:
    return clock.from_nanos(seen._window.last_close_ns)  # noqa: SLF001  (this file's own class)


_READERS: dict[str, Callable[[MarketData], Any]] = {
    "symbol": lambda seen: seen._symbol,  # noqa: SLF001  (this file's own class, here and below)
    "time": _time,
    "position": lambda seen: seen._standing.position(),  # noqa: SLF001
    "entry_price": lambda seen: seen._standing.entry_price(),  # noqa: SLF001
    "equity": lambda seen: seen._standing.equity(),  # noqa: SLF001
    "cash": lambda seen: seen._standing.cash(),  # noqa: SLF001
    "flags": lambda seen: seen._flags,  # noqa: SLF001
    "parameters": lambda seen: seen._parameters,  # noqa: SLF001
}
KEYS = ("prices", "open", "high", "low", "close", "volume", "timestamps", *_READERS)
_KEY_SET = frozenset(KEYS)
