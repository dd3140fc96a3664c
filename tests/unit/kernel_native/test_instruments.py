import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nautilus_trader.model.instruments import CurrencyPair, Equity

from strategy_engine.kernel.failures import ContractError
from strategy_engine.kernel.native.instruments import Listing, Listings
from strategy_engine.sandbox.protocol import messages

HOURLY = "1-HOUR-LAST-EXTERNAL"
NANO = 10**9


def listing(symbol: str = "EUR/USD.SIM", tick: int = 10_000, lot: int = NANO) -> Listing:
    contract = messages.Contract(symbol=symbol, tick_nanos=tick, lot_nanos=lot)
    return Listings([contract], HOURLY).all[0]


def test_a_name_with_a_slash_is_a_currency_pair() -> None:
    pair = listing().instrument
    assert isinstance(pair, CurrencyPair)
    assert (pair.base_currency.code, pair.quote_currency.code) == ("EUR", "USD")
    assert str(pair.price_increment) == "0.00001"
    assert str(pair.size_increment) == "1"


def test_another_name_is_an_equity() -> None:
    share = listing("GOOGL.SIM", tick=1_000).instrument
    assert isinstance(share, Equity)
    assert share.price_precision == 6
    assert share.quote_currency.code == "USD"


def test_a_share_that_is_sold_in_parts_keeps_its_lot() -> None:
    part = listing("BTC.SIM", lot=NANO // 1000).instrument
    assert str(part.size_increment) == "0.001"


def test_a_tick_that_is_no_power_of_ten_keeps_its_steps() -> None:
    quarter = listing("ES.SIM", tick=NANO // 4)
    assert str(quarter.price(5)) == "1.25"
    assert quarter.ticks(quarter.instrument.make_price(1.30)) is None


def test_a_symbol_without_a_venue_trades_at_home() -> None:
    assert str(listing("EUR/USD").id) == "EUR/USD.SIM"


def test_a_timeframe_that_is_none_is_named() -> None:
    contract = messages.Contract(symbol="X.SIM", tick_nanos=1, lot_nanos=1)
    with pytest.raises(ContractError, match=r"X\.SIM at often"):
        Listings([contract], "often")


@given(
    tick=st.sampled_from([1, 1_000, 10_000, NANO // 4, NANO]),
    lot=st.sampled_from([1_000, NANO // 1000, NANO, 100 * NANO]),
    ticks=st.integers(1, 10**8),
    lots=st.integers(1, 10**8),
)
def test_prices_and_quantities_go_there_and_back(
    tick: int, lot: int, ticks: int, lots: int
) -> None:
    one = listing("AB/CD.SIM", tick=tick, lot=lot)
    assert one.ticks(one.price(ticks)) == ticks
    assert one.lots(one.quantity(lots)) == lots


def test_columns_become_bars_stamped_at_their_close() -> None:
    columns = messages.Bars(
        symbol="EUR/USD.SIM",
        duration_ns=3_600 * NANO,
        open_ns=np.array([0, 3_600 * NANO]).tobytes(),
        open=np.array([1.1, 1.2]).tobytes(),
        high=np.array([1.3, 1.4]).tobytes(),
        low=np.array([1.0, 1.05]).tobytes(),
        close=np.array([1.2000004, 1.3]).tobytes(),
        volume=np.array([5.0, np.nan]).tobytes(),
    )
    bars = listing().bars(columns)
    assert [each.ts_event for each in bars] == [3_600 * NANO, 7_200 * NANO]
    assert str(bars[0].close) == "1.20000"
    assert str(bars[1].volume) == "0"


@given(
    st.lists(st.floats(0.00001, 10_000.0), min_size=4, max_size=4),
    st.one_of(st.floats(0, 1e15), st.just(float("nan"))),
)
def test_a_live_bar_is_the_bar_of_a_history(prices: list[float], volume: float) -> None:
    low, opened, close, high = sorted(prices)
    columns = {"open": opened, "high": high, "low": low, "close": close, "volume": volume}
    history = messages.Bars(
        symbol="EUR/USD.SIM",
        duration_ns=60,
        open_ns=np.array([40]).tobytes(),
        **{name: np.array([value]).tobytes() for name, value in columns.items()},
    )
    one = listing()
    assert one.bar(tuple(columns.values()), 100) == one.bars(history)[0]
    assert one.bar(tuple(columns.values()), 100).volume == one.bars(history)[0].volume


def test_fees_are_told_in_whole_cents() -> None:
    assert str(listing().money(1_234_567_890)) == "1.23 USD"


def test_contracts_without_a_currency_are_in_dollars() -> None:
    plain = {"symbol": "X.SIM", "tick_nanos": 1, "lot_nanos": 1}
    assert msgspec.convert(plain, messages.Contract).currency == "USD"
