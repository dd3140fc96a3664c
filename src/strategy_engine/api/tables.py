"""Rows as CSV or Parquet, a part at a time: a table of any length needs no more memory. Pure."""

import csv
import io
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import Enum, auto
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from strategy_engine.api import plain
from strategy_engine.core import clock
from strategy_engine.market import arrow

CSV, PARQUET = "csv", "parquet"
MEDIA_TYPES: Final = {CSV: "text/csv", PARQUET: "application/vnd.apache.parquet"}
_MONEY = pa.decimal128(38, 9)  # billionths, as the ledger counts
_BYTES_OF_MONEY = 16


class Kind(Enum):
    """What a column holds."""

    TIME = auto()
    NUMBER = auto()
    MONEY = auto()  # exact to a billionth
    TEXT = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column of a table; an undefined value is empty."""

    name: str
    kind: Kind


type Rows = Sequence[Sequence[Any]]


async def encoded(
    columns: Sequence[Column], pages: AsyncIterator[Rows], form: str
) -> AsyncIterator[bytes]:
    """Yield a table as it is sent, page by page."""
    if form == CSV:
        yield _csv([[each.name for each in columns]])
        async for rows in pages:
            yield _csv([[_text(value) for value in row] for row in rows])
        return
    writer = _Parquet(columns)
    async for rows in pages:
        yield writer.add(rows)
    yield writer.end()


def wanted(form: str | None, accept: str) -> str:
    """Return the form of a table: what is named, else what `Accept` names, else CSV."""
    if form is not None:
        return form
    return PARQUET if MEDIA_TYPES[PARQUET] in accept else CSV


def _csv(rows: Rows) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    return text.getvalue().encode()


def _text(value: Any) -> str:
    match value:
        case None:
            return ""
        case datetime():
            return plain.utc(value).isoformat().replace("+00:00", "Z")
        case Decimal():
            return f"{value:f}"
        case str():
            return plain.line(value)
        case _:
            return str(value)


class _Parquet:
    def __init__(self, columns: Sequence[Column]) -> None:
        self._columns = columns
        self._schema = pa.schema([(each.name, _TYPES[each.kind]) for each in columns])
        self._sink = _Sink()
        self._writer = pq.ParquetWriter(pa.PythonFile(self._sink, mode="w"), self._schema)

    def add(self, rows: Rows) -> bytes:
        columns = list(zip(*rows, strict=True)) or [()] * len(self._columns)
        arrays = [
            _array(each.kind, values) for each, values in zip(self._columns, columns, strict=True)
        ]
        self._writer.write_table(pa.Table.from_arrays(arrays, schema=self._schema))
        return self._sink.take()

    def end(self) -> bytes:
        self._writer.close()
        return self._sink.take()


class _Sink(io.RawIOBase):
    """A file that is taken away while it is written."""

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[bytes] = []
        self._at = 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def write(self, part: Any) -> int:
        content = bytes(part)
        self._parts.append(content)
        self._at += len(content)
        return len(content)

    def take(self) -> bytes:
        taken, self._parts = b"".join(self._parts), []
        return taken


_TYPES = {
    Kind.TIME: pa.timestamp("ns", tz="UTC"),
    Kind.NUMBER: pa.float64(),
    Kind.MONEY: _MONEY,
    Kind.TEXT: pa.string(),
}


def _array(kind: Kind, values: Sequence[Any]) -> pa.Array:
    match kind:
        case Kind.NUMBER:
            numbers = [np.nan if each is None else float(each) for each in values]
            return arrow.array(np.array(numbers, dtype=np.float64), _TYPES[kind])
        case Kind.TIME:
            times = [clock.to_nanos(each) for each in values]
            return arrow.array(np.array(times, dtype=np.int64), _TYPES[kind])
        case Kind.MONEY:
            content = b"".join(_nanos(each) for each in values)
            return _from_buffers(kind, values, [pa.py_buffer(content)])
        case Kind.TEXT:
            texts = [b"" if each is None else plain.line(each).encode() for each in values]
            offsets = np.cumsum([0, *(len(each) for each in texts)], dtype=np.int32)
            return _from_buffers(
                kind, values, [pa.py_buffer(offsets), pa.py_buffer(b"".join(texts))]
            )


def _from_buffers(kind: Kind, values: Sequence[Any], buffers: list[pa.Buffer]) -> pa.Array:
    is_known = np.array([each is not None for each in values], dtype=np.bool_)
    known = np.packbits(is_known, bitorder="little")
    return pa.Array.from_buffers(_TYPES[kind], len(values), [pa.py_buffer(known), *buffers])


def _nanos(value: Decimal | None) -> bytes:
    nanos = 0 if value is None else int(value.scaleb(9).to_integral_exact())
    return nanos.to_bytes(_BYTES_OF_MONEY, "little", signed=True)
