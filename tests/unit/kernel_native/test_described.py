"""Instruments of NautilusTrader's own: what a strategy sees is what the catalogue says."""

import json
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from nautilus_trader.model.instruments import (
    CryptoPerpetual,
    CurrencyPair,
    Equity,
    FuturesContract,
    Instrument,
)
from nautilus_trader.test_kit.providers import TestInstrumentProvider

from strategy_engine.kernel.child import Conversation
from strategy_engine.kernel.failures import ContractError
from strategy_engine.kernel.native import described
from strategy_engine.kernel.native.instruments import Listings
from strategy_engine.market import listing
from strategy_engine.sandbox.protocol import messages

HOURLY = "1-HOUR-LAST-EXTERNAL"
NANO = 10**9
PERPETUAL = TestInstrumentProvider.btcusdt_perp_binance()
KNOWN = {
    CryptoPerpetual: PERPETUAL,
    CurrencyPair: TestInstrumentProvider.default_fx_ccy("EUR/USD"),
    Equity: TestInstrumentProvider.equity("AAPL", "XNAS"),
    FuturesContract: TestInstrumentProvider.es_future(2025, 12),
}


def contract_of(given: Instrument, **changes: Any) -> messages.Contract:
    fields = json.loads(json.dumps(type(given).to_dict(given)))
    native = messages.NativeInstrument(class_name=type(given).__name__, fields=fields | changes)
    return messages.Contract(
        symbol=str(given.id),
        tick_nanos=int(given.price_increment.as_decimal() * NANO),
        lot_nanos=int(given.size_increment.as_decimal() * NANO),
        currency=given.quote_currency.code,
        native=native,
    )


def made(contract: messages.Contract) -> Instrument:
    return Listings([contract], HOURLY).all[0].instrument


@pytest.mark.parametrize("kind", KNOWN, ids=lambda each: each.__name__)
def test_a_strategy_sees_the_class_and_the_facts_of_the_catalogue(kind: type) -> None:
    given = KNOWN[kind]
    found = made(contract_of(given))
    assert type(found) is kind
    without_margin = {"margin_init": "0", "margin_maint": "0", "tick_scheme_name": None}
    assert kind.to_dict(found) | without_margin == kind.to_dict(given) | without_margin


def test_a_margin_locks_no_balance_up() -> None:
    found = made(contract_of(PERPETUAL))
    assert Decimal("0.05") == PERPETUAL.margin_init
    assert (found.margin_init, found.margin_maint) == (0, 0)


def test_the_same_classes_are_known_in_the_catalogue_and_in_the_child() -> None:
    assert set(described.CLASSES) == set(listing.CLASSES)


def test_a_contract_carries_an_instrument_over_the_wire() -> None:
    contract = contract_of(PERPETUAL)
    sent = msgspec.msgpack.encode(contract)
    assert msgspec.msgpack.decode(sent, type=messages.Contract) == contract


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"price_increment": "0.2"}, r"its price increment is 0\.2, for the engine it is 0\.1"),
        ({"size_increment": "0.002"}, r"its size increment is 0\.002, for the engine"),
        ({"id": "ETHUSDT-PERP.BINANCE"}, "its identifier is ETHUSDT-PERP"),
        ({"multiplier": "10"}, "its multiplier is 10"),
        ({"is_inverse": True}, "inverse|settlement"),
        ({"settlement_currency": "BTC"}, "its settlement is BTC, for the engine it is USDT"),
        ({"quote_currency": "USD"}, "its currency is USD"),
        ({"price_increment": "much"}, "cannot be made"),
        ({"price_increment": None}, "cannot be made"),
        ({"price_precision": 3}, "price_precision"),
        ({"size_increment": "-1"}, "cannot be made"),
        ({"id": "nowhere"}, "venue"),
    ],
)
def test_an_instrument_that_is_not_the_engines_is_refused(
    changes: dict[str, Any], says: str
) -> None:
    with pytest.raises(ContractError, match=says) as caught:
        made(contract_of(PERPETUAL, **changes))
    assert "BTCUSDT-PERP.BINANCE cannot be made" in str(caught.value)


def test_a_missing_fact_and_an_unknown_class_are_named() -> None:
    contract = contract_of(PERPETUAL)
    assert contract.native is not None
    bare = msgspec.structs.replace(
        contract,
        native=messages.NativeInstrument(
            class_name="CryptoPerpetual", fields={"id": "BTCUSDT-PERP.BINANCE"}
        ),
    )
    with pytest.raises(ContractError, match="KeyError: "):
        made(bare)
    other = msgspec.structs.replace(contract.native, class_name="BettingInstrument")
    with pytest.raises(ContractError, match="BettingInstrument is none of Cfd"):
        made(msgspec.structs.replace(contract, native=other))


def test_the_smallest_order_of_a_contract_is_the_terms_own() -> None:
    contract = msgspec.structs.replace(contract_of(PERPETUAL), min_lots=5)
    assert Listings([contract], HOURLY).all[0].terms.min_lots == 5


ROUND = """
def on_start(self):
    super().on_start()
    self.say(type(self.pair).__name__, self.pair.quote_currency, self.pair.taker_fee)

def on_bar(self, bar):
    if self.order is None:
        self.order = self.submit("market")
    elif self.portfolio.is_net_long(self.pair.id):
        self.close_all_positions(self.pair.id)

def on_stop(self):
    raise RuntimeError(self.heard[0])
"""


def test_a_strategy_trades_a_described_instrument_as_it_does_the_one_that_is_made_up(
    acting: Any, bars: Any
) -> None:
    place = acting(ROUND.partition("def on_stop")[0])
    plain = place.backtest(bars(60))
    pair = contract_of(
        TestInstrumentProvider.default_fx_ccy("EUR/USD"), min_quantity="1", max_quantity="1000000"
    )
    load = msgspec.structs.replace(place.load_message(), contracts=[pair])
    place.load_message = lambda: load
    described_ = place.backtest(bars(60))
    assert described_.fills == plain.fills
    assert len(plain.fills) == 2


def test_a_strategy_reads_a_perpetuals_own_facts(acting: Any, bars: Any) -> None:
    place = acting(ROUND)
    symbol = str(PERPETUAL.id)
    place.symbols = [symbol]
    load = msgspec.structs.replace(place.load_message(), contracts=[contract_of(PERPETUAL)])
    conversation = Conversation()
    assert isinstance(conversation.answer(load), messages.Loaded)
    answer = conversation.answer(messages.NativeBacktest(bars=[bars(5, symbol=symbol)]))
    assert isinstance(answer, messages.Failed)
    assert "CryptoPerpetual USDT 0.000180" in answer.message
