"""A deployment: one version on its way through validation and approval to capital."""

from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from strategy_engine.core.transitions import next_state


class State(StrEnum):
    """Where a deployment is; `completed` and `failed` are its only ends."""

    QUEUED = "queued"
    RUNNING = "running"
    AWAITING_APPROVAL = "awaiting_approval"
    ROLLING_OUT = "rolling_out"
    COMPLETED = "completed"
    FAILED = "failed"


class Trigger(StrEnum):
    """What moves a deployment on."""

    BEGIN = "begin"
    ASK = "ask"
    ROLL_OUT = "roll_out"
    COMPLETE = "complete"
    FAIL = "fail"


class Outcome(StrEnum):
    """How it ended."""

    PROMOTED = "promoted"
    REVALIDATED = "revalidated"
    REJECTED = "rejected"
    ROLLED_BACK = "rolled_back"
    ABORTED = "aborted"
    TIMED_OUT = "timed_out"


class DeploymentType(StrEnum):
    """How capital moves from the version that runs to the new one."""

    DIRECT = "direct"
    BLUE_GREEN = "blue_green"
    CANARY = "canary"
    ROLLING = "rolling"


class Handover(StrEnum):
    """What becomes of the old version's open positions."""

    RUN_OFF = "run_off"
    FLATTEN = "flatten"
    ADOPT = "adopt"  # the new version takes them over at their marks


class Rebalance(StrEnum):
    """What a smaller share does to the positions of who gives."""

    AS_FREED = "as_freed"  # nothing: what is to leave leaves as its positions close
    IMMEDIATE = "immediate"  # the contract names it: reduced at once to the smaller share


