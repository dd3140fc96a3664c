"""What risk does to executions: deeds, and what came of them."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from strategy_engine.venue.limits import Scope


class Action(StrEnum):
    """What may be done, from mild to strict."""

    ALERT = "alert"
    REDUCE = "reduce"
    PAUSE = "pause"
    HALT = "halt"
    EMERGENCY_STOP = "emergency_stop"


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """One act of risk; whoever reads it twice does it once.

    Parameters
    ----------
    factor : Decimal or None
        Of a reduction: what is left of each position.
    flattens : bool
        Of an emergency stop: positions are closed at the next price too.
    is_drill : bool
        It is done to see that it works, to one execution: whoever did it may reset it.
    """

    deed_id: str
    action: Action
    scope: Scope
    subject: str
    reason: str
    actor: str
    at: datetime
    factor: Decimal | None = None
    flattens: bool = False
    is_drill: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What came of a deed.

    Parameters
    ----------
    executions : tuple of str
        Those that it is about and that run here.
    cancelled : int
        Orders that waited and are confirmed to wait no more.
    open : tuple of str
        Executions that are being prepared: what waits of theirs is taken back before a price.
    holding : tuple of str
        Executions that still have a position.
    took_s : float
        From being asked until all this was so.
    is_journaled : bool
        False: the disk did not take it, and only this process knows of it.
    """

    deed_id: str
    executions: tuple[str, ...]
    cancelled: int
    open: tuple[str, ...]
    took_s: float
    holding: tuple[str, ...] = ()
    is_journaled: bool = True
