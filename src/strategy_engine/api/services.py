"""What the HTTP door needs from below: one object a process, filled by whoever starts it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Protocol

from strategy_engine.core.clock import Clock
from strategy_engine.market.model import Bars, Instrument, Timeframe
from strategy_engine.registry.service import Registry
from strategy_engine.rollout.model import Deployment, Options, State

type Amount = Decimal | float | int


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing a stage noticed; `level` is error, warning or note."""

    level: str
    message: str
    where: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StageResult:
    """How one stage ended. `verdict` is passed, failed or inconclusive."""

    stage: str
    passed: bool
    verdict: str
    duration_ms: float
    message: str = ""
    findings: Sequence[Finding] = ()
    evidence: Mapping[str, Any] = field(default_factory=dict)


class Followed(Protocol):
    """A deployment and the results of the stages it has finished."""

    @property
    def deployment(self) -> Deployment:
        """The deployment as it stands."""

    @property
    def results(self) -> Sequence[StageResult]:
        """The finished stages, in the pipeline's order."""


class Rollouts(Protocol):
    """Deployments, from request to end."""

    async def request(self, strategy_id: str, options: Options, *, actor: str) -> Deployment:
        """Accept a deployment; it goes on by itself."""
        ...

    async def follow(self, pipeline_id: str) -> Followed:
        """Return a deployment and what its stages found."""
        ...

    async def page(
        self,
        *,
        state: State | None = None,
        strategy_id: str | None = None,
        limit: int = 50,
        offset: int = 0,
    ) -> tuple[Sequence[Deployment], int]:
        """Return deployments, newest first, and how many there are in all."""
        ...

    async def answer(
        self, pipeline_id: str, *, approved: bool, actor: str, comment: str
    ) -> Deployment:
        """Approve or reject a deployment that waits for it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class StageRequest:
    """One stage to run by itself. None: the stage's own default."""

    stage: str = "syntax_check"
    duration_days: int | None = None
    initial_capital: float | None = None
    validation_criteria: dict[str, Any] = field(default_factory=dict)
    validation_profile: str = "default"


class Pipeline(Protocol):
    """The validation stages."""

    async def test(self, strategy_id: str, request: StageRequest, *, actor: str) -> StageResult:
        """Run one stage of a version outside any deployment; its state does not change."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class StartOptions:
    """How an execution is to trade. None: what the version's parameters or the engine say."""

    capital: float | None = None
    position_size: float | None = None
    max_trades_per_day: int | None = None
    risk_override: bool = False
    symbols: tuple[str, ...] | None = None
    timeframe: str | None = None
    feed: str | None = None
    speed: float | None = None
    mode: str = "paper"


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """One version at work, or that was. Money in account currency."""

    execution_id: str
    strategy_id: str
    status: str
    risk_state: str
    role: str
    capital: Amount
    start_time: datetime | None = None
    end_time: datetime | None = None
    trade_count: int = 0
    fill_count: int = 0
    pnl: Amount = 0
    final_pnl: Amount | None = None
    performance_metrics: Mapping[str, Any] = field(default_factory=dict)
    error: str | None = None
    end_reason: str | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    confinement: Mapping[str, Any] | None = None


