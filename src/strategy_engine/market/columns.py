"""From a file of anyone's making to columns of bars: names, delimiters, times, numbers."""

import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from strategy_engine.core import clock
from strategy_engine.core.errors import InvalidError, NotFoundError
from strategy_engine.market import arrow
from strategy_engine.market.faults import Flags
from strategy_engine.market.model import COLUMNS, Floats, Ints
from strategy_engine.market.report import KEPT
from strategy_engine.market.rules import RawBars
from strategy_engine.market.tickrules import RawTicks

_NAMES = {
    "ts": (
        *("ts", "ts_utc", "timestamp", "timestamp_utc", "time", "time_utc", "date", "date_utc"),
        *("datetime", "datetime_utc", "date_time", "open_time", "gmt_time", "index_level_0"),
    ),
    "open": ("open", "o", "open_price"),
    "high": ("high", "h", "high_price"),
    "low": ("low", "l", "low_price"),
    "close": ("close", "c", "close_price"),
    "volume": ("volume", "v", "vol"),
}
_SIZES = ("size", "quantity", "qty", "amount", "volume", "vol", "last_size", "last_quantity")
_OF_TICKS = {
    "quotes": {
        "ts": _NAMES["ts"],
        "bid": ("bid", "bid_price", "bidprice", "best_bid", "best_bid_price", "bid_px_00"),
        "ask": ("ask", "ask_price", "askprice", "best_ask", "best_ask_price", "ask_px_00", "offer"),
        "bid_size": ("bid_size", "bidsize", "bid_qty", "bid_volume", "best_bid_qty", "bid_sz_00"),
        "ask_size": ("ask_size", "asksize", "ask_qty", "ask_volume", "best_ask_qty", "ask_sz_00"),
    },
    "trades": {
        "ts": _NAMES["ts"],
        "price": ("price", "last", "last_price", "trade_price", "px"),
        "size": _SIZES,
    },
}
type Names = Mapping[str, tuple[str, ...]]

