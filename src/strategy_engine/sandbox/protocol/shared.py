"""What both kernels are told of instruments, of money and of bars."""

from typing import Any

import msgspec


class NativeInstrument(msgspec.Struct, frozen=True, kw_only=True):
    """An instrument as NautilusTrader describes it: a class, and what its `from_dict` takes."""

    class_name: str
    fields: dict[str, Any]


class Contract(msgspec.Struct, frozen=True, kw_only=True):
    """One instrument as the child needs it.

    Where `native` is given, a native strategy sees that instrument, and its increments are the
    tick and the lot. `min_lots` is the smallest order of a native strategy.
    """

    symbol: str
    tick_nanos: int
    lot_nanos: int
    currency: str = "USD"
    min_lots: int = 1
    native: NativeInstrument | None = None


class Engine(msgspec.Struct, frozen=True, kw_only=True):
    """The parameters that the engine takes, as `matching.Rules` holds them, and the capital.

    The last two are `matching.Conditions` of a native strategy's orders.
    """

    capital_nanos: int
    position_size_ppb: int
    stop_loss_ppb: int | None
    take_profit_ppb: int | None
    slippage_ppm: int
    fee_ppm: int
    allow_short: bool
    max_trades_per_day: int | None
    max_position_nanos: int | None
    max_volume_share_ppm: int | None = None
    leverage_ppm: int | None = None


class Bars(msgspec.Struct, frozen=True, kw_only=True):
    """Bars of one instrument as raw little-endian columns.

    `open_ns` is int64, the others float64; all have the same length. `duration_ns` is the length
    of a bar: a bar is known at `open_ns + duration_ns`.
    """

    symbol: str
    duration_ns: int
    open_ns: bytes
    open: bytes
    high: bytes
    low: bytes
    close: bytes
    volume: bytes
