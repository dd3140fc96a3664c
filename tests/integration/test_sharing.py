"""Experiments and allocations on a real engine: capital moves, books agree, whatever dies."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest

CODE = """
class Turning:
    lookback = 20

    def __init__(self, every=3):
        self.every = every
        self.bars = 0

    def generate_signal(self, market_data):
        self.bars += 1
        if self.bars % self.every:
            return "HOLD"
        return "SELL" if market_data["position"] else "BUY"
"""
_lines = itertools.count(1)


@pytest.fixture(scope="module")
def engine(start_engine: Callable[..., Any]) -> Any:
    return start_engine(PIPELINE_STAGES="syntax_check", STRATEGY_METRICS_INTERVAL="0.5")


def version_of(engine: Any, name: str, number: str, **parameters: Any) -> str:
    content = {
        "strategy_name": name,
        "version": number,
        "code": CODE,
        "parameters": {"position_size": 0.5, **parameters},
        "risk_limits": {"max_position_size": 90_000, "daily_loss_limit": -50_000},
    }
    return str(engine.post("/strategies", content)["strategy_id"])


def line_of(engine: Any, *, speed: float, **parameters: Any) -> tuple[str, dict[str, str], str]:
    """Deploy two versions of a new line, and start the first; return name, ids, execution."""
    name, ids = f"Turning {next(_lines)}", {}
    for number, every in (("1.0.0", 3), ("2.0.0", 4)):
        ids[number] = version_of(engine, name, number, every=every, **parameters)
        pipeline = engine.post(f"/strategies/{ids[number]}/deploy")["pipeline_id"]
        engine.until(f"/deployments/{pipeline}/status", lambda it: it["status"] == "completed")
    started = engine.post(
        f"/strategies/{ids['1.0.0']}/start", {"execution_config": {"speed": speed}}
    )
    return name, ids, started["execution_id"]


def path_of(name: str) -> str:
    return "/lines/" + name.replace(" ", "%20")


def weights(line: Any, worth: float = 100_000.0) -> dict[str, float]:
    return {each["version"]: each["capital"] / worth for each in line["members"]}


def test_an_experiment_moves_capital_estimates_and_gives_it_back(engine):
    name, ids, stable = line_of(engine, speed=40)
    asked = {
        "strategy_name": name,
        "version_a": "1.0.0",
        "version_b": "2.0.0",
        "hypothesis": "fewer turns cost less",
        "share_b": 0.25,
        "planned_pairs": 120,
    }
    made = engine.post("/experiments", asked)
    path = f"/experiments/{made['experiment_id']}"

    engine.until(path, lambda it: it["status"] == "running", timeout_s=60)
    line = engine.get(path_of(name))
    assert {each["version"]: each["role"] for each in line["members"]} == {
        "1.0.0": "stable",
        "2.0.0": "candidate",
    }
    assert weights(line)["2.0.0"] == pytest.approx(0.25, abs=0.005)
    assert line["capital"] == pytest.approx(100_000, abs=0.01)
    assert line["moved_by"][0]["key"] == made["experiment_id"]

    third = version_of(engine, name, "3.0.0", every=5)
    status, refused = engine.call("POST", f"/strategies/{third}/deploy")
    assert (status, refused["key"]) == (409, made["experiment_id"])

    engine.kill("engine-control")
    engine.until(path, lambda it: it["pairs"] >= 40, timeout_s=60)
    ended = engine.until(path, lambda it: it["status"] == "ended", timeout_s=90)
    assert ended["outcome"] == "completed"
    assert ended["pairs"] == 120
    assert ended["estimate"]["lower"] < ended["estimate"]["mean"] < ended["estimate"]["upper"]
    assert [each["action"] for each in ended["history"]] == ["start", "begin", "end", "close"]

    line = engine.get(path_of(name))
    (member,) = line["members"]
    assert member["execution_id"] == stable
    other = engine.get(f"/executions/{ended['b']['execution_id']}")
    assert member["capital"] == pytest.approx(100_000 + other["final_pnl"], abs=0.001)
    assert line["books"]["agrees"], line["books"]["findings"]
    assert line["books"]["fill_count"] > 30
    assert engine.get(f"/strategies/{ids['2.0.0']}")["status"] == "stopped"
    assert engine.get(f"/strategies/{ids['1.0.0']}")["status"] == "running"
    engine.post(f"/strategies/{ids['1.0.0']}/stop")


def test_instruments_change_hands_flat_and_come_back(engine):
    symbols = ["EUR/USD.SIM", "GOOGL.SIM"]
    name, ids, stable = line_of(engine, speed=40, symbols=symbols)
    asked = {
        "strategy_name": name,
        "version_a": "1.0.0",
        "version_b": "2.0.0",
        "hypothesis": "fewer turns cost less",
        "unit": "instrument",
        "planned_pairs": 10_000,
    }
    made = engine.post("/experiments", asked)
    path = f"/experiments/{made['experiment_id']}"
    assert len(made["b"]["symbols"]) == 1
    (symbol,) = made["b"]["symbols"]

    running = engine.until(path, lambda it: it["status"] == "running", timeout_s=60)
    begun = engine.get(f"/executions/{stable}/orders?limit=500")["total"]
    candidate = running["b"]["execution_id"]
    engine.until(f"/executions/{candidate}", lambda it: it["fill_count"] >= 4)
    after = f"/executions/{stable}/orders?limit=500&offset={begun}"

    def filled(orders: Any) -> set[str]:
        return {each["symbol"] for each in orders["orders"] if each["status"] == "filled"}

    def refused(orders: Any) -> set[str]:
        return {each["denial_code"] for each in orders["orders"] if each["symbol"] == symbol}

    seen = engine.until(after, lambda it: filled(it) and refused(it))
    own = filled(seen)
    assert own == set(symbols) - {symbol}
    assert refused(seen) == {"replaced"}
    assert {each["symbol"] for each in engine.get(f"/executions/{candidate}/trades")["trades"]} == {
        symbol
    }

    engine.post(f"{path}/stop")
    engine.until(path, lambda it: it["status"] == "ended", timeout_s=60)
    fills = engine.get(f"/executions/{stable}")["fill_count"]
    engine.until(
        f"/executions/{stable}/trades?limit=500&offset={fills}",
        lambda it: symbol in {each["symbol"] for each in it["trades"]},
    )
    assert engine.get(path_of(name))["books"]["agrees"]
    engine.post(f"/strategies/{ids['1.0.0']}/stop")


def test_an_allocation_shares_capital_and_takes_it_from_who_is_not_well(engine):
    name, ids, _ = line_of(engine, speed=40)
    policy = {
        "policy": "fixed",
        "versions": ["1.0.0", "2.0.0"],
        "weights": {"1.0.0": 0.5, "2.0.0": 0.3},
        "max_change_a_day": 1.0,
    }
    status, _ = engine.call("PUT", f"{path_of(name)}/allocation", policy)
    assert status == 200

    def has(version: str, share: float) -> Callable[[Any], bool]:
        return lambda it: abs(weights(it).get(version, 0) - share) < 0.05

    line = engine.until(path_of(name), has("2.0.0", 0.3), timeout_s=60)
    engine.until(path_of(name), has("1.0.0", 0.5))
    assert line["moved_by"][0]["kind"] == "allocation"

    engine.post(f"/strategies/{ids['2.0.0']}/pause")
    told = engine.until(f"{path_of(name)}/allocation", lambda it: it["in_force"]["2.0.0"] == 0)
    assert told["slots"]["2.0.0"] == 0.3
    assert told["in_force"]["1.0.0"] == 0.5
    assert "is paused" in told["message"]
    engine.post(f"/strategies/{ids['2.0.0']}/resume")
    engine.kill("engine-control")
    engine.until(path_of(name), has("2.0.0", 0.3))

    status, _ = engine.call("DELETE", f"{path_of(name)}/allocation")
    assert status == 200
    engine.until(path_of(name), lambda it: not it["moved_by"])
    line = engine.get(path_of(name))
    assert line["capital"] == pytest.approx(100_000, abs=0.01)
    assert line["books"]["agrees"], line["books"]["findings"]

    engine.post(f"/strategies/{ids['1.0.0']}/stop")  # the other one has capital of the line still
    status, told = engine.call("POST", f"/strategies/{ids['1.0.0']}/start", {})
    assert status == 409
    assert "version 2.0.0 of this line is running" in told["detail"]
    engine.post(f"/strategies/{ids['2.0.0']}/stop")
