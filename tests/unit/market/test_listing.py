from typing import Any

import pytest

from strategy_engine.core.errors import InvalidError
from strategy_engine.market import listing
from strategy_engine.market.model import Calendar, Timeframe

HOURLY = Timeframe.parse("1h")
ROW: dict[str, Any] = {
    "id": "BTCUSDT-PERP.BINANCE",
    "raw_symbol": "BTCUSDT",
    "base_currency": "BTC",
    "quote_currency": "USDT",
    "settlement_currency": "USDT",
    "is_inverse": False,
    "price_increment": "0.1",
    "size_increment": "0.001",
    "multiplier": "1",
    "min_quantity": "0.0025",
    "taker_fee": "0.0004",
    "info": b'{"note": 1}',
}


def test_a_row_becomes_an_instrument_that_keeps_the_row() -> None:
    found = listing.instrument("CryptoPerpetual", ROW, HOURLY)
    assert (str(found.tick_size), str(found.lot_size)) == ("0.1", "0.001")
    assert (found.venue, found.currency, found.default_timeframe) == ("BINANCE", "USDT", HOURLY)
    assert found.native is not None
    assert found.native.fields == ROW | {"info": {"note": 1}}
    assert found.native.number("margin_init") is None
    assert found.min_lots == 3


def test_an_equity_trades_whole_shares_in_its_one_currency() -> None:
    row = {"id": "AAPL.XNAS", "currency": "USD", "price_increment": "0.01", "lot_size": "100"}
    found = listing.instrument("Equity", row, HOURLY)
    assert (str(found.lot_size), found.currency, found.min_lots) == ("1", "USD", 1)


@pytest.mark.parametrize(
    ("class_name", "changes", "says"),
    [
        ("CryptoPerpetual", {"is_inverse": True, "settlement_currency": "BTC"}, "inverse contract"),
        ("CryptoPerpetual", {"settlement_currency": "BTC"}, "settles in BTC"),
        ("CryptoPerpetual", {"multiplier": "0.01"}, r"multiplier 0\.01 is not traded here"),
        ("OptionContract", {}, "OptionContract is not traded here: its exercise"),
        ("IndexInstrument", {}, "an index cannot be traded"),
        ("MagicBean", {}, "MagicBean is no class of instrument"),
    ],
)
def test_what_our_matching_cannot_do_is_refused(
    class_name: str, changes: dict[str, Any], says: str
) -> None:
    reason = listing.refusal(class_name, ROW | changes)
    assert reason is not None
    with pytest.raises(AssertionError, match=says):
        raise AssertionError(reason)


@pytest.mark.parametrize("name", listing.REFUSED)
def test_every_class_that_is_refused_says_why(name: str) -> None:
    assert listing.refusal(name, ROW) == f"{name} is not traded here: {listing.REFUSED[name][1]}"


@pytest.mark.parametrize("name", listing.CLASSES)
def test_every_class_that_is_traded_is_not_refused(name: str) -> None:
    assert listing.refusal(name, ROW) is None
    assert listing.refusal(name, ROW | {"multiplier": "1.000"}) is None


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"price_increment": "1e-12"}, "tick_size"),
        ({"price_increment": "some"}, "price_increment 'some' is no number"),
        ({"size_increment": "0"}, "lot_size"),
        ({"id": "BRK.B.XNAS"}, "must be a name, a dot and a venue"),
        ({"quote_currency": "usd!"}, "must be a code"),
    ],
)
def test_terms_that_nobody_can_trade_by_are_told(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidError, match=says):
        listing.instrument("CryptoPerpetual", ROW | changes, HOURLY)


@pytest.mark.parametrize(
    ("class_name", "changes", "calendar"),
    [
        ("CurrencyPair", {"base_currency": "EUR", "quote_currency": "USD"}, Calendar.FX),
        ("CurrencyPair", {"base_currency": "XAU", "quote_currency": "CHF"}, Calendar.FX),
        ("CurrencyPair", {"base_currency": "BTC", "quote_currency": "USD"}, Calendar.CONTINUOUS),
        ("CurrencyPair", {"base_currency": "EUR", "quote_currency": "USDT"}, Calendar.CONTINUOUS),
        ("CryptoPerpetual", {}, Calendar.CONTINUOUS),
        ("CryptoFuture", {}, Calendar.CONTINUOUS),
        ("Equity", {}, Calendar.SESSION),
        ("FuturesContract", {}, Calendar.SESSION),
        ("Cfd", {"asset_class": "FX"}, Calendar.FX),
        ("Cfd", {"asset_class": "INDEX"}, Calendar.SESSION),
        ("Cfd", {"asset_class": "CRYPTOCURRENCY"}, Calendar.CONTINUOUS),
    ],
)
def test_a_calendar_follows_from_what_it_is(
    class_name: str, changes: dict[str, Any], calendar: Calendar
) -> None:
    assert listing.calendar_of(class_name, ROW | changes) is calendar


def test_the_first_choice_is_the_shortest_of_last_prices_from_outside() -> None:
    names = ["5-MINUTE-MID-INTERNAL", "1-MINUTE-LAST-INTERNAL", "1-MINUTE-BID-EXTERNAL"]
    held = [Timeframe.parse(each) for each in [*names, "4h", "1h"]]
    assert listing.first_choice(held) == HOURLY
    assert str(listing.first_choice(held[:3])) == "1-MINUTE-LAST-INTERNAL"
    assert str(listing.first_choice([held[0], held[2]])) == "1-MINUTE-BID-EXTERNAL"
