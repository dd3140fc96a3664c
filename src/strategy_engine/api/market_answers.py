"""The shapes of answers about the market: what can be traded, and its history."""

from strategy_engine.api import example_readings, shapes


class Instrument(shapes.Answer):
    """One thing that can be traded; `note` is a warning to whoever trusts its data."""

    symbol: str
    venue: str
    currency: str
    tick_size: shapes.Number
    lot_size: shapes.Number
    calendar: str
    default_timeframe: str
    timeframes: list[str]
    note: shapes.Line
    native_class: str


class Instruments(shapes.Answer):
    """Every instrument that has bars, by symbol; `problems` say what data cannot be used, and why.

    `native_class` is the class that NautilusTrader's catalogue gives it, if it is from one.
    """

    model_config = shapes.example(example_readings.INSTRUMENTS)

    instruments: list[Instrument]
    count: int
    problems: list[shapes.Line]


class Bar(shapes.Answer):
    """One bar; `timestamp` is its opening."""

    timestamp: shapes.Time
    open: shapes.Number
    high: shapes.Number
    low: shapes.Number
    close: shapes.Number
    volume: shapes.MaybeNumber


class Bars(shapes.Answer):
    """Bars of one instrument, oldest first."""

    model_config = shapes.example(example_readings.BARS)

    symbol: str
    timeframe: str
    bars: list[Bar]
    count: int


class Quote(shapes.Answer):
    """One quote; `timestamp` is when it was known."""

    timestamp: shapes.Time
    bid: shapes.Number
    ask: shapes.Number
    bid_size: shapes.Number
    ask_size: shapes.Number


class Quotes(shapes.Answer):
    """Quotes of one instrument, oldest first."""

    model_config = shapes.example(example_readings.QUOTES)

    symbol: str
    quotes: list[Quote]
    count: int


class MarketTrade(shapes.Answer):
    """A trade of somebody's; `timestamp` is when it was known."""

    timestamp: shapes.Time
    price: shapes.Number
    size: shapes.Number


class MarketTrades(shapes.Answer):
    """Trades of one instrument on its market, oldest first."""

    model_config = shapes.example(example_readings.MARKET_TRADES)

    symbol: str
    trades: list[MarketTrade]
    count: int


class Imported(shapes.Answer):
    """What an import stored; `lines` are its report: the verdict, warnings, and what to know."""

    model_config = shapes.example(example_readings.IMPORTED)

    symbol: str
    what: str
    rows: int
    lines: list[shapes.Line]
