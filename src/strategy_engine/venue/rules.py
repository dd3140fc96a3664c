"""The gate before the trade: whether an order may go. Pure."""

from collections.abc import Callable

from strategy_engine.core import money
from strategy_engine.matching import rules as matching
from strategy_engine.matching.model import Cause, Side
from strategy_engine.venue.model import Denial, DenialCode, GateRequest, RiskState, Verdict


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
        return _deny(
            DenialCode.HALTED, "the execution is HALTED: no order of the strategy may go; reset it"
        )
    if not request.is_running:
        return _deny(DenialCode.NOT_RUNNING, "the execution is not running; resume or start it")
    if order.opens and request.risk_state is RiskState.REDUCING:
        return _deny(DenialCode.REDUCING, "the execution is REDUCING: only exits may go")
    return None


def _is_for_real(request: GateRequest) -> Verdict:
    if not request.limits.is_shadow:
        return None
    return _deny(DenialCode.SHADOW, "the execution is a shadow: it decides, and nothing is traded")


def _is_current(request: GateRequest) -> Verdict:
    if request.epoch >= request.highest_epoch:
        return None
    return _deny(
        DenialCode.STALE_EPOCH,
        f"epoch {request.epoch} is stale; the execution was taken over at {request.highest_epoch}",
    )


def _is_listed(request: GateRequest) -> Verdict:
    symbol = request.order.symbol
    if symbol in request.limits.symbols:
        return None
    listed = ", ".join(sorted(request.limits.symbols))
    return _deny(
        DenialCode.SYMBOL_NOT_ALLOWED, f"{symbol} is not traded by this execution; it has: {listed}"
    )


def _is_something(request: GateRequest) -> Verdict:
    lots = request.order.lots
    if lots >= 1:
        return None
    return _deny(DenialCode.TOO_FEW_LOTS, f"the order is for {lots} lots; the least is 1")


def _fits_position(request: GateRequest) -> Verdict:
    order, limit = request.order, request.limits.max_position_nanos
    if not order.opens or limit is None:
        return None
    signed = order.lots if order.side is Side.BUY else -order.lots
    notional = request.terms.nanos(abs(request.lots_before + signed) * request.mark_ticks)
    if notional <= limit:
        return None
    return _deny(
        DenialCode.MAX_POSITION_SIZE,
        f"the position would be {_amount(notional)}; max_position_size is {_amount(limit)}",
    )


def _has_loss_left(request: GateRequest) -> Verdict:
    limit = request.limits.daily_loss_limit_nanos
    if not request.order.opens or limit is None or request.day_pnl_nanos > limit:
        return None
    return _deny(
        DenialCode.DAILY_LOSS_LIMIT,
        f"the day's P&L is {_amount(request.day_pnl_nanos)}; daily_loss_limit is {_amount(limit)},"
        " so nothing is opened until the feed's next day",
    )


def _has_cash(request: GateRequest) -> Verdict:
    if not request.order.opens:
        return None
    lot = request.terms.nanos(request.mark_ticks)
    cost = lot + matching.fee(lot, request.limits.fee_ppm)
    if cost <= request.free_nanos:
        return None  # what is beyond the cash is cut when it fills, as in a backtest
    return _deny(
        DenialCode.INSUFFICIENT_CASH,
        f"one lot costs {_amount(cost)} with its fee; free cash is {_amount(request.free_nanos)}",
    )


CHECKS: tuple[Callable[[GateRequest], Verdict], ...] = (
    _is_running,
    _is_for_real,
    _is_current,
    _is_listed,
    _is_something,
    _fits_position,
    _has_loss_left,
    _has_cash,
)


def _deny(code: DenialCode, message: str) -> Denial:
    return Denial(code=code, message=message)


def _amount(nanos: int) -> str:
    return f"{money.to_decimal(nanos):,.2f}"
