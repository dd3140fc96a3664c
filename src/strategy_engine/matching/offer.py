"""What the market offers an instrument's orders: the last price, and the lots still to be had."""

from strategy_engine.matching.model import PPM, Side
from strategy_engine.matching.position import Position


class Liquidity:
    """What one price or one bar still offers: lots for each side, from one pool or from two."""

    __slots__ = ("lots",)

    def __init__(self, lots: tuple[int, ...] = ()) -> None:
        self.lots = list(lots)

    def left(self, side: Side) -> int | None:
        """Return the lots that an order may take, None for any number."""
        if not self.lots:
            return None
        return self.lots[-1] if side is Side.SELL else self.lots[0]

    def take(self, side: Side, lots: int) -> None:
        """Note that an order has taken them."""
        if self.lots:
            self.lots[-1 if side is Side.SELL else 0] -= lots


def liquidity(share_ppm: int | None, *offered_lots: int) -> Liquidity:
    """Return the share of an offer that fills may take; one number is one pool for both sides."""
    if share_ppm is None:
        return Liquidity()
    return Liquidity(tuple(each * share_ppm // PPM for each in offered_lots))


class Market:
    """One instrument's last price, what it still offers, and the position in it.

    `opens` until the first price of a session.
    """

    __slots__ = ("ask", "bid", "liquidity", "opens", "position")

    def __init__(self, position: Position) -> None:
        self.position = position
        self.bid = 0
        self.ask = 0
        self.opens = True
        self.liquidity = Liquidity()

    def price_for(self, side: Side) -> int:
        """Return the price that an order of a side would trade at; 0 before the first."""
        return self.ask if side is Side.BUY else self.bid

    def see(self, bid: int, ask: int) -> None:
        """Take a price; the position is worth the middle."""
        self.bid, self.ask = bid, ask
        self.position.mark = (bid + ask) // 2
