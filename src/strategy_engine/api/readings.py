"""The shapes of answers about executions and the engine itself."""

from typing import Literal

from pydantic import ConfigDict, Field

from strategy_engine.api import capital_targets, example_readings, shapes


class Started(shapes.Answer):
    """An execution that starts, or runs already; `start_time` is null until it runs."""

    model_config = shapes.example(example_readings.STARTED)

    status: Literal["execution_started"]
    execution_id: str
    strategy_id: str
    start_time: shapes.Time | None
    execution_status: str


class Moved(shapes.Answer):
    """What was done to a version's executions; `message` says so if it is not confirmed yet.

    `execution_id` is the stable role's, null if there was nothing to stop.
    """

    model_config = shapes.example(example_readings.STOPPED)

    status: str
    execution_id: str | None
    strategy_id: str
    execution_status: str | None
    duration_minutes: shapes.Number
    executions: list[str]
    message: shapes.Line


class PerformanceMetrics(shapes.Answer):
    """Performance so far: 0.0 until a figure is defined. There may be more than these."""

    model_config = ConfigDict(extra="allow")

    sharpe_ratio: shapes.Number = 0.0
    max_drawdown: shapes.Number = 0.0
    win_rate: shapes.Number = 0.0
    total_return: shapes.Number = 0.0
    alpha: shapes.Number = 0.0
    beta: shapes.Number = 0.0
    volatility: shapes.Number = 0.0
    information_ratio: shapes.Number = 0.0
    calmar_ratio: shapes.Number = 0.0
    avg_trade_duration: shapes.Number = 0.0


class Gap(shapes.Answer):
    """Bar closes after the one and no later than the other, which another execution serves."""

    after: shapes.Time
    until: shapes.Time


class Serving(shapes.Answer):
    """Which bar closes an execution may open positions on; null: without end on that side.

    `symbol` is `*` for every instrument that is not named; `never`: it only watches.
    """

    symbol: str
    never: bool
    after: shapes.Time | None
    until: shapes.Time | None
    gaps: list[Gap]


class Execution(shapes.Answer):
    """One version at work, or that was. Money in account currency, ratios as fractions.

    `capital` is what it was given in all, and `capital_target` what that is to be, `nothing` where
    all is to leave. Once it has ended, `capital` is what it still has of the line's: what a
    position ties, else 0; and `closing` says how far the engine is with closing that (asked,
    called_in, closed, settled, stuck). Without `serves`, one that is no shadow may always open
    positions. `exits` says who closes them, `failure` what its strategy did wrong while the engine
    still closes them.
    """

    model_config = shapes.example(example_readings.EXECUTION)

    execution_id: str
    strategy_id: str
    status: str
    start_time: shapes.Time | None
    trade_count: int
    pnl: shapes.Number
    performance_metrics: PerformanceMetrics
    role: str
    risk_state: str
    desired: str
    capital: shapes.Number
    capital_target: capital_targets.Target
    serves: list[Serving] | None
    exits: str
    failure: shapes.MaybeLines
    closing: str | None
    created_at: shapes.Time
    end_time: shapes.Time | None
    fill_count: int
    final_pnl: shapes.MaybeNumber
    error: shapes.MaybeLines
    end_reason: shapes.MaybeLine
    config: shapes.Json
    confinement: shapes.MaybeJson
    notices: list[shapes.Line]
    node_id: str | None
    epoch: int


class Interruption(shapes.Answer):
    """A time in which an execution did not run; `kind` is crash, loss, node or storage.

    `to_at` is when it was ready again, null until then; `bars_missed` closed meanwhile and were
    never decided on.
    """

    kind: str
    cause: shapes.Line
    from_at: shapes.Time
    to_at: shapes.Time | None
    bars_missed: int | None


class StopInForce(shapes.Answer):
    """An emergency stop that nobody has reset: what it is about, who stopped it, and why."""

    stop_id: str
    scope: str
    subject: str
    actor: str
    reason: str
    at: shapes.Time


class WholeExecution(Execution):
    """An execution with its interruptions; `restart_count` is how often its process crashed.

    `emergency_stop` is the one in force over it, its line, its account or the engine; null: none.
    """

    model_config = shapes.example(example_readings.WHOLE_EXECUTION)

    emergency_stop: StopInForce | None
    restart_count: int
    interruptions: list[Interruption]


