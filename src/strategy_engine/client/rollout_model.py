"""The shapes of the engine's answers about rollouts; an answer may hold more than is named here."""

from typing import Any, TypedDict


class Step(TypedDict):
    """One step of a rollout's plan; `state` is done, now, waiting, skipped, stopped or never."""

    step: int
    name: str
    kind: str
    state: str
    weight: float
    symbols: list[str]
    min_time: str
    min_decisions: int
    requires_analysis: bool
    has_baseline: bool


class Hold(TypedDict):
    """Who or what holds a rollout at its step."""

    by: str
    why: str


class Undo(TypedDict):
    """A rollout that is being undone, or was."""

    reason: str
    why: str
    actor: str
    decided_at: str
    restored_at: str | None
    restored_in_s: float | None


class Rollout(TypedDict):
    """How far a rollout has come; `weights` are those of new, baseline and before, in force."""

    step: int
    steps: list[Step]
    weights: dict[str, float]
    waits_for: str
    hold: Hold | None
    undo: Undo | None
    candidate: str | None
    baseline: str | None
    replaces: list[str]
    warm_until: str | None


class Effect(TypedDict):
    """What a verb would do to one execution."""

    execution_id: str
    strategy_id: str
    role: str
    cancels: int
    closes: str
    positions: list[dict[str, Any]]
    capital_from: float
    capital_to: float
    opens: str


class Acted(TypedDict):
    """`POST /deployments/{pipeline_id}/{verb}`; of a dry run, `would` and `effects` tell."""

    status: str
    pipeline_id: str
    strategy_id: str
    deployment_status: str
    current_stage: str | None
    dry_run: bool
    would: list[str]
    effects: list[Effect]


class Event(TypedDict):
    """One thing that happened to a deployment."""

    event_id: str
    kind: str
    at: str
    actor: str
    action: str
    message: str
    to_state: str | None
    stage: str | None
    step: str | None
    verdict: str | None
    reason: str | None


class Events(TypedDict):
    """`GET /deployments/{pipeline_id}/events`."""

    pipeline_id: str
    status: str
    events: list[Event]
    count: int
