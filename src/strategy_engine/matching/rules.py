"""The fill rules as functions of integers: slippage, fees, protection, size."""

from strategy_engine.core.money import divide_half_even
from strategy_engine.matching.model import PPB, PPM, Cause, Rules, Side, Terms


def slipped(price_ticks: int, side: Side, slippage_ppm: int) -> int:
    """Return the price moved against the taker, rounded against it to a whole tick."""
    if side is Side.BUY:
        return (price_ticks * (PPM + slippage_ppm) + PPM - 1) // PPM
    return max(1, price_ticks * (PPM - slippage_ppm) // PPM)


def fee(value_nanos: int, fee_ppm: int) -> int:
    """Return the fee on a traded value, rounded half to even to a billionth."""
    return divide_half_even(value_nanos * fee_ppm, PPM)


def protection(
    entry_tick_lots: int, lots: int, stop_loss_ppb: int | None, take_profit_ppb: int | None
) -> tuple[int | None, int | None]:
    """Return the stop and the target price in ticks of a position of `lots` (signed).

    Parameters
    ----------
    entry_tick_lots : int
        Σ price × quantity at entry, ticks × lots, positive.
    lots : int
        The position, signed; not 0.
    stop_loss_ppb, take_profit_ppb : int or None
        Distances from the entry price, parts per billion; None or 0 watches nothing.
    """
    sign = 1 if lots > 0 else -1
    entry, rest = divmod(entry_tick_lots, abs(lots))
    scale = PPB
    if rest:  # entered at several prices; else the numbers below are small, and soon divided
        entry, scale = entry_tick_lots, abs(lots) * PPB
    stop = target = None
    if stop_loss_ppb:
        stop = divide_half_even(entry * (PPB - sign * stop_loss_ppb), scale)
    if take_profit_ppb:
        target = divide_half_even(entry * (PPB + sign * take_profit_ppb), scale)
    return stop, target


def touched(
    bar: tuple[int, int, int], lots: int, stop: int | None, target: int | None
) -> tuple[Cause, int] | None:
    """Return what a bar does to a protected position: the cause and the price before slippage.

    A gap beyond a level fills at the open; a bar that touches both levels counts as the stop.

    Parameters
    ----------
    bar : tuple of int
        Open, high and low, ticks.
    """
    open_, high, low = bar
    if lots < 0:  # the mirror image of a long position
        open_, high, low = -open_, -low, -high
        stop = None if stop is None else -stop
        target = None if target is None else -target
    hit: tuple[Cause, int] | None = None
    if stop is not None and open_ <= stop:
        hit = Cause.STOP_LOSS, open_
    elif target is not None and open_ >= target:
        hit = Cause.TAKE_PROFIT, open_
    elif stop is not None and low <= stop:
        hit = Cause.STOP_LOSS, stop
    elif target is not None and high >= target:
        hit = Cause.TAKE_PROFIT, target
    return hit and (hit[0], abs(hit[1]))


def lots_for(share_ppb: int, equity_nanos: int, mark_ticks: int, terms: Terms, rules: Rules) -> int:
    """Return the whole lots that a share of equity buys at a price, within the position limit."""
    budget = share_ppb * equity_nanos // PPB
    if rules.max_position_nanos is not None:
        budget = min(budget, rules.max_position_nanos)
    return terms.lots_within(budget, mark_ticks)


def spendable(nanos: int, reserve_nanos: int) -> int:
    """Return what is left of an amount beside a reserve, never below 0; without a reserve all."""
    return max(0, nanos - reserve_nanos) if reserve_nanos else nanos


def affordable(lots: int, price_ticks: int, free_nanos: int, terms: Terms, rules: Rules) -> int:
    """Return how many of `lots` an opening fill may have: never beyond free cash or the limit."""
    payable = free_nanos * PPM // (PPM + rules.fee_ppm)
    if rules.max_position_nanos is not None:
        payable = min(payable, rules.max_position_nanos)
    return min(lots, terms.lots_within(payable, price_ticks))


def path(bar: tuple[int, int, int, int], lots: int) -> tuple[int, int, int]:
    """Return where the price is taken to go from the open: both extremes, then the close.

    The extreme that is adverse to the position (signed lots) comes first, so that a bar that
    touches a stop and a target counts as the stop; without a position the one nearer to the open.
    """
    open_, high, low, close = bar
    low_first = lots > 0 or (not lots and open_ - low <= high - open_)
    return (low, high, close) if low_first else (high, low, close)