class Executions(shapes.Page):
    """A page of executions, newest first."""

    model_config = shapes.example(example_readings.EXECUTIONS)

    executions: list[Execution]


class Trade(shapes.Answer):
    """One fill; `pnl` is what it realised after costs."""

    trade_id: str
    execution_id: str
    symbol: str
    side: str
    quantity: shapes.Number
    price: shapes.Number
    timestamp: shapes.Time
    pnl: shapes.Number
    order_id: str | None
    fee: shapes.Number
    slippage: shapes.Number
    cause: str
    opens: bool
    closes_round_trip: bool


class Trades(shapes.Page):
    """A page of fills, oldest first."""

    model_config = shapes.example(example_readings.TRADES)

    trades: list[Trade]


class Order(shapes.Answer):
    """One order; `reason` says why it was denied, rejected or cancelled.

    `status` is submitted, accepted, triggered, partially_filled, filled, cancelled, expired,
    denied (by the gate) or rejected (by the venue).
    """

    order_id: str
    symbol: str
    side: str
    type: str
    time_in_force: str
    quantity: shapes.Number
    filled_quantity: shapes.Number
    limit_price: shapes.MaybeNumber
    trigger_price: shapes.MaybeNumber
    status: str
    denial_code: str | None
    reason: shapes.Line
    opens: bool
    cause: str
    decided_at: shapes.Time


class Orders(shapes.Page):
    """A page of orders, oldest first."""

    model_config = shapes.example(example_readings.ORDERS)

    orders: list[Order]


class EquityPoint(shapes.Answer):
    """An account at the close of a bar; its P&L is what equity is beyond what was contributed."""

    timestamp: shapes.Time
    equity: shapes.Number
    cash: shapes.Number
    contributed: shapes.Number


class Equity(shapes.Answer):
    """An equity curve, oldest first."""

    model_config = shapes.example(example_readings.EQUITY)

    execution_id: str
    equity: list[EquityPoint]
    count: int


class Sample(shapes.Answer):
    """How many observations a figure is of, and its 95 % interval; null where it has none."""

    n: int
    low: shapes.MaybeNumber
    high: shapes.MaybeNumber


class MetricsPoint(shapes.Answer):
    """A snapshot of an execution's metrics, or what the snapshots of a minute or an hour fold into.

    `timestamp` is when it was taken, or the start of the minute or hour; `samples` is the number of
    snapshots. Each figure is the last one, but the deepest drawdown, the mean of `decision_…_ms`
    and the largest of `decision_…_p99_ms`. `estimates` are of the last snapshot.
    """

    timestamp: shapes.Time
    samples: int
    metrics: PerformanceMetrics
    estimates: dict[str, Sample] = Field(default_factory=dict)


class MetricsHistory(shapes.Answer):
    """An execution's metrics, oldest first, at one resolution; there is no point where none were.

    `10s` are the snapshots themselves, whatever their interval is set to.
    """

    model_config = shapes.example(example_readings.METRICS_HISTORY)

    execution_id: str
    resolution: Literal["10s", "1m", "1h"]
    metrics: list[MetricsPoint]
    count: int


# --- monitoring ---


class Part(shapes.Answer):
    """One part of the engine; `reason` says why it is not healthy."""

    name: str
    status: Literal["healthy", "degraded"]
    reason: shapes.Line


class Health(shapes.Answer):
    """How the engine is, and what it has done. The counters survive restarts."""

    model_config = shapes.example(example_readings.HEALTH)

    status: Literal["healthy", "degraded", "unavailable"]
    strategies_deployed: int
    pipelines_executed: int
    tests_completed: int
    active_strategies: int
    active_executions: int
    uptime_seconds: shapes.Number
    messagebus_connected: bool
    parts: list[Part]


class Metrics(shapes.Answer):
    """Counters and rates; `success_rate` is completed deployments over ended ones."""

    model_config = shapes.example(example_readings.METRICS)

    deployments_per_hour: shapes.Number
    pipelines_per_hour: shapes.Number
    total_strategies: int
    total_deployments: int
    total_pipelines: int
    active_executions: int
    success_rate: shapes.Number
    success_rate_without_rejections: shapes.Number
    engine_type: Literal["strategy_deployment"]
    containerized: bool


class Index(shapes.Answer):
    """Where to go from here."""

    model_config = shapes.example(example_readings.INDEX)

    name: str
    version: str
    docs: str
    openapi: str
    health: str
    metrics: str
