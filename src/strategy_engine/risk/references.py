"""What losses are measured from: where the day began, and the highest that profit has stood. Pure.

Both are kept as profit (equity beyond what was contributed), so that capital which enters or leaves
moves neither. Those of a line are of all its executions ever: a switch of versions moves neither.
"""

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """What a subject's losses are measured from. Account currency.

    Parameters
    ----------
    day : int
        Days of the feed's clock since 1970, in UTC; -1 before the first bar.
    pnl : Decimal
        The profit at the last look.
    """

    day: int
    day_start_pnl: Decimal
    peak_pnl: Decimal
    pnl: Decimal


def begin(pnl: Decimal, day: int = -1) -> Reference:
    """Return the references of a subject that nothing is known of before."""
    return Reference(day=day, day_start_pnl=pnl, peak_pnl=pnl, pnl=pnl)


def come_to(
    before: Reference,
    pnl: Decimal,
    *,
    day: int,
    day_pnl: Decimal | None = None,
    peak_pnl: Decimal | None = None,
) -> Reference:
    """Return the references after a look.

    Parameters
    ----------
    day_pnl : Decimal or None
        What a new day has brought by now, where that is known; else what came since the last look.
    peak_pnl : Decimal or None
        The highest profit since the last look, where it is known.
    """
    start = before.day_start_pnl
    if day > before.day:
        start = before.pnl if day_pnl is None else pnl - day_pnl
    return Reference(
        day=max(day, before.day),
        day_start_pnl=start,
        peak_pnl=max(before.peak_pnl, pnl, pnl if peak_pnl is None else peak_pnl),
        pnl=pnl,
    )


def rebased(before: Reference) -> Reference:
    """Return the references of a subject that a person lets trade again: they begin anew."""
    return begin(before.pnl, before.day)


def day_pnl(reference: Reference) -> Decimal:
    """Return what the day has brought by the last look."""
    return reference.pnl - reference.day_start_pnl


def drawdown(reference: Reference, equity: Decimal) -> float:
    """Return how far profit is below its highest, as a fraction of what equity would be there.

    Signed: 0 at the highest, -1 where nothing is left. What was contributed since counts as if it
    had been there, so a flow moves neither the loss nor the highest profit, only what they are a
    fraction of.
    """
    lost = reference.peak_pnl - reference.pnl
    if lost <= 0:
        return 0.0
    top = equity + lost
    return -min(1.0, float(lost / top)) if top > 0 else -1.0
