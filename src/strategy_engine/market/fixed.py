"""NautilusTrader's fixed-point columns as numbers: 64 or 128 bits a value, little-endian."""

import numpy as np
import pyarrow as pa

from strategy_engine.market import arrow
from strategy_engine.market.model import Floats, Ints

_WIDE = np.dtype([("low", "<u8"), ("high", "<i8")])
_WIDE_BYTES, _NARROW_BYTES = 16, 8
_WIDE_DECIMALS, _NARROW_DECIMALS = 16, 9  # of NautilusTrader's high and standard precision
_LARGEST = 1e14  # its largest price or quantity is 3.4e13; it writes "undefined" beyond
_TOLERANCE = 1e-3  # units of the last decimal


def numbers(column: pa.Array, decimals: int) -> Floats:
    """Return the decimal fractions that a column means, each the nearest float64.

    Parameters
    ----------
    decimals : int
        The precision that the file declares: there are no finer values in it.

    Raises
    ------
    ValueError
        If the column is of another type, has nulls, or values beyond its precision or any price.
    """
    raw, held = _raw(column)
    if column.null_count:
        raise ValueError(f"{column.null_count:,} values are null")
    if not 0 <= decimals <= held:
        raise ValueError(f"a precision of {decimals} decimals does not fit a scale of {held}")
    units = raw / 10.0 ** (held - decimals)
    whole = np.rint(units)
    strays = np.abs(units - whole) > _TOLERANCE + 4 * np.finfo(np.float64).eps * np.abs(units)
    if strays.any():
        first = raw[np.argmax(strays)] / 10.0**held
        raise ValueError(f"{first:.17g} has more than the {decimals} decimals that are declared")
    found: Floats = whole / 10.0**decimals
    if (np.abs(found) > _LARGEST).any():
        raise ValueError(f"{found[np.argmax(np.abs(found))]:g} is beyond any price or quantity")
    return found


def times(column: pa.Array) -> Ints:
    """Return a column of nanoseconds since 1970.

    Raises
    ------
    ValueError
        If the column is of another type, has nulls, or times after 2262.
    """
    if column.type not in {pa.uint64(), pa.int64(), pa.timestamp("ns"), pa.timestamp("ns", "UTC")}:
        raise ValueError(f"times are {column.type}, not nanoseconds")
    if column.null_count:
        raise ValueError(f"{column.null_count:,} times are null")
    found = arrow.values(column, np.int64)[0]
    if (found < 0).any():
        raise ValueError("there are times before 1970 or after 2262")
    return found


def _raw(column: pa.Array) -> tuple[Floats, int]:
    kind = column.type
    if pa.types.is_fixed_size_binary(kind) and kind.byte_width == _WIDE_BYTES:
        return _wide(_bytes(column, _WIDE_BYTES).view(_WIDE)), _WIDE_DECIMALS
    if pa.types.is_fixed_size_binary(kind) and kind.byte_width == _NARROW_BYTES:
        return _bytes(column, _NARROW_BYTES).view("<i8").astype(np.float64), _NARROW_DECIMALS
    if kind in {pa.int64(), pa.uint64()}:
        dtype = np.int64 if kind == pa.int64() else np.uint64
        return arrow.values(column, dtype)[0].astype(np.float64), _NARROW_DECIMALS
    raise ValueError(f"values are {kind}, not fixed-point numbers of 8 or 16 bytes")


def _wide(values: np.ndarray) -> Floats:
    # The magnitude first: a small negative number's halves would cancel out in floats.
    is_negative = values["high"] < 0
    low = np.where(is_negative, ~values["low"] + np.uint64(1), values["low"])
    high = np.where(is_negative, ~values["high"] + (values["low"] == 0), values["high"])
    magnitude = high * 2.0**64 + low
    return np.where(is_negative, -magnitude, magnitude)


def _bytes(column: pa.Array, width: int) -> np.ndarray:
    content = column.buffers()[1]
    if content is None:
        return np.zeros(0, dtype=np.uint8)
    start = column.offset * width
    return np.frombuffer(content, dtype=np.uint8)[start : start + len(column) * width]
