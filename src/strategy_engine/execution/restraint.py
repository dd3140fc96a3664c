"""What a risk command makes of an execution: it only ever holds back further. Pure."""

from dataclasses import dataclass, replace
from datetime import datetime

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


EFFECTS: dict[str, Effect] = {
    commands.PAUSE: Effect(desired=Desired.PAUSE, version=Trigger.PAUSE),
    commands.REDUCE: Effect(risk_state=RiskState.REDUCING),
    commands.HALT: Effect(
        desired=Desired.FLATTEN, risk_state=RiskState.HALTED, version=Trigger.STOP
    ),
}


def restrain(execution: Execution, topic: str, reason: str, *, at: datetime) -> Execution | None:
    """Return the execution as a command wants it, or None if it holds back as much already."""
    effect = EFFECTS[topic]
    if execution.status not in UNENDED or execution.role is Role.VALIDATION:
        return None
    desired = max(execution.desired, effect.desired, key=_DESIRES.index)
    risk_state = max(execution.risk_state, effect.risk_state, key=_RISK_STATES.index)
    if (desired, risk_state) == (execution.desired, execution.risk_state):
        return None
    why = f"{topic}: {reason}"[:_LONGEST_WHY]
    if desired is execution.desired:
        why = execution.desired_why
    return replace(
        execution, desired=desired, desired_why=why, risk_state=risk_state, updated_at=at
    )


def is_held_back(execution: Execution, topic: str) -> bool:
    """Say whether an execution does no more than a command lets it."""
    return _DESIRES.index(execution.desired) >= _DESIRES.index(EFFECTS[topic].desired)
