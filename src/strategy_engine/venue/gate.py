"""What the gate is asked: an order, and everything that decides whether it may go."""

from dataclasses import dataclass

from strategy_engine.matching.model import Order, Terms
from strategy_engine.venue.model import ALWAYS, Limits, RiskState, Tenure


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
    serves : Tenure
        The bar closes whose decisions may open something.
    """

    order: Order
    terms: Terms
    limits: Limits
    is_running: bool
    risk_state: RiskState
    epoch: int
    highest_epoch: int
    mark_ticks: int
    lots_before: int
    free_nanos: int
    day_pnl_nanos: int
    serves: Tenure = ALWAYS


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
