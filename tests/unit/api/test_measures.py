"""Metrics with their samples, of groups, as tables, as pages."""

import csv
import io
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pyarrow.parquet as pq
import pytest

from strategy_engine.api import tables
from strategy_engine.api.tables import Column, Kind
from strategy_engine.performance.service import Point

AT = datetime(2026, 1, 5, 10, tzinfo=UTC)


@pytest.fixture
async def strategy_id(client: httpx.AsyncClient, content: dict[str, Any]) -> str:
    return (await client.post("/strategies", json=content)).json()["strategy_id"]


async def test_every_figure_stands_beside_its_sample_and_its_interval(
    world: Any, client: httpx.AsyncClient
) -> None:
    world.executions.add()
    body = (await client.get("/executions/exec_0/performance")).json()
    assert body["metrics"]["total_return"] == {
        "value": 0.02,
        "n": 3,
        "low": None,
        "high": None,
    } or (body["metrics"]["total_return"]["value"] == pytest.approx(0.02))
    win_rate = body["metrics"]["win_rate"]
    assert (win_rate["value"], win_rate["n"]) == (1.0, 1)
    assert 0.0 < win_rate["low"] < win_rate["high"] == 1.0
    assert (body["pnl"], body["trade_count"]) == (20.0, 1)


async def test_what_is_measured_can_be_chosen(world: Any, client: httpx.AsyncClient) -> None:
    world.executions.add()
    params = {"from": "2026-01-01", "benchmark": "cash", "risk_free": "0.04"}
    body = (await client.get("/executions/exec_0/performance", params=params)).json()
    asked = world.services.measuring.asked[-1]
    assert body["benchmark"] == asked.benchmark == "cash"
    assert asked.risk_free == 0.04
    assert asked.start_ns == 1_767_225_600 * 10**9


@pytest.mark.parametrize("kind", ["metrics", "performance", "export/metrics"])
async def test_versions_lines_and_the_engine_are_measured_too(
    kind: str, client: httpx.AsyncClient, content: dict[str, Any], strategy_id: str
) -> None:
    for subject in (f"strategies/{strategy_id}", f"lines/{content['strategy_name']}", "engine"):
        assert (await client.get(f"/{subject}/{kind}")).status_code == 200, subject
    for subject in ("strategies/strat_none", "lines/None such"):
        assert (await client.get(f"/{subject}/{kind}")).status_code == 404, subject


async def test_a_history_has_two_names_and_its_points_have_estimates(
    world: Any, client: httpx.AsyncClient
) -> None:
    world.executions.add()
    metrics = {"sharpe_ratio": 1.5, "estimates": {"sharpe_ratio": [720, 0.4, 2.6]}}
    world.services.snapshots.points = [Point(at=AT, samples=6, metrics=metrics)]
    one = (await client.get("/executions/exec_0/metrics")).json()
    other = (await client.get("/executions/exec_0/metrics/history")).json()
    assert one == other
    (point,) = one["metrics"]
    assert point["estimates"] == {"sharpe_ratio": {"n": 720, "low": 0.4, "high": 2.6}}
    assert "estimates" not in point["metrics"]


async def test_metrics_are_taken_away_as_csv_with_their_estimates(
    world: Any, client: httpx.AsyncClient
) -> None:
    world.executions.add()
    metrics = {"sharpe_ratio": 1.5, "estimates": {"sharpe_ratio": [720, 0.4, 2.6]}}
    world.services.snapshots.points = [Point(at=AT, samples=6, metrics=metrics)]
    answer = await client.get("/executions/exec_0/export/metrics")
    (row,) = csv.DictReader(io.StringIO(answer.text))
    assert answer.headers["content-type"].startswith("text/csv")
    assert (row["timestamp"], row["sharpe_ratio"], row["alpha"]) == (
        "2026-01-05T10:00:00Z",
        "1.5",
        "",
    )
    assert (row["sharpe_ratio_n"], row["sharpe_ratio_low"]) == ("720", "0.4")


@pytest.mark.parametrize("asked", [{"params": {"format": "parquet"}}, {"headers": True}])
async def test_equity_is_taken_away_as_parquet_exactly(
    asked: dict[str, Any], world: Any, client: httpx.AsyncClient
) -> None:
    world.executions.add()
    exact = Decimal("100127.500000001")
    world.services.pages.rows = [[AT, exact, Decimal("-0.25"), Decimal(100_000), 1.5]]
    if "headers" in asked:
        asked = {"headers": {"accept": tables.MEDIA_TYPES["parquet"]}}
    answer = await client.get("/executions/exec_0/export/equity", **asked)
    table = pq.ParquetFile(io.BytesIO(answer.content)).read()
    assert table.to_pylist() == [
        {
            "timestamp": AT,
            "equity": exact,
            "cash": Decimal("-0.250000000"),
            "contributed": Decimal(100_000),
            "benchmark": 1.5,
        }
    ]


async def test_a_table_is_sent_page_by_page_and_read_back_whole() -> None:
    columns = [
        Column(name="at", kind=Kind.TIME),
        Column(name="what", kind=Kind.TEXT),
        Column(name="much", kind=Kind.MONEY),
    ]
    pages = [
        [[AT + timedelta(seconds=n), f"ä{n}" if n % 3 else None, Decimal(n)] for n in part]
        for part in (range(5), range(5, 5), range(5, 12))
    ]

    async def read() -> Any:
        for page in pages:
            yield page

    parts = [part async for part in tables.encoded(columns, read(), "parquet")]
    table = pq.ParquetFile(io.BytesIO(b"".join(parts))).read()
    assert [list(row.values()) for row in table.to_pylist()] == [r for page in pages for r in page]
    assert len(parts) == len(pages) + 1


async def test_a_tearsheet_is_a_page_that_no_browser_runs_anything_of(
    world: Any, client: httpx.AsyncClient, strategy_id: str
) -> None:
    world.executions.add()
    for path in ("/executions/exec_0/tearsheet", f"/strategies/{strategy_id}/tearsheet"):
        answer = await client.get(path)
        assert answer.headers["content-type"].startswith("text/html")
        assert "sandbox" in answer.headers["content-security-policy"]
    assert (await client.get("/executions/exec_9/tearsheet")).status_code == 404
    params = {"against": "strat_none"}
    answer = await client.get(f"/strategies/{strategy_id}/tearsheet", params=params)
    assert answer.status_code == 404
