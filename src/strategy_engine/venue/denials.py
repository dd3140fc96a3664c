"""How the gate says no."""

from strategy_engine.core import money
from strategy_engine.venue.model import Denial, DenialCode


def deny(code: DenialCode, message: str) -> Denial:
    """Return a refusal with its stable code."""
    return Denial(code=code, message=message)


def amount(nanos: int) -> str:
    """Return money as a refusal shows it."""
    return f"{money.to_decimal(nanos):,.2f}"
