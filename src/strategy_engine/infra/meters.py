"""What a process counts and times of itself, for Prometheus. A node's go to control as text."""

import asyncio
from collections.abc import Iterable, Iterator
from datetime import datetime

import sqlalchemy as sa
from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy.ext.asyncio import AsyncConnection

from strategy_engine.infra import database

TOLD_S = 5.0  # how often a node's are told to control
LOOP_S = 0.1  # how often a loop is asked whether it keeps its time
_QUICK_S = (1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
_SLOW_S = (1e-3, 5e-3, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 3600.0)

TABLE = sa.Table(
    "meters",
    database.control,
    sa.Column("node_id", sa.String(60), primary_key=True),
    sa.Column("at", database.UtcDateTime, nullable=False),
    sa.Column("exposition", sa.Text, nullable=False),
)

disable_created_metrics()  # type: ignore[no-untyped-call]  # its stub has none


class Meters:
    """What every process has: how late its event loop is."""

    def __init__(self, process: str) -> None:
        self.registry = CollectorRegistry(auto_describe=False)
        self._lag = Histogram(
            "strategy_event_loop_lag_seconds",
            "How late an event loop comes back to what was due.",
            ["process"],
            buckets=_QUICK_S,
            registry=self.registry,
        ).labels(process)

    async def watch_loop(self) -> None:
        """Measure without end how late the running loop is."""
        loop = asyncio.get_running_loop()
        while True:
            due_s = loop.time() + LOOP_S
            await asyncio.sleep(LOOP_S)
            self._lag.observe(max(0.0, loop.time() - due_s))

    def families(self) -> Iterator[Metric]:
        """Return what was measured."""
        return iter(self.registry.collect())


class ControlMeters(Meters):
    """What control measures beside what rows tell: how long its answers take."""

    def __init__(self) -> None:
        super().__init__("control")
        self.answers = Histogram(
            "strategy_api_duration_seconds",
            "How long an answer of the API took, by route; streams are not in it.",
            ["method", "route", "status"],
            buckets=_QUICK_S,
            registry=self.registry,
        )


class NodeMeters(Meters):
    """What a node measures of the executions that it runs."""

    def __init__(self) -> None:
        super().__init__("node")
        self.decisions = Histogram(
            "strategy_decision_duration_seconds",
            "From showing a bar or tick to a strategy's process until its answer.",
            ["kernel"],
            buckets=_QUICK_S,
            registry=self.registry,
        )
        self.fills = Histogram(
            "strategy_fill_duration_seconds",
            "From an order's decision until its fill was on the disk.",
            ["kernel"],
            buckets=_SLOW_S,
            registry=self.registry,
        )
        self.denials = Counter(
            "strategy_denials",
            "Orders that the gate refused.",
            ["code"],
            registry=self.registry,
        )
        self.checks = Counter(
            "strategy_risk_checks",
            "Orders that a risk engine outside was asked about, by what came of it.",
            ["outcome"],
            registry=self.registry,
        )
        self.check_times = Histogram(
            "strategy_risk_check_duration_seconds",
            "From asking a risk engine outside until its answer, or the deadline.",
            buckets=_QUICK_S,
            registry=self.registry,
        )
        self.refused_answers = Counter(
            "strategy_risk_answers_refused",
            "Answers of a risk engine outside that did not count.",
            ["why"],
            registry=self.registry,
        )
        self.restarts = Counter(
            "strategy_process_restarts",
            "Strategy processes that ended and were begun anew, by whose doing it was.",
            ["cause"],
            registry=self.registry,
        )
        self.walls = Counter(
            "strategy_confinement_failures",
            "Strategy processes that a layer of the wall was missing for.",
            ["layer"],
            registry=self.registry,
        )

    def exposition(self) -> str:
        """Return all of it as Prometheus text."""
        return generate_latest(self.registry).decode()


def merged(own: Iterable[Metric], texts: Iterable[tuple[str, str]]) -> list[Metric]:
    """Return control's families and those of nodes as one, each sample with the node it is of.

    Parameters
    ----------
    texts : iterable of (str, str)
        Node and exposition.
    """
    found = {each.name: each for each in own}
    for node, text in texts:
        for family in text_string_to_metric_families(text):
            whole = found.setdefault(
                family.name, Metric(family.name, family.documentation, family.type)
            )
            for each in family.samples:
                whole.add_sample(each.name, each.labels | {"node": node}, each.value)
    return list(found.values())


async def keep(connection: AsyncConnection, node_id: str, text: str, at: datetime) -> None:
    """Keep what a node measured, in place of what it did before."""
    values = {"at": at, "exposition": text}
    changed = await connection.execute(
        sa.update(TABLE).where(TABLE.c.node_id == node_id).values(values)
    )
    if changed.rowcount == 0:
        await connection.execute(sa.insert(TABLE).values(node_id=node_id, **values))


async def kept(connection: AsyncConnection, since: datetime) -> list[tuple[str, str]]:
    """Return each node and what it measured, of those that were heard of since then."""
    rows = await connection.execute(
        sa.select(TABLE.c.node_id, TABLE.c.exposition)
        .where(TABLE.c.at >= since)
        .order_by(TABLE.c.node_id)
    )
    return [(row.node_id, row.exposition) for row in rows]
