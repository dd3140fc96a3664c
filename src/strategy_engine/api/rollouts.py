"""The shapes of requests and answers about a rollout: its steps, and what people do to it."""

from typing import Literal

from pydantic import Field

from strategy_engine.api import example_rollouts as examples
from strategy_engine.api import shapes


class Step(shapes.Answer):
    """One step of a plan. `weight` is the new version's share of the line's capital from it on.

    `state` is done, now, waiting, skipped, stopped (it was at it when it ended) or never.
    """

    step: int
    name: str
    kind: str
    state: str
    weight: shapes.Number
    symbols: list[str] = Field(description="The instruments it is about; none: all of them.")
    min_time: str
    min_decisions: int
    requires_analysis: bool
    has_baseline: bool


class Weights(shapes.Answer):
    """The shares of the line's capital in force: the new version's, its baseline's, the old one's.

    The rest is cash.
    """

    new: shapes.Number
    baseline: shapes.Number
    before: shapes.Number


class Hold(shapes.Answer):
    """Who or what holds a rollout at its step until it is resumed; `engine` is the engine."""

    by: shapes.Line
    why: shapes.Line


class Undo(shapes.Answer):
    """A rollout that is being undone, or was; `reason` is one stable word."""

    reason: str
    why: shapes.Line
    actor: shapes.Line
    decided_at: shapes.Time
    restored_at: shapes.Time | None = Field(
        description="When the weights were back, and what waited to be filled was cancelled."
    )
    restored_in_s: shapes.MaybeNumber


class Rollout(shapes.Answer):
    """How far a rollout has come. `step` is where it is, `waits_for` what the step waits for.

    `candidate` and `baseline` are its executions, `replaces` those whose capital it takes.
    """

    model_config = shapes.example(examples.ROLLOUT)

    step: int
    steps: list[Step]
    weights: Weights
    waits_for: shapes.Line
    began_at: shapes.Time | None = Field(description="When the step began.")
    reached_at: shapes.Time | None = Field(
        description="When what it sets up was in place; its time and decisions count from then."
    )
    hold: Hold | None
    undo: Undo | None
    waived_by: shapes.MaybeLine = Field(description="Who let the step end without its gate.")
    candidate: str | None
    baseline: str | None
    replaces: list[str]
    warm_until: shapes.Time | None = Field(
        description="Until when the replaced version stays ready, after the rollout's end."
    )


class Held(shapes.Answer):
    """What an execution holds of one instrument, in signed units."""

    symbol: str
    quantity: shapes.Number


class Effect(shapes.Answer):
    """What a verb would do to one execution, at the last prices.

    `closes` is nothing, next_price (by the engine), own_exits (by the strategy, until the
    handover's deadline) or adopted (the new version takes it over); `opens` says whether it may
    open positions from then on: yes, no, or some (in the other instruments).
    """

    execution_id: str
    strategy_id: str
    role: str
    cancels: int = Field(description="Orders that wait to open a position; at most so many.")
    closes: str
    positions: list[Held]
    capital_from: shapes.Number
    capital_to: shapes.Number
    opens: str


class Acted(shapes.Answer):
    """What was done to a deployment, and the state it is in now.

    A retry answers the deployment that is made anew. `would` and `effects` tell what follows for
    positions, orders and capital; with `dry_run` nothing was done, and they tell what would.
    """

    model_config = shapes.example(examples.ACTED)

    status: Literal[
        "approved",
        "rejected",
        "promoted",
        "promoted_full",
        "skipped",
        "paused",
        "resumed",
        "aborting",
        "rolling_back",
        "retried",
        "nothing_done",
    ]
    pipeline_id: str
    strategy_id: str
    deployment_status: str
    current_stage: str | None
    dry_run: bool
    would: list[shapes.Line]
    effects: list[Effect]
