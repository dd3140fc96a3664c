"""The shapes of the engine's answers; an answer may hold more than what is named here."""

from typing import Any, Literal, NotRequired, TypedDict

from strategy_engine.client import rollout_model


class Part(TypedDict):
    """One part of the engine; `reason` says why it is not healthy."""

    name: str
    status: str
    reason: str


class Health(TypedDict):
    """`GET /health`."""

    status: str
    strategies_deployed: int
    pipelines_executed: int
    tests_completed: int
    active_strategies: int
    active_executions: int
    uptime_seconds: float
    messagebus_connected: bool
    parts: NotRequired[list[Part]]


class Created(TypedDict):
    """`POST /strategies`: `status` is created, or exists for the same content again."""

    status: str
    strategy_id: str
    strategy_name: str
    version: str


class Strategy(TypedDict):
    """One version as `GET /strategies` lists it."""

    strategy_id: str
    strategy_name: str
    version: str
    status: str
    created_at: str
    updated_at: str


class WholeStrategy(Strategy):
    """`GET /strategies/{id}`: one version with its content."""

    code: str
    parameters: dict[str, Any]
    risk_limits: dict[str, Any]
    tests: dict[str, str]


class Changed(TypedDict):
    """`PUT` and `DELETE /strategies/{id}`."""

    status: str
    strategy_id: str
    strategy_name: str
    version: str
    strategy_status: str


class Strategies(TypedDict):
    """`GET /strategies`."""

    strategies: list[Strategy]
    count: int
    total: int


class Accepted(TypedDict):
    """`POST /strategies/{id}/deploy`."""

    status: str
    pipeline_id: str
    strategy_id: str
    deployment_type: str
    stages: list[str]
    message: str


class Finding(TypedDict):
    """One thing a stage found; `level` is error, warning or note."""

    level: str
    message: str
    where: NotRequired[str | None]


class StageResult(TypedDict):
    """How one stage ended. What it measured stands beside these fields."""

    passed: bool
    duration_ms: float
    verdict: NotRequired[str]
    message: NotRequired[str | None]
    findings: NotRequired[list[Finding]]


class DeploymentSummary(TypedDict):
    """One deployment as `GET /deployments` lists it. `left_out` are stages that do not run."""

    pipeline_id: str
    strategy_id: str
    deployment_type: str
    status: str
    current_stage: str | None
    total_stages: int
    started_at: NotRequired[str | None]
    stages: NotRequired[list[str]]
    left_out: NotRequired[list[str]]
    outcome: NotRequired[str | None]
    message: NotRequired[str | None]


class Deployment(DeploymentSummary):
    """`GET /deployments/{pipeline_id}/status`."""

    stages_completed: int
    results: dict[str, StageResult]
    rollout: NotRequired[rollout_model.Rollout | None]


class Deployments(TypedDict):
    """`GET /deployments`."""

    deployments: list[DeploymentSummary]
    count: int
    total: int


class Execution(TypedDict):
    """One execution: money in account currency, ratios as fractions."""

    execution_id: str
    strategy_id: str
    status: str
    start_time: str | None
    trade_count: int
    pnl: float
    performance_metrics: dict[str, Any]
    end_time: NotRequired[str | None]
    fill_count: NotRequired[int]
    risk_state: NotRequired[str]
    error: NotRequired[str | None]
    end_reason: NotRequired[str | None]
    capital: NotRequired[float]
    capital_target: NotRequired[float | Literal["nothing"] | None]
    closing: NotRequired[str | None]
    serves: NotRequired[list[dict[str, Any]] | None]
    exits: NotRequired[str]
    failure: NotRequired[str | None]
    role: NotRequired[str]
    config: NotRequired[dict[str, Any]]


class Executions(TypedDict):
    """`GET /executions`."""

    executions: list[Execution]
    count: int


class Started(TypedDict):
    """`POST /strategies/{id}/start`."""

    status: str
    execution_id: str
    strategy_id: str
    start_time: str | None


class Moved(TypedDict):
    """`POST /strategies/{id}/stop`, `/pause`, `/resume`; `message` says what is not done yet.

    `execution_id` is None where there was nothing to stop.
    """

    status: str
    execution_id: str | None
    strategy_id: str
    execution_status: NotRequired[str | None]
    executions: NotRequired[list[str]]
    message: NotRequired[str]
    duration_minutes: NotRequired[float]


class Trade(TypedDict):
    """One fill, with what it realised."""

    trade_id: str
    execution_id: str
    symbol: str
    side: str
    quantity: float
    price: float
    timestamp: str
    pnl: float
    cause: NotRequired[str]


class Trades(TypedDict):
    """`GET /executions/{id}/trades`, oldest first."""

    trades: list[Trade]
    count: int


class Instrument(TypedDict):
    """One instrument that has bars."""

    symbol: str
    note: NotRequired[str]


class Key(TypedDict):
    """An API key without its secret."""

    key_id: str
    name: str
    role: str
    created_at: str
    created_by: str
    revoked_at: str | None


class CreatedKey(Key):
    """A new key with its text."""

    key: str


class Webhook(TypedDict):
    """Where events are sent, without the secret."""

    webhook_id: str
    url: str
    topics: list[str]
    created_at: str
    created_by: str


class CreatedWebhook(Webhook):
    """A new webhook with its secret."""

    secret: str


class Webhooks(TypedDict):
    """`GET /webhooks`."""

    webhooks: list[Webhook]
    count: int


class Delivery(TypedDict):
    """An event on its way to a webhook; the last attempt's status, error and duration."""

    delivery_id: int
    event_id: str
    topic: str
    state: str
    attempts: int
    status_code: int | None
    error: str
    took_ms: float | None
    created_at: str
    next_at: str
    ended_at: str | None


class Deliveries(TypedDict):
    """`GET /webhooks/{id}/deliveries`, newest first."""

    webhook_id: str
    deliveries: list[Delivery]
    count: int
    total: int


class Keys(TypedDict):
    """`GET /keys`."""

    keys: list[Key]
    count: int


class Flag(TypedDict):
    """A feature flag; `live`: its rules count, else it says its default."""

    key: str
    type: str
    default: bool | float | str
    owner: str
    description: str
    rules: list[dict[str, Any]]
    live: bool
    expires_at: str
    created_at: str
    created_by: str
    updated_at: str
    archived_at: str | None


class WholeFlag(Flag):
    """`GET /flags/{key}`."""

    history: list[dict[str, Any]]


class Flags(TypedDict):
    """`GET /flags`."""

    flags: list[Flag]
    count: int


class RiskLimits(TypedDict):
    """What a line, an account or the engine is held to."""

    scope: str
    subject: str
    limits: dict[str, Any]
    actor: str
    why: str
    updated_at: str


class AllRiskLimits(TypedDict):
    """`GET /risk/limits`."""

    limits: list[RiskLimits]
    count: int
    names: list[str]
