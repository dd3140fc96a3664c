"""Risk acts on real processes: paused, reduced, halted; alerts raised; and all of it lasts."""

import pytest

LOSING = """
class Losing:
    lookback = 5

    def __init__(self):
        self.bars = 0

    def generate_signal(self, market_data):
        self.bars += 1
        return "BUY" if self.bars % 2 else "SELL"
"""
HOLDING = """
class Holding:
    lookback = 5

    def generate_signal(self, market_data):
        return "BUY"
"""
SILENT = """
class Silent:
    lookback = 5

    def __init__(self):
        self.bars = 0

    def generate_signal(self, market_data):
        self.bars += 1
        while self.bars > 20:
            pass
        return "HOLD"
"""
ENVIRONMENT = {
    "PIPELINE_STAGES": "syntax_check",
    "STRATEGY_METRICS_INTERVAL": "0.5",
    "STRATEGY_DECISION_TIMEOUT": "4",
}
SYMBOL = "EUR/USD.SIM"
NODE = "engine-node"


@pytest.fixture(scope="module")
def engine(start_engine):
    return start_engine(**ENVIRONMENT)


def version(engine, name, code, risk_limits, **parameters):
    body = {
        "strategy_name": name,
        "version": "1.0.0",
        "code": code,
        "parameters": {"symbols": [SYMBOL], "timeframe": "1h"} | parameters,
        "risk_limits": {"max_position_size": 10_000_000} | risk_limits,
    }
    strategy_id = engine.post("/strategies", body)["strategy_id"]
    pipeline_id = engine.post(f"/strategies/{strategy_id}/deploy")["pipeline_id"]
    engine.until(f"/deployments/{pipeline_id}/status", lambda now: now["status"] == "completed")
    return strategy_id


def start(engine, strategy_id, **config):
    asked = {"execution_config": {"speed": 200} | config}
    return engine.post(f"/strategies/{strategy_id}/start", asked)["execution_id"]


def breaches_of(engine, execution_id, measure):
    found = engine.until(
        f"/risk/breaches?execution_id={execution_id}",
        lambda now: any(each["measure"] == measure for each in now["breaches"]),
    )
    return [each for each in found["breaches"] if each["measure"] == measure]


def alert_of(engine, measure, subject):
    def is_there(now):
        return any(
            measure in each["title"] and each["subject_id"] == subject for each in now["alerts"]
        )

    return engine.until("/alerts?limit=100", is_there)


def execution(engine, execution_id, is_so):
    return engine.until(f"/executions/{execution_id}", is_so)


def test_a_losing_strategy_is_paused_at_its_daily_limit_and_stays_so_after_a_restart(engine):
    strategy_id = version(engine, "Losing", LOSING, {"daily_loss_limit": -20.0}, position_size=0.9)
    name = start(engine, strategy_id)

    paused = execution(engine, name, lambda now: now["status"] == "paused")

    assert paused["desired"] == "pause"
    breach = breaches_of(engine, name, "daily_loss_limit")[-1]
    assert (breach["action"], breach["executions"]) == ("pause", [name])
    assert breach["value"] <= breach["limit"] == -20.0
    alert_of(engine, "daily_loss_limit", name)
    assert engine.get(f"/strategies/{strategy_id}")["status"] == "paused"

    engine.until_replaced(NODE, engine.kill(NODE))

    after = execution(engine, name, lambda now: now["status"] == "paused" and now["interruptions"])
    assert (after["desired"], after["fill_count"]) == ("pause", paused["fill_count"])
    held = engine.get("/risk")
    assert [each["execution_id"] for each in held["held_back"]] == [name]
    assert held["held_back"][0]["why"].startswith("risk.pause: ")


def test_a_drawdown_first_reduces_and_then_halts(engine):
    limits = {"soft_drawdown": -0.001, "max_drawdown": -0.006, "reduce_factor": 0.75}
    strategy_id = version(engine, "Holding", HOLDING, limits, position_size=0.9)
    name = start(engine, strategy_id, speed=8)

    ended = engine.until(
        f"/executions/{name}", lambda now: now["status"] == "stopped", timeout_s=90
    )

    assert (ended["risk_state"], ended["end_reason"][:10]) == ("HALTED", "risk.halt:")
    (soft,) = breaches_of(engine, name, "soft_drawdown")
    (hard,) = breaches_of(engine, name, "max_drawdown")
    assert (soft["action"], hard["action"]) == ("reduce", "halt")
    assert soft["began_at"] < hard["began_at"]
    trades = engine.get(f"/executions/{name}/trades")["trades"]
    bought, *exits = [each for each in trades if each["quantity"]]
    assert [each["side"] for each in trades] == ["BUY", "SELL", "SELL"]
    kept = bought["quantity"] - exits[0]["quantity"]
    assert kept == pytest.approx(bought["quantity"] * 0.75, abs=1)
    assert exits[1]["quantity"] == kept
    for measure in ("soft_drawdown", "max_drawdown"):
        alert_of(engine, measure, name)
    assert engine.get(f"/strategies/{strategy_id}")["status"] == "stopped"

    answer = engine.post(f"/executions/{name}/risk/reset", {"comment": "looked at"})

    assert answer["risk_state"] == "ACTIVE"
    (line,) = [each for each in engine.get("/risk")["lines"] if each["strategy_name"] == "Holding"]
    assert line["peak_pnl"] == line["pnl"] < 0
    status, _ = engine.call("POST", f"/executions/{name}/risk/reset", {"comment": "again"})
    assert status == 409


def test_two_correlated_executions_raise_the_alert(engine):
    limits = {"limits": {"max_correlation": 0.9}, "why": "a test"}
    status, answer = engine.call("PUT", "/risk/limits/engine/all", limits)
    assert status == 200, answer
    names = sorted(
        start(engine, version(engine, line, HOLDING, {}, position_size=share), speed=400)
        for line, share in (("Twin A", 0.5), ("Twin B", 0.25))
    )

    (breach,) = breaches_of(engine, names[0], "max_correlation")

    assert (breach["scope"], breach["action"], sorted(breach["executions"])) == (
        "engine",
        "alert",
        names,
    )
    assert breach["value"] > 0.9
    assert breach["sample"] >= 30
    alert_of(engine, "max_correlation", "")
    running = [engine.get(f"/executions/{each}") for each in names]
    assert [each["desired"] for each in running] == ["run", "run"]
    engine.call("DELETE", "/risk/limits/engine/all")


def test_a_silent_child_is_paused(engine):
    strategy_id = version(engine, "Silent", SILENT, {"max_silence_s": 1.0})
    name = start(engine, strategy_id)

    paused = execution(engine, name, lambda now: now["desired"] == "pause")

    (breach,) = breaches_of(engine, name, "max_silence_s")
    assert breach["value"] > 1.0
    alert_of(engine, "max_silence_s", name)
    # Its process gives no answer, is ended for that, and another stands by without deciding.
    execution(engine, name, lambda now: now["status"] == "paused")
    assert paused["risk_state"] == "ACTIVE"
