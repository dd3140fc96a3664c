"""What is traded, what is decided, and what comes of it. Prices are ticks, quantities lots."""

from dataclasses import dataclass, field
from enum import IntEnum, StrEnum

import msgspec
import numpy as np
from numpy.typing import NDArray

from strategy_engine.core.money import NANOS, divide_half_even

PPB = 1_000_000_000
PPM = 1_000_000
DAY_NS = 86_400 * 1_000_000_000
_MOST_VOLUME = 1e12  # a platform's quantity has a largest value, a data vendor's volume has none


class Action(IntEnum):
    """What a strategy says at the close of a bar."""

    HOLD = 0
    BUY = 1
    SELL = 2
    TARGET = 3


class Side(StrEnum):
    """Which way an order trades."""

    BUY = "BUY"
    SELL = "SELL"


class Cause(StrEnum):
    """Why an order exists."""

    SIGNAL = "signal"
    STOP_LOSS = "stop_loss"
    TAKE_PROFIT = "take_profit"
    HANDOVER = "handover"


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """The contract terms of one instrument: the size of a tick and of a lot, in billionths.

    `min_lots` is the smallest order of a native strategy; sized signals trade any whole lot.
    """

    symbol: str
    tick_nanos: int
    lot_nanos: int
    min_lots: int = 1
    # What one tick × lot is worth when that is whole, as it mostly is, so that values need no
    # division; 0 where it is not.
    _unit_nanos: int = field(init=False, repr=False, compare=False, default=0)

    def __post_init__(self) -> None:
        """Divide once."""
        unit, rest = divmod(self.tick_nanos * self.lot_nanos, NANOS)
        object.__setattr__(self, "_unit_nanos", 0 if rest else unit)

    def nanos(self, tick_lots: int) -> int:
        """Return the money value (billionths) of price × quantity given in ticks × lots."""
        if self._unit_nanos:
            return tick_lots * self._unit_nanos
        return divide_half_even(tick_lots * self.tick_nanos * self.lot_nanos, NANOS)

    def lots_within(self, budget_nanos: int, price_ticks: int) -> int:
        """Return the most whole lots whose value at a price is not above a budget.

        Exact: a lot may be worth less than a billionth, or a fraction of one more.
        """
        if budget_nanos <= 0 or price_ticks <= 0:
            return 0
        if self._unit_nanos:
            return budget_nanos // (price_ticks * self._unit_nanos)
        return budget_nanos * NANOS // (price_ticks * self.tick_nanos * self.lot_nanos)

    def ticks(self, prices: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return prices in whole ticks, rounded to the nearest: child and engine agree by it."""
        return np.rint(prices * NANOS / self.tick_nanos).astype(np.int64)

    def whole_lots(self, volumes: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return volumes in whole lots, none where one is unknown: child and engine agree by it."""
        known = np.clip(np.nan_to_num(volumes), 0.0, _MOST_VOLUME)
        return (known * NANOS // self.lot_nanos).astype(np.int64)

    def price(self, ticks: float) -> float:
        """Return a price for display and for strategies; money never goes through it."""
        return ticks * self.tick_nanos / NANOS

    def quantity(self, lots: int) -> float:
        """Return a quantity for display and for strategies."""
        return lots * self.lot_nanos / NANOS


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """How an execution sizes, protects and pays. Shares are parts per billion, costs per million.

    `max_position_nanos` is the largest notional of one position at entry, account currency.
    """

    position_size_ppb: int = PPB // 10
    stop_loss_ppb: int | None = PPB // 20
    take_profit_ppb: int | None = PPB // 10
    slippage_ppm: int = 100
    fee_ppm: int = 100
    allow_short: bool = False
    max_trades_per_day: int | None = None
    max_position_nanos: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """What the venue grants the orders of a native strategy, beside the rules of the execution.

    Parameters
    ----------
    max_volume_share_ppm : int or None
        The share of a bar's, quote's or trade's volume that fills may take; None for any.
    leverage_ppm : int or None
        Position value per equity, parts per million, of a margin account; None for a cash account.
    ends_days : bool
        Whether a session ends at each midnight of the feed's clock, when a later price comes; else
        only the caller ends one.
    """

    max_volume_share_ppm: int | None = None
    leverage_ppm: int | None = None
    ends_days: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What a strategy decided at one bar's close.

    `size_ppb` is a share of equity for BUY and SELL (None: the execution's `position_size`), and
    the signed target share for TARGET. `stop_loss_ppb` and `take_profit_ppb` replace the
    execution's own for the position this decision opens; 0 switches one off.
    """

    action: Action
    size_ppb: int | None = None
    stop_loss_ppb: int | None = None
    take_profit_ppb: int | None = None
    reason: str = ""


HOLD = Decision(action=Action.HOLD)
BUY = Decision(action=Action.BUY)
SELL = Decision(action=Action.SELL)


# Orders and fills are made in the backtest's hot loop: a frozen struct takes a fifteenth of the
# time of a frozen dataclass, and the collector need not look at what holds no container.


class Order(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An intention to trade at the next price. It either opens or reduces, never both."""

    symbol: str
    side: Side
    lots: int
    opens: bool
    decided_ns: int
    cause: Cause = Cause.SIGNAL
    stop_loss_ppb: int | None = None
    take_profit_ppb: int | None = None
    order_id: str = ""
    reason: str = ""


class RoundTrip(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A position from flat to flat; its profit is after every cost, in billionths."""

    symbol: str
    entry_ns: int
    exit_ns: int
    pnl_nanos: int


class Fill(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A trade that happened. `pnl_nanos` is what it realised, after its share of all fees."""

    symbol: str
    side: Side
    lots: int
    price_ticks: int
    fee_nanos: int
    pnl_nanos: int
    ts_ns: int
    cause: Cause
    opens: bool
    lots_after: int
    order_id: str = ""
    slippage_ticks: int = 0
    round_trip: RoundTrip | None = None

    @property
    def enters(self) -> bool:
        """Whether it opened a position where there was none: what `max_trades_per_day` counts."""
        return self.opens and abs(self.lots_after) == self.lots
