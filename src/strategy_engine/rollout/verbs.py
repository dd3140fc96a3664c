"""What people may do to a deployment, and what each verb makes of it. Pure.

Every verb may be said again: where what it asks for is so already, the deployment stays as it is.
One that names the step it means (`Asked.step`) does nothing when that step has passed.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from strategy_engine.core.errors import ConflictError
from strategy_engine.infra import audit
from strategy_engine.rollout import durations, plans
from strategy_engine.rollout.model import Approval, Deployment, Outcome, Progress, State, Undo
from strategy_engine.rollout.plans import Kind, Step


class Verb(StrEnum):
    """What a person does; the value is the audit row's action."""

    PROMOTE = "promote"  # the step ends without its gate
    PROMOTE_FULL = "promote_full"  # no step's gate counts any more, up to the whole
    SKIP_STEP = "skip_step"  # the step is left out
    PAUSE = "pause"
    RESUME = "resume"
    ABORT = "abort"
    ROLLBACK = "rollback"
    RETRY = "retry"  # a deployment anew, of the same version with the same options
    APPROVE = "approve"
    REJECT = "reject"


# Steps that end by a gate, which a person may waive. The others end when they are done.
WATCHED = frozenset({Kind.SHADOW, Kind.WEIGHT, Kind.PAUSE, Kind.ANALYSIS})
UNDO = "undo"  # what `current_stage` says meanwhile
REASONS = {Verb.ABORT: "aborted", Verb.ROLLBACK: "rolled_back", Verb.REJECT: "rejected"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Who says a verb, when and why.

    Parameters
    ----------
    is_local : bool
        No key is in use: nobody can tell who asks from who approves.
    step : int or None
        The step that is meant; None: whichever the deployment is at.
    """

    actor: str
    now: datetime
    comment: str = ""
    is_local: bool = False
    step: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What a completed deployment's rows do not tell. Empty texts: nothing is in the way.

    Parameters
    ----------
    superseded : str
        Why the line is not this version's any more.
    gone : str
        Why the version before it could not be started again.
    """

    superseded: str = ""
    gone: str = ""


NOTHING_KNOWN = Standing()
type _Rule = Callable[[Deployment, Asked, Standing], Deployment | str]


def after(
    deployment: Deployment, verb: Verb, asked: Asked, standing: Standing = NOTHING_KNOWN
) -> Deployment:
    """Return what a verb makes of a deployment; the same one, where it is so already.

    Raises
    ------
    ConflictError
        If it cannot be done now; it says why, and what can.
    """
    found = _RULES[verb](deployment, asked, standing)
    if isinstance(found, Deployment):
        return found
    verbs = possible(deployment, asked, standing)
    raise ConflictError(
        f"{deployment.pipeline_id} {found}; possible now: {', '.join(verbs) or 'nothing'}",
        state=deployment.state.value,
        accepted=[each.value for each in verbs],
    )


def possible(
    deployment: Deployment, asked: Asked, standing: Standing = NOTHING_KNOWN
) -> tuple[Verb, ...]:
    """Return the verbs that would do something now."""
    results = {verb: rule(deployment, asked, standing) for verb, rule in _RULES.items()}
    return tuple(
        verb
        for verb, found in results.items()
        if isinstance(found, Deployment) and (found != deployment or verb is Verb.RETRY)
    )


def _promote(deployment: Deployment, asked: Asked, standing: Standing) -> Deployment | str:
    del standing
    step = _gated(deployment, asked)
    if not isinstance(step, Step):
        return step
    return _on(deployment, _lifted(deployment.progress), waived_by=asked.actor)


def _skip_step(deployment: Deployment, asked: Asked, standing: Standing) -> Deployment | str:
    del standing
    step = _gated(deployment, asked)
    if not isinstance(step, Step):
        return step
    return _jump(deployment, deployment.progress.index + 1)


def _promote_full(deployment: Deployment, asked: Asked, standing: Standing) -> Deployment | str:
    del standing
    if _is_past(deployment, asked):
        return deployment
    step = _at(deployment, asked)
    if not isinstance(step, Step):
        return step
    steps, index = plans.from_plain(deployment.plan), deployment.progress.index
    switch = _switch_of_all(steps)
    if switch is not None and index >= switch:
        return deployment  # it is on its way there; what is watched afterwards stays watched
    if reason := _in_the_way(deployment, steps[: len(steps) if switch is None else switch]):
        return reason
    if switch is None:
        return _ungated(deployment, steps, asked)
    return _jump(replace(deployment, progress=_lifted(deployment.progress)), switch)


def _pause(deployment: Deployment, asked: Asked, standing: Standing) -> Deployment | str:
    del standing
    if reason := _not_rolling(deployment):
        return reason
    if deployment.progress.held_by not in {"", audit.ENGINE}:
        return deployment
    why = asked.comment or f"paused by {asked.actor}"
    return _on(deployment, deployment.progress, held_by=asked.actor, held_why=why, held_for="")


def _resume(deployment: Deployment, asked: Asked, standing: Standing) -> Deployment | str:
    del standing
    if reason := _not_rolling(deployment):
        return reason
    progress = deployment.progress
    if not progress.held_by:
        return deployment
    # What it waited for may take its whole time once more: the deadlines begin anew.
    began_at = None if progress.began_at is None else asked.now
    return _on(deployment, _lifted(progress), began_at=began_at)


def _abort(deployment: Deployment, asked: Asked, standing: Standing) -> Deployment | str:
    del standing
    if deployment.progress.undo is not None:
        return deployment
    if deployment.is_unplaced:
        return deployment.cancelled(_undo(Verb.ABORT, asked))
    return _not_rolling(deployment) or _undone(deployment, Verb.ABORT, asked)


def _rollback(deployment: Deployment, asked: Asked, standing: Standing) -> Deployment | str:
    if deployment.progress.undo is not None:
        return deployment
    if deployment.state is State.COMPLETED:
        return _not_taken_back(deployment, asked, standing) or _undone(
            deployment, Verb.ROLLBACK, asked
        )
    return _not_rolling(deployment) or _undone(deployment, Verb.ROLLBACK, asked)


def _retry(deployment: Deployment, asked: Asked, standing: Standing) -> Deployment | str:
    del asked, standing
    is_taken_back = deployment.outcome in {Outcome.ROLLED_BACK, Outcome.ABORTED}
    if deployment.state is State.FAILED or (deployment.state is State.COMPLETED and is_taken_back):
        return deployment
    return f"is {deployment.state}; only what failed or was rolled back is tried again"


def _approve(deployment: Deployment, asked: Asked, standing: Standing) -> Deployment | str:
    del standing
    if _is_past(deployment, asked):
        return deployment
    progress, step = deployment.progress, _at(deployment, asked)
    is_asking = isinstance(step, Step) and step.kind is Kind.APPROVAL
    if is_asking and progress.index not in progress.approved:
        approved = (*progress.approved, progress.index)
        return _own(deployment, asked) or _on(deployment, progress, approved=approved)
    if is_asking or (deployment.approval is not None and deployment.approval.approved):
        return deployment
    if reason := _not_waiting(deployment, step):
        return reason
    return _own(deployment, asked) or _answered(deployment, asked, approved=True)


def _reject(deployment: Deployment, asked: Asked, standing: Standing) -> Deployment | str:
    del standing
    undo, step = deployment.progress.undo, _at(deployment, asked)
    if undo is not None and undo.reason == REASONS[Verb.REJECT]:
        return deployment
    if isinstance(step, Step) and step.kind is Kind.APPROVAL:
        if deployment.progress.index in deployment.progress.approved:
            return "has its answer already: it was approved"
        return _undone(deployment, Verb.REJECT, asked)
    if deployment.approval is not None and not deployment.approval.approved:
        return deployment
    return _not_waiting(deployment, step) or _answered(deployment, asked, approved=False)


_RULES: dict[Verb, _Rule] = {
    Verb.PROMOTE: _promote,
    Verb.PROMOTE_FULL: _promote_full,
    Verb.SKIP_STEP: _skip_step,
    Verb.PAUSE: _pause,
    Verb.RESUME: _resume,
    Verb.ABORT: _abort,
    Verb.ROLLBACK: _rollback,
    Verb.RETRY: _retry,
    Verb.APPROVE: _approve,
    Verb.REJECT: _reject,
}


def _not_rolling(deployment: Deployment) -> str:
    undo = deployment.progress.undo
    if deployment.state is not State.ROLLING_OUT:
        return f"is {deployment.state}, not rolling out"
    return "" if undo is None else f"is being undone: {undo.why}"


def _is_past(deployment: Deployment, asked: Asked) -> bool:
    return asked.step is not None and asked.step < deployment.progress.index


def _at(deployment: Deployment, asked: Asked) -> Step | str:
    """Return the step that a rollout is at, or why it is at none, or not at the one meant."""
    if reason := _not_rolling(deployment):
        return reason
    steps, index = plans.from_plain(deployment.plan), deployment.progress.index
    if index >= len(steps):
        return "has no plan yet: it has only just begun to roll out"
    if asked.step is not None and asked.step != index:
        return f"is at step {index} ({steps[index].name}), not at {asked.step}"
    return steps[index]


def _gated(deployment: Deployment, asked: Asked) -> Step | Deployment | str:
    """Return the step that a rollout is at, if it ends by a gate."""
    if _is_past(deployment, asked):
        return deployment
    step = _at(deployment, asked)
    if isinstance(step, Step) and step.kind not in WATCHED:
        return _no_gate(deployment, step)
    return step


def _in_the_way(deployment: Deployment, steps: tuple[Step, ...]) -> str:
    """Return which of some steps no verb leads past, or empty text."""
    progress = deployment.progress
    if steps[progress.index].kind is Kind.PREPARE:
        return _no_gate(deployment, steps[progress.index])
    for number, step in enumerate(steps[progress.index :], progress.index):
        if step.kind is Kind.APPROVAL and number not in progress.approved:
            return f"has an approval at step {number} that nobody has given; it comes first"
    return ""


def _no_gate(deployment: Deployment, step: Step) -> str:
    told = {
        Kind.PREPARE: "nothing gets capital before it is READY",
        Kind.APPROVAL: "it waits for an approval: approve or reject it",
    }
    why = told.get(step.kind, "it has no gate, and ends when it is done")
    return f"is at step {deployment.progress.index} ({step.name}): {why}"


def _switch_of_all(steps: tuple[Step, ...]) -> int | None:
    found = (
        number for number, step in enumerate(steps) if step.kind is Kind.SWITCH and not step.symbols
    )
    return next(found, None)


def _jump(deployment: Deployment, index: int) -> Deployment:
    """Return a deployment that begins a later step; those before it from its own on are skipped."""
    progress = deployment.progress
    is_held = progress.held_by not in {"", audit.ENGINE}  # the engine's hold was of the old step
    return replace(
        deployment,
        progress=Progress(  # nothing that counted for one step counts for another
            index=index,
            candidate=progress.candidate,
            baseline=progress.baseline,
            capital=progress.capital,
            held_by=progress.held_by if is_held else "",
            held_why=progress.held_why if is_held else "",
            is_still=progress.is_still,
            seen_from_ns=progress.seen_from_ns,
            approved=progress.approved,
            switched=progress.switched,
            skipped=(*progress.skipped, *range(progress.index, index)),
            warm_until=progress.warm_until,
        ),
    )


def _ungated(deployment: Deployment, steps: tuple[Step, ...], asked: Asked) -> Deployment:
    index = deployment.progress.index
    plan = tuple(
        replace(step, lasts=durations.NONE, min_decisions=0, requires_analysis=False)
        if number >= index and step.kind in WATCHED
        else step
        for number, step in enumerate(steps)
    )
    ungated = replace(deployment, plan=tuple(plans.to_plain(plan)))
    is_watched = steps[index].kind in WATCHED
    waived_by = asked.actor if is_watched else deployment.progress.waived_by
    return _on(ungated, _lifted(deployment.progress), waived_by=waived_by)


def _undone(deployment: Deployment, verb: Verb, asked: Asked) -> Deployment:
    undo = _undo(verb, asked)
    if deployment.state is State.ROLLING_OUT:
        deployment = replace(deployment, current_stage=UNDO)
    return _on(deployment, _lifted(deployment.progress), undo=undo, message=undo.why)


def _undo(verb: Verb, asked: Asked) -> Undo:
    why = f"{REASONS[verb].replace('_', ' ')} by {asked.actor}"
    why += f": {asked.comment}" if asked.comment else ""
    return Undo(reason=REASONS[verb], why=why, actor=asked.actor, decided_at=asked.now)


def _not_taken_back(deployment: Deployment, asked: Asked, standing: Standing) -> str:
    if deployment.outcome is not Outcome.PROMOTED or not deployment.replaces:
        return "replaced no version that could take over again"
    if standing.superseded:
        return f"cannot be taken back: {standing.superseded}"
    warm_until = deployment.progress.warm_until
    if standing.gone and (warm_until is None or asked.now >= warm_until):
        return f"cannot be taken back: {standing.gone}"
    return ""


def _not_waiting(deployment: Deployment, step: Step | str) -> str:
    if deployment.state is State.ROLLING_OUT:
        if isinstance(step, str):
            return step
        number = deployment.progress.index
        return f"is at step {number} ({step.name}), which waits for no approval"
    if deployment.state is not State.AWAITING_APPROVAL:
        return f"is {deployment.state}, and does not wait for an approval"
    return "has its answer already" if deployment.approval is not None else ""


def _own(deployment: Deployment, asked: Asked) -> str:
    if asked.is_local or deployment.requested_by != asked.actor:
        return ""
    return (
        f"was asked for by {asked.actor}, and who asks does not approve; let another person with"
        " the permission approve it"
    )


def _answered(deployment: Deployment, asked: Asked, *, approved: bool) -> Deployment:
    approval = Approval(
        approved=approved,
        actor=asked.actor,
        comment=asked.comment,
        at=asked.now,
        is_unchecked=asked.is_local,
    )
    return replace(deployment, approval=approval)


def _lifted(progress: Progress) -> Progress:
    return replace(progress, held_by="", held_why="", held_for="")


def _on(deployment: Deployment, progress: Progress, **fields: object) -> Deployment:
    return replace(deployment, progress=replace(progress, **fields))  # type: ignore[arg-type]  # each is a field of it by name
