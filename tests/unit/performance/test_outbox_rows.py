"""What others are told of metrics: numbers only, of the executions that are told of."""

import math
from datetime import UTC, datetime

from strategy_engine.performance import outbox_rows
from strategy_engine.performance.store import Snapshot

NOW = datetime(2025, 8, 24, 10, 0, 0, 250_000, tzinfo=UTC)


def test_a_snapshot_is_told_under_its_version_and_its_own_time():
    snapshot = Snapshot(execution_id="exec_1", at=NOW, metrics={"sharpe_ratio": 1.5, "bars": 3})

    (event,) = outbox_rows.events([snapshot], {"exec_1": "strat_1"})

    assert (event.strategy_id, event.metrics) == ("strat_1", {"sharpe_ratio": 1.5, "bars": 3.0})
    assert event.sequence == 1_756_029_600_250_000
    assert event.event_id == f"exec_1.metrics.{event.sequence}"


def test_what_is_no_number_is_left_out_and_what_nobody_is_told_of_is_told_to_nobody():
    odd = {"a": None, "b": "text", "c": math.nan, "d": math.inf, "e": 1}
    snapshots = [Snapshot(execution_id=name, at=NOW, metrics=odd) for name in ("exec_1", "exec_v")]

    (event,) = outbox_rows.events(snapshots, {"exec_1": "strat_1"})

    assert event.metrics == {"e": 1.0}
