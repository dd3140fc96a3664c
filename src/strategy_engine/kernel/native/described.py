"""NautilusTrader's own instruments, made again from what a catalogue of its says of them."""

from types import MappingProxyType

from nautilus_trader.model.identifiers import InstrumentId
from nautilus_trader.model.instruments import (
    Cfd,
    Commodity,
    CryptoFuture,
    CryptoPerpetual,
    CurrencyPair,
    Equity,
    FuturesContract,
    Instrument,
    PerpetualContract,
    TokenizedAsset,
)

from strategy_engine.core import money
from strategy_engine.kernel.failures import ContractError
from strategy_engine.sandbox.protocol import messages

CLASSES = MappingProxyType(
    {
        each.__name__: each
        for each in (
            Cfd,
            Commodity,
            CryptoFuture,
            CryptoPerpetual,
            CurrencyPair,
            Equity,
            FuturesContract,
            PerpetualContract,
            TokenizedAsset,
        )
    }
)
# Leverage is the gate's to limit; here a margin would lock up balances that the ledger holds free.
_NO_MARGIN = MappingProxyType({"margin_init": "0", "margin_maint": "0"})


def instrument(instrument_id: InstrumentId, contract: messages.Contract) -> Instrument:
    """Return the instrument that a contract describes, once it says the same as the contract.

    Raises
    ------
    ContractError
        If it cannot be made, or is another than the one that the engine's orders are matched by.
    """
    native = contract.native
    if native is None or native.class_name not in CLASSES:
        named = None if native is None else native.class_name
        raise _unfit(contract, f"{named} is none of {', '.join(CLASSES)}")
    try:
        made = CLASSES[native.class_name].from_dict({**native.fields, **_NO_MARGIN})
    except (ArithmeticError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise _unfit(contract, f"{type(error).__name__}: {error}") from error
    for name, said, engine in _compared(made, instrument_id, contract):
        if said != engine:
            raise _unfit(contract, f"its {name} is {said}, for the engine it is {engine}")
    return made


def _compared(
    made: Instrument, instrument_id: InstrumentId, contract: messages.Contract
) -> list[tuple[str, object, object]]:
    tick, lot = money.to_decimal(contract.tick_nanos), money.to_decimal(contract.lot_nanos)
    return [
        ("identifier", made.id, instrument_id),
        ("price increment", made.price_increment.as_decimal(), tick.normalize()),
        ("size increment", made.size_increment.as_decimal(), lot.normalize()),
        ("currency", made.quote_currency.code, contract.currency),
        ("settlement", made.get_settlement_currency().code, contract.currency),
        ("multiplier", made.multiplier.as_decimal(), 1),
        ("profit", "inverse" if made.is_inverse else "linear", "linear"),
    ]


def _unfit(contract: messages.Contract, reason: str) -> ContractError:
    return ContractError(
        f"{contract.symbol} cannot be made as NautilusTrader's instrument: {reason}",
        field="contract",
        value=contract.symbol,
    )
