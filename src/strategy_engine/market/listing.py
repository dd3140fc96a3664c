"""From a row of NautilusTrader's catalogue to an instrument of ours, or the reason why not."""

import json
import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from strategy_engine.core.errors import InvalidError
from strategy_engine.market import model
from strategy_engine.market.model import Calendar, Instrument, Native, Timeframe

# Where the profit of a position is (exit - entry) x quantity, in the currency of the price.
CLASSES = {
    "CurrencyPair": "currency_pair",
    "Equity": "equity",
    "CryptoPerpetual": "crypto_perpetual",
    "CryptoFuture": "crypto_future",
    "FuturesContract": "futures_contract",
    "PerpetualContract": "perpetual_contract",
    "Cfd": "cfd",
    "Commodity": "commodity",
    "TokenizedAsset": "tokenized_asset",
}
REFUSED = {
    "BettingInstrument": ("betting_instrument", "a bet is settled by an outcome"),
    "BinaryOption": ("binary_option", "it is settled by an outcome"),
    "CryptoFuturesSpread": ("crypto_futures_spread", "the price of a spread may be negative"),
    "CryptoOption": ("crypto_option", "its exercise is not simulated"),
    "CryptoOptionSpread": ("crypto_option_spread", "the price of a spread may be negative"),
    "FuturesSpread": ("futures_spread", "the price of a spread may be negative"),
    "IndexInstrument": ("index_instrument", "an index cannot be traded itself"),
    "OptionContract": ("option_contract", "its exercise is not simulated"),
    "OptionSpread": ("option_spread", "the price of a spread may be negative"),
    "SyntheticInstrument": ("synthetic_instrument", "it is computed from others"),
}
FOLDERS = frozenset({*CLASSES.values(), *(folder for folder, _ in REFUSED.values())})

_FIAT = re.compile(
    r"AUD|BRL|CAD|CHF|CNH|CNY|CZK|DKK|EUR|GBP|HKD|HUF|ILS|INR|JPY|KRW|MXN|NOK|NZD|PLN|SEK|SGD|THB"
    r"|TRY|TWD|USD|XAG|XAU|XPD|XPT|ZAR"
)
_NEVER_RESTS = frozenset({"CryptoPerpetual", "CryptoFuture", "PerpetualContract", "TokenizedAsset"})
_READ_LATER = ("min_quantity", "expiration_ns")
_BY_ASSET = {"FX": Calendar.FX, "CRYPTOCURRENCY": Calendar.CONTINUOUS}


def refusal(class_name: str, row: Mapping[str, Any]) -> str | None:
    """Return why an instrument cannot be traded here, or None if it can."""
    if class_name in REFUSED:
        return f"{class_name} is not traded here: {REFUSED[class_name][1]}"
    if class_name not in CLASSES:
        return f"{class_name} is no class of instrument that is known here"
    quote, settled = currency_of(row), row.get("settlement_currency")
    if row.get("is_inverse"):
        return f"an inverse contract is not traded here: its profit is in {settled}, not {quote}"
    if settled not in {None, quote}:
        return f"a contract in {quote} that settles in {settled} is not traded here"
    multiplier = row.get("multiplier")
    if multiplier is not None and _decimal("multiplier", multiplier) != 1:
        return f"a contract with multiplier {multiplier} is not traded here, only with multiplier 1"
    return None


def instrument(class_name: str, row: Mapping[str, Any], default: Timeframe) -> Instrument:
    """Return the instrument of a row that nothing refuses.

    Raises
    ------
    InvalidError
        If its identifier, currency or increments are not such as are traded here, or another
        number of its is none.
    KeyError
        If the row lacks one of them.
    """
    symbol = str(row["id"])
    for name in _READ_LATER:
        if row.get(name) is not None:
            _decimal(name, row[name])
    tick = _decimal("price_increment", row["price_increment"])
    lot = _decimal("size_increment", row.get("size_increment", "1"))  # an equity's is always 1
    return Instrument(
        symbol=symbol,
        venue=model.venue_of(symbol),
        currency=currency_of(row),
        tick_size=tick,
        lot_size=lot,
        calendar=calendar_of(class_name, row),
        default_timeframe=default,
        native=Native(class_name=class_name, content=_content(row)),
    )


def currency_of(row: Mapping[str, Any]) -> str:
    """Return the currency of an instrument's price."""
    return str(row.get("quote_currency") or row["currency"])


def calendar_of(class_name: str, row: Mapping[str, Any]) -> Calendar:
    """Return when such an instrument trades."""
    if class_name in _NEVER_RESTS:
        return Calendar.CONTINUOUS
    if class_name == "CurrencyPair":
        pair = str(row["base_currency"]), currency_of(row)
        return Calendar.FX if all(map(_FIAT.fullmatch, pair)) else Calendar.CONTINUOUS
    if class_name == "Cfd":
        return _BY_ASSET.get(str(row.get("asset_class")), Calendar.SESSION)
    return Calendar.SESSION


def first_choice(timeframes: list[Timeframe]) -> Timeframe:
    """Return the timeframe to take where none is named: of last prices, external, the shortest."""

    def rank(each: Timeframe) -> tuple[bool, bool, int]:
        return each.price != "LAST", each.source != "EXTERNAL", each.duration_ns

    return min(timeframes, key=rank)


def _content(row: Mapping[str, Any]) -> str:
    info = row.get("info")
    told = {**row, "info": json.loads(info) if isinstance(info, bytes) else info}
    return json.dumps(told, sort_keys=True)


def _decimal(name: str, value: object) -> Decimal:
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        raise InvalidError(f"{name} {value!r} is no number", field=name) from None
    if not number.is_finite():
        raise InvalidError(f"{name} {value!r} is no finite number", field=name)
    return number
