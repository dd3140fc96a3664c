"""What engine and child say to each other: msgpack frames, one tagged union each way.

The engine sends inputs, the child answers decisions and facts; nothing a child says is believed
about money. Prices cross as float64 (what strategies read); positions and orders as integers.
"""

from typing import Any

import msgspec

DECISION_BYTES = 1  # one int8 `Action` per bar in a packed answer


class Contract(msgspec.Struct, frozen=True, kw_only=True):
    """One instrument as the child needs it."""

    symbol: str
    tick_nanos: int
    lot_nanos: int
    currency: str = "USD"


class Engine(msgspec.Struct, frozen=True, kw_only=True):
    """The parameters that the engine takes, as `matching.Rules` holds them, and the capital."""

    capital_nanos: int
    position_size_ppb: int
    stop_loss_ppb: int | None
    take_profit_ppb: int | None
    slippage_ppm: int
    fee_ppm: int
    allow_short: bool
    max_trades_per_day: int | None
    max_position_nanos: int | None


class Load(msgspec.Struct, tag="load", frozen=True, kw_only=True):
    """Compile the code and make one instance per instrument; answered by `Loaded`.

    `lookback` replaces the class's own (the warm-up gate doubles it); None leaves it.
    """

    code: str
    parameters: dict[str, Any]
    engine: Engine
    contracts: list[Contract]
    lookback: int | None = None


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


class Backtest(msgspec.Struct, tag="backtest", frozen=True, kw_only=True):
    """Run ahead over whole histories with fresh instances; answered by `Backtested`.

    The first `warm_up` bars of each instrument fill the buffer without a decision. A
    `restart_at` bar index saves, drops and reloads the instances there (the restart check).
    """

    bars: list[Bars]
    warm_up: int = 0
    restart_at: int | None = None


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
    """One live bar, after its fills; answered by `Decided`."""

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


class LoadNative(msgspec.Struct, tag="load_native", frozen=True, kw_only=True):
    """Compile a NautilusTrader strategy and build its config; answered by `Loaded`.

    `timeframe` is the bars' in NautilusTrader's words, such as `1-HOUR-LAST-EXTERNAL`. `offers`
    is what the feed has beside bars: `quotes`, `trades`.
    """

    code: str
    parameters: dict[str, Any]
    engine: Engine
    contracts: list[Contract]
    timeframe: str
    lookback: int | None = None
    offers: list[str] = []


class Quotes(msgspec.Struct, frozen=True, kw_only=True):
    """Quotes of one instrument as raw little-endian columns: int64 times, the others float64."""

    symbol: str
    ts_ns: bytes
    bid: bytes
    ask: bytes
    bid_size: bytes
    ask_size: bytes


class Trades(msgspec.Struct, frozen=True, kw_only=True):
    """Trades of one instrument as raw little-endian columns: int64 times, the others float64."""

    symbol: str
    ts_ns: bytes
    price: bytes
    size: bytes


class NativeBacktest(msgspec.Struct, tag="native_backtest", frozen=True, kw_only=True):
    """Run a `BacktestEngine` over whole histories; answered by `NativeBacktested`.

    The first `warm_up` bars of each instrument are history: a strategy gets them by asking for
    them. What was asked of the venue before a bar, and `latency_ns` before its open or earlier,
    reaches the venue before that bar does. Quotes and trades of an instrument are its market,
    where there are any: orders meet them, and its bars are there to look at.
    """

    bars: list[Bars]
    warm_up: int = 0
    latency_ns: int = 0
    quotes: list[Quotes] = []
    trades: list[Trades] = []


class NativeHolding(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """A position that the ledger holds when a strategy starts; signed lots, average price."""

    symbol: str
    lots: int
    entry_price: float


class NativeWarmUp(msgspec.Struct, tag="native_warm_up", frozen=True, kw_only=True):
    """Start a strategy at `start_ns`, bars before it in hand; answered by `NativeActed`.

    `state` is what `on_save` gave. After a restart the ledger says what is held and what works:
    `working` is a list of `matching.ticket.Ticket`, encoded, with the lots that are left, and
    `orders_made` how many orders there have been: the next one's name counts on from it.
    `balance_nanos` is the account without what open positions gain or lose.
    """

    start_ns: int
    bars: list[Bars]
    balance_nanos: int
    state: bytes | None = None
    holdings: list[NativeHolding] = []
    working: msgspec.Raw = msgspec.Raw(b"\x90")
    orders_made: int = 0


class NativeBar(msgspec.Struct, tag="native_bar", frozen=True, kw_only=True):
    """One live bar after what became of the orders; answered by `NativeActed`.

    `events` is a list of `matching.ticket.OrderEvent`, encoded. `is_last` is false when a bar of
    another instrument follows that closed at the same instant: timers wait for the last.
    """

    symbol: str
    open_ns: int
    close_ns: int
    ohlcv: tuple[float, float, float, float, float]
    events: msgspec.Raw = msgspec.Raw(b"\x90")
    is_last: bool = True


class NativeQuote(msgspec.Struct, tag="native_quote", frozen=True, kw_only=True):
    """One live quote after what became of the orders; answered by `NativeActed`."""

    symbol: str
    ts_ns: int
    quote: tuple[float, float, float, float]  # bid, ask, and the size at each
    events: msgspec.Raw = msgspec.Raw(b"\x90")
    is_last: bool = True


class NativeTrade(msgspec.Struct, tag="native_trade", frozen=True, kw_only=True):
    """One live trade of somebody's after what became of the orders; answered by `NativeActed`."""

    symbol: str
    ts_ns: int
    price: float
    size: float
    events: msgspec.Raw = msgspec.Raw(b"\x90")
    is_last: bool = True


class OrderEvents(msgspec.Struct, tag="order_events", frozen=True, kw_only=True):
    """What became of orders between two bars, and the time; answered by `NativeActed`."""

    now_ns: int
    events: msgspec.Raw = msgspec.Raw(b"\x90")


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


class Asked(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """What a native strategy asked of the venue: a `matching.ticket.Instruction`, encoded."""

    ts_ns: int
    instruction: msgspec.Raw


class Step(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """What was asked once a bar was known; `index` is the bar's, -1 stands for the start."""

    symbol: str
    index: int
    asked: list[Asked]


class NativeBacktested(msgspec.Struct, tag="native_backtested", frozen=True, kw_only=True):
    """What a native strategy did over a history, step by step; bars without a word are left out.

    `stopping` is what it asked for in `on_stop`. `seen` is the fills as the strategy saw them, a
    list of `matching.ticket.Executed`, encoded: information that nobody believes.
    """

    steps: list[Step]
    stopping: list[Asked]
    seen: msgspec.Raw
    notices: list[str]
    cpu_ns: int


class NativeActed(msgspec.Struct, tag="native_acted", frozen=True, kw_only=True):
    """What a native strategy asks for now; `state` when `on_save` gave something new.

    `notices` say once what it wanted and this feed does not have.
    """

    asked: list[Asked]
    notices: list[str] = []
    cpu_ns: int = 0
    state: bytes | None = None


class NativeStopped(msgspec.Struct, tag="native_stopped", frozen=True, kw_only=True):
    """The strategy has had its `on_stop`; what it asked for there, and its last state."""

    asked: list[Asked]
    state: bytes | None = None


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
