"""Arrow columns to numpy and back through their buffers.

pyarrow's own conversions import pandas where it is installed: a second and 60 MB in each process.
"""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


def values[T: np.generic](array: pa.Array, dtype: type[T]) -> tuple[NDArray[T], NDArray[np.bool_]]:
    """Return a fixed-width array's values, read-only, and which of them are not null.

    Parameters
    ----------
    dtype : type
        The numpy type as wide as the array's own; a null's value is arbitrary.
    """
    count, offset = len(array), array.offset
    if count == 0:
        return np.zeros(0, dtype=dtype), np.zeros(0, dtype=np.bool_)
    bitmap, content = array.buffers()
    found = np.frombuffer(content, dtype=dtype)[offset : offset + count]
    if bitmap is None:
        return found, np.ones(count, dtype=np.bool_)
    bits = np.unpackbits(np.frombuffer(bitmap, dtype=np.uint8), bitorder="little")
    return found, bits[offset : offset + count].astype(np.bool_)


def array(values: NDArray[np.int64] | NDArray[np.float64], kind: pa.DataType) -> pa.Array:
    """Return an Arrow array over the same memory, without nulls."""
    content = np.ascontiguousarray(values)
    return pa.Array.from_buffers(kind, content.size, [None, pa.py_buffer(content)])


def column(table: pa.Table, position: int) -> pa.Array:
    """Return a table's column as one array."""
    chunked = table.column(position)
    return chunked.chunk(0) if chunked.num_chunks == 1 else chunked.combine_chunks()
