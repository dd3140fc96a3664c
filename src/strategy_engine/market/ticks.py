"""Files of quotes and trades: Arrow's own, not compressed, so that they are read where they lie.

One record batch a file: a column is one array over the mapped file, and a slice of it reads no more
pages than it spans.
"""

from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from strategy_engine.market import arrow
from strategy_engine.market.model import QUOTE_COLUMNS, TRADE_COLUMNS, Quotes, Trades

_TIME = pa.timestamp("ns", "UTC")
_KINDS: dict[type[np.generic], pa.DataType] = {np.int64: _TIME, np.float64: pa.float64()}


def quotes(path: Path) -> Quotes:
    """Map a file of quotes into memory.

    Raises
    ------
    OSError, ValueError, KeyError
        If it is no such file.
    """
    batch = _mapped(path)
    columns = {name: _values(batch, name, np.float64) for name in QUOTE_COLUMNS}
    return Quotes(ts_ns=_values(batch, "ts", np.int64), **columns)


def trades(path: Path) -> Trades:
    """Map a file of trades into memory.

    Raises
    ------
    OSError, ValueError, KeyError
        If it is no such file.
    """
    batch = _mapped(path)
    columns = {name: _values(batch, name, np.float64) for name in TRADE_COLUMNS}
    return Trades(ts_ns=_values(batch, "ts", np.int64), **columns)


def write(file: BinaryIO, ticks: Quotes | Trades) -> None:
    """Write quotes or trades as one batch."""
    names = QUOTE_COLUMNS if isinstance(ticks, Quotes) else TRADE_COLUMNS
    columns = [arrow.array(ticks.ts_ns, _TIME)]
    columns += [arrow.array(getattr(ticks, name), pa.float64()) for name in names]
    batch = pa.RecordBatch.from_arrays(columns, names=["ts", *names])
    with pa.ipc.new_file(file, batch.schema) as writer:
        writer.write_batch(batch)


def _mapped(path: Path) -> pa.RecordBatch:
    with pa.memory_map(str(path)) as source:
        reader = pa.ipc.open_file(source)
        if reader.num_record_batches != 1:
            raise ValueError(f"it holds {reader.num_record_batches} batches, not one")
        return reader.get_batch(0)


def _values[T: np.generic](batch: pa.RecordBatch, name: str, dtype: type[T]) -> NDArray[T]:
    # Not by `arrow.values`: its mask of what is not null is as long as the file.
    column = batch.column(name)
    if column.type != _KINDS[dtype] or column.null_count:
        raise ValueError(f"column {name} is {column.type} with {column.null_count} nulls")
    return np.frombuffer(column.buffers()[1] or b"", dtype=dtype)[: len(column)]