class Executions(Protocol):
    """Desired and observed state of executions. The verbs act on every role of a version.

    They wait a few seconds for the node to confirm and answer what is then true, the stable role
    first; an execution that the node has not moved yet still has its old status.
    """

    async def start(self, strategy_id: str, options: StartOptions, *, actor: str) -> Execution:
        """Start a version; a running one answers its execution."""
        ...

    async def stop(self, strategy_id: str, *, actor: str) -> Sequence[Execution]:
        """Stop a version's executions; at least one is answered."""
        ...

    async def pause(self, strategy_id: str, *, actor: str) -> Sequence[Execution]:
        """Let a version's executions take no new decisions."""
        ...

    async def resume(self, strategy_id: str, *, actor: str) -> Sequence[Execution]:
        """Let a version's paused executions decide again."""
        ...

    async def get(self, execution_id: str) -> Execution:
        """Return one execution, whatever its status."""
        ...

    async def page(
        self,
        *,
        statuses: frozenset[str],
        strategy_id: str | None = None,
        limit: int = 100,
        offset: int = 0,
    ) -> tuple[Sequence[Execution], int]:
        """Return executions in one of `statuses`, newest first, and how many there are in all."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Trade:
    """One fill; `pnl` is what it realised. Money in account currency, `slippage` too."""

    trade_id: str
    execution_id: str
    symbol: str
    side: str
    quantity: Amount
    price: Amount
    timestamp: datetime
    pnl: Amount
    order_id: str | None = None
    fee: Amount = 0
    slippage: Amount = 0
    cause: str = "signal"
    opens: bool = False
    closes_round_trip: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class EquityPoint:
    """An account at the close of a bar."""

    timestamp: datetime
    equity: Amount
    cash: Amount


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsPoint:
    """A snapshot of an execution's metrics."""

    timestamp: datetime
    metrics: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A stretch of time, start included, end not; None is open."""

    start: datetime | None = None
    end: datetime | None = None


class Ledger(Protocol):
    """What executions did, for ever. An unknown execution has nothing here."""

    async def trades(
        self, execution_id: str, *, limit: int, offset: int
    ) -> tuple[Sequence[Trade], int]:
        """Return fills, oldest first, and how many there are in all."""
        ...

    async def equity(self, execution_id: str, span: Span, *, points: int) -> Sequence[EquityPoint]:
        """Return the equity curve, oldest first, thinned to at most `points`, ends kept."""
        ...

    async def metrics(self, execution_id: str, span: Span, *, limit: int) -> Sequence[MetricsPoint]:
        """Return the last `limit` snapshots of the span, oldest first."""
        ...


class Catalogue(Protocol):
    """Instruments and bars; its methods may read files, so the door calls them in a thread."""

    def instruments(self) -> list[Instrument]:
        """Return every instrument that has bars, by symbol."""
        ...

    def instrument(self, symbol: str) -> Instrument:
        """Return one instrument."""
        ...

    def timeframes(self, symbol: str) -> list[Timeframe]:
        """Return the timeframes that a symbol has bars of."""
        ...

    def bars(
        self,
        symbol: str,
        timeframe: str | None = None,
        *,
        start_ns: int | None = None,
        end_ns: int | None = None,
        limit: int | None = None,
    ) -> Bars:
        """Return the last `limit` bars that open in [start, end)."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One part of the engine; `reason` says why it does not serve as it should."""

    name: str
    healthy: bool
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """How the engine is. `serving` is false only when control itself cannot serve."""

    serving: bool
    parts: tuple[Part, ...]
    strategies_deployed: int
    pipelines_executed: int
    tests_completed: int
    active_strategies: int
    active_executions: int
    uptime_seconds: float
    messagebus_connected: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Durations:
    """How long something took. `buckets` are (upper bound in seconds, how many took no longer)."""

    count: int = 0
    total_s: float = 0.0
    buckets: tuple[tuple[float, int], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """The engine's counters. Rates are over the last day or the uptime, whichever is shorter.

    `earned_success_rate` leaves out the deployments whose strategy failed validation by merit.
    """

    deployments_per_hour: float
    pipelines_per_hour: float
    total_strategies: int
    total_deployments: int
    total_pipelines: int
    active_executions: int
    success_rate: float
    earned_success_rate: float
    containerized: bool
    trade_count: int
    pnl: Amount
    deployment_errors: int
    pipeline_durations: Durations = Durations()
    stage_durations: Mapping[str, Durations] = field(default_factory=dict)


class Telemetry(Protocol):
    """How the engine is and what it has done."""

    async def health(self) -> Health:
        """Return the engine's health; must answer fast, and must not raise."""
        ...

    async def metrics(self) -> Metrics:
        """Return the counters; those of the past survive restarts."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Every service that the door calls."""

    registry: Registry
    rollouts: Rollouts
    pipeline: Pipeline
    executions: Executions
    ledger: Ledger
    catalogue: Catalogue
    telemetry: Telemetry
    clock: Clock
