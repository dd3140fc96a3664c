"""The limits of the gate, one check each. Pure.

None of them holds back an order that only reduces: a limit never keeps anybody in a position.
"""

from collections.abc import Callable

from strategy_engine.core import money
from strategy_engine.matching.model import Cause, Order, Side
from strategy_engine.venue import hours
from strategy_engine.venue.aggregates import ALONE, Beside
from strategy_engine.venue.denials import amount, deny
from strategy_engine.venue.gate import GateRequest
from strategy_engine.venue.limits import PPB, Limit, Limits
from strategy_engine.venue.model import DenialCode, Verdict


def is_not_killed(request: GateRequest) -> Verdict:
    """Let nothing go that an emergency stop is about; the engine's own exits are how it is left."""
    why = request.around.killed
    if why is None or request.order.cause is Cause.HANDOVER:
        return None
    return deny(DenialCode.KILLED, f"an emergency stop is in force: {why}")


def judge_cancel(limits: Limits, cancels: int, beside: Callable[[Limit], Beside]) -> Verdict:
    """Return why a strategy may not take an order back, or None.

    Parameters
    ----------
    cancels : int
        That it has sent within the last minute of the feed's clock.
    """
    for limit in limits.every("max_cancels_per_minute"):
        sent = cancels + beside(limit).cancels
        if sent >= limit.value:
            return deny(
                DenialCode.MAX_CANCELS_PER_MINUTE,
                f"{sent} cancels were sent within a minute; {limit.said}",
            )
    return None


def _has_allowed_symbol(request: GateRequest) -> Verdict:
    order = request.order
    for limit in request.limits.every("allowed_symbols"):
        if order.symbol not in limit.value:
            return deny(
                DenialCode.SYMBOL_NOT_ALLOWED, f"{order.symbol} may not be traded; {limit.said}"
            )
    return None


def _is_in_hours(request: GateRequest) -> Verdict:
    for limit in request.limits.every("trading_hours"):
        if not hours.holds(limit.value, request.order.decided_ns):
            return deny(
                DenialCode.TRADING_HOURS, f"nothing is opened outside of hours; {limit.said}"
            )
    return None


def _fits_quantity(request: GateRequest) -> Verdict:
    quantity = request.order.lots * request.terms.lot_nanos
    for limit in request.limits.every("max_order_quantity"):
        if quantity > limit.value:
            return deny(
                DenialCode.MAX_ORDER_QUANTITY,
                f"the order is for {money.to_decimal(quantity):,f}; {limit.said}",
            )
    return None


def _fits_notional(request: GateRequest) -> Verdict:
    for limit in request.limits.every("max_order_notional"):
        notional = request.terms.nanos(request.order.lots * request.mark_ticks)
        if notional > limit.value:
            return deny(
                DenialCode.MAX_ORDER_NOTIONAL,
                f"the order is worth {amount(notional)}; {limit.said}",
            )
    return None


def _is_within_collar(request: GateRequest) -> Verdict:
    prices, mark = request.around.prices, request.around.mark_ticks
    if not prices:
        return None
    for limit in request.limits.every("price_collar"):
        for price in prices:
            if abs(price - mark) * PPB > limit.value * mark:
                return deny(
                    DenialCode.PRICE_COLLAR,
                    f"the order names {request.terms.price(price):g} and the last price is"
                    f" {request.terms.price(mark):g}; {limit.said}",
                )
    return None


def _fits_position(request: GateRequest) -> Verdict:
    for limit in request.limits.every("max_position_size"):
        order, beside = request.order, _beside(request, limit)
        together = _position(request) + beside.of(order.side)
        if together > limit.value:
            return deny(
                DenialCode.MAX_POSITION_SIZE,
                f"the position would be {amount(together)}; {limit.said}",
            )
    return None


def _fits_leverage(request: GateRequest) -> Verdict:
    around = request.around
    for limit in request.limits.every("max_leverage"):
        beside = _beside(request, limit)
        own = around.elsewhere_nanos + max(_position(request), around.against_nanos)
        gross, equity = own + beside.gross_nanos, around.equity_nanos + beside.equity_nanos
        if gross * PPB > limit.value * equity:
            return deny(
                DenialCode.MAX_LEVERAGE,
                f"the exposure would be {amount(gross)} on an equity of {amount(equity)};"
                f" {limit.said}",
            )
    return None


def _has_loss_left(request: GateRequest) -> Verdict:
    limit = used_up(request.limits, request.day_pnl_nanos, lambda each: _beside(request, each))
    if limit is None:
        return None
    together = request.day_pnl_nanos + _beside(request, limit).pnl_nanos
    return deny(
        DenialCode.DAILY_LOSS_LIMIT,
        f"the day's P&L is {amount(together)}; {limit.said},"
        " so nothing is opened until the feed's next day",
    )


def used_up(limits: Limits, pnl_nanos: int, beside: Callable[[Limit], Beside]) -> Limit | None:
    """Return the limit on the day's loss that is reached; None while there is some left."""
    for limit in limits.every("daily_loss_limit"):
        if pnl_nanos + beside(limit).pnl_nanos <= limit.value:
            return limit
    return None


def _is_not_too_often(request: GateRequest) -> Verdict:
    for limit in request.limits.every("max_orders_per_minute"):
        sent = request.around.orders + _beside(request, limit).orders
        if sent >= limit.value:
            return deny(
                DenialCode.MAX_ORDERS_PER_MINUTE,
                f"{sent} orders were sent within a minute; {limit.said}",
            )
    return None


def _meets_no_rival(request: GateRequest) -> Verdict:
    rival = request.around.rival
    if rival is None:
        return None
    if any(each.value for each in request.limits.every("allow_self_match")):
        return None
    return deny(
        DenialCode.SELF_MATCH,
        f"the order would trade against one of {rival}, another version of its line",
    )


def _for_entries(check: Callable[[GateRequest], Verdict]) -> Callable[[GateRequest], Verdict]:
    return lambda request: check(request) if request.order.opens else None


CHECKS: tuple[Callable[[GateRequest], Verdict], ...] = tuple(
    _for_entries(each)
    for each in (
        _has_allowed_symbol,
        _is_in_hours,
        _fits_quantity,
        _fits_notional,
        _is_within_collar,
        _fits_position,
        _has_loss_left,
        _fits_leverage,
        _is_not_too_often,
        _meets_no_rival,
    )
)


def _position(request: GateRequest) -> int:
    return request.terms.nanos(
        abs(request.lots_before + _signed(request.order)) * request.mark_ticks
    )


def _signed(order: Order) -> int:
    return order.lots if order.side is Side.BUY else -order.lots


def _beside(request: GateRequest, limit: Limit) -> Beside:
    return request.around.beside.get(limit.scope, ALONE)
