"""What the door asks of the engine itself: how it is, and what it has done."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Protocol

from prometheus_client.core import Metric

type Amount = Decimal | float | int


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
class Bus:
    """How the bus is: what waits to be published, since when, and what went over it by kind."""

    is_connected: bool = True
    detail: str = ""
    waiting: int = 0
    oldest_s: float = 0.0
    counts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Durations:
    """How long something took. `buckets` are (upper bound in seconds, how many took no longer)."""

    count: int = 0
    total_s: float = 0.0
    buckets: tuple[tuple[float, int], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """The engine's counters. Rates are over the last day or the uptime, whichever is shorter.

    `success_rate_without_rejections` leaves out the deployments that ended because the strategy
    did not earn its validation.
    """

    deployments_per_hour: float
    pipelines_per_hour: float
    total_strategies: int
    total_deployments: int
    total_pipelines: int
    active_executions: int
    success_rate: float
    success_rate_without_rejections: float
    containerized: bool
    trade_count: int
    pnl: Amount
    deployment_errors: int
    pipeline_durations: Durations = Durations()
    stage_durations: Mapping[str, Durations] = field(default_factory=dict)
    bus: Bus = field(default_factory=Bus)


class Telemetry(Protocol):
    """How the engine is and what it has done."""

    async def health(self) -> Health:
        """Return the engine's health; must answer fast, and must not raise."""
        ...

    async def metrics(self) -> Metrics:
        """Return the counters; those of the past survive restarts."""
        ...

    async def measured(self) -> Sequence[Metric]:
        """Return what the engine's processes measure of themselves, for Prometheus alone."""
        ...
