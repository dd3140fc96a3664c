"""Health and counters, for people, probes and Prometheus."""

from dataclasses import replace
from typing import Any

import httpx
import pytest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.openmetrics import parser as openmetrics_parser
from prometheus_client.parser import text_string_to_metric_families

from strategy_engine.api import exposition, telemetry

OF_THE_CONTRACT = {
    "strategy_deployments_total": "counter",
    "strategy_executions_active": "gauge",
    "strategy_pipeline_duration_seconds": "histogram",
    "strategy_test_duration_seconds": "histogram",
    "strategy_trade_count_total": "counter",
    "strategy_pnl_total": "gauge",
    "strategy_success_rate": "gauge",
    "strategy_deployment_errors_total": "counter",
}
PROMETHEUS = (
    "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1"
)


async def test_a_healthy_engine_answers_the_contracts_shape(client: httpx.AsyncClient) -> None:
    answer = await client.get("/health")

    assert answer.status_code == 200
    assert answer.json() == {
        "status": "healthy",
        "strategies_deployed": 47,
        "pipelines_executed": 156,
        "tests_completed": 892,
        "active_strategies": 12,
        "active_executions": 8,
        "uptime_seconds": 86400.5,
        "messagebus_connected": True,
        "parts": [{"name": "node", "status": "healthy", "reason": ""}],
    }


async def test_a_part_that_fails_degrades_the_engine_and_is_named(
    world: Any, client: httpx.AsyncClient
) -> None:
    world.services.telemetry.parts = (
        telemetry.Part(name="control", healthy=True),
        telemetry.Part(name="node", healthy=False, reason="no heartbeat for 12 s"),
    )

    answer = await client.get("/health")

    assert answer.status_code == 200
    assert answer.json()["status"] == "degraded"
    assert answer.json()["parts"][1]["reason"] == "no heartbeat for 12 s"


async def test_only_a_control_that_cannot_serve_answers_503(
    world: Any, client: httpx.AsyncClient
) -> None:
    world.services.telemetry.serving = False
    answer = await client.get("/health")
    assert answer.status_code == 503
    assert answer.json()["status"] == "unavailable"


@pytest.mark.parametrize("accept", [None, "*/*", "application/json"])
async def test_counters_are_json_by_default(client: httpx.AsyncClient, accept: str | None) -> None:
    if accept is None:
        del client.headers["accept"]
    answer = await client.get("/metrics", headers={"accept": accept} if accept else {})

    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {
        "deployments_per_hour": 5.2,
        "pipelines_per_hour": 17.3,
        "total_strategies": 47,
        "total_deployments": 46,
        "total_pipelines": 156,
        "active_executions": 8,
        "success_rate": 0.987,
        "success_rate_without_rejections": 1.0,
        "engine_type": "strategy_deployment",
        "containerized": False,
    }


async def test_a_rate_that_is_undefined_is_zero(world: Any, client: httpx.AsyncClient) -> None:
    counters = world.services.telemetry.counters
    world.services.telemetry.counters = replace(counters, success_rate=float("nan"))
    assert (await client.get("/metrics")).json()["success_rate"] == 0.0


async def test_prometheus_reads_every_name_of_the_contract(client: httpx.AsyncClient) -> None:
    answer = await client.get("/metrics", headers={"accept": "text/plain"})

    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    families = {each.name: each for each in text_string_to_metric_families(answer.text)}
    for name, kind in OF_THE_CONTRACT.items():
        assert f"# TYPE {name} {kind}\n" in answer.text
        assert families[name.removesuffix("_total") if kind == "counter" else name].samples


async def test_openmetrics_is_read_by_its_own_parser(client: httpx.AsyncClient) -> None:
    answer = await client.get("/metrics", headers={"accept": PROMETHEUS})

    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    families = list(openmetrics_parser.text_string_to_metric_families(answer.text))
    samples = {sample.name: sample for family in families for sample in family.samples}
    assert samples["strategy_deployments_total"].value == 46
    assert samples["strategy_pnl_total"].value == -3.5
    assert samples["strategy_pipeline_duration_seconds_sum"].value == 7.5
    assert samples["strategy_pipeline_duration_seconds_count"].value == 3


async def test_durations_are_cumulative_buckets_by_stage(client: httpx.AsyncClient) -> None:
    text = (await client.get("/metrics", headers={"accept": "text/plain"})).text
    assert 'strategy_pipeline_duration_seconds_bucket{le="5.0"} 3.0' in text
    assert 'strategy_test_duration_seconds_bucket{le="0.5",stage="backtest"} 1.0' in text
    assert 'strategy_test_duration_seconds_bucket{le="+Inf",stage="backtest"} 2.0' in text


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("", exposition.JSON),
        ("*/*", exposition.JSON),
        ("application/*", exposition.JSON),
        ("application/json, text/plain, */*", exposition.JSON),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", exposition.JSON),
        ("application/json;q=0.5, text/plain;q=0.4", exposition.JSON),
        ("text/plain;q=0", exposition.JSON),
        ("text/plain;q=broken", exposition.JSON),
        (", ,;;=", exposition.JSON),
        ("text/plain", exposition.TEXT),
        ("text/*", exposition.TEXT),
        ("text/plain, */*", exposition.TEXT),
        ("TEXT/PLAIN; version=0.0.4", exposition.TEXT),
        ("application/json;q=0.4, text/plain;q=0.5", exposition.TEXT),
        ("application/openmetrics-text", exposition.OPENMETRICS),
        (PROMETHEUS, exposition.OPENMETRICS),
    ],
)
def test_who_asks_for_text_gets_text(accept: str, media_type: str) -> None:
    assert exposition.wanted(accept) == media_type


async def test_the_first_page_tells_where_to_go(client: httpx.AsyncClient) -> None:
    body = (await client.get("/")).json()

    assert body["docs"] == "/docs"
    for name in ("docs", "openapi", "health", "metrics"):
        assert (await client.get(body[name])).status_code == 200


async def test_prometheus_is_told_at_a_place_of_its_own_whatever_it_accepts(
    world: Any, client: httpx.AsyncClient
) -> None:
    waiting = GaugeMetricFamily("strategy_deployments_open", "Open.", labels=["state"])
    waiting.add_metric(["queued"], 3)
    world.services.telemetry.measures = (waiting,)

    plain = await client.get("/metrics/prometheus", headers={"accept": "application/json"})
    liked = await client.get("/metrics/prometheus", headers={"accept": PROMETHEUS})

    assert plain.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert liked.headers["content-type"].startswith("application/openmetrics-text")
    told = {each.name: each for each in text_string_to_metric_families(plain.text)}
    assert [each.value for each in told["strategy_deployments_open"].samples] == [3]
    assert told.keys() >= {name.removesuffix("_total") for name in OF_THE_CONTRACT} - {
        "strategy_pnl"
    }


async def test_answers_are_timed_by_route_and_not_by_path(
    world: Any, client: httpx.AsyncClient
) -> None:
    for path in ("/strategies/one", "/strategies/another", "/no/such/place", "/health"):
        await client.get(path)

    counted = {
        (each.labels["method"], each.labels["route"], each.labels["status"]): each.value
        for family in world.services.meters.families()
        for each in family.samples
        if each.name == "strategy_api_duration_seconds_count"
    }
    assert counted == {
        ("GET", "/strategies/{strategy_id}", "404"): 2,
        ("GET", "none", "404"): 1,
        ("GET", "/health", "200"): 1,
    }
