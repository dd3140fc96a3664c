"""The shapes of answers about strategies and deployments."""

from typing import Literal

from pydantic import ConfigDict, Field

from strategy_engine.api import examples, rollouts, shapes


class Created(shapes.Answer):
    """A registered version; `status` is exists where the same content was registered before."""

    model_config = shapes.example(examples.CREATED)

    status: Literal["created", "exists"]
    strategy_id: str
    strategy_name: str
    version: str


class Changed(shapes.Answer):
    """What was done to a version, and the state it is in now."""

    model_config = shapes.example(examples.CHANGED)

    status: Literal["updated", "archived", "reset"]
    strategy_id: str
    strategy_name: str
    version: str
    strategy_status: str


class StrategySummary(shapes.Answer):
    """A version without its source."""

    strategy_id: str
    strategy_name: str
    version: str
    status: str
    code_hash: str
    created_at: shapes.Time
    updated_at: shapes.Time


class Strategies(shapes.Page):
    """A page of versions, newest first."""

    model_config = shapes.example(examples.STRATEGIES)

    strategies: list[StrategySummary]


class Strategy(StrategySummary):
    """A version whole."""

    model_config = shapes.example(examples.STRATEGY)

    code: shapes.Text
    parameters: shapes.Json
    risk_limits: shapes.Json
    tests: shapes.Json
    digest: str


class HistoryEntry(shapes.Answer):
    """Who did what, and how the state changed."""

    at: shapes.Time
    actor: shapes.Line
    action: str
    from_state: str | None
    to_state: str | None
    details: shapes.Shown


class History(shapes.Answer):
    """Everything that was done to a version, oldest first."""

    model_config = shapes.example(examples.HISTORY)

    strategy_id: str
    history: list[HistoryEntry]
    count: int


class Finding(shapes.Answer):
    """One thing a stage noticed; `level` is error, warning or note."""

    level: str
    message: shapes.Line
    where: shapes.MaybeLine = None


class StageResult(shapes.Answer):
    """How a stage ended; the plain values of what it measured stand beside these fields."""

    model_config = ConfigDict(extra="allow")

    passed: bool
    duration_ms: shapes.Number
    verdict: str
    message: shapes.Line
    findings: list[Finding]


class Tested(shapes.Answer):
    """A stage run by itself."""

    model_config = shapes.example(examples.TESTED)

    status: Literal["test_completed"]
    strategy_id: str
    test_type: str
    result: StageResult


# --- deployments ---


class Accepted(shapes.Answer):
    """A deployment that goes on by itself; `left_out` are stages that the settings leave out.

    `message` is what is to be known of it beforehand, such as that it trades other instruments.
    """

    model_config = shapes.example(examples.ACCEPTED)

    status: Literal["deployment_started"]
    pipeline_id: str
    strategy_id: str
    deployment_type: str
    stages: list[str]
    left_out: list[str]
    message: shapes.Line


class DeploymentSummary(shapes.Answer):
    """Where a deployment is; `completed` and `failed` are its only ends, `outcome` says more."""

    pipeline_id: str
    strategy_id: str
    strategy_name: str
    deployment_type: str
    current_stage: str | None
    status: str
    outcome: str | None
    message: shapes.Line
    created_at: shapes.Time
    started_at: shapes.Time | None
    ended_at: shapes.Time | None
    stages: list[str]
    left_out: list[str]
    total_stages: int


class Deployments(shapes.Page):
    """A page of deployments, newest first."""

    model_config = shapes.example(examples.DEPLOYMENTS)

    deployments: list[DeploymentSummary]


class DeploymentStatus(DeploymentSummary):
    """Where a deployment is, and what its finished stages found."""

    model_config = shapes.example(examples.DEPLOYMENT_STATUS)

    stages_completed: int
    results: dict[str, StageResult]
    rollout: rollouts.Rollout | None = Field(description="Null while there is no plan of it.")


class DetailedResult(StageResult):
    """How a stage ended, with all that it measured."""

    evidence: shapes.Shown


class ApprovalGiven(shapes.Answer):
    """A person's answer to a deployment that asked."""

    approved: bool
    actor: shapes.Line
    comment: shapes.Lines
    at: shapes.Time
    is_unchecked: bool = Field(
        description="No key was in use: nobody knows whether another person asked for it."
    )


