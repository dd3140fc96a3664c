"""Where bars are kept: one Parquet file a timeframe, one JSON an instrument, replaced atomically.

`<data_dir>/catalogue/<quoted symbol>/<timeframe>.parquet`, beside it `instrument.json`.
"""

import contextlib
import fcntl
import json
import os
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote, unquote

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from strategy_engine.core.errors import ConflictError, EngineError, InvalidError, UnavailableError
from strategy_engine.market import arrow, ticks
from strategy_engine.market.model import (
    COLUMNS,
    Bars,
    Calendar,
    Floats,
    Instrument,
    Native,
    Quotes,
    Timeframe,
    Trades,
)
from strategy_engine.market.recent import Recent

_INSTRUMENT = "instrument.json"
_QUOTES = "quotes.arrow"
_TRADES = "trades.arrow"
_SUFFIX = ".parquet"
_CACHED_FILES = 64
_UNIT_NS = {"us": 1_000, "ns": 1}
_TIME = pa.timestamp("ns", "UTC")


class Store:
    """The files of one catalogue; loaded bars stay in memory until their file changes."""

    def __init__(self, data_dir: Path) -> None:
        self._root = data_dir / "catalogue"
        self._loaded: Recent[Bars] = Recent(_CACHED_FILES)

    def symbols(self) -> list[str]:
        """Return the symbols that have bars here, sorted."""
        if not self._root.is_dir():
            return []
        found = (unquote(each.name) for each in self._root.iterdir() if each.is_dir())
        return sorted(symbol for symbol in found if self.timeframes(symbol))

    def timeframes(self, symbol: str) -> list[Timeframe]:
        """Return the timeframes of a symbol that have bars here, shortest first."""
        folder = self._folder(symbol)
        if not (folder / _INSTRUMENT).is_file():
            return []
        named = (_timeframe(each.stem) for each in folder.glob(f"*{_SUFFIX}"))
        found = (each for each in named if each is not None)
        return sorted(found, key=lambda each: (each.duration_ns, str(each)))

    def instrument(self, symbol: str) -> Instrument | None:
        """Return the instrument as it was imported, or None.

        Raises
        ------
        UnavailableError
            If its file cannot be read.
        ConflictError
            If a symbol that differs only in case holds its folder (on some file systems).
        """
        if not self.timeframes(symbol):
            return None
        path = self._folder(symbol) / _INSTRUMENT
        try:
            instrument = _decoded(path.read_text("utf-8"))
        except (OSError, ValueError, KeyError, TypeError, ArithmeticError, EngineError) as error:
            raise _damaged(path, error) from error
        if instrument.symbol != symbol:
            raise ConflictError(
                f"{symbol} shares its folder with {instrument.symbol}; choose another symbol",
                field="symbol",
                value=symbol,
            )
        return instrument

    def path(self, symbol: str, timeframe: Timeframe) -> Path:
        """Return where the bars of a symbol and timeframe are kept, there or not."""
        return self._folder(symbol) / f"{timeframe}{_SUFFIX}"

    def load(self, path: Path, timeframe: Timeframe) -> Bars:
        """Return the bars of a Parquet file: times in its first column, then named columns.

        Raises
        ------
        UnavailableError
            If it cannot be read.
        """
        try:
            stat = path.stat()
            stamp = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
            return self._loaded.get(path, stamp, lambda: _read(path, timeframe))
        except (OSError, ValueError, KeyError, AttributeError) as error:
            raise _damaged(path, error) from error

    def quotes(self, symbol: str) -> Quotes | None:
        """Return a symbol's quotes where they lie, or None if there are none.

        Raises
        ------
        UnavailableError
            If their file cannot be read.
        """
        return self._ticks(symbol, _QUOTES, ticks.quotes)

    def trades(self, symbol: str) -> Trades | None:
        """Return a symbol's trades where they lie, or None if there are none.

        Raises
        ------
        UnavailableError
            If their file cannot be read.
        """
        return self._ticks(symbol, _TRADES, ticks.trades)

    def save_ticks(self, symbol: str, given: Quotes | Trades) -> None:
        """Write a symbol's quotes or trades, over those that are there; whole or not at all.

        Who has mapped the old file keeps it.
        """
        name = _QUOTES if isinstance(given, Quotes) else _TRADES
        target = self._folder(symbol) / name
        target.parent.mkdir(parents=True, exist_ok=True)
        _written(target, lambda file: ticks.write(file, given)).replace(target)
        _sync_folder(target.parent)
        _sync_folder(self._root)

    def _ticks[T](self, symbol: str, name: str, read: Callable[[Path], T]) -> T | None:
        path = self._folder(symbol) / name
        if not path.is_file():
            return None
        try:
            return read(path)
        except (OSError, ValueError, KeyError) as error:
            raise _damaged(path, error) from error

    def save(self, instrument: Instrument, timeframe: Timeframe, bars: Bars) -> None:
        """Write bars and instrument: both to disk under other names first, then into place.

        A crash leaves what was there before, or (between two renames) the new bars under the
        old description; a first import shows nothing until its description stands.
        """
        target = self.path(instrument.symbol, timeframe)
        target.parent.mkdir(parents=True, exist_ok=True)
        for orphan in target.parent.glob("*.tmp"):
            orphan.unlink(missing_ok=True)
        description = target.with_name(_INSTRUMENT)
        ready = [
            (_written(target, lambda file: _write(file, bars)), target),
            (_written(description, lambda file: _describe(file, instrument)), description),
        ]
        for temporary, final in ready:
            temporary.replace(final)
        _sync_folder(target.parent)
        _sync_folder(self._root)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Let one import at a time change the catalogue, across processes."""
        self._root.mkdir(parents=True, exist_ok=True)
        with (self._root / ".lock").open("wb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _folder(self, symbol: str) -> Path:
        return self._root / quote(symbol, safe="")


def _timeframe(name: str) -> Timeframe | None:
    try:
        timeframe = Timeframe.parse(name)
    except InvalidError:  # someone else's file
        return None
    return timeframe if str(timeframe) == name else None


def _read(path: Path, timeframe: Timeframe) -> Bars:
    # No cast: Arrow's first one in a process takes 40 ms to set its functions up.
    with pq.ParquetFile(path) as file:
        table = file.read()
    stamps = arrow.column(table, 0)
    ts_ns = arrow.values(stamps, np.int64)[0] * _UNIT_NS[stamps.type.unit]
    position = {name: table.column_names.index(name) for name in COLUMNS}
    columns = {name: _numbers(arrow.column(table, position[name])) for name in COLUMNS}
    return Bars(ts_ns=ts_ns, **columns, timeframe_ns=timeframe.duration_ns)


def _numbers(column: pa.Array) -> Floats:
    kind = np.float64 if column.type == pa.float64() else np.int64
    return arrow.values(column, kind)[0].astype(np.float64, copy=False)


def _write(file: BinaryIO, bars: Bars) -> None:
    columns = [arrow.array(bars.ts_ns, _TIME)]
    columns += [arrow.array(getattr(bars, name), pa.float64()) for name in COLUMNS]
    pq.write_table(pa.Table.from_arrays(columns, names=["ts", *COLUMNS]), file)


def _describe(file: BinaryIO, instrument: Instrument) -> None:
    content: dict[str, object] = {
        "symbol": instrument.symbol,
        "venue": instrument.venue,
        "currency": instrument.currency,
        "tick_size": f"{instrument.tick_size:f}",
        "lot_size": f"{instrument.lot_size:f}",
        "calendar": instrument.calendar,
        "default_timeframe": str(instrument.default_timeframe),
        "note": instrument.note,
    }
    if native := instrument.native:
        content["native"] = {"class_name": native.class_name, "content": native.content}
    file.write(json.dumps(content, indent=2).encode())


def _decoded(text: str) -> Instrument:
    content = json.loads(text)
    native = content.get("native")
    return Instrument(
        symbol=content["symbol"],
        venue=content["venue"],
        currency=content["currency"],
        tick_size=Decimal(content["tick_size"]),
        lot_size=Decimal(content["lot_size"]),
        calendar=Calendar(content["calendar"]),
        default_timeframe=Timeframe.parse(content["default_timeframe"]),
        note=content["note"],
        native=Native(**native) if native else None,
    )


def _written(target: Path, write: Callable[[BinaryIO], None]) -> Path:
    temporary = target.with_name(f"{target.name}.tmp")
    with temporary.open("wb") as file:
        write(file)
        file.flush()
        os.fsync(file.fileno())
    return temporary


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _damaged(path: Path, error: Exception) -> UnavailableError:
    return UnavailableError(
        f"{path} cannot be read ({error}); import it again with --replace",
        field="path",
        value=str(path),
    )
