"""Whether the venue takes an order or a change of one: checks with stable codes. Pure."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from strategy_engine.matching import working as orders
from strategy_engine.matching.model import Side, Terms
from strategy_engine.matching.ticket import Modify, OrderType, Ticket, TimeInForce
from strategy_engine.matching.working import Phase, Working


class Code(StrEnum):
    """Why the venue refused. The values are stable: clients and reports read them."""

    UNKNOWN_SYMBOL = "unknown_symbol"
    TOO_FEW_LOTS = "too_few_lots"
    INVALID_PRICE = "invalid_price"
    INVALID_TIME_IN_FORCE = "invalid_time_in_force"
    POST_ONLY = "post_only"
    REDUCE_ONLY = "reduce_only"
    SHORT_NOT_ALLOWED = "short_not_allowed"
    INSUFFICIENT_CASH = "insufficient_cash"
    INSUFFICIENT_MARGIN = "insufficient_margin"
    MAX_POSITION_SIZE = "max_position_size"
    PARENT_ENDED = "parent_ended"
    PARENT_UNKNOWN = "parent_unknown"
    LINKED_ENDED = "linked_ended"
    NOT_FOUND = "not_found"
    NOTHING_TO_MODIFY = "nothing_to_modify"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why not: a stable code, and a sentence with the value and the limit."""

    code: Code
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What decides whether an order is taken.

    Parameters
    ----------
    terms : Terms or None
        Of the order's instrument; None where it is not traded here.
    opposite_ticks : int
        The last price that the order would trade at; 0 before the first.
    held_lots : int
        The position, signed.
    has_opposite : bool
        Whether an order works that could build what this one reduces.
    """

    terms: Terms | None
    now_ns: int
    opposite_ticks: int
    held_lots: int
    has_opposite: bool
    allow_short: bool


type Verdict = Refusal | None  # None: the order is taken

_PRICES: dict[OrderType, tuple[str, ...]] = {
    OrderType.MARKET: (),
    OrderType.MARKET_TO_LIMIT: (),
    OrderType.LIMIT: ("limit_ticks",),
    OrderType.STOP_MARKET: ("trigger_ticks",),
    OrderType.STOP_LIMIT: ("trigger_ticks", "limit_ticks"),
    OrderType.MARKET_IF_TOUCHED: ("trigger_ticks",),
    OrderType.LIMIT_IF_TOUCHED: ("trigger_ticks", "limit_ticks"),
    OrderType.TRAILING_STOP_MARKET: ("trailing_ticks",),
    OrderType.TRAILING_STOP_LIMIT: ("trailing_ticks", "limit_offset_ticks"),
}


def judge(ticket: Ticket, facts: Facts) -> Verdict:
    """Return why an order is refused, or None; the first check that fails answers."""
    return _first(CHECKS, ticket, facts)


def judge_at_life(ticket: Ticket, facts: Facts) -> Verdict:
    """Return why an order that would begin to work now is refused, or None."""
    return _first(CHECKS_AT_LIFE, ticket, facts)


def judge_change(working: Working, change: Modify, facts: Facts) -> Verdict:
    """Return why a change of a working order is refused, or None."""
    return (
        _changes_what_it_has(working, change)
        or _keeps_something_to_fill(working, change, facts)
        or _has_whole_prices(change.limit_ticks, change.trigger_ticks)
        or _still_rests(working, change, facts)
    )


def crosses(side: Side, limit_ticks: int, opposite_ticks: int) -> bool:
    """Return whether a limit would trade at once against the last price."""
    if not opposite_ticks:
        return False
    return opposite_ticks <= limit_ticks if side is Side.BUY else opposite_ticks >= limit_ticks


def _is_traded(ticket: Ticket, facts: Facts) -> Verdict:
    if facts.terms is not None:
        return None
    return Refusal(code=Code.UNKNOWN_SYMBOL, message=f"{ticket.symbol} is not traded here")


def _has_enough_lots(ticket: Ticket, facts: Facts) -> Verdict:
    least = max(1, facts.terms.min_lots if facts.terms else 1)
    if ticket.lots >= least:
        return None
    message = f"the order is for {ticket.lots} lots; the least is {least}"
    return Refusal(code=Code.TOO_FEW_LOTS, message=message)


def _has_its_prices(ticket: Ticket, facts: Facts) -> Verdict:
    del facts
    for name in _PRICES[ticket.type]:
        if getattr(ticket, name) is None:
            message = f"a {ticket.type} order needs {name}"
            return Refusal(code=Code.INVALID_PRICE, message=message)
    return _has_whole_prices(
        ticket.limit_ticks, ticket.trigger_ticks, ticket.trailing_ticks, ticket.activation_ticks
    )


def _has_whole_prices(*prices: int | None) -> Verdict:
    for price in prices:
        if price is not None and price < 1:
            message = f"a price is {price} ticks; the least is 1"
            return Refusal(code=Code.INVALID_PRICE, message=message)
    return None


def _has_a_fitting_life(ticket: Ticket, facts: Facts) -> Verdict:
    life = ticket.time_in_force
    problem = None
    if life in orders.AUCTIONS and ticket.type not in (OrderType.MARKET, OrderType.LIMIT):
        problem = f"{life} goes with MARKET and LIMIT orders, not with {ticket.type}"
    elif life is TimeInForce.GTD and (ticket.expire_ns or 0) <= facts.now_ns:
        problem = f"GTD needs expire_ns after now ({facts.now_ns}); it is {ticket.expire_ns}"
    elif ticket.post_only and (
        life in orders.IMMEDIATE or ticket.type not in orders.ENDS_IN_A_LIMIT
    ):
        problem = f"post_only goes with limits that rest, not with {ticket.type} {life}"
    if problem is None:
        return None
    return Refusal(code=Code.INVALID_TIME_IN_FORCE, message=problem)


def _rests_if_it_must(ticket: Ticket, facts: Facts) -> Verdict:
    limit = ticket.limit_ticks
    if not ticket.post_only or ticket.type is not OrderType.LIMIT or limit is None:
        return None
    return _post_only(ticket.side, limit, facts)


def _post_only(side: Side, limit: int, facts: Facts) -> Verdict:
    if not crosses(side, limit, facts.opposite_ticks):
        return None
    message = f"post_only at {limit} ticks would have taken at {facts.opposite_ticks}"
    return Refusal(code=Code.POST_ONLY, message=message)


def _has_something_to_reduce(ticket: Ticket, facts: Facts) -> Verdict:
    if not ticket.reduce_only and (ticket.side is Side.BUY or facts.allow_short):
        return None
    sign = 1 if ticket.side is Side.BUY else -1
    if facts.held_lots * sign < 0 or facts.has_opposite:
        return None
    held = f"the position is {facts.held_lots} lots, and no order works that would open one"
    if ticket.reduce_only:
        return Refusal(code=Code.REDUCE_ONLY, message=f"nothing to reduce: {held}")
    return Refusal(code=Code.SHORT_NOT_ALLOWED, message=f"allow_short is off, and {held}")


type Check = Callable[[Ticket, Facts], Verdict]

CHECKS: tuple[Check, ...] = (
    _is_traded,
    _has_enough_lots,
    _has_its_prices,
    _has_a_fitting_life,
)
# A child of an order that still works is judged by these when it comes to life.
CHECKS_AT_LIFE: tuple[Check, ...] = (
    _rests_if_it_must,
    _has_something_to_reduce,
)


def _first(checks: tuple[Check, ...], ticket: Ticket, facts: Facts) -> Verdict:
    for check in checks:
        refusal = check(ticket, facts)
        if refusal is not None:
            return refusal
    return None


def _changes_what_it_has(working: Working, change: Modify) -> Verdict:
    changed = change.limit_ticks, change.trigger_ticks, change.lots
    if working.phase is Phase.MARKET or all(each is None for each in changed):
        message = f"a {working.ticket.type} order has nothing to change here"
        return Refusal(code=Code.NOTHING_TO_MODIFY, message=message)
    for name, has, price in (
        ("limit", working.limit is not None, change.limit_ticks),
        (
            "trigger",
            not working.is_triggered or _repeats_trigger(working, change),
            change.trigger_ticks,
        ),
    ):
        if price is not None and not has:
            message = f"the {working.ticket.type} order has no {name} to change"
            return Refusal(code=Code.INVALID_PRICE, message=message)
    return None


def _repeats_trigger(working: Working, change: Modify) -> bool:
    return working.trigger is not None and change.trigger_ticks == working.trigger


def _keeps_something_to_fill(working: Working, change: Modify, facts: Facts) -> Verdict:
    if change.lots is None:
        return None
    least = max(working.filled + 1, facts.terms.min_lots if facts.terms else 1)
    if change.lots >= least:
        return None
    message = f"{change.lots} lots; {working.filled} have filled, the least is {least}: cancel it"
    return Refusal(code=Code.TOO_FEW_LOTS, message=message)


def _still_rests(working: Working, change: Modify, facts: Facts) -> Verdict:
    if not working.ticket.post_only or working.phase is not Phase.LIMIT:
        return None
    if change.limit_ticks is None:
        return None
    return _post_only(working.ticket.side, change.limit_ticks, facts)
