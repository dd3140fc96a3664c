"""What risk makes of an execution: it only ever holds back further. Pure.

A command of the bus, or a deed of risk, ends in the row. Until the row can be written, a deed is a
restraint in the memory of who runs the execution; the stricter of both counts.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from strategy_engine.execution.engagement import Engagement
from strategy_engine.execution.model import UNENDED, Desired, Execution, Role
from strategy_engine.infra.bus import commands
from strategy_engine.registry.model import Trigger
from strategy_engine.venue.model import RiskState

_LONGEST_WHY = 200

_DESIRES = (Desired.RUN, Desired.PAUSE, Desired.DRAIN, Desired.FLATTEN, Desired.STOP)
_RISK_STATES = (RiskState.ACTIVE, RiskState.REDUCING, RiskState.HALTED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What a command asks of an execution, and of its version once no execution goes on."""

    desired: Desired = Desired.RUN
    risk_state: RiskState = RiskState.ACTIVE
    version: Trigger | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Restraint:
    """What one deed of risk holds an execution to, beside what its row says.

    Parameters
    ----------
    flattens : bool
        Its positions are closed at the next price, and then it ends.
    reduce_factor : Decimal or None
        What is left of each position after it is cut, once, at the next price.
    kills : bool
        Every order that waits is taken back, exits too. The gate is shut by the kill state.
    """

    deed_id: str
    why: str
    risk_state: RiskState = RiskState.ACTIVE
    is_paused: bool = False
    flattens: bool = False
    reduce_factor: Decimal | None = None
    kills: bool = False

    @property
    def desired(self) -> Desired:
        """What is wanted of an execution that is held to it."""
        if self.flattens:
            return Desired.FLATTEN
        return Desired.PAUSE if self.is_paused else Desired.RUN

    @property
    def withdraws_entries(self) -> bool:
        """Whether what waits to open a position is taken back."""
        return self.flattens or self.is_paused or self.risk_state is not RiskState.ACTIVE


def held(engagement: Engagement, restraints: Iterable[Restraint]) -> Engagement:
    """Return what is asked of an execution by its row and by restraints: the stricter of them."""
    for each in restraints:
        risk_state = max(engagement.risk_state, each.risk_state, key=_RISK_STATES.index)
        engagement = replace(engagement, risk_state=risk_state)
        if _DESIRES.index(each.desired) > _DESIRES.index(engagement.desired):
            engagement = replace(engagement, desired=each.desired, why=each.why[:_LONGEST_WHY])
    return engagement


EFFECTS: dict[str, Effect] = {
    commands.PAUSE: Effect(desired=Desired.PAUSE, version=Trigger.PAUSE),
    commands.REDUCE: Effect(risk_state=RiskState.REDUCING),
    commands.HALT: Effect(
        desired=Desired.FLATTEN, risk_state=RiskState.HALTED, version=Trigger.STOP
    ),
}


def restrain(execution: Execution, topic: str, reason: str, *, at: datetime) -> Execution | None:
    """Return the execution as a command wants it, or None if it holds back as much already."""
    return _held_to(execution, EFFECTS[topic], f"{topic}: {reason}", at)


def applied(execution: Execution, restraint: Restraint, *, at: datetime) -> Execution | None:
    """Return the execution's row as a deed wants it, or None if it holds back as much already."""
    return _held_to(execution, effect_of(restraint), restraint.why, at)


def effect_of(restraint: Restraint) -> Effect:
    """Return what a deed asks of an execution, and of its version."""
    version = None
    if restraint.flattens:
        version = Trigger.STOP
    elif restraint.is_paused:
        version = Trigger.PAUSE
    return Effect(desired=restraint.desired, risk_state=restraint.risk_state, version=version)


def _held_to(execution: Execution, effect: Effect, why: str, at: datetime) -> Execution | None:
    if execution.status not in UNENDED or execution.role is Role.VALIDATION:
        return None
    desired = max(execution.desired, effect.desired, key=_DESIRES.index)
    risk_state = max(execution.risk_state, effect.risk_state, key=_RISK_STATES.index)
    if (desired, risk_state) == (execution.desired, execution.risk_state):
        return None
    why = why[:_LONGEST_WHY] if desired is not execution.desired else execution.desired_why
    return replace(
        execution, desired=desired, desired_why=why, risk_state=risk_state, updated_at=at
    )


def is_held_back(execution: Execution, effect: Effect) -> bool:
    """Say whether an execution does no more than this lets it."""
    return _DESIRES.index(execution.desired) >= _DESIRES.index(effect.desired)
