"""The gate before the trade: whether an order may go. Pure."""

from collections.abc import Callable

from msgspec.structs import replace

from strategy_engine.matching import rules as matching
from strategy_engine.matching.model import Cause, Side
from strategy_engine.matching.ticket import Modify, Ticket
from strategy_engine.venue import ceilings
from strategy_engine.venue.denials import amount, deny
from strategy_engine.venue.gate import GateRequest, TicketRequest
from strategy_engine.venue.model import (
    DenialCode,
    RiskState,
    Verdict,
)

MOST_WORKING = 500  # a native strategy's orders that have not ended; each is in every checkpoint
LONGEST_ORDER_ID = 100
# Orders refused for their name have no row: there is none to give them.
NAMELESS = frozenset({DenialCode.INVALID_ORDER_ID, DenialCode.DUPLICATE_ORDER_ID})
ENGINES_OWN = "handover-"  # how the names of the engine's own orders begin


def judge(request: GateRequest) -> Verdict:
    """Return why an order may not go to the venue, or None; the first check that fails answers.

    Orders that only reduce a position pass every check of size and money. The engine's own exits
    (`Cause.HANDOVER`) pass while the execution is halted or not running: they are how it is left.
    """
    for check in CHECKS:
        denial = check(request)
        if denial is not None:
            return denial
    return None


def _is_running(request: GateRequest) -> Verdict:
    order = request.order
    if order.cause is Cause.HANDOVER:
        return None
    if request.risk_state is RiskState.HALTED:
        return deny(
            DenialCode.HALTED, "the execution is HALTED: no order of the strategy may go; reset it"
        )
    if not request.is_running:
        return deny(DenialCode.NOT_RUNNING, "the execution is not running; resume or start it")
    return None


def _is_its_turn(request: GateRequest) -> Verdict:
    order = request.order
    is_exit = not order.opens and request.lots_before
    span = request.serves.of(order.symbol)
    if is_exit or order.cause is Cause.HANDOVER or span.holds(order.decided_ns):
        return None
    if span.is_before(order.decided_ns):
        return deny(
            DenialCode.SHADOW, "the execution is a shadow: it decides, and nothing is traded"
        )
    return deny(
        DenialCode.REPLACED,
        f"another execution serves {order.symbol} on this bar; this one may only exit",
    )


def _may_open_at_all(request: GateRequest) -> Verdict:
    if not request.order.opens or request.risk_state is not RiskState.REDUCING:
        return None
    return deny(DenialCode.REDUCING, "the execution is REDUCING: only exits may go")


def _is_current(request: GateRequest) -> Verdict:
    if request.epoch >= request.highest_epoch:
        return None
    return deny(
        DenialCode.STALE_EPOCH,
        f"epoch {request.epoch} is stale; the execution was taken over at {request.highest_epoch}",
    )


def _is_listed(request: GateRequest) -> Verdict:
    symbol = request.order.symbol
    if symbol in request.symbols:
        return None
    listed = ", ".join(sorted(request.symbols))
    return deny(
        DenialCode.SYMBOL_NOT_ALLOWED, f"{symbol} is not traded by this execution; it has: {listed}"
    )


def _is_something(request: GateRequest) -> Verdict:
    lots = request.order.lots
    if lots >= 1:
        return None
    return deny(DenialCode.TOO_FEW_LOTS, f"the order is for {lots} lots; the least is 1")


def _has_cash(request: GateRequest) -> Verdict:
    if not request.order.opens:
        return None
    lot = request.terms.nanos(request.mark_ticks)
    cost = lot + matching.fee(lot, request.fee_ppm)
    if cost <= request.free_nanos:
        return None  # what is beyond the cash is cut when it fills, as in a backtest
    return deny(
        DenialCode.INSUFFICIENT_CASH,
        f"one lot costs {amount(cost)} with its fee; free cash is {amount(request.free_nanos)}",
    )


def _is_not_vetoed(request: GateRequest) -> Verdict:
    # The last: what the gate refuses by itself is refused for that, whatever was said outside.
    why = request.around.vetoed
    return None if why is None else deny(DenialCode.VETOED, why)


CHECKS: tuple[Callable[[GateRequest], Verdict], ...] = (
    ceilings.is_not_killed,
    _is_running,
    _is_its_turn,
    _may_open_at_all,
    _is_current,
    _is_listed,
    _is_something,
    *ceilings.CHECKS,
    _has_cash,
    _is_not_vetoed,
)


# --- native strategies


