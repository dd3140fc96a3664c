"""Native versions on a whole engine: their line's capital, their child's death, their ticks."""

import contextlib
import json
import os
import signal
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nautilus_trader.examples.strategies as shipped
import numpy as np
import pytest

from strategy_engine.market.service import Catalogue

FOLDER = Path(shipped.__file__).parent
GOOGL = "GOOGL.SIM"
CRITERIA = {"min_sharpe_ratio": -100, "min_win_rate": 0, "accept_inconclusive": True}
pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def engine(start_engine: Callable[..., Any]) -> Any:
    return start_engine(PIPELINE_STAGES="syntax_check", STRATEGY_METRICS_INTERVAL="0.2")


def register(engine: Any, name: str, source: str, version: str = "1.0.0", **more: Any) -> str:
    body = {
        "strategy_name": name,
        "version": version,
        "code": (FOLDER / f"{source}.py").read_text(),
        "risk_limits": {"max_position_size": 50_000, "daily_loss_limit": -5_000},
        **more,
    }
    made: str = engine.post("/strategies", body)["strategy_id"]
    return made


def deploy(engine: Any, strategy_id: str, **options: Any) -> dict[str, Any]:
    pipeline_id = engine.post(f"/strategies/{strategy_id}/deploy", options)["pipeline_id"]
    ended = {"completed", "failed"}
    path = f"/deployments/{pipeline_id}/status"
    found: dict[str, Any] = engine.until(path, lambda now: now["status"] in ended, timeout_s=120)
    return found


def process_named(name: str) -> int | None:
    for path in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if path.name.isdigit() and (path / "comm").read_text().strip() == name[:15]:
                return int(path.name)
    return None


def test_a_line_of_native_versions_outlives_a_kill_and_hands_its_capital_on(engine: Any) -> None:
    name = "Native line"
    parameters = {"trade_size": 1000, "fast_ema_period": 5, "slow_ema_period": 10}
    old = register(engine, name, "ema_cross_bracket", parameters=parameters)
    assert deploy(engine, old)["status"] == "completed"
    config = {"speed": 200, "symbols": ["EUR/USD.SIM"]}
    started = engine.post(f"/strategies/{old}/start", {"execution_config": config})
    path = f"/executions/{started['execution_id']}"
    engine.until(path, lambda now: now["fill_count"] >= 4, timeout_s=60)
    pid = process_named(started["execution_id"])
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    engine.until(path, lambda now: now["epoch"] == 2, timeout_s=60)
    before = engine.get(path)
    engine.until(path, lambda now: now["fill_count"] > before["fill_count"], timeout_s=60)

    new = register(engine, name, "ema_cross", "2.0.0", parameters=parameters)
    found = deploy(engine, new, handover="flatten")

    assert (found["status"], found["outcome"]) == ("completed", "promoted"), found
    ended = engine.get(path)
    (after,) = engine.get(f"/executions?status=all&strategy_id={new}")["executions"]
    assert (ended["status"], ended["error"]) == ("stopped", None)
    assert ended["capital"] == 0  # it gave everything
    assert after["capital"] == pytest.approx(100_000 + ended["final_pnl"], abs=1e-6)
    trades = engine.get(f"{path}/trades?limit=5000")["trades"]
    assert sum(each["quantity"] * (1 if each["side"] == "BUY" else -1) for each in trades) == 0
    orders = engine.get(f"{path}/orders?limit=5000")
    assert orders["total"] == len(orders["orders"]) > 0
    refused = [each for each in orders["orders"] if each["status"] == "denied"]
    assert {each["denial_code"] for each in refused} <= {"replaced"}  # it opens no more
    assert {each["status"] for each in orders["orders"]} <= {
        "denied",
        "filled",
        "cancelled",
        "expired",
        "rejected",
    }
    filled = sum(each["filled_quantity"] for each in orders["orders"])
    assert filled == sum(each["quantity"] for each in trades)
    engine.post(f"/strategies/{new}/stop")


