"""How much of a position the engine orders out of. Pure."""

from decimal import Decimal


def excess(held_lots: int, left: Decimal, leaving_lots: int) -> int:
    """Return how many lots go, so that no more than a share of a position is left.

    Parameters
    ----------
    held_lots : int
        The position, signed.
    left : Decimal
        The share of it that may stay.
    leaving_lots : int
        What orders that wait to exit take of it anyway.
    """
    return max(0, abs(held_lots) - int(abs(held_lots) * left) - leaving_lots)
