"""A deployment: one version on its way through validation and approval to capital."""

from dataclasses import dataclass, field, replace
from datetime import datetime
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
    """What a deploy request may ask for. `handover_deadline_s` bounds a run-off, then flattens.

    `duration_days` are the most recent days that every stage judges by; None: all there are.
    """

    deployment_type: DeploymentType = DeploymentType.DIRECT
    approval_required: bool = False
    rollback_on_failure: bool = True
    handover: Handover = Handover.RUN_OFF
    handover_deadline_s: float = 300.0
    validation_profile: str = "default"
    validation_criteria: dict[str, Any] = field(default_factory=dict)
    duration_days: int | None = None


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
    untouched. `replaces` are the executions whose capital it takes, `plan` the steps it does so by.
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
    plan: tuple[str, ...] = ()
    replaces: tuple[str, ...] = ()
    revalidates: bool = False
    outcome: Outcome | None = None
    current_stage: str | None = None
    message: str = ""
    approval: Approval | None = None
    started_at: datetime | None = None
    validated_at: datetime | None = None
    ended_at: datetime | None = None

    def on(self, trigger: Trigger) -> "Deployment":
        """Return the deployment as it stands after `trigger`."""
        return replace(self, state=next_state(ARROWS, self.state, trigger))


@dataclass(frozen=True, slots=True, kw_only=True)
class Defaults:
    """What the settings say about every deployment."""

    stages: tuple[str, ...]
    approval_required: bool
    auto_rollback: bool