def judge_ticket(asked: TicketRequest) -> Verdict:
    """Return why a native strategy's order may not go to the venue, or None.

    Money is the venue's to judge, when the order fills: it may rest until there is some.
    """
    return _first(TICKET_CHECKS, asked)


def judge_change(asked: TicketRequest) -> Verdict:
    """Return why a working order may not be changed to what `asked` has, or None."""
    return _first(CHANGE_CHECKS, asked)


def _first(checks: tuple[Callable[[TicketRequest], Verdict], ...], asked: TicketRequest) -> Verdict:
    for check in checks:
        denial = check(asked)
        if denial is not None:
            return denial
    return None


def may_open(ticket: Ticket, held_lots: int, others_lots: int = 0) -> bool:
    """Return whether any of an order could open or enlarge a position.

    Parameters
    ----------
    held_lots : int
        The position, signed.
    others_lots : int
        What other orders of its side, which could open too, have still to fill.
    """
    if ticket.reduce_only:
        return False
    against = -held_lots if ticket.side is Side.BUY else held_lots
    return ticket.lots > max(0, against - others_lots)


def price_at_most(ticket: Ticket, mark_ticks: int) -> int:
    """Return the price that an order's notional is judged at: the dearest it may begin to fill at.

    A bought limit never pays more than its limit; anything else may be met at the market too.
    """
    if ticket.side is Side.BUY and ticket.limit_ticks is not None:
        return ticket.limit_ticks
    return max(mark_ticks, ticket.limit_ticks or 0, ticket.trigger_ticks or 0)


def changed(order: Ticket, leaves: int, change: Modify, filled: int) -> Ticket:
    """Return what is left of a working order, as a change of it would have it."""
    prices = {
        name: value
        for name in ("limit_ticks", "trigger_ticks")
        if (value := getattr(change, name)) is not None
    }
    return replace(order, lots=leaves if change.lots is None else change.lots - filled, **prices)


def _has_a_name(asked: TicketRequest) -> Verdict:
    name = asked.request.order.order_id
    if 0 < len(name) <= LONGEST_ORDER_ID and name.isprintable() and not _is_engines(name):
        return None
    return deny(
        DenialCode.INVALID_ORDER_ID,
        f"a client order id has 1 to {LONGEST_ORDER_ID} printable characters and does not begin"
        f" with {ENGINES_OWN!r}; this one has {len(name)}",
    )


def _is_engines(name: str) -> bool:
    return name.startswith(ENGINES_OWN)


def _has_a_name_of_its_own(asked: TicketRequest) -> Verdict:
    if not asked.is_known:
        return None
    name = asked.request.order.order_id
    return deny(
        DenialCode.DUPLICATE_ORDER_ID, f"there has been an order {name}; give each its own name"
    )


def _is_one_of_few(asked: TicketRequest) -> Verdict:
    if asked.working < MOST_WORKING:
        return None
    return deny(
        DenialCode.TOO_MANY_ORDERS,
        f"{asked.working} orders work already; at most {MOST_WORKING} may: cancel some first",
    )


def _has_entries_left(asked: TicketRequest) -> Verdict:
    if not asked.request.order.opens or asked.entries_left is None or asked.entries_left > 0:
        return None
    return deny(
        DenialCode.MAX_TRADES_PER_DAY,
        "the day's entries, with the orders that work, have come to max_trades_per_day;"
        " nothing is opened until the feed's next day",
    )


def _of_any(check: Callable[[GateRequest], Verdict]) -> Callable[[TicketRequest], Verdict]:
    return lambda asked: check(asked.request)


_CEILINGS = tuple(_of_any(each) for each in ceilings.CHECKS)
CHANGE_CHECKS: tuple[Callable[[TicketRequest], Verdict], ...] = (
    _of_any(ceilings.is_not_killed),
    _of_any(_is_running),
    _of_any(_is_its_turn),
    _of_any(_may_open_at_all),
    _of_any(_is_current),
    *_CEILINGS,
    _of_any(_is_not_vetoed),
)
TICKET_CHECKS: tuple[Callable[[TicketRequest], Verdict], ...] = (
    _has_a_name,
    _has_a_name_of_its_own,
    _of_any(ceilings.is_not_killed),
    _of_any(_is_running),
    _of_any(_is_its_turn),
    _of_any(_may_open_at_all),
    _of_any(_is_current),
    _of_any(_is_listed),
    _of_any(_is_something),
    _is_one_of_few,
    *_CEILINGS,
    _has_entries_left,
    _of_any(_is_not_vetoed),
)