def test_risk_cuts_a_native_strategy_and_the_kill_switch_closes_it(engine: Any) -> None:
    name = "Native risk"
    parameters = {"trade_size": 10_000, "fast_ema_period": 5, "slow_ema_period": 10}
    strategy_id = register(engine, name, "ema_cross", parameters=parameters)
    assert deploy(engine, strategy_id)["status"] == "completed"
    config = {"speed": 20, "symbols": ["EUR/USD.SIM"]}
    started = engine.post(f"/strategies/{strategy_id}/start", {"execution_config": config})
    path = f"/executions/{started['execution_id']}"
    engine.until(path, lambda now: now["fill_count"] >= 1, timeout_s=60)

    limits = {"max_exposure": 1, "actions": {"max_exposure": "reduce"}, "reduce_factor": 0.25}
    status, answer = engine.call("PUT", "/risk/limits/line/Native%20risk", {"limits": limits})
    assert status == 200, answer
    cut = engine.until(f"{path}/trades", lambda now: by_the_engine(now["trades"]), timeout_s=60)
    assert abs(held(cut["trades"])) == 2_500  # of 10,000
    engine.until(path, lambda now: now["risk_state"] == "REDUCING")
    wish = {"scope": "line", "subject": name, "flatten": True, "reason": "prices are wrong"}
    done = engine.post("/risk/emergency-stop", wish)["done"]
    assert (done["executions"], done["open"]) == ([started["execution_id"]], [])
    ended = engine.until(path, lambda now: now["status"] == "stopped", timeout_s=60)

    trades = engine.get(f"{path}/trades?limit=5000")["trades"]
    assert held(trades) == 0
    assert [each["quantity"] for each in by_the_engine(trades)] == [7_500, 2_500]
    orders = engine.get(f"{path}/orders?limit=5000")["orders"]
    assert {each["status"] for each in orders} <= {"filled", "cancelled", "denied"}
    assert {each["denial_code"] for each in orders if each["status"] == "denied"} <= {
        "reducing",
        "killed",
        "halted",
    }
    assert (ended["risk_state"], ended["emergency_stop"]["subject"]) == ("HALTED", name)


def by_the_engine(trades: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [each for each in trades if each["cause"] == "handover"]


def held(trades: list[dict[str, Any]]) -> float:
    signed: list[float] = [
        each["quantity"] * (1 if each["side"] == "BUY" else -1) for each in trades
    ]
    return sum(signed)


def ticks(engine: Any, what: str, rows: list[str]) -> None:
    request = urllib.request.Request(
        f"{engine.url}/instruments/{GOOGL}/{what}",
        data="\n".join(rows).encode(),
        headers={"content-type": "text/csv"},
        method="POST",
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert answer.status == 200, answer.read()


def test_paper_trading_meets_the_quotes_that_the_backtest_of_the_same_bars_meets(
    engine: Any,
) -> None:
    bars = Catalogue(Path("/nonexistent")).bars(GOOGL)
    rows = ["ts_utc,bid,ask,bid_size,ask_size"]
    for index in range(len(bars) - 150, len(bars)):
        prices = (bars.open[index], bars.low[index], bars.high[index], bars.close[index])
        for number, price in enumerate(prices):
            at_ns = int(bars.ts_ns[index]) + bars.timeframe_ns * (number + 1) // 5
            at = np.datetime64(at_ns, "ns")
            rows.append(f"{at}Z,{price:.2f},{price + 0.02:.2f},100,100")
    ticks(engine, "quotes", rows)
    strategy_id = register(
        engine,
        "Trails",
        "ema_cross_trailing_stop",
        parameters={
            "symbols": [GOOGL],
            "trade_size": 10,
            "atr_period": 14,
            "trailing_atr_multiple": 3.0,
            "trailing_offset_type": "PRICE",
            "trigger_type": "LAST_PRICE",
            "lookback": 60,
        },
    )
    asked = {"test_type": "paper_trading", "validation_criteria": CRITERIA}
    results = engine.post(f"/strategies/{strategy_id}/test", asked)["result"]
    assert results["passed"], json.dumps(results)[:3_000]
    assert results["trades_executed"] > 3
    orders = engine.get(f"/executions/{results['execution_id']}/orders")["orders"]
    assert {"TRAILING_STOP_MARKET"} <= {each["type"] for each in orders}
