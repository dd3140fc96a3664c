"""Our contract terms as NautilusTrader instruments, our bars as its bars, ticks as its prices.

Of an instrument of its own the engine tells what it is; of another, one is made that fits.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
from nautilus_trader.model.data import Bar, BarType, QuoteTick, TradeTick
from nautilus_trader.model.enums import AggressorSide
from nautilus_trader.model.identifiers import InstrumentId, Symbol, TradeId
from nautilus_trader.model.instruments import CurrencyPair, Equity, Instrument
from nautilus_trader.model.objects import FIXED_PRECISION, Currency, Money, Price, Quantity
from numpy.typing import NDArray

from strategy_engine.core import money
from strategy_engine.core.money import NANOS
from strategy_engine.kernel.failures import ContractError
from strategy_engine.kernel.native import described
from strategy_engine.kernel.native.source import Market
from strategy_engine.matching.model import Terms
from strategy_engine.sandbox.protocol import messages

_RAW_PER_NANO = 10 ** (FIXED_PRECISION - 9)
_PAIR = 2  # a name with one slash: base and quote
_MOST_VOLUME = 1e12  # a quantity has a largest value, a data vendor's volume has none
_HOME = "SIM"  # the venue of a name that says none
_NO_MARGIN = Decimal(0)  # leverage is the gate's to limit; here it would lock up balances


type Quote = tuple[float, float, float, float]  # bid, ask, and the size at each


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """One instrument in both vocabularies."""

    terms: Terms
    instrument: Instrument
    bar_type: BarType

    @property
    def id(self) -> InstrumentId:
        """Return the instrument's identifier."""
        return self.instrument.id

    def price(self, ticks: int) -> Price:
        """Return a price in ticks as NautilusTrader's."""
        raw = ticks * self.terms.tick_nanos * _RAW_PER_NANO
        return Price.from_raw(raw, self.instrument.price_precision)

    def quantity(self, lots: int) -> Quantity:
        """Return a number of lots as NautilusTrader's quantity."""
        raw = lots * self.terms.lot_nanos * _RAW_PER_NANO
        return Quantity.from_raw(raw, self.instrument.size_precision)

    def money(self, nanos: int) -> Money:
        """Return an amount of the account's currency, rounded to its smallest unit."""
        return Money(money.to_decimal(nanos), self.instrument.quote_currency)

    def ticks(self, price: Price) -> int | None:
        """Return a price in ticks; None between two of them."""
        return _whole(price.raw, self.terms.tick_nanos)

    def lots(self, quantity: Quantity) -> int | None:
        """Return a quantity in lots; None between two of them."""
        return _whole(quantity.raw, self.terms.lot_nanos)

    def tick_prices(self, prices: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return prices as whole ticks, as every room reads them."""
        return self.terms.ticks(prices)

    def whole_lots(self, volumes: NDArray[np.float64]) -> list[int]:
        """Return volumes in whole lots."""
        lots: list[int] = self.terms.whole_lots(volumes).tolist()
        return lots

    def bars(self, columns: messages.Bars) -> list[Bar]:
        """Return columns of bars as NautilusTrader's, stamped when they closed."""
        step = self.terms.tick_nanos / NANOS
        prices = [
            self.tick_prices(np.frombuffer(each, dtype="<f8")) * step
            for each in (columns.open, columns.high, columns.low, columns.close)
        ]
        closed = np.frombuffer(columns.open_ns, dtype="<i8") + columns.duration_ns
        return list(
            Bar.from_raw_arrays_to_list(
                self.bar_type,
                self.instrument.price_precision,
                self.instrument.size_precision,
                *prices,
                _volumes(np.frombuffer(columns.volume, dtype="<f8")),
                closed.astype(np.uint64),
                closed.astype(np.uint64),
            )
        )

    def bar(self, ohlcv: Sequence[float], close_ns: int) -> Bar:
        """Return one bar, the same as `bars` would make it."""
        ticks = self.tick_prices(np.array(ohlcv[:4])).tolist()
        volume = float(_volumes(np.array(ohlcv[4:]))[0])
        return Bar(
            self.bar_type,
            *(self.price(each) for each in ticks),
            Quantity(volume, self.instrument.size_precision),
            close_ns,
            close_ns,
        )

    def near(self, price: float) -> int:
        """Return the ticks of a price from outside, as every room reads it."""
        return round(price * NANOS / self.terms.tick_nanos)

    def whole(self, size: float) -> int:
        """Return the whole lots of a size from outside."""
        return int(min(size, _MOST_VOLUME) * NANOS // self.terms.lot_nanos)

    def quote(self, ts_ns: int, quote: Quote) -> QuoteTick:
        """Return a quote as NautilusTrader's."""
        bid, ask = (self.price(self.near(each)) for each in quote[:2])
        sizes = (self.quantity(self.whole(each)) for each in quote[2:])
        return QuoteTick(self.id, bid, ask, *sizes, ts_ns, ts_ns)

    def trade(self, ts_ns: int, price: float, size: float) -> TradeTick:
        """Return a trade as NautilusTrader's; whose it was is not known."""
        return TradeTick(
            self.id,
            self.price(self.near(price)),
            self.quantity(max(1, self.whole(size))),
            AggressorSide.NO_AGGRESSOR,
            TradeId(str(ts_ns)),
            ts_ns,
            ts_ns,
        )


class Listings:
    """The instruments of an execution, by our symbol and by NautilusTrader's identifier."""

    def __init__(
        self,
        contracts: Iterable[messages.Contract],
        timeframe: str,
        offers: frozenset[str] = frozenset(),
    ) -> None:
        self.offers = offers  # what there is beside bars
        self.all = tuple(_listing(each, timeframe) for each in contracts)
        self.by_symbol = {each.terms.symbol: each for each in self.all}
        self.by_id = {each.id: each for each in self.all}
        self.bar_types = frozenset(each.bar_type for each in self.all)

    @property
    def market(self) -> Market:
        """Return what a config may be filled with."""
        return Market(
            instrument_ids=[each.id for each in self.all],
            bar_types=[each.bar_type for each in self.all],
        )

    @property
    def currency(self) -> Currency:
        """Return the account's currency."""
        return self.all[0].instrument.quote_currency


def _listing(contract: messages.Contract, timeframe: str) -> Listing:
    terms = Terms(
        symbol=contract.symbol,
        tick_nanos=contract.tick_nanos,
        lot_nanos=contract.lot_nanos,
        min_lots=contract.min_lots,
    )
    named = contract.symbol if "." in contract.symbol else f"{contract.symbol}.{_HOME}"
    try:
        instrument_id = InstrumentId.from_str(named)
        bar_type = BarType.from_str(f"{instrument_id}-{timeframe}")
    except ValueError as error:
        raise ContractError(f"{contract.symbol} at {timeframe}: {error}") from error
    make = described.instrument if contract.native else _instrument
    return Listing(terms=terms, instrument=make(instrument_id, contract), bar_type=bar_type)


def _instrument(instrument_id: InstrumentId, contract: messages.Contract) -> Instrument:
    tick, lot = money.to_decimal(contract.tick_nanos), money.to_decimal(contract.lot_nanos)
    increment = Price.from_str(f"{tick.normalize():f}")
    symbol = Symbol(instrument_id.symbol.value)
    pair = symbol.value.split("/")
    is_whole = lot == lot.to_integral_value()
    if len(pair) != _PAIR and is_whole:
        return Equity(
            instrument_id=instrument_id,
            raw_symbol=symbol,
            currency=Currency.from_str(contract.currency),
            price_precision=increment.precision,
            price_increment=increment,
            lot_size=Quantity.from_str(f"{lot:f}".partition(".")[0]),
            margin_init=_NO_MARGIN,
            margin_maint=_NO_MARGIN,
            ts_event=0,
            ts_init=0,
        )
    base, quote = pair if len(pair) == _PAIR else (symbol.value, contract.currency)
    size = Quantity.from_str(f"{lot.normalize():f}")
    return CurrencyPair(
        instrument_id=instrument_id,
        raw_symbol=symbol,
        base_currency=Currency.from_str(base),
        quote_currency=Currency.from_str(quote),
        price_precision=increment.precision,
        size_precision=size.precision,
        price_increment=increment,
        size_increment=size,
        margin_init=_NO_MARGIN,
        margin_maint=_NO_MARGIN,
        ts_event=0,
        ts_init=0,
    )


def _whole(raw: int, unit_nanos: int) -> int | None:
    units, rest = divmod(raw, unit_nanos * _RAW_PER_NANO)
    return None if rest else units


def _volumes(volumes: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.clip(np.nan_to_num(volumes), 0.0, _MOST_VOLUME)