class Deployment(DeploymentSummary):
    """A deployment whole."""

    model_config = shapes.example(examples.DEPLOYMENT)

    stages_completed: int
    results: dict[str, DetailedResult]
    requested_by: shapes.Line
    node_id: str | None
    revalidates: bool
    options: shapes.Json
    approval: ApprovalGiven | None
    validated_at: shapes.Time | None
    rollout: rollouts.Rollout | None = Field(description="Null while there is no plan of it.")


class DeploymentEvent(shapes.Answer):
    """One thing that happened to a deployment.

    `kind` is state (its state changed), stage (a stage finished), step (a step of its rollout
    began, ended, or is held; or it is undone) or action (somebody did something that changed no
    state). `evidence` is all that was kept of it.
    """

    model_config = shapes.example(examples.DEPLOYMENT_EVENT)

    event_id: str
    kind: str
    at: shapes.Time
    actor: shapes.Line
    action: str
    message: shapes.Line
    from_state: str | None
    to_state: str | None
    stage: str | None
    step: str | None
    weight: shapes.MaybeNumber
    passed: bool | None
    verdict: str | None
    reason: str | None
    duration_ms: shapes.MaybeNumber
    evidence: shapes.Shown


class DeploymentEvents(shapes.Answer):
    """What happened to a deployment, oldest first, and how it stands."""

    model_config = shapes.example(examples.DEPLOYMENT_EVENTS)

    pipeline_id: str
    strategy_id: str
    status: str
    outcome: str | None
    has_ended: bool
    events: list[DeploymentEvent]
    count: int


class Key(shapes.Answer):
    """An API key without its secret."""

    model_config = shapes.example(examples.KEY)

    key_id: str
    name: shapes.Line
    role: str
    created_at: shapes.Time
    created_by: shapes.Line
    revoked_at: shapes.Time | None


class CreatedKey(Key):
    """A new key with its text, which nobody can show again."""

    model_config = shapes.example(examples.CREATED_KEY)

    key: str


class Keys(shapes.Answer):
    """Every key there ever was."""

    model_config = shapes.example(examples.KEYS)

    keys: list[Key]
    count: int


class ShownRule(shapes.Answer):
    """One rule of a flag; what it does not name is null."""

    value: bool | int | float | str
    strategy_name: shapes.MaybeLine
    strategy_id: shapes.MaybeLine
    versions: shapes.MaybeLine
    execution_id: shapes.MaybeLine
    share_of_executions: float | None
    share_of_decisions: float | None


class Flag(shapes.Answer):
    """A feature flag. `live`: its rules count; else (expired, archived) it says its default."""

    model_config = shapes.example(examples.FLAG)

    key: str
    type: Literal["boolean", "string", "number"]
    default: bool | int | float | str
    owner: shapes.Line
    description: shapes.Text
    rules: list[ShownRule]
    live: bool
    expires_at: shapes.Time
    created_at: shapes.Time
    created_by: shapes.Line
    updated_at: shapes.Time
    archived_at: shapes.Time | None


class WholeFlag(Flag):
    """A feature flag with what was done to it, oldest first."""

    model_config = shapes.example(examples.WHOLE_FLAG)

    history: list[HistoryEntry]


class Flags(shapes.Answer):
    """Feature flags by key."""

    model_config = shapes.example(examples.FLAGS)

    flags: list[Flag]
    count: int


class Webhook(shapes.Answer):
    """Where events are sent, without the secret; no `topics`: all of them."""

    model_config = shapes.example(examples.WEBHOOK)

    webhook_id: str
    url: shapes.Line
    topics: list[str]
    created_at: shapes.Time
    created_by: shapes.Line


class CreatedWebhook(Webhook):
    """A new webhook with its secret, which nobody can show again."""

    model_config = shapes.example(examples.CREATED_WEBHOOK)

    secret: str


class Webhooks(shapes.Answer):
    """The webhooks that there are."""

    model_config = shapes.example(examples.WEBHOOKS)

    webhooks: list[Webhook]
    count: int


class Delivery(shapes.Answer):
    """An event on its way to a webhook; `state` is pending, delivered or failed.

    `status_code`, `error` and `took_ms` are the last attempt's; `next_at` is when the next one is
    made, while it is pending.
    """

    delivery_id: int
    event_id: shapes.Line
    topic: str
    state: str
    attempts: int
    status_code: int | None
    error: shapes.Line
    took_ms: shapes.MaybeNumber
    created_at: shapes.Time
    next_at: shapes.Time
    ended_at: shapes.Time | None


class Deliveries(shapes.Page):
    """What was sent to a webhook, newest first."""

    model_config = shapes.example(examples.DELIVERIES)

    webhook_id: str
    deliveries: list[Delivery]
