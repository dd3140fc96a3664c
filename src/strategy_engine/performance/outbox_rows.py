"""What others are told of a snapshot of metrics. Pure."""

from collections.abc import Iterable, Mapping

from strategy_engine.core import clock
from strategy_engine.infra.bus import topics
from strategy_engine.performance import rollups
from strategy_engine.performance.store import Snapshot

_NANOS_PER_MICRO = 1_000


def events(snapshots: Iterable[Snapshot], told: Mapping[str, str]) -> list[topics.MetricsUpdated]:
    """Return an event a snapshot of the executions that are told of, by their version."""
    return [
        _event(each, told[each.execution_id]) for each in snapshots if each.execution_id in told
    ]


def _event(snapshot: Snapshot, strategy_id: str) -> topics.MetricsUpdated:
    sequence = clock.to_nanos(snapshot.at) // _NANOS_PER_MICRO
    return topics.MetricsUpdated(
        event_id=f"{snapshot.execution_id}.metrics.{sequence}",
        sequence=sequence,
        execution_id=snapshot.execution_id,
        strategy_id=strategy_id,
        at=snapshot.at,
        metrics={
            name: float(value)
            for name, value in snapshot.metrics.items()
            if rollups.is_number(value)
        },
    )
