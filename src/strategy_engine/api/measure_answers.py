"""The shapes of answers about metrics: with their samples, by the whole history, of groups."""

from typing import Any, Literal

from strategy_engine.api import example_readings, readings, shapes

_ESTIMATE = {"value": 1.45, "n": 720, "low": 0.31, "high": 2.59}
EXAMPLE: dict[str, Any] = {
    "subject": "exec_9f86d081884c7d659a2feaa0",
    "metrics": {
        "sharpe_ratio": _ESTIMATE,
        "profit_factor": {"value": None, "n": 0, "low": None, "high": None},
    },
    "returns_by": "bars",
    "benchmark": "traded",
    "executions": 1,
    "equity": 100_127.5,
    "pnl": 127.5,
    "trade_count": 3,
    "day_count": 30,
    "first": "2025-07-24T10:00:00Z",
    "last": "2025-08-24T10:00:00Z",
}
HISTORY: dict[str, Any] = {
    "subject": "RSI Mean Reversion",
    "resolution": "1m",
    "metrics": example_readings.METRICS_HISTORY["metrics"],
    "count": 1,
}


class Estimate(shapes.Answer):
    """A figure, the size of the sample behind it, and its 95 % interval; null where undefined."""

    value: shapes.MaybeNumber
    n: int
    low: shapes.MaybeNumber
    high: shapes.MaybeNumber


class Performance(shapes.Answer):
    """What one or more executions come to as one account, computed from the ledger.

    `returns_by` says of which returns the figures are: of an execution's bars, or of hours where
    several ledgers are added up; flows from one of them to another are counted once.
    """

    model_config = shapes.example(EXAMPLE)

    subject: shapes.Line
    metrics: dict[str, Estimate]
    returns_by: Literal["bars", "hours"]
    benchmark: str
    executions: int
    equity: shapes.Number
    pnl: shapes.Number
    trade_count: int
    day_count: int
    first: shapes.Time | None
    last: shapes.Time | None


class GroupHistory(shapes.Answer):
    """The metrics of a version, a line or the whole engine, oldest first, at one resolution."""

    model_config = shapes.example(HISTORY)

    subject: shapes.Line
    resolution: Literal["10s", "1m", "1h"]
    metrics: list[readings.MetricsPoint]
    count: int
