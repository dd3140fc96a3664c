"""One Parquet file of NautilusTrader's `ParquetDataCatalog`, read with pyarrow alone.

Numbers are fixed-point, their precision stands in the schema's metadata, and so does the full name
of what is in the file (its folder's lacks the slash of `EUR/USD`).
"""

import contextlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from strategy_engine.core import clock
from strategy_engine.core.errors import UnavailableError
from strategy_engine.market import arrow, fixed
from strategy_engine.market.model import Floats, Ints

# A column of a file, and which of its two precisions it has.
BAR = {
    "open": "price_precision",
    "high": "price_precision",
    "low": "price_precision",
    "close": "price_precision",
    "volume": "size_precision",
}
QUOTE = {
    "bid_price": "price_precision",
    "ask_price": "price_precision",
    "bid_size": "size_precision",
    "ask_size": "size_precision",
}
TRADE = {"price": "price_precision", "size": "size_precision"}
KNOWN_AT = "ts_init"
HAPPENED_AT = "ts_event"

_MOMENT = r"(\d{4}-\d\d-\d\d)T(\d\d)-(\d\d)-(\d\d)-(\d{9})Z"
_NAME = re.compile(f"{_MOMENT}_{_MOMENT}")


def bad(path: Path, reason: str) -> UnavailableError:
    """Return what is said of a file that cannot be believed."""
    return UnavailableError(f"{path}: {reason}", field="path", value=str(path))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Columns:
    """What was read of a file: times and numbers by name, as long as one another."""

    happened_ns: Ints
    known_ns: Ints
    numbers: Mapping[str, Floats]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """How many rows of a file lie together, and the first and last time that one was known."""

    rows: int
    first_ns: int
    last_ns: int


def metadata(path: Path) -> dict[str, str]:
    """Return what a file's schema says of it.

    Raises
    ------
    UnavailableError
        If it cannot be read.
    """
    with _opened(path) as file:
        return _metadata(file)


def rows(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a small file, such as of instruments.

    Raises
    ------
    UnavailableError
        If it cannot be read.
    """
    with _opened(path) as file:
        found: list[dict[str, Any]] = file.read().to_pylist()
        return found


def may_hold(path: Path, start_ns: int | None, end_ns: int | None) -> bool:
    """Return whether a file may hold rows in a range, by the times that its name tells."""
    named = _NAME.fullmatch(path.stem)
    if named is None:
        return True
    try:
        held = _nanos(*named.groups()[:5]), _nanos(*named.groups()[5:])
    except ValueError:
        return True
    return _overlaps(held, start_ns, end_ns)


def parts(path: Path) -> list[Part | None]:
    """Return what a file's foot tells of its parts; None of one that it does not tell the times of.

    Raises
    ------
    UnavailableError
        If it cannot be read.
    """
    with _opened(path) as file:
        return [_part(file, each) for each in range(file.metadata.num_row_groups)]


def extent(path: Path) -> Part | None:
    """Return how many rows a file holds and from when until when; None if it holds none.

    Its foot tells, as a rule; where it does not, the times are read.

    Raises
    ------
    UnavailableError
        If it cannot be read, or lacks times.
    """
    told = parts(path)
    known = [each for each in told if each is not None]
    if known and len(known) == len(told):
        return Part(
            rows=sum(each.rows for each in known),
            first_ns=min(each.first_ns for each in known),
            last_ns=max(each.last_ns for each in known),
        )
    times = columns(path, {}).known_ns
    if not times.size:
        return None
    return Part(rows=times.size, first_ns=int(times.min()), last_ns=int(times.max()))


def columns(
    path: Path, wanted: Mapping[str, str], start_ns: int | None = None, end_ns: int | None = None
) -> Columns:
    """Return the rows that were known at or after `start_ns` and before `end_ns`.

    Parts of the file that hold none of them are not read.

    Raises
    ------
    UnavailableError
        If it cannot be read, lacks a column, or holds what its metadata does not allow.
    """
    with _opened(path) as file:
        said = _metadata(file)
        groups = list(_groups(file, start_ns, end_ns))
        table = file.read_row_groups(groups, columns=[*wanted, HAPPENED_AT, KNOWN_AT])
        found = _decoded(table, wanted, said)
    inside = _inside(found.known_ns, start_ns, end_ns)
    if inside is None:
        return found
    return Columns(
        happened_ns=found.happened_ns[inside],
        known_ns=found.known_ns[inside],
        numbers={name: values[inside] for name, values in found.numbers.items()},
    )


def _decoded(table: pa.Table, wanted: Mapping[str, str], said: Mapping[str, str]) -> Columns:
    missing = {*wanted, HAPPENED_AT, KNOWN_AT} - set(table.column_names)
    if missing:
        raise ValueError(f"it has no column {', '.join(sorted(missing))}")
    found = {name: arrow.column(table, at) for at, name in enumerate(table.column_names)}
    return Columns(
        happened_ns=fixed.times(found[HAPPENED_AT]),
        known_ns=fixed.times(found[KNOWN_AT]),
        numbers={
            name: _named(name, found[name], _precision(said, precision))
            for name, precision in wanted.items()
        },
    )


def _named(name: str, column: pa.Array, precision: int) -> Floats:
    try:
        return fixed.numbers(column, precision)
    except ValueError as error:
        raise ValueError(f"column {name}: {error}") from error


def _precision(said: Mapping[str, str], name: str) -> int:
    try:
        return int(said[name])
    except (KeyError, ValueError):
        raise ValueError(f"its metadata does not tell {name}") from None


def _groups(file: pq.ParquetFile, start_ns: int | None, end_ns: int | None) -> Iterator[int]:
    for group in range(file.metadata.num_row_groups):
        part = _part(file, group)
        if part is None or _overlaps((part.first_ns, part.last_ns), start_ns, end_ns):
            yield group


def _part(file: pq.ParquetFile, group: int) -> Part | None:
    at = file.schema_arrow.get_field_index(KNOWN_AT)
    if at < 0 or not pa.types.is_integer(file.schema_arrow.field(at).type):
        return None  # of timestamps, pyarrow tells by way of pandas
    held = file.metadata.row_group(group)
    told = held.column(at).statistics
    if told is None or not told.has_min_max:
        return None
    return Part(rows=held.num_rows, first_ns=int(told.min), last_ns=int(told.max))


def _overlaps(held: tuple[int, int], start_ns: int | None, end_ns: int | None) -> bool:
    return (start_ns is None or held[1] >= start_ns) and (end_ns is None or held[0] < end_ns)


def _inside(known_ns: Ints, start_ns: int | None, end_ns: int | None) -> Any:
    if start_ns is None and end_ns is None:
        return None
    low = np.iinfo(np.int64).min if start_ns is None else start_ns
    high = np.iinfo(np.int64).max if end_ns is None else end_ns
    return (known_ns >= low) & (known_ns < high)


def _metadata(file: pq.ParquetFile) -> dict[str, str]:
    said = file.schema_arrow.metadata or {}
    return {key.decode(): value.decode("utf-8", "replace") for key, value in said.items()}


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[pq.ParquetFile]:
    # Not mapped: whoever cuts a mapped file short while it is read ends the process that reads.
    try:
        with pq.ParquetFile(path) as file:
            yield file
    except (OSError, ValueError, KeyError, NotImplementedError) as error:
        raise bad(path, " ".join(str(error).split())) from error


def _nanos(day: str, hour: str, minute: str, second: str, fraction: str) -> int:
    at = datetime.fromisoformat(f"{day}T{hour}:{minute}:{second}").replace(tzinfo=UTC)
    return clock.to_nanos(at) + int(fraction)
