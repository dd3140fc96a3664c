"""The arithmetic of a netting position: what a fill costs, what it realises, what a round trip won.

The one place where money changes hands: the signal path and the order book both use it.
"""

from collections.abc import Iterable

from strategy_engine.core.money import divide_half_even
from strategy_engine.matching import rules
from strategy_engine.matching.model import RoundTrip, Rules, Terms


class Position:
    """What is held in one instrument, what was paid for it, and its mark. Exact integers.

    `entry_tick_lots` is Σ price × quantity at entry, `entry_nanos` what that was worth, and
    `fees_open` the fees paid for what is still held.
    """

    __slots__ = (
        "entry_nanos",
        "entry_ns",
        "entry_tick_lots",
        "fees_open",
        "lots",
        "mark",
        "terms",
        "trip_pnl",
    )

    def __init__(self, terms: Terms) -> None:
        self.terms = terms
        self.lots = 0
        self.mark = 0
        self.entry_tick_lots = 0
        self.entry_nanos = 0
        self.entry_ns = 0
        self.fees_open = 0
        self.trip_pnl = 0

    @property
    def entry_price(self) -> float | None:
        """Return the average entry price, or None when flat."""
        if not self.lots:
            return None
        return self.terms.price(self.entry_tick_lots / abs(self.lots))

    def value_nanos(self) -> int:
        """Return the position's value at its mark, signed."""
        return self.terms.nanos(self.mark * self.lots)

    def enlarge(
        self, signed_lots: int, price_ticks: int, fee_ppm: int, ts_ns: int
    ) -> tuple[int, int]:
        """Add lots of the position's own sign (any, when flat); return the cash change and fee."""
        lots = abs(signed_lots)
        tick_lots = price_ticks * lots
        value = self.terms.nanos(tick_lots)
        fee = rules.fee(value, fee_ppm)
        if not self.lots:
            self.entry_ns, self.trip_pnl = ts_ns, 0
        self.lots += signed_lots
        self.entry_tick_lots += tick_lots
        self.entry_nanos += value
        self.fees_open += fee
        return (-value if signed_lots > 0 else value) - fee, fee

    def reduce(self, lots: int, price_ticks: int, fee_ppm: int) -> tuple[int, int, int]:
        """Close at most what is held; return the cash change, the fee and the realised P&L."""
        held = abs(self.lots)
        sign = 1 if self.lots > 0 else -1
        value = self.terms.nanos(price_ticks * lots)
        fee = rules.fee(value, fee_ppm)
        # Shares of what was really paid, so that Σ realised P&L is the change in cash to the digit.
        cost, entry_value, entry_fee = self.entry_tick_lots, self.entry_nanos, self.fees_open
        if lots != held:
            cost = divide_half_even(cost * lots, held)
            entry_value = divide_half_even(entry_value * lots, held)
            entry_fee = divide_half_even(entry_fee * lots, held)
        pnl = sign * (value - entry_value) - fee - entry_fee
        self.lots -= sign * lots
        self.entry_tick_lots -= cost
        self.entry_nanos -= entry_value
        self.fees_open -= entry_fee
        self.trip_pnl += pnl
        return sign * value - fee, fee, pnl

    def round_trip(self, ts_ns: int) -> RoundTrip | None:
        """Return the round trip that ended with the last fill, or None while something is held."""
        if self.lots:
            return None
        return RoundTrip(
            symbol=self.terms.symbol,
            entry_ns=self.entry_ns,
            exit_ns=ts_ns,
            pnl_nanos=self.trip_pnl,
        )


def equity(cash_nanos: int, positions: Iterable[Position]) -> int:
    """Return cash and positions at their marks, in billionths."""
    for position in positions:
        if position.lots:
            cash_nanos += position.value_nanos()
    return cash_nanos


def free(cash_nanos: int, positions: Iterable[Position]) -> int:
    """Return the cash that may open positions: none of it pledged to a short."""
    for position in positions:
        if position.lots < 0:
            cash_nanos += 2 * position.value_nanos()
    return cash_nanos


def room_for(position: Position, lots: int, price_ticks: int, free_nanos: int, how: Rules) -> int:
    """Return how many of `lots` an opening fill may have: within free cash and the limit."""
    most = rules.affordable(lots, price_ticks, free_nanos, position.terms, how)
    limit = how.max_position_nanos
    if limit is None or not position.lots:
        return most
    return min(most, position.terms.lots_within(limit - position.entry_nanos, price_ticks))
