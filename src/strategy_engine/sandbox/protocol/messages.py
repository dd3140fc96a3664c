"""What engine and child say to each other: msgpack frames, one tagged union each way.

The engine sends inputs, the child answers decisions and facts; nothing a child says is believed
about money. Prices cross as float64 (what strategies read); positions and orders as integers.
"""

from typing import Any

import msgspec

from strategy_engine.sandbox.protocol.native import (
    Asked,
    LoadNative,
    NativeActed,
    NativeBacktest,
    NativeBacktested,
    NativeBar,
    NativeHolding,
    NativeQuote,
    NativeStopped,
    NativeTrade,
    NativeWarmUp,
    OrderEvents,
    Quotes,
    Step,
    Trades,
)
from strategy_engine.sandbox.protocol.shared import Bars, Contract, Engine, NativeInstrument

__all__ = [
    "DECISION_BYTES",
    "Asked",
    "Backtest",
    "Backtested",
    "Bar",
    "Bars",
    "Contract",
    "Decided",
    "Decisions",
    "Detail",
    "Engine",
    "Failed",
    "Filled",
    "FlagsShown",
    "FromChild",
    "Holding",
    "Load",
    "LoadNative",
    "Loaded",
    "NativeActed",
    "NativeBacktest",
    "NativeBacktested",
    "NativeBar",
    "NativeHolding",
    "NativeInstrument",
    "NativeQuote",
    "NativeStopped",
    "NativeTrade",
    "NativeWarmUp",
    "OrderEvents",
    "Quotes",
    "RunTests",
    "Step",
    "Stop",
    "Stopped",
    "TestOutcome",
    "Tested",
    "ToChild",
    "Trades",
    "WarmUp",
    "WarmedUp",
    "decode_for_child",
    "decode_from_child",
    "encode",
]


DECISION_BYTES = 1  # one int8 `Action` per bar in a packed answer


class Load(msgspec.Struct, tag="load", frozen=True, kw_only=True):
    """Compile the code and make one instance per instrument; answered by `Loaded`.

    `lookback` replaces the class's own (the warm-up gate doubles it); None leaves it. `flags` are
    shown until a `Bar` tells others.
    """

    code: str
    parameters: dict[str, Any]
    engine: Engine
    contracts: list[Contract]
    lookback: int | None = None
    flags: dict[str, Any] = {}


class FlagsShown(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """What feature flags said to an instrument's decisions from a bar's close on."""

    symbol: str
    close_ns: int
    flags: dict[str, Any]


class Backtest(msgspec.Struct, tag="backtest", frozen=True, kw_only=True):
    """Run ahead over whole histories with fresh instances; answered by `Backtested`.

    The first `warm_up` bars of each instrument fill the buffer without a decision. A
    `restart_at` bar index saves, drops and reloads the instances there (the restart check). What
    `shown` says of flags, by time, goes before what `Load` said: a live run is repeated so.
    """

    bars: list[Bars]
    warm_up: int = 0
    restart_at: int | None = None
    shown: list[FlagsShown] = []


class WarmUp(msgspec.Struct, tag="warm_up", frozen=True, kw_only=True):
    """Fill the buffers before the first live bar; `state` is what `save_state` gave. `WarmedUp`."""

    bars: list[Bars]
    state: bytes | None = None


class Holding(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """What the ledger says the execution holds in one instrument."""

    lots: int
    entry_price: float | None
    cash: float
    equity: float


class Filled(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """A fill that the ledger has committed, for the `on_fill` hook."""

    side: str
    quantity: float
    price: float
    fee: float
    pnl: float
    ts_ns: int
    cause: str


class Bar(msgspec.Struct, tag="bar", frozen=True, kw_only=True):
    """One live bar, after its fills; answered by `Decided`. `flags`: None for as before."""

    symbol: str
    open_ns: int
    close_ns: int
    ohlcv: tuple[float, float, float, float, float]
    holding: Holding
    fills: list[Filled]
    flags: dict[str, Any] | None = None


class Stop(msgspec.Struct, tag="stop", frozen=True, kw_only=True):
    """Call `on_stop`, answer `Stopped`, and end."""


class RunTests(msgspec.Struct, tag="run_tests", frozen=True, kw_only=True):
    """Run the user's pytest tests (file name → source) against the code; answered by `Tested`."""

    code: str
    tests: dict[str, str]


type ToChild = (
    Load
    | Backtest
    | WarmUp
    | Bar
    | Stop
    | RunTests
    | LoadNative
    | NativeBacktest
    | NativeWarmUp
    | NativeBar
    | NativeQuote
    | NativeTrade
    | OrderEvents
)


class Loaded(msgspec.Struct, tag="loaded", frozen=True, kw_only=True):
    """The code compiled and constructed."""

    class_name: str
    lookback: int
    bound: list[str]
    unbound: list[str]
    hooks: list[str]


class Detail(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """What a decision says beyond its action. `index` is the bar's, in its instrument."""

    index: int
    size_ppb: int | None
    stop_loss_ppb: int | None
    take_profit_ppb: int | None
    reason: str


class Decisions(msgspec.Struct, frozen=True, kw_only=True):
    """Every decision over a history of one instrument: one int8 `Action` a bar, details apart."""

    symbol: str
    actions: bytes
    details: list[Detail]


class Backtested(msgspec.Struct, tag="backtested", frozen=True, kw_only=True):
    """What was decided. `cpu_ns` is the child's own CPU time over the run: an indication."""

    decisions: list[Decisions]
    cpu_ns: int


class WarmedUp(msgspec.Struct, tag="warmed_up", frozen=True, kw_only=True):
    """The buffers are full and the state is loaded."""

    bars: int


class Decided(msgspec.Struct, tag="decided", frozen=True, kw_only=True):
    """The decision on the last bar; `state` when `save_state` gave something new."""

    action: int
    detail: Detail | None = None
    cpu_ns: int = 0
    state: bytes | None = None


class Stopped(msgspec.Struct, tag="stopped", frozen=True, kw_only=True):
    """The strategy has had its `on_stop`."""

    state: bytes | None = None


class TestOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """One user test, in the user's own words."""

    name: str
    passed: bool
    message: str = ""
    skipped: bool = False


class Tested(msgspec.Struct, tag="tested", frozen=True, kw_only=True):
    """What the user's tests reported."""

    outcomes: list[TestOutcome]


class Failed(msgspec.Struct, tag="failed", frozen=True, kw_only=True):
    """The strategy raised, or broke its contract. `where` is a line of the user's code."""

    phase: str
    error: str
    message: str
    where: str = ""
    bar_index: int | None = None


type FromChild = (
    Loaded
    | Backtested
    | WarmedUp
    | Decided
    | Stopped
    | Tested
    | Failed
    | NativeBacktested
    | NativeActed
    | NativeStopped
)

encode = msgspec.msgpack.Encoder().encode
decode_for_child = msgspec.msgpack.Decoder(ToChild).decode
decode_from_child = msgspec.msgpack.Decoder(FromChild).decode
