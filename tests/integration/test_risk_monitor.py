"""Risk acts on real processes: paused, reduced, halted; alerts delivered; and all of it lasts."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from strategy_engine.infra.webhooks import rules

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
CAREFUL = """
class Careful:
    lookback = 9

    def generate_signal(self, market_data):
        prices = market_data["prices"]
        return "BUY" if sum(prices[-3:]) / 3 > sum(prices[-9:]) / 9 else "SELL"
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
    "STRATEGY_WEBHOOK_PRIVATE": "true",
}
SYMBOL = "EUR/USD.SIM"
NODE = "engine-node"


class Desk(ThreadingHTTPServer):
    """Where alerts arrive: headers and bodies, as they came."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}/alerts"
        self.secret = ""
        self.got = []

    def told_of(self, alert_id):
        """Return the topics and the ids of what came of an alert; every one was signed."""
        found = []
        for headers, raw in list(self.got):
            stamp = int(headers["webhook-timestamp"])
            expected = rules.signature(self.secret, headers["webhook-id"], stamp, raw)
            assert headers["webhook-signature"] == expected
            body = json.loads(raw)
            if body["payload"]["alert_id"] == alert_id:
                found.append((body["topic"], body["event_id"]))
        return found


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        raw = self.rfile.read(int(self.headers["content-length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.got.append((headers, raw))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def engine(start_engine):
    return start_engine(**ENVIRONMENT)


@pytest.fixture(scope="module")
def desk(engine):
    with Desk() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        made = engine.post("/alerts/channels", {"name": "desk", "url": server.url})
        server.secret = made["secret"]
        yield server
        server.shutdown()
        thread.join()


def register(engine, name, code, risk_limits, number="1.0.0", **parameters):
    body = {
        "strategy_name": name,
        "version": number,
        "code": code,
        "parameters": {"symbols": [SYMBOL], "timeframe": "1h"} | parameters,
        "risk_limits": {"max_position_size": 10_000_000} | risk_limits,
    }
    return engine.post("/strategies", body)["strategy_id"]


def version(engine, name, code, risk_limits, **parameters):
    strategy_id = register(engine, name, code, risk_limits, **parameters)
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


def alert_of(engine, desk, breach):
    """Return the one alert of a breach, once it is delivered: to the desk, once, and signed."""

    def theirs(found):
        return [
            each
            for each in found["alerts"]
            if each["details"].get("breach_id") == breach["breach_id"]
        ]

    (alert,) = theirs(engine.until("/alerts?limit=100", theirs))
    assert breach["measure"] in alert["title"]
    assert alert["subject_id"] == breach["subject"]
    assert fired(delivered(engine, alert, 1)) == ["delivered"]
    assert [topic for topic, _ in desk.told_of(alert["alert_id"])][:1] == ["alert.firing"]
    return alert


def resolved(engine, desk, alert):
    """Wait until an alert is over and that is delivered too; both are told once."""
    path = f"/alerts/{alert['alert_id']}"
    engine.until(path, lambda now: now["state"] == "resolved")
    assert [each["attempts"] for each in delivered(engine, alert, 2)] == [1, 1]
    topics = [topic for topic, _ in desk.told_of(alert["alert_id"])]
    assert topics == ["alert.firing", "alert.resolved"]


def delivered(engine, alert, least):
    """Return what was sent of an alert, once so many have arrived."""

    def have(now):
        return [each["state"] for each in now["deliveries"]].count("delivered") >= least

    path = f"/alerts/{alert['alert_id']}/deliveries"
    return engine.until(path, have)["deliveries"]


def fired(found):
    return [each["state"] for each in found if each["notice"] == "firing"]


def execution(engine, execution_id, is_so):
    return engine.until(f"/executions/{execution_id}", is_so)


def test_a_losing_strategy_is_paused_at_its_daily_limit_and_stays_so_after_a_restart(engine, desk):
    strategy_id = version(engine, "Losing", LOSING, {"daily_loss_limit": -20.0}, position_size=0.9)
    name = start(engine, strategy_id)

    paused = execution(engine, name, lambda now: now["status"] == "paused")

    assert paused["desired"] == "pause"
    breach = breaches_of(engine, name, "daily_loss_limit")[-1]
    assert (breach["action"], breach["executions"]) == ("pause", [name])
    assert breach["value"] <= breach["limit"] == -20.0
    alert = alert_of(engine, desk, breach)
    assert engine.get(f"/strategies/{strategy_id}")["status"] == "paused"

    engine.until_replaced(NODE, engine.kill(NODE))

    after = execution(engine, name, lambda now: now["status"] == "paused" and now["interruptions"])
    assert (after["desired"], after["fill_count"]) == ("pause", paused["fill_count"])
    held = engine.get("/risk")
    [mine] = [each for each in held["held_back"] if each["execution_id"] == name]
    assert mine["why"].startswith("risk.pause: ")

    engine.post(f"/strategies/{strategy_id}/stop")  # nothing runs that could lose any more

    resolved(engine, desk, alert)


def test_a_drawdown_first_reduces_and_then_halts(engine, desk):
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
    for breach in (soft, hard):
        resolved(engine, desk, alert_of(engine, desk, breach))
    assert engine.get(f"/strategies/{strategy_id}")["status"] == "stopped"

    answer = engine.post(f"/executions/{name}/risk/reset", {"comment": "looked at"})

    assert answer["risk_state"] == "ACTIVE"
    (line,) = [each for each in engine.get("/risk")["lines"] if each["strategy_name"] == "Holding"]
    assert line["peak_pnl"] == line["pnl"] < 0
    status, _ = engine.call("POST", f"/executions/{name}/risk/reset", {"comment": "again"})
    assert status == 409


def test_a_canary_that_risk_acts_on_is_undone_by_its_rollout(engine, desk):
    line = {"name": "Careful", "code": CAREFUL, "position_size": 0.5}
    first = start(engine, version(engine, risk_limits={}, **line), speed=60)
    execution(engine, first, lambda now: now["fill_count"] > 0)
    limits = {"daily_loss_limit": -20.0}
    options = {
        "deployment_type": "canary",
        "steps": [{"weight": 0.2}],
        "min_time": "60s",
        "loss_budget": 0.5,
    }
    # It pays for every trade, and its own limit is reached long before the rollout's budget.
    canary = register(engine, "Careful", CAREFUL, limits, "2.0.0", position_size=0.5, fee_bps=400)
    pipeline_id = engine.post(f"/strategies/{canary}/deploy", options)["pipeline_id"]

    found = engine.until(
        f"/deployments/{pipeline_id}/status", lambda now: now["status"] == "failed", timeout_s=90
    )

    rollout = found["rollout"]
    assert (found["outcome"], rollout["undo"]["reason"]) == ("rolled_back", "risk"), found
    # What undoing sells costs a fee too, which may break the limit of a later day of the feed.
    breach = breaches_of(engine, rollout["candidate"], "daily_loss_limit")[-1]
    assert (breach["action"], breach["limit_scope"]) == ("pause", "version")
    assert breach["limit_subject"] == canary
    resolved(engine, desk, alert_of(engine, desk, breach))
    assert execution(engine, first, lambda now: now["capital"] > 99_000)["status"] == "running"
    assert engine.get(f"/strategies/{canary}")["status"] == "stopped"
    engine.post(f"/strategies/{engine.get(f'/executions/{first}')['strategy_id']}/stop")


def test_two_correlated_executions_raise_the_alert(engine, desk):
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
    alert = alert_of(engine, desk, breach)
    running = [engine.get(f"/executions/{each}") for each in names]
    assert [each["desired"] for each in running] == ["run", "run"]
    engine.call("DELETE", "/risk/limits/engine/all")
    resolved(engine, desk, alert)


def test_a_silent_child_is_paused(engine, desk):
    strategy_id = version(engine, "Silent", SILENT, {"max_silence_s": 1.0})
    name = start(engine, strategy_id)

    paused = execution(engine, name, lambda now: now["desired"] == "pause")

    (breach,) = breaches_of(engine, name, "max_silence_s")
    assert breach["value"] > 1.0
    alert = alert_of(engine, desk, breach)
    # Its process gives no answer, is ended for that, and another stands by without deciding.
    execution(engine, name, lambda now: now["status"] == "paused")
    assert paused["risk_state"] == "ACTIVE"
    resolved(engine, desk, alert)
