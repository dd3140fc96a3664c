"""Rollouts as answers show them. Pure."""

from strategy_engine.api import plain, rollouts
from strategy_engine.rollout import shown
from strategy_engine.rollout.effects import Acted, Effect
from strategy_engine.rollout.model import Deployment
from strategy_engine.rollout.plans import Step
from strategy_engine.rollout.shown import StepState
from strategy_engine.rollout.verbs import Verb

_DONE = {
    Verb.PROMOTE: "promoted",
    Verb.PROMOTE_FULL: "promoted_full",
    Verb.SKIP_STEP: "skipped",
    Verb.PAUSE: "paused",
    Verb.RESUME: "resumed",
    Verb.ABORT: "aborting",
    Verb.ROLLBACK: "rolling_back",
    Verb.RETRY: "retried",
    Verb.APPROVE: "approved",
    Verb.REJECT: "rejected",
}
_NOTHING = "nothing_done"


def rollout(deployment: Deployment) -> rollouts.Rollout | None:
    """Return how far a rollout has come; None while there is no plan of it."""
    found = shown.steps(deployment)
    if not found:
        return None
    progress = deployment.progress
    return rollouts.Rollout(
        step=progress.index,
        steps=[_step(number, *each) for number, each in enumerate(found)],
        weights=rollouts.Weights.model_validate(shown.weights(deployment)),
        waits_for=progress.message,
        began_at=progress.began_at,
        reached_at=progress.reached_at,
        hold=_hold(deployment),
        undo=_undo(deployment),
        waived_by=progress.waived_by or None,
        candidate=progress.candidate or None,
        baseline=progress.baseline or None,
        replaces=list(deployment.replaces),
        warm_until=progress.warm_until,
    )


def acted(verb: Verb, found: Acted) -> rollouts.Acted:
    """Return what was done to a deployment, or what would be."""
    deployment, effects = found.deployment, found.effects
    return rollouts.Acted.model_validate(
        {
            "status": _NOTHING if found.is_dry else _DONE[verb],
            "pipeline_id": deployment.pipeline_id,
            "strategy_id": deployment.strategy_id,
            "deployment_status": deployment.state.value,
            "current_stage": deployment.current_stage,
            "dry_run": found.is_dry,
            "would": [] if effects is None else list(effects.sentences),
            "effects": [] if effects is None else [_effect(each) for each in effects.executions],
        }
    )


def _step(number: int, step: Step, state: StepState) -> rollouts.Step:
    return rollouts.Step(
        step=number,
        name=step.name,
        kind=step.kind.value,
        state=state.value,
        weight=step.weight,
        symbols=list(step.symbols),
        min_time=str(step.lasts),
        min_decisions=step.min_decisions,
        requires_analysis=step.requires_analysis,
        has_baseline=step.has_baseline,
    )


def _hold(deployment: Deployment) -> rollouts.Hold | None:
    progress = deployment.progress
    if not progress.held_by:
        return None
    return rollouts.Hold(by=progress.held_by, why=progress.held_why)


def _undo(deployment: Deployment) -> rollouts.Undo | None:
    undo = deployment.progress.undo
    if undo is None:
        return None
    took = None if undo.restored_at is None else undo.restored_at - undo.decided_at
    return rollouts.Undo(
        reason=undo.reason,
        why=undo.why,
        actor=undo.actor,
        decided_at=undo.decided_at,
        restored_at=undo.restored_at,
        restored_in_s=None if took is None else took.total_seconds(),
    )


def _effect(effect: Effect) -> rollouts.Effect:
    return rollouts.Effect(
        execution_id=effect.execution_id,
        strategy_id=effect.strategy_id,
        role=effect.role,
        cancels=effect.cancels,
        closes=effect.closes.value,
        positions=[
            rollouts.Held(symbol=symbol, quantity=plain.number(quantity))
            for symbol, quantity in effect.positions.items()
        ],
        capital_from=plain.number(effect.capital_from),
        capital_to=plain.number(effect.capital_to),
        opens=effect.opens.value,
    )