_UTC_NAME = re.compile(r"(^|_)(utc|gmt)(_|$)")
_SHORT_FLOATS = (pa.float16(), pa.float32())
_PARQUET = (".parquet", ".pq")
_DELIMITERS = ",;\t|"
_EPOCH = re.compile(r"[+-]?\d{9,19}(\.\d+)?")  # eight digits are a date
_EPOCH_UNITS = ((1e11, 10**9), (1e14, 10**6), (1e17, 10**3))  # below so many, a unit is so many ns
_LARGEST_NS = 2.0**63
_DATE_LENGTH = len("2017-01-01")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What a file holds: the columns of bars, and the names of those that were left."""

    raw: RawBars
    ignored: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TickSource:
    """What a file holds: the columns of quotes or trades, and the names of those left."""

    raw: RawTicks
    ignored: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Times:
    """Times of rows, which of them could not be read, and which named no zone."""

    ts_ns: Ints
    unreadable: Flags
    zoneless: Flags
    texts: Mapping[int, str] = field(default_factory=dict)


def read(path: Path) -> Source:
    """Read a CSV (also compressed) or Parquet file of bars.

    Raises
    ------
    NotFoundError
        If there is no such file.
    InvalidError
        If it is a directory or no such file, or a column is missing or there twice.
    """
    table = _table(path, _NAMES)
    at, when = _rows(table, _NAMES)
    values = {name: numbers(arrow.column(table, at[name])) for name in COLUMNS}
    raw = RawBars(
        ts_ns=when.ts_ns,
        unreadable=when.unreadable,
        zoneless=when.zoneless,
        texts=when.texts,
        **values,
    )
    return Source(raw=raw, ignored=_ignored(table, at))


def read_ticks(path: Path, what: Literal["quotes", "trades"]) -> TickSource:
    """Read a CSV (also compressed) or Parquet file of quotes or trades.

    Raises
    ------
    NotFoundError
        If there is no such file.
    InvalidError
        If it is a directory or no such file, or a column is missing or there twice.
    """
    accepted = _OF_TICKS[what]
    table = _table(path, accepted)
    at, when = _rows(table, accepted)
    raw = RawTicks(
        ts_ns=when.ts_ns,
        columns={name: numbers(arrow.column(table, at[name])) for name in accepted if name != "ts"},
        unreadable=when.unreadable,
        zoneless=when.zoneless,
        texts=when.texts,
    )
    return TickSource(raw=raw, ignored=_ignored(table, at))


def _table(path: Path, accepted: Names) -> pa.Table:
    if path.is_dir():
        raise InvalidError(
            f"{path} is a directory; name one CSV or Parquet file in it",
            field="path",
            value=str(path),
        )
    if not path.is_file():
        raise NotFoundError(f"there is no file {path}", field="path", value=str(path))
    try:
        return _parquet(path) if path.suffix.lower() in _PARQUET else _csv(path, accepted)
    except (pa.ArrowInvalid, OSError, UnicodeDecodeError, csv.Error) as error:
        raise InvalidError(
            f"{path.name} cannot be read as CSV or Parquet: {error}", field="path", value=str(path)
        ) from error


def chosen(names: list[str], wanted: Names = _NAMES) -> dict[str, int]:
    """Return the position of each wanted column among a file's column names.

    Parameters
    ----------
    wanted : mapping of str to names
        What each column may be called; those of bars if not given.

    Raises
    ------
    InvalidError
        If one is missing, or two could be the same; the message lists what was found.
    """
    plain = [_plain(name) for name in names]
    at = {
        column: [position for position, name in enumerate(plain) if name in accepted]
        for column, accepted in wanted.items()
    }
    missing = [column for column, positions in at.items() if not positions]
    if missing:
        raise InvalidError(
            f"no column for {', '.join(missing)}; found: {', '.join(names) or 'none'}; needed: "
            + "; ".join(f"{column} (or {', '.join(wanted[column][1:])})" for column in missing),
            field="columns",
            value=names,
            accepted={column: list(wanted[column]) for column in missing},
        )
    for column, positions in at.items():
        if len(positions) > 1:
            rivals = [names[position] for position in positions]
            raise InvalidError(
                f"{' and '.join(rivals)} could each be {column}: keep one, or join them into one",
                field="columns",
                value=rivals,
            )
    return {column: positions[0] for column, positions in at.items()}


def times(column: pa.Array, *, is_utc: bool) -> Times:
    """Read times written as timestamps, dates, ISO texts or epoch numbers of any unit.

    Parameters
    ----------
    is_utc : bool
        Whether the column's name says that a time without a zone is UTC.
    """
    if pa.types.is_timestamp(column.type):
        return _from_timestamps(column, is_utc=is_utc)
    if pa.types.is_date(column.type):
        return _from_timestamps(column.cast(pa.timestamp("s", "UTC")), is_utc=True)
    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        return _from_epochs(column)
    return _from_texts(column.cast(pa.string()), is_utc=is_utc)


def numbers(column: pa.Array) -> Floats:
    """Return a column of prices or volumes; NaN where there is no number."""
    if pa.types.is_decimal(column.type) or column.type in _SHORT_FLOATS:
        # Their text is the price that was meant; their conversion to a double is off by a bit.
        column = column.cast(pa.string())
    try:
        values, valid = arrow.values(column.cast(pa.float64()), np.float64)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return np.array([_number(each) for each in column.to_pylist()], dtype=np.float64)
    return np.where(valid, values, np.nan)


def _rows(table: pa.Table, accepted: Names) -> tuple[dict[str, int], Times]:
    names = list(table.column_names)
    at = chosen(names, accepted)
    is_utc = _UTC_NAME.search(_plain(names[at["ts"]])) is not None
    return at, times(arrow.column(table, at["ts"]), is_utc=is_utc)


def _ignored(table: pa.Table, at: Mapping[str, int]) -> tuple[str, ...]:
    names = (name for place, name in enumerate(table.column_names) if place not in at.values())
    return tuple(name or "(no name)" for name in names)


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def _parquet(path: Path) -> pa.Table:
    # Not read_table, nor pyarrow.array anywhere here: those import pandas, a second and 60 MB.
    with pq.ParquetFile(path) as file:
        return file.read()


def _csv(path: Path, accepted: Names) -> pa.Table:
    with pa.input_stream(str(path), compression="detect") as stream:
        head = stream.read(65_536).decode("utf-8-sig", errors="replace").splitlines()
    first = head[0] if head else ""
    delimiter = max(_DELIMITERS, key=first.count)
    names = next(csv.reader([first], delimiter=delimiter), [])
    chosen(names, accepted)
    return pacsv.read_csv(
        path,
        parse_options=pacsv.ParseOptions(delimiter=delimiter),
        convert_options=pacsv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=True
        ),
    )


def _number(value: object) -> float:
    try:
        return float(str(value))
    except ValueError:
        return float("nan")


def _from_timestamps(column: pa.Array, *, is_utc: bool) -> Times:
    zoned = column.type.tz is not None
    try:
        nanos = column.cast(pa.timestamp("ns", column.type.tz)).cast(pa.int64())
    except pa.ArrowInvalid:  # outside 1677 to 2262
        return _from_texts(column.cast(pa.string()), is_utc=is_utc or zoned)
    values, valid = arrow.values(nanos, np.int64)
    naive = np.full(values.size, not (zoned or is_utc))
    return Times(ts_ns=values, unreadable=~valid, zoneless=naive)


def _from_epochs(column: pa.Array) -> Times:
    numeric, valid = arrow.values(column.cast(pa.float64(), safe=False), np.float64)
    if not pa.types.is_integer(column.type):
        return _epochs(numeric, valid)
    whole, _ = arrow.values(column.cast(pa.int64(), safe=False), np.int64)
    return _epochs(numeric, valid, whole)


def _epochs(numeric: Floats, valid: Flags, whole: Ints | None = None) -> Times:
    finite = valid & np.isfinite(numeric)
    magnitude = np.abs(np.where(finite, numeric, 0.0))
    usual = float(np.median(magnitude[finite])) if finite.any() else 0.0
    lowest, limit, unit_ns = _epoch_unit(usual)
    readable = finite & (magnitude >= lowest) & (magnitude < min(limit, _LARGEST_NS / unit_ns))
    if whole is not None:
        ts_ns = np.where(readable, whole, 0) * np.int64(unit_ns)
    else:
        micros = np.rint(np.where(readable, numeric, 0.0) * (unit_ns / 1_000))
        ts_ns = micros.astype(np.int64) * 1_000
    return Times(
        ts_ns=ts_ns,
        unreadable=~readable,
        zoneless=np.zeros_like(readable),
        texts={int(row): f"{numeric[row]:g}" for row in _few(~readable)},
    )


def _epoch_unit(usual: float) -> tuple[float, float, int]:
    lowest = 0.0
    for limit, unit_ns in _EPOCH_UNITS:
        if usual < limit:
            return lowest, limit, unit_ns
        lowest = limit
    return lowest, _LARGEST_NS, 1


def _from_texts(column: pa.Array, *, is_utc: bool) -> Times:
    for zone in ("UTC", None):
        try:
            stamps = column.cast(pa.timestamp("ns", zone))
        except pa.ArrowInvalid:
            continue
        only_dates = zone is None and _all_dates(column)
        return _from_timestamps(stamps, is_utc=is_utc or only_dates)
    texts = ["" if each is None else each.strip() for each in column.to_pylist()]
    epochs = [_EPOCH.fullmatch(each) is not None for each in texts]
    if 2 * sum(epochs) > len(texts):
        return _from_epoch_texts(texts, np.array(epochs))
    return _one_by_one(texts, is_utc=is_utc)


def _from_epoch_texts(texts: list[str], valid: Flags) -> Times:
    numeric = np.array([float(text) if ok else 0.0 for text, ok in zip(texts, valid, strict=True)])
    whole = None
    if all(text.lstrip("+-").isdigit() for text, ok in zip(texts, valid, strict=True) if ok):
        whole = np.array([int(t) if ok else 0 for t, ok in zip(texts, valid, strict=True)])
    found = _epochs(numeric, valid, whole)
    return replace(found, texts={int(row): texts[row] for row in _few(found.unreadable)})


def _all_dates(column: pa.Array) -> bool:
    return all(each is None or len(each) == _DATE_LENGTH for each in column.to_pylist())


def _one_by_one(texts: list[str], *, is_utc: bool) -> Times:
    ts_ns = np.zeros(len(texts), dtype=np.int64)
    unreadable = np.zeros(len(texts), dtype=np.bool_)
    zoneless = np.zeros(len(texts), dtype=np.bool_)
    for row, text in enumerate(texts):
        at = _moment(text)
        if at is None:
            unreadable[row] = True
            continue
        is_date = len(text) <= _DATE_LENGTH
        zoneless[row] = at.tzinfo is None and not (is_utc or is_date)
        ts_ns[row] = clock.to_nanos(at if at.tzinfo else at.replace(tzinfo=UTC))
    said = {int(row): texts[row] for row in _few(unreadable)}
    return Times(ts_ns=ts_ns, unreadable=unreadable, zoneless=zoneless, texts=said)


def _moment(text: str) -> datetime | None:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return at if 1678 <= at.year <= 2261 else None  # noqa: PLR2004 - what int64 nanoseconds hold


def _few(flags: Flags) -> NDArray[np.intp]:
    return np.flatnonzero(flags)[:KEPT]
