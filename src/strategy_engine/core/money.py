"""Exact money: integers of a billionth of the account's currency, Decimal at the edges."""

from decimal import ROUND_HALF_EVEN, Decimal

NANOS = 1_000_000_000
BPS = 10_000


def to_nanos(amount: Decimal | float | str) -> int:
    """Return `amount` (account currency) as integer billionths, rounded half to even."""
    scaled = Decimal(str(amount)) * NANOS
    return int(scaled.to_integral_value(rounding=ROUND_HALF_EVEN))


def to_decimal(nanos: int) -> Decimal:
    """Return integer billionths as an exact Decimal amount."""
    return Decimal(nanos).scaleb(-9)


def divide_half_even(numerator: int, denominator: int) -> int:
    """Return `numerator / denominator` (denominator > 0) rounded half to even, exactly."""
    quotient, remainder = divmod(numerator, denominator)
    twice = 2 * remainder
    if twice > denominator or (twice == denominator and quotient & 1):
        return quotient + 1
    return quotient
