"""How far a rollout has come, as people see it: its steps, its weights, what it waits for. Pure."""

from dataclasses import dataclass
from enum import StrEnum

from strategy_engine.rollout import plans
from strategy_engine.rollout.model import Deployment, Outcome, State
from strategy_engine.rollout.plans import FULL, Step


class StepState(StrEnum):
    """Where a rollout stands to one of its steps."""

    DONE = "done"
    NOW = "now"
    WAITING = "waiting"
    SKIPPED = "skipped"
    STOPPED = "stopped"  # it was at it when it ended otherwise
    NEVER = "never"  # and never came to it


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """The shares of the line's capital that are in force; the rest is cash."""

    new: float
    baseline: float
    before: float


def steps(deployment: Deployment) -> list[tuple[Step, StepState]]:
    """Return the steps of a plan with their states; none, while there is no plan."""
    plan = plans.from_plain(deployment.plan)
    return [(step, _state(deployment, number)) for number, step in enumerate(plan)]


def weights(deployment: Deployment) -> Weights:
    """Return the shares that were in place at the last look; that of a step that is not is not."""
    plan = plans.from_plain(deployment.plan)
    if not plan or not deployment.replaces:
        return Weights(new=0.0, baseline=0.0, before=0.0)
    step = _in_force(deployment, plan)
    new = 0.0 if step is None else step.weight
    baseline = new if step is not None and step.has_baseline else 0.0
    return Weights(new=new, baseline=baseline, before=max(0.0, FULL - new - baseline))


def is_undone(deployment: Deployment) -> bool:
    """Return whether the line is the version's before it again."""
    undo = deployment.progress.undo
    return undo is not None and undo.restored_at is not None


def _in_force(deployment: Deployment, plan: tuple[Step, ...]) -> Step | None:
    progress = deployment.progress
    if is_undone(deployment):
        return None
    if deployment.state is State.COMPLETED:
        return plan[-1]
    is_reached = progress.reached_at is not None
    placed = [
        plan[number]
        for number in range(min(progress.index + is_reached, len(plan)))
        if number not in progress.skipped
    ]
    return placed[-1] if placed else None


def _state(deployment: Deployment, number: int) -> StepState:
    progress = deployment.progress
    if number in progress.skipped:
        return StepState.SKIPPED
    is_promoted = deployment.state is State.COMPLETED and deployment.outcome is Outcome.PROMOTED
    if number < progress.index or is_promoted:
        return StepState.DONE
    has_ended = deployment.state in {State.FAILED, State.COMPLETED}
    if number == progress.index:
        return StepState.STOPPED if has_ended else StepState.NOW
    return StepState.NEVER if has_ended else StepState.WAITING
