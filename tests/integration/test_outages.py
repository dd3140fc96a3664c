"""A database that is locked, stopped or frozen for a while: clear answers, no crash, no loss."""

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from strategy_engine import examples

RSI = next(each for each in examples.EXAMPLES if each.name == "RSI mean reversion")
TIMEOUT_S = "2"
_numbers = count(1)

# How long it lasts after everything about it was seen.
LASTING = pytest.mark.parametrize("lasts_s", [0.0, pytest.param(30.0, marks=pytest.mark.soak)])


def content() -> dict[str, Any]:
    return {
        "strategy_name": f"Line {next(_numbers)}",
        "version": "1.0.0",
        "code": RSI.source(),
        "parameters": dict(RSI.parameters),
        "risk_limits": dict(RSI.risk_limits),
    }


def deployed(engine: Any) -> str:
    strategy_id = engine.post("/strategies", content())["strategy_id"]
    pipeline_id = engine.post(f"/strategies/{strategy_id}/deploy")["pipeline_id"]
    found = ended(engine, pipeline_id)
    assert found["status"] == "completed", (found, engine.tail())
    return str(strategy_id)


def ended(engine: Any, pipeline_id: str) -> Any:
    return engine.until(
        f"/deployments/{pipeline_id}/status",
        lambda now: now["status"] in {"completed", "failed"},
        timeout_s=90,
    )


def started(engine: Any, strategy_id: str) -> str:
    """Start a version slowly enough to trade on after everything that a test does to it."""
    config = {"execution_config": {"speed": 40}}
    path = f"/executions/{engine.post(f'/strategies/{strategy_id}/start', config)['execution_id']}"
    engine.until(path, lambda now: now["fill_count"] >= 1, timeout_s=60)
    return path


def until_degraded(engine: Any, part: str) -> str:
    health = engine.until(
        "/health",
        lambda now: any(
            each["name"] == part and each["status"] != "healthy" for each in now["parts"]
        ),
    )
    assert health["status"] == "degraded"
    return str(next(each["reason"] for each in health["parts"] if each["name"] == part))


def assert_trades_go_on(engine: Any, path: str) -> None:
    engine.until("/health", lambda now: now["status"] == "healthy", timeout_s=60)
    before = engine.get(path)["fill_count"]
    now = engine.until(path, lambda now: now["fill_count"] > before, timeout_s=90)
    assert now["status"] == "running"
    trades = engine.get(f"{path}/trades?limit=500")["trades"]
    assert len({each["trade_id"] for each in trades}) == len(trades)
    sides = [each["side"] for each in trades]
    assert sides == ["BUY", "SELL"] * (len(sides) // 2) + ["BUY"] * (len(sides) % 2)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    holder = sqlite3.connect(path, isolation_level=None, timeout=10)
    holder.execute("BEGIN EXCLUSIVE")
    try:
        yield
    finally:
        holder.execute("ROLLBACK")
        holder.close()


@LASTING
def test_a_locked_sqlite_file_is_said_and_waited_for(
    start_engine: Callable[..., Any], lasts_s: float
) -> None:
    engine = start_engine(STRATEGY_DATABASE_TIMEOUT="0.3", PIPELINE_STAGES="syntax_check")
    path = started(engine, deployed(engine))
    processes = engine.children()

    with ExitStack() as locks:
        for name in ("control.db", "ledger.db"):
            locks.enter_context(locked(engine.data_dir / name))
        status, problem = engine.call("POST", "/strategies", content())
        assert (status, problem["type"]) == (503, "/problems/unavailable")
        assert "end what holds it open for writing" in problem["detail"]
        assert "locked" in until_degraded(engine, "database")
        assert engine.call("GET", "/strategies")[0] == 200
        time.sleep(lasts_s)

    assert_trades_go_on(engine, path)
    assert engine.call("POST", "/strategies", content())[0] == 201
    assert engine.children() == processes


@pytest.mark.soak
def test_a_locked_ledger_alone_is_told_by_the_node(start_engine: Callable[..., Any]) -> None:
    engine = start_engine(STRATEGY_DATABASE_TIMEOUT="0.3", PIPELINE_STAGES="syntax_check")
    path = started(engine, deployed(engine))

    with locked(engine.data_dir / "ledger.db"):
        why = until_degraded(engine, "node local")

    assert "the ledger" in why
    assert "locked" in why
    assert_trades_go_on(engine, path)


@pytest.fixture(scope="module")
def own_server(make_postgres: Callable[[], Any]) -> Any:
    """A PostgreSQL that these tests may stop."""
    return make_postgres()


@pytest.fixture(scope="module")
def on_postgresql(start_engine: Callable[..., Any], own_server: Any) -> Any:
    return start_engine(database_url=own_server.new_database(), STRATEGY_DATABASE_TIMEOUT=TIMEOUT_S)


@LASTING
@pytest.mark.parametrize("outage", ["stopped", pytest.param("frozen", marks=pytest.mark.soak)])
def test_a_postgresql_that_is_away_is_said_and_waited_for(
    on_postgresql: Any, own_server: Any, outage: str, lasts_s: float
) -> None:
    engine = on_postgresql
    path = started(engine, deployed(engine))
    processes = engine.children()
    done = engine.get("/health")["tests_completed"]
    waiting = engine.post("/strategies", content())["strategy_id"]
    pipeline_id = engine.post(f"/strategies/{waiting}/deploy")["pipeline_id"]
    engine.until(f"/deployments/{pipeline_id}/status", lambda now: now["stages_completed"] >= 1)

    own_server.freeze() if outage == "frozen" else own_server.stop()
    try:
        for method, where, body in (
            ("POST", "/strategies", content()),
            ("GET", "/strategies", None),
            ("GET", path, None),
        ):
            status, problem = engine.call(method, where, body)
            assert (status, problem["type"]) == (503, "/problems/unavailable"), problem
            assert "DATABASE_URL" in problem["detail"]
        assert "what is counted is what was before" in until_degraded(engine, "database")
        time.sleep(lasts_s)
    finally:
        own_server.thaw() if outage == "frozen" else own_server.start()

    assert_trades_go_on(engine, path)
    found = ended(engine, pipeline_id)
    assert (found["status"], found["stages_completed"]) == ("completed", 6), found
    assert engine.get("/health")["tests_completed"] == done + 6
    assert engine.children() == processes


@pytest.mark.soak
def test_an_engine_that_starts_while_its_database_is_away_says_so(
    start_engine: Callable[..., Any], own_server: Any
) -> None:
    engine = start_engine(
        database_url=own_server.new_database(),
        STRATEGY_DATABASE_TIMEOUT=TIMEOUT_S,
        PIPELINE_STAGES="syntax_check",
    )
    own_server.stop()
    try:
        killed = engine.kill("engine-control")
        engine.until_replaced("engine-control", killed)
        assert "nothing could be counted" in until_degraded(engine, "database")
        assert engine.call("GET", "/strategies")[0] == 503
    finally:
        own_server.start()
    engine.until("/health", lambda now: now["status"] == "healthy", timeout_s=60)
    assert deployed(engine)


def test_an_engine_whose_database_is_frozen_stops_all_the_same(
    start_engine: Callable[..., Any], own_server: Any
) -> None:
    engine = start_engine(
        database_url=own_server.new_database(), STRATEGY_DATABASE_TIMEOUT=TIMEOUT_S
    )
    own_server.freeze()
    try:
        assert engine.stop() == 0
    finally:
        own_server.thaw()
