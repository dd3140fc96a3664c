"""The engine's counters for Prometheus, and who is asking for them. Pure."""

from collections.abc import Iterable, Iterator, Mapping

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector

from strategy_engine.api import plain
from strategy_engine.api.telemetry import Bus, Durations, Metrics

JSON = "application/json"
TEXT = "text/plain"
OPENMETRICS = "application/openmetrics-text"


def wanted(accept: str) -> str:
    """Return the media type to answer: JSON unless text or OpenMetrics is liked better.

    A type that is named wins over a wildcard of the same quality.
    """
    liked = _qualities(accept)
    anything = liked.get("*/*", 0.0 if liked else 1.0)
    as_json = max((liked.get(JSON, 0.0), True), (liked.get("application/*", anything), False))
    as_text = max(
        (liked.get(OPENMETRICS, 0.0), OPENMETRICS),
        (liked.get(TEXT, liked.get("text/*", 0.0)), TEXT),
    )
    quality, media_type = as_text
    return media_type if quality > 0 and (quality, True) > as_json else JSON


def render(
    metrics: Metrics, measured: Iterable[Metric], media_type: str = TEXT
) -> tuple[bytes, str]:
    """Return the counters, and what else was measured, as text; and its content type."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Once((*_families(metrics), *measured)))
    if media_type == OPENMETRICS:
        text: bytes = openmetrics.generate_latest(registry)  # type: ignore[no-untyped-call]  # its stub has none
        return text, openmetrics.CONTENT_TYPE_LATEST
    return generate_latest(registry), CONTENT_TYPE_PLAIN_0_0_4


class _Once(Collector):
    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = list(families)

    def collect(self) -> Iterable[Metric]:
        return self._families


def _families(metrics: Metrics) -> Iterator[Metric]:
    yield CounterMetricFamily(
        "strategy_deployments", "Deployments that completed.", value=metrics.total_deployments
    )
    yield GaugeMetricFamily(
        "strategy_executions_active",
        "Executions that are starting, running or paused.",
        value=metrics.active_executions,
    )
    yield _histogram(
        "strategy_pipeline_duration_seconds",
        "How long validation pipelines took.",
        {"": metrics.pipeline_durations},
    )
    yield _histogram(
        "strategy_test_duration_seconds",
        "How long finished stages took.",
        metrics.stage_durations,
        label="stage",
    )
    yield CounterMetricFamily(
        "strategy_trade_count", "Round trips that were closed.", value=metrics.trade_count
    )
    yield GaugeMetricFamily(
        "strategy_pnl_total",
        "Profit and loss of all executions, account currency.",
        value=plain.number(metrics.pnl),
    )
    yield GaugeMetricFamily(
        "strategy_success_rate",
        "Completed deployments over ended ones.",
        value=plain.number(metrics.success_rate),
    )
    yield CounterMetricFamily(
        "strategy_deployment_errors",
        "Deployments that failed.",
        value=metrics.deployment_errors,
    )
    yield from _bus(metrics.bus)


def _bus(bus: Bus) -> Iterator[Metric]:
    yield GaugeMetricFamily(
        "strategy_bus_connected", "Whether the message bus is there.", value=bus.is_connected
    )
    yield GaugeMetricFamily(
        "strategy_bus_waiting", "Events that wait to be published.", value=bus.waiting
    )
    yield GaugeMetricFamily(
        "strategy_bus_oldest_seconds",
        "For how long the oldest event waits to be published.",
        value=plain.number(bus.oldest_s),
    )
    messages = CounterMetricFamily(
        "strategy_bus_messages", "What went over the bus, by what became of it.", labels=["what"]
    )
    for what, count in sorted(bus.counts.items()):
        messages.add_metric([what], count)
    yield messages


def _histogram(
    name: str, documentation: str, durations: Mapping[str, Durations], label: str | None = None
) -> Metric:
    family = HistogramMetricFamily(name, documentation, labels=[label] if label else [])
    for value, each in durations.items():
        buckets = [(_bound(upper_s), float(count)) for upper_s, count in each.buckets]
        family.add_metric(
            [value] if label else [], [*buckets, ("+Inf", float(each.count))], each.total_s
        )
    return family


def _bound(upper_s: float) -> str:
    return repr(float(upper_s))


def _qualities(accept: str) -> dict[str, float]:
    found: dict[str, float] = {}
    for part in accept.split(","):
        name, *parameters = (each.strip().lower() for each in part.split(";"))
        if name:
            found[name] = max(found.get(name, 0.0), _quality(parameters))
    return found


def _quality(parameters: Iterable[str]) -> float:
    for each in parameters:
        name, _, value = each.partition("=")
        if name.strip() == "q":
            return min(1.0, max(0.0, plain.number(value)))
    return 1.0
