"""The topics that the engine publishes, and the payload of each.

`event_id` is the same however often an event is published: who has seen it leaves it out.
"""

from dataclasses import dataclass
from datetime import datetime

import msgspec


class Payload(msgspec.Struct, frozen=True, kw_only=True):
    """What every payload holds."""

    event_id: str
    sequence: int


class StrategyDeployed(Payload, frozen=True, kw_only=True):
    """A version passed its pipeline and was placed; `sequence` is 1."""

    strategy_id: str
    strategy_name: str
    version: str
    pipeline_id: str
    deployment_type: str
    deployed_at: datetime


class ExecutionStarted(Payload, frozen=True, kw_only=True):
    """An execution is ready and gets bars, for the first time; `sequence` is 1."""

    execution_id: str
    strategy_id: str
    role: str
    feed: str
    mode: str
    capital: float
    start_time: datetime


class ExecutionStopped(Payload, frozen=True, kw_only=True):
    """An execution has ended, well or in error; `sequence` is 1."""

    execution_id: str
    strategy_id: str
    role: str
    status: str
    end_reason: str
    start_time: datetime | None
    end_time: datetime
    final_pnl: float
    trade_count: int
    fill_count: int


class Trade(msgspec.Struct, frozen=True, kw_only=True):
    """One fill; `pnl` is what it realised, after costs, in account currency."""

    symbol: str
    side: str
    quantity: float
    price: float
    timestamp: datetime
    trade_id: str
    order_id: str
    pnl: float
    fee: float
    slippage: float
    cause: str
    opens: bool
    closes_round_trip: bool


class StrategyTrade(Payload, frozen=True, kw_only=True):
    """A fill; `sequence` is its number in its execution, from 1 without a gap."""

    execution_id: str
    strategy_id: str
    trade: Trade


class Denied(msgspec.Struct, frozen=True, kw_only=True):
    """An order that was not let through; `denial_code` is stable, `reason` is for people."""

    order_id: str
    symbol: str
    side: str
    quantity: float
    order_type: str
    opens: bool
    cause: str
    denial_code: str
    reason: str
    decided_at: datetime


class OrderDenied(Payload, frozen=True, kw_only=True):
    """An order was denied; `sequence` is the time of its bar in microseconds since 1970."""

    execution_id: str
    strategy_id: str
    order: Denied


class StrategyError(Payload, frozen=True, kw_only=True):
    """An execution ended in error; `sequence` is 1. `strategy.execution.stopped` follows."""

    execution_id: str
    strategy_id: str
    error: str
    at: datetime


class StageCompleted(Payload, frozen=True, kw_only=True):
    """A pipeline finished a stage; `sequence` is the stage's place among the six."""

    pipeline_id: str
    strategy_id: str
    stage: str
    passed: bool
    verdict: str
    duration_ms: float
    message: str
    finished_at: datetime


class PipelineFailed(Payload, frozen=True, kw_only=True):
    """A deployment failed: `stage` is where, `outcome` says how; `sequence` is 1."""

    pipeline_id: str
    strategy_id: str
    strategy_name: str
    stage: str | None
    outcome: str
    message: str
    failed_at: datetime


class Position(msgspec.Struct, frozen=True, kw_only=True):
    """What an execution holds of one instrument, signed; no `entry_price` where it is flat."""

    symbol: str
    quantity: float
    entry_price: float | None
    mark: float
    updated_at: datetime


class PositionUpdated(Payload, frozen=True, kw_only=True):
    """A position after a fill; `sequence` is the fill's number, so it rises but may skip."""

    execution_id: str
    strategy_id: str
    position: Position


class MetricsUpdated(Payload, frozen=True, kw_only=True):
    """An execution's metrics; `sequence` is the time in microseconds since 1970, so it rises."""

    execution_id: str
    strategy_id: str
    at: datetime
    metrics: dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """A topic, what is written on it, and which field says of whom."""

    name: str
    payload: type[Payload]
    subject: str


DEPLOYED = "strategy.deployed"
STARTED = "strategy.execution.started"
STOPPED = "strategy.execution.stopped"
TRADE = "strategy.trade"
DENIED = "strategy.order.denied"
ERROR = "strategy.error"
STAGE_COMPLETED = "pipeline.stage.completed"
PIPELINE_FAILED = "pipeline.failed"
POSITION = "portfolio.position.updated"
METRICS = "analytics.metrics.updated"

TOPICS = (
    Topic(name=DEPLOYED, payload=StrategyDeployed, subject="strategy_id"),
    Topic(name=STARTED, payload=ExecutionStarted, subject="execution_id"),
    Topic(name=STOPPED, payload=ExecutionStopped, subject="execution_id"),
    Topic(name=TRADE, payload=StrategyTrade, subject="execution_id"),
    Topic(name=DENIED, payload=OrderDenied, subject="execution_id"),
    Topic(name=ERROR, payload=StrategyError, subject="execution_id"),
    Topic(name=STAGE_COMPLETED, payload=StageCompleted, subject="pipeline_id"),
    Topic(name=PIPELINE_FAILED, payload=PipelineFailed, subject="pipeline_id"),
    Topic(name=POSITION, payload=PositionUpdated, subject="execution_id"),
    Topic(name=METRICS, payload=MetricsUpdated, subject="execution_id"),
)
_BY_PAYLOAD = {each.payload: each for each in TOPICS}
_BY_NAME = {each.name: each for each in TOPICS}


def of(payload: Payload) -> Topic:
    """Return the topic that a payload is published on."""
    return _BY_PAYLOAD[type(payload)]


def named(name: str) -> Topic:
    """Return a topic by its name."""
    return _BY_NAME[name]
