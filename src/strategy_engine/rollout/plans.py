"""A deployment type and what runs on the line become a literal list of steps. Pure."""

from enum import StrEnum

from strategy_engine.core.errors import NotBuiltError
from strategy_engine.rollout.model import DeploymentType


class Step(StrEnum):
    """One thing a rollout does; each is safe to do again."""

    DEPLOY = "deploy"
    STOP_ENTRIES = "stop_entries"
    HAND_OVER = "hand_over"
    START = "start"


ALONE = (Step.DEPLOY,)
PLANS: dict[DeploymentType, tuple[Step, ...]] = {
    DeploymentType.DIRECT: (Step.STOP_ENTRIES, Step.HAND_OVER, Step.DEPLOY, Step.START),
}


PROVEN_BARS = 20  # what a new version must have decided before the old one is let go


def is_proven(bars: int) -> bool:
    """Say whether a new version has decided enough bars to be trusted with the line."""
    return bars >= PROVEN_BARS


def started_message(bars: int) -> str:
    """Return what a finished replacement says; one that was not proven says so."""
    decided = f"running with the line's capital, {bars} bars decided"
    if is_proven(bars):
        return decided
    return f"{decided}: its feed is too slow to have proved it by {PROVEN_BARS}; watch it"


def plan(deployment_type: DeploymentType, *, replaces: bool) -> tuple[Step, ...]:
    """Return the steps of a rollout; with nothing running on the line every type places at once.

    Raises
    ------
    NotBuiltError
        If the line has a running version and the type's way of replacing it does not exist yet.
    """
    if not replaces:
        return ALONE
    if deployment_type not in PLANS:
        raise NotBuiltError(
            f"deployment_type {deployment_type} cannot replace a running version yet;"
            " use direct, or stop the running version first",
            field="deployment_type",
            value=deployment_type.value,
            accepted=[each.value for each in PLANS],
        )
    return PLANS[deployment_type]
