"""Cash, positions and what may still be opened with them: a cash or a margin account.

Liquidation is not simulated: a margin account that has lost more than its margin opens nothing
more, and keeps what it has.
"""

import copy
from collections.abc import Iterable, Mapping
from typing import Any

from strategy_engine.matching import position as positions
from strategy_engine.matching import rules
from strategy_engine.matching.model import PPM, Rules, Terms
from strategy_engine.matching.position import Position


class Funds:
    """The money of one execution, and what is held in each instrument.

    `reserve_nanos` is still to leave: nothing is opened with it.
    """

    __slots__ = ("cash", "leverage_ppm", "positions", "reserve_nanos", "rules")

    def __init__(
        self, capital_nanos: int, terms: Iterable[Terms], how: Rules, leverage_ppm: int | None
    ) -> None:
        self.cash = capital_nanos
        self.reserve_nanos = 0
        self.positions: Mapping[str, Position] = {each.symbol: Position(each) for each in terms}
        self.rules = how
        self.leverage_ppm = leverage_ppm

    def equity(self) -> int:
        """Return cash and positions at their marks, in billionths."""
        return positions.equity(self.cash, self.positions.values())

    def margin(self) -> int:
        """Return the initial margin of what is held at its marks; 0 in a cash account."""
        leverage = self.leverage_ppm
        if leverage is None:
            return 0
        held = (each for each in self.positions.values() if each.lots)
        return sum(-(-abs(each.value_nanos()) * PPM // leverage) for each in held)

    def unpledged(self) -> int:
        """Return the cash not pledged to a short, or the equity beyond the margin; both signed."""
        if self.leverage_ppm is None:
            return positions.free(self.cash, self.positions.values())
        return self.equity() - self.margin()

    def free(self) -> int:
        """Return what may open positions: what is neither pledged, nor margin, nor reserved."""
        return rules.spendable(self.unpledged(), self.reserve_nanos)

    def room_for(self, position: Position, signed_lots: int, price_ticks: int) -> int:
        """Return how many of the lots may be opened: no short where none is allowed."""
        if signed_lots < 0 and not self.rules.allow_short:
            return 0
        if self.leverage_ppm is None:
            lots = abs(signed_lots)
            return positions.room_for(position, lots, price_ticks, self.free(), self.rules)
        return self._margin_room(position, signed_lots, price_ticks, self.leverage_ppm)

    def holds_whole(self, symbol: str, signed_lots: int, price_ticks: int) -> bool:
        """Return whether an order could fill to its last lot, closing before it opens."""
        trial, position = self._trial(self.positions[symbol])
        closing = reducible(position, signed_lots)
        if closing:
            trial.reduce(position, closing, price_ticks)
        opening = abs(signed_lots) - closing
        signed = opening if signed_lots > 0 else -opening
        return trial.room_for(position, signed, price_ticks) >= opening

    def reduce(self, position: Position, lots: int, price_ticks: int) -> tuple[int, int]:
        """Close lots of a position; return the fee and the realised P&L."""
        change, fee, pnl = position.reduce(lots, price_ticks, self.rules.fee_ppm)
        self.cash += change
        return fee, pnl

    def enlarge(self, position: Position, signed_lots: int, price_ticks: int, ts_ns: int) -> int:
        """Open or add lots of one sign; return the fee."""
        change, fee = position.enlarge(signed_lots, price_ticks, self.rules.fee_ppm, ts_ns)
        self.cash += change
        return fee

    def _margin_room(self, position: Position, signed: int, price_ticks: int, leverage: int) -> int:
        trial, tried = self._trial(position)
        tried.mark = price_ticks  # what is held is worth what is paid now
        budget = trial.free() * leverage * PPM // (PPM * PPM + self.rules.fee_ppm * leverage)
        limit = self.rules.max_position_nanos
        if limit is not None:
            budget = min(budget, limit - position.entry_nanos)
        sign = 1 if signed > 0 else -1
        lots = min(abs(signed), position.terms.lots_within(budget, price_ticks))
        while lots and not self._carries(position, sign * lots, price_ticks):
            lots -= 1  # value, fee and margin are each rounded: at most by a lot or two
        return lots

    def _carries(self, position: Position, signed_lots: int, price_ticks: int) -> bool:
        trial, tried = self._trial(position)
        tried.mark = price_ticks
        trial.enlarge(tried, signed_lots, price_ticks, ts_ns=0)
        return trial.unpledged() >= trial.reserve_nanos

    def _trial(self, position: Position) -> tuple["Funds", Position]:
        trial = Funds(self.cash, (), self.rules, self.leverage_ppm)
        trial.reserve_nanos = self.reserve_nanos
        tried = copy.copy(position)
        trial.positions = {**self.positions, position.terms.symbol: tried}
        return trial, tried


def reducible(position: Position, signed_lots: int) -> int:
    """Return how many of an order's lots would close what is held."""
    if position.lots * signed_lots >= 0:
        return 0
    return min(abs(position.lots), abs(signed_lots))


_POSITION_FIELDS = tuple(name for name in Position.__slots__ if name != "terms")


def dump(funds: Funds) -> dict[str, Any]:
    """Return cash and positions as plain values."""
    return {
        "cash": funds.cash,
        "positions": {
            symbol: {name: getattr(each, name) for name in _POSITION_FIELDS}
            for symbol, each in funds.positions.items()
        },
    }


def load(funds: Funds, plain: Mapping[str, Any]) -> None:
    """Put what `dump` returned into funds of the same instruments and rules."""
    funds.cash = plain["cash"]
    for symbol, kept in plain["positions"].items():
        for name in _POSITION_FIELDS:
            setattr(funds.positions[symbol], name, kept[name])
