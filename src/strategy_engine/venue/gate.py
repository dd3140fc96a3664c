"""What the gate is asked: an order, and everything that decides whether it may go."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from strategy_engine.matching.model import Order, Terms
from strategy_engine.venue.aggregates import Beside
from strategy_engine.venue.limits import Limits, Scope
from strategy_engine.venue.model import ALWAYS, RiskState, Tenure


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """What else an order meets: the execution's own account, and what stands beside it.

    Parameters
    ----------
    equity_nanos, elsewhere_nanos : int
        The execution's equity, and its exposure in other instruments.
    against_nanos : int
        The most that it may hold on the other side of the order's instrument.
    orders : int
        That it has sent within the last minute of the feed's clock.
    mark_ticks : int
        The last price.
    prices : tuple of int
        Those that the order names, ticks, distances counted from the last price.
    beside : mapping
        What the others of its line, its account and the node come to.
    rival : str or None
        An execution of another version of its line that the order would trade against.
    killed : str or None
        Why nothing may go at all.
    vetoed : str or None
        Why a risk engine outside does not let it go.
    """

    equity_nanos: int = 0
    elsewhere_nanos: int = 0
    against_nanos: int = 0
    orders: int = 0
    mark_ticks: int = 0
    prices: tuple[int, ...] = ()
    beside: Mapping[Scope, Beside] = field(default_factory=dict)
    rival: str | None = None
    killed: str | None = None
    vetoed: str | None = None


NOTHING_AROUND = Around()


@dataclass(frozen=True, slots=True, kw_only=True)
class GateRequest:
    """One order, and everything that decides whether it may go to the venue.

    Parameters
    ----------
    lots_before : int
        What is held in the order's instrument when it is its turn to fill, signed.
    free_nanos : int
        Cash that may open positions then.
    day_pnl_nanos : int
        Change of equity since the feed's day began.
    highest_epoch : int
        The newest epoch of this execution that the node has heard of.
    symbols : collection of str
        The instruments that the execution trades.
    serves : Tenure
        The bar closes whose decisions may open something.
    """

    order: Order
    terms: Terms
    limits: Limits
    symbols: Collection[str]
    fee_ppm: int
    is_running: bool
    risk_state: RiskState
    epoch: int
    highest_epoch: int
    mark_ticks: int
    lots_before: int
    free_nanos: int
    day_pnl_nanos: int
    serves: Tenure = ALWAYS
    around: Around = NOTHING_AROUND


@dataclass(frozen=True, slots=True, kw_only=True)
class TicketRequest:
    """A native strategy's order before the gate: the request, and what its name and kind add.

    Parameters
    ----------
    request : GateRequest
        `lots_before` counts what works already on the order's side, `mark_ticks` is the price that
        its notional is judged at; `order.opens` says whether any of it could open.
    is_known : bool
        Whether the execution has had an order of this name.
    working : int
        Orders that have not ended.
    entries_left : int or None
        New entries that the day has left; None where there is no limit, or this is no entry.
    """

    request: GateRequest
    is_known: bool
    working: int
    entries_left: int | None
