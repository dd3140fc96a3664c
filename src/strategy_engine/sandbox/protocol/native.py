"""What engine and child say to each other about a native strategy. Nothing of it is believed.

Orders and their events cross as `matching.ticket` has them, encoded: this room does not know them.
"""

from typing import Any

import msgspec

from strategy_engine.sandbox.protocol.shared import Bars, Contract, Engine


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
    `flowed_nanos` is the cash that entered (+) or left (-) since the message before.
    """

    symbol: str
    open_ns: int
    close_ns: int
    ohlcv: tuple[float, float, float, float, float]
    events: msgspec.Raw = msgspec.Raw(b"\x90")
    flowed_nanos: int = 0
    is_last: bool = True


class NativeQuote(msgspec.Struct, tag="native_quote", frozen=True, kw_only=True):
    """One live quote after what became of the orders; answered by `NativeActed`."""

    symbol: str
    ts_ns: int
    quote: tuple[float, float, float, float]  # bid, ask, and the size at each
    events: msgspec.Raw = msgspec.Raw(b"\x90")
    flowed_nanos: int = 0
    is_last: bool = True


class NativeTrade(msgspec.Struct, tag="native_trade", frozen=True, kw_only=True):
    """One live trade of somebody's after what became of the orders; answered by `NativeActed`."""

    symbol: str
    ts_ns: int
    price: float
    size: float
    events: msgspec.Raw = msgspec.Raw(b"\x90")
    flowed_nanos: int = 0
    is_last: bool = True


class OrderEvents(msgspec.Struct, tag="order_events", frozen=True, kw_only=True):
    """What became of orders between two bars, and the time; answered by `NativeActed`."""

    now_ns: int
    events: msgspec.Raw = msgspec.Raw(b"\x90")
    flowed_nanos: int = 0


class Asked(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """What a native strategy asked of the venue: a `matching.ticket.Instruction`, encoded."""

    ts_ns: int
    instruction: msgspec.Raw


class Step(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """What was asked once a bar was known; `index` is the bar's, -1 stands for the start.

    `met` counts the bars and ticks that the venue had met by then, over all instruments.
    """

    symbol: str
    index: int
    asked: list[Asked]
    met: int = 0


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