ARROWS: dict[tuple[State, Trigger], State] = {
    (State.QUEUED, Trigger.BEGIN): State.RUNNING,
    (State.QUEUED, Trigger.FAIL): State.FAILED,
    (State.RUNNING, Trigger.ASK): State.AWAITING_APPROVAL,
    (State.RUNNING, Trigger.ROLL_OUT): State.ROLLING_OUT,
    (State.RUNNING, Trigger.COMPLETE): State.COMPLETED,
    (State.RUNNING, Trigger.FAIL): State.FAILED,
    (State.AWAITING_APPROVAL, Trigger.ROLL_OUT): State.ROLLING_OUT,
    (State.AWAITING_APPROVAL, Trigger.COMPLETE): State.COMPLETED,
    (State.AWAITING_APPROVAL, Trigger.FAIL): State.FAILED,
    (State.ROLLING_OUT, Trigger.COMPLETE): State.COMPLETED,
    (State.ROLLING_OUT, Trigger.FAIL): State.FAILED,
}
ENDED = frozenset({State.COMPLETED, State.FAILED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a deploy request may ask for.

    Parameters
    ----------
    handover_deadline_s : float
        Bounds a run-off, which then flattens.
    rebalance : Rebalance
        What a weight does to the positions of those that are to have less.
    duration_days : int or None
        The most recent days that every stage judges by; None: all there are.
    steps : tuple of dict
        A canary's, as the request wrote them; none: the default ones.
    min_time : str
        The least time of a step that does not say its own; a duration.
    min_decisions : int
        The fewest bars decided in such a step.
    requires_analysis : bool
        Such a step holds for a person where returns tell nothing.
    loss_budget : float
        Share of the capital it was given that the new version may lose; beyond it, it is undone.
    bounds : dict
        Other bounds of `rules.Bounds`, by name.
    approve_switch : bool
        A blue-green switch waits for a person.
    keep_warm : str
        How long a replaced version stays ready to take over again; a duration; empty: as the type
        has it.
    max_unavailable : int
        Instruments of a rolling batch.
    progress_deadline : str
        How long a step may take beyond its least time without getting on; a duration.
    """

    deployment_type: DeploymentType = DeploymentType.DIRECT
    approval_required: bool = False
    rollback_on_failure: bool = True
    handover: Handover = Handover.RUN_OFF
    handover_deadline_s: float = 300.0
    rebalance: Rebalance = Rebalance.AS_FREED
    validation_profile: str = "default"
    validation_criteria: dict[str, Any] = field(default_factory=dict)
    duration_days: int | None = None
    steps: tuple[dict[str, Any], ...] = ()
    min_time: str = "30s"
    min_decisions: int = 20
    requires_analysis: bool = False
    loss_budget: float = 0.02
    bounds: dict[str, float] = field(default_factory=dict)
    approve_switch: bool = False
    keep_warm: str = ""
    max_unavailable: int = 1
    progress_deadline: str = "10m"


@dataclass(frozen=True, slots=True, kw_only=True)
class Undo:
    """A rollout that is being undone.

    Parameters
    ----------
    reason : str
        One stable word, of `rules.Reason` or a verb.
    why : str
        The same with figures, for people.
    decided_at, restored_at : datetime
        When it was decided, and when the weights were back and what waited was cancelled.
    """

    reason: str
    why: str
    actor: str
    decided_at: datetime
    restored_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a rollout has come: what its controller knows after any crash.

    Parameters
    ----------
    index : int
        Of the step it is at.
    began_at, reached_at : datetime or None
        When the step began; and when what it sets up was in place, from which its time counts.
    bars_at : int
        The candidate's bars when it was.
    candidate, baseline : str
        Their executions; empty until they are started.
    capital : Decimal
        What the line's executions had been given when the rollout began.
    had : dict
        What each of them had been given then.
    goals : dict
        The capital that the step gives each execution, once it has worked it out.
    held_by, held_why : str
        Who or what holds it until it is resumed.
    held_for : str
        Of the engine's hold, the word of `rules.Reason`.
    is_still : bool
        The step stands still: what it was to be compared with, or itself, decides nothing.
    seen_from_ns : int
        Returns of bars up to that close count no more: until then it stood still.
    waived_by : str
        Who let the step end without its gate.
    approved : tuple of int
        The steps that a person has approved.
    switched : tuple of int
        The switches that were made.
    skipped : tuple of int
        The steps that a person left out.
    warm_until : datetime or None
        Until when the replaced version stays ready, after the rollout's end.
    message : str
        What the step waits for.
    """

    index: int = 0
    began_at: datetime | None = None
    reached_at: datetime | None = None
    bars_at: int = 0
    candidate: str = ""
    baseline: str = ""
    capital: Decimal = Decimal(0)
    had: dict[str, Decimal] = field(default_factory=dict)
    goals: dict[str, Decimal] = field(default_factory=dict)
    held_by: str = ""
    held_why: str = ""
    held_for: str = ""
    is_still: bool = False
    seen_from_ns: int = 0
    waived_by: str = ""
    approved: tuple[int, ...] = ()
    switched: tuple[int, ...] = ()
    skipped: tuple[int, ...] = ()
    warm_until: datetime | None = None
    message: str = ""
    undo: Undo | None = None

    @property
    def is_counted(self) -> bool:
        """Whether the rollout knows what the line's executions had: it moves nothing before."""
        return bool(self.had) or self.capital != 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """A person's answer to a deployment that asked.

    `is_unchecked`: no key was in use, so that nobody knows whether it is another person's.
    """

    approved: bool
    actor: str
    comment: str
    at: datetime
    is_unchecked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """One deployment as it stands. `stages` are those it runs; the spec calls its id pipeline_id.

    `node_id` is the node that validates it, from the moment it begins.
    `revalidates` is true for a version that was live already: its state and its capital stay
    untouched. `replaces` are the executions whose capital it takes, `plan` the steps it does so by
    as `plans.to_plain` wrote them.
    """

    pipeline_id: str
    strategy_id: str
    strategy_name: str
    options: Options
    stages: tuple[str, ...]
    left_out: tuple[str, ...]
    requested_by: str
    created_at: datetime
    node_id: str | None = None
    state: State = State.QUEUED
    plan: tuple[Any, ...] = ()
    progress: Progress = Progress()
    replaces: tuple[str, ...] = ()
    revalidates: bool = False
    outcome: Outcome | None = None
    current_stage: str | None = None
    message: str = ""
    approval: Approval | None = None
    started_at: datetime | None = None
    validated_at: datetime | None = None
    ended_at: datetime | None = None

    @property
    def is_tended(self) -> bool:
        """Whether it has ended, but the version before is still warm, or is being asked back."""
        is_done = self.state is State.COMPLETED and self.outcome is Outcome.PROMOTED
        return is_done and (self.progress.warm_until or self.progress.undo) is not None

    @property
    def is_unplaced(self) -> bool:
        """Whether nothing of it is placed yet: who wants it no more only ends it."""
        return self.state in {State.QUEUED, State.RUNNING, State.AWAITING_APPROVAL}

    @property
    def is_testing(self) -> bool:
        """Whether its version is being validated for it, and stands so in the registry."""
        return self.state in {State.QUEUED, State.RUNNING} and not self.revalidates

    def cancelled(self, undo: Undo) -> "Deployment":
        """Return the deployment as it stands when somebody ends it before it rolls out."""
        return replace(
            self.on(Trigger.FAIL),
            outcome=Outcome.ABORTED,
            message=undo.why,
            current_stage=None,
            ended_at=undo.decided_at,
            progress=replace(self.progress, undo=replace(undo, restored_at=undo.decided_at)),
        )

    def on(self, trigger: Trigger) -> "Deployment":
        """Return the deployment as it stands after `trigger`."""
        return replace(self, state=next_state(ARROWS, self.state, trigger))


@dataclass(frozen=True, slots=True, kw_only=True)
class Defaults:
    """What the settings say about every deployment."""

    stages: tuple[str, ...]
    approval_required: bool
    auto_rollback: bool
