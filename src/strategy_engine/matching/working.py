"""An order that works at the venue: what it waits for, and whether a price is it. Pure but its own.

A price path, a position and money are the order book's; here is only what one order knows.
"""

from enum import Enum
from typing import Any

import msgspec

from strategy_engine.matching.model import Side
from strategy_engine.matching.ticket import OrderType, Ticket, TimeInForce

LIMITS = frozenset({OrderType.LIMIT, OrderType.STOP_LIMIT, OrderType.LIMIT_IF_TOUCHED})
TRAILING = frozenset({OrderType.TRAILING_STOP_MARKET, OrderType.TRAILING_STOP_LIMIT})
STOPS = TRAILING | {OrderType.STOP_MARKET, OrderType.STOP_LIMIT}
TOUCHED = frozenset({OrderType.MARKET_IF_TOUCHED, OrderType.LIMIT_IF_TOUCHED})
TRIGGERED = STOPS | TOUCHED
ENDS_IN_A_LIMIT = LIMITS | {OrderType.TRAILING_STOP_LIMIT}
AUCTIONS = frozenset({TimeInForce.AT_THE_OPEN, TimeInForce.AT_THE_CLOSE})
IMMEDIATE = frozenset({TimeInForce.IOC, TimeInForce.FOK})


class Phase(Enum):
    """What an order waits for."""

    MARKET = "the next price"
    TRIGGER = "its trigger"
    LIMIT = "its limit"


class Working:
    """One order from its acceptance to its end.

    `is_held` waits for its parent, `is_fresh` has met no price yet, `is_taker` would cross the
    market at its next price, `is_late` came to life inside the bar that is being met.
    """

    __slots__ = (
        "accepted_ns",
        "filled",
        "is_active",
        "is_fresh",
        "is_held",
        "is_late",
        "is_taker",
        "is_triggered",
        "limit",
        "lots",
        "seq",
        "ticket",
        "trigger",
    )

    def __init__(self, ticket: Ticket, seq: int, now_ns: int) -> None:
        self.ticket = ticket
        self.seq = seq
        self.accepted_ns = now_ns
        self.lots = ticket.lots
        self.filled = 0
        self.limit = ticket.limit_ticks if ticket.type in ENDS_IN_A_LIMIT else None
        self.trigger = ticket.trigger_ticks if ticket.type in TRIGGERED else None
        self.is_held = False
        self.is_fresh = True
        self.is_taker = False
        self.is_triggered = ticket.type not in TRIGGERED
        self.is_active = ticket.type not in TRAILING
        self.is_late = False

    @property
    def order_id(self) -> str:
        """Return the client's name of the order."""
        return self.ticket.client_order_id

    @property
    def is_buy(self) -> bool:
        """Return whether it buys."""
        return self.ticket.side is Side.BUY

    @property
    def leaves(self) -> int:
        """Return what is still to fill."""
        return self.lots - self.filled

    @property
    def phase(self) -> Phase:
        """Return what it waits for."""
        if not self.is_triggered:
            return Phase.TRIGGER
        return Phase.MARKET if self.limit is None else Phase.LIMIT

    @property
    def level(self) -> int | None:
        """Return the price it waits for, None for any or for one not known yet."""
        if self.is_triggered:
            return self.limit
        if not self.is_active or (self.limit is None and self.ticket.type in ENDS_IN_A_LIMIT):
            return None  # a trailing stop that has not seen the market yet
        return self.trigger

    @property
    def is_stop(self) -> bool:
        """Return whether it waits for a price worse than the market's."""
        return not self.is_triggered and self.ticket.type in STOPS

    @property
    def rises(self) -> bool:
        """Return whether a rising price reaches its level."""
        return self.is_buy is self.is_stop

    def reached(self, price: int) -> bool:
        """Return whether a price is what its level waits for."""
        level = self.level
        if level is None:
            return False
        return price >= level if self.rises else price <= level

    def rank(self) -> tuple[int, int]:
        """Return its turn among orders that one price meets: market, stops, limits; then age."""
        if self.phase is Phase.MARKET:
            return 0, self.seq
        return (1 if self.is_stop else 2), self.seq

    def activate(self, price: int) -> None:
        """Let a trailing stop follow the market from here, if the price is its activation's."""
        activation = self.ticket.activation_ticks
        if activation is None or (price <= activation if self.is_buy else price >= activation):
            self.is_active = True

    def trail(self, extreme: int) -> bool:
        """Move a trailing stop's levels after the market, only towards it; return whether so."""
        if self.is_triggered or self.ticket.type not in TRAILING:
            return False
        if not self.is_active:
            self.activate(extreme)
        if not self.is_active:
            return False
        before = self.trigger, self.limit
        self.trigger = self._closer(self.trigger, extreme, self.ticket.trailing_ticks)
        if self.ticket.type is OrderType.TRAILING_STOP_LIMIT:
            self.limit = self._closer(self.limit, extreme, self.ticket.limit_offset_ticks)
        return before != (self.trigger, self.limit)

    def _closer(self, level: int | None, extreme: int, distance: int | None) -> int:
        away = distance or 0
        moved = max(1, extreme + (away if self.is_buy else -away))
        if level is None:
            return moved
        return min(level, moved) if self.is_buy else max(level, moved)


_KEPT = tuple(name for name in Working.__slots__ if name not in {"ticket", "is_late"})


def dump(working: Working) -> dict[str, Any]:
    """Return an order as plain values; between two prices nothing else is known of it."""
    plain: dict[str, Any] = {name: getattr(working, name) for name in _KEPT}
    return plain | {"ticket": msgspec.to_builtins(working.ticket)}


def load(plain: dict[str, Any]) -> Working:
    """Return the order that `dump` put down."""
    working = Working(msgspec.convert(plain["ticket"], Ticket), plain["seq"], plain["accepted_ns"])
    for name in _KEPT:
        setattr(working, name, plain[name])
    return working
