"""A real engine tells real receivers: once, signed, tried again, through a kill of control."""

import json
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from strategy_engine import examples
from strategy_engine.infra.webhooks import rules

CONTROL = "engine-control"
LIMITS = {"max_position_size": 15_000, "daily_loss_limit": -2_000}
TOKEN = "t0ken-of-the-receiver"
STREAM = {"accept": "text/event-stream"}
EXPIRES_AT = (datetime.now(UTC) + timedelta(days=30)).isoformat()
FLAG = {"type": "boolean", "default": False, "expires_at": EXPIRES_AT}


class Receiver(ThreadingHTTPServer):
    """Answers as its path says: /3 refuses three times, /gone wants nothing."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.got: list[tuple[str, dict[str, str], dict[str, Any], bytes]] = []

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_port}/{path}?token={TOKEN}"

    def at(self, path: str) -> list[dict[str, Any]]:
        return [body for got, _, body, _ in self.got if got == path]


class Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers["content-length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        path = self.path.partition("?")[0].removeprefix("/")
        refuses = path == "3" and len(self.server.at(path)) < 3
        self.server.got.append((path, headers, json.loads(raw), raw))
        self.send_response(410 if path == "gone" else 500 if refuses else 204)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def engine(start_engine: Callable[..., Any]) -> Any:
    return start_engine(STRATEGY_WEBHOOK_PRIVATE="true", STRATEGY_METRICS_INTERVAL="0.3")


def make_channel(engine: Any, receiver: Receiver, path: str) -> Any:
    body = {"name": path, "url": receiver.url(path), "severity": "info"}
    return engine.post("/alerts/channels", body)


def of(receiver: Receiver, path: str, rule_id: str) -> list[tuple[str, str]]:
    found = [each for each in receiver.at(path) if each["payload"]["rule_id"] == rule_id]
    return [(each["topic"], each["event_id"]) for each in found]


def ready(engine: Any, name: str) -> str:
    rsi = next(each for each in examples.EXAMPLES if each.file == "rsi_mean_reversion.py")
    content = {"strategy_name": name, "version": "1.0.0", "code": rsi.source()}
    made = engine.post("/strategies", content | {"risk_limits": LIMITS})
    path = f"/strategies/{made['strategy_id']}"
    pipeline_id = engine.post(f"{path}/deploy", {})["pipeline_id"]
    engine.until(f"/deployments/{pipeline_id}/status", lambda each: each["status"] == "completed")
    return path


def test_a_rule_fires_once_after_its_time_arrives_signed_though_refused_and_resolves(
    engine: Any, receiver: Receiver
) -> None:
    channel = make_channel(engine, receiver, "3")
    metric = {"scope": "engine", "name": "active_executions", "above": 0, "for_s": 1.0}
    rule = engine.post("/alerts/rules", {"name": "something runs", "metric": metric})
    version = ready(engine, "alerted")
    engine.post(f"{version}/start", {"execution_config": {"speed": 50}})

    of_rule = f"/alerts?rule_id={rule['rule_id']}"
    (fired,) = engine.until(of_rule, lambda each: each["total"] == 1)["alerts"]
    log = f"/alerts/{fired['alert_id']}/deliveries"
    engine.until(log, lambda each: each["deliveries"][0]["state"] == "delivered", timeout_s=60)
    told = engine.get(f"{log}?limit=1")["deliveries"][0]
    engine.post(f"{version}/stop")
    engine.until(of_rule, lambda each: each["alerts"][0]["state"] == "resolved")
    ended = engine.until(
        log, lambda each: [one["state"] for one in each["deliveries"]] == ["delivered"] * 2
    )

    since, fired_at = (datetime.fromisoformat(fired[name]) for name in ("since", "fired_at"))
    assert (fired_at - since).total_seconds() >= 1
    assert (told["attempts"], told["status_code"]) == (4, 204)
    assert [each["notice"] for each in ended["deliveries"]] == ["resolved", "firing"]
    assert engine.get(of_rule)["total"] == 1
    sent = of(receiver, "3", rule["rule_id"])
    assert [topic for topic, _ in sent] == ["alert.firing"] * 4 + ["alert.resolved"]
    assert len(set(sent)) == 2
    mine = [(headers, raw) for path, headers, _, raw in receiver.got if path == "3"]
    assert len(mine) >= len(sent)
    for headers, raw in mine:
        stamp = int(headers["webhook-timestamp"])
        expected = rules.signature(channel["secret"], headers["webhook-id"], stamp, raw)
        assert headers["webhook-signature"] == expected
    engine.call("DELETE", f"/alerts/channels/{channel['channel_id']}")
    engine.call("DELETE", f"/alerts/rules/{rule['rule_id']}")
    assert TOKEN not in engine.log.read_text()


def test_what_happens_before_control_is_killed_is_told_after_it_and_streams_go_on(
    engine: Any, receiver: Receiver
) -> None:
    channel = make_channel(engine, receiver, "killed")
    rule = engine.post("/alerts/rules", {"name": "flags", "event": {"topic": "flag.create"}})
    url = f"{engine.url}/events?topic=flag&topic=alert"
    with httpx.stream("GET", url, headers=STREAM, timeout=30) as answer:
        lines = answer.iter_lines()
        place = next(line for line in lines if line.startswith("id: ")).removeprefix("id: ")
        engine.post("/flags", FLAG | {"key": "first"})
        before, place = told(lines, "first")
    engine.post("/flags", FLAG | {"key": "second"})
    engine.until_replaced(CONTROL, engine.kill(CONTROL))
    engine.until("/health", lambda each: each["status"] in {"healthy", "degraded"}, timeout_s=60)
    engine.post("/flags", FLAG | {"key": "third"})

    alerts = engine.until(
        f"/alerts?rule_id={rule['rule_id']}", lambda each: each["total"] == 3, timeout_s=60
    )
    for each in alerts["alerts"]:
        log = f"/alerts/{each['alert_id']}/deliveries"
        engine.until(log, lambda each: each["deliveries"][0]["state"] == "delivered")
    headers = STREAM | {"last-event-id": place}
    with httpx.stream("GET", url, headers=headers, timeout=30) as answer:
        after, _ = told(answer.iter_lines(), "third")

    made = [each["subject_id"] for each in before + after if each["topic"] == "flag.create"]
    assert made == ["first", "second", "third"]
    ids = [each["event_id"] for each in before + after]
    whole = engine.get("/events?after=0-0&limit=500&topic=flag&topic=alert")["events"]
    first = next(number for number, each in enumerate(whole) if each["event_id"] == ids[0])
    assert ids == [each["event_id"] for each in whole][first : first + len(ids)]
    assert {each["subject_id"] for each in alerts["alerts"]} == {"first", "second", "third"}
    assert len({event_id for _, event_id in of(receiver, "killed", rule["rule_id"])}) == 3
    engine.call("DELETE", f"/alerts/channels/{channel['channel_id']}")
    engine.call("DELETE", f"/alerts/rules/{rule['rule_id']}")


def test_an_alert_that_does_not_arrive_is_itself_an_alert(engine: Any, receiver: Receiver) -> None:
    gone = make_channel(engine, receiver, "gone")
    other = make_channel(engine, receiver, "other")
    rule = engine.post("/alerts/rules", {"name": "flags", "event": {"topic": "flag.create"}})
    engine.post("/flags", FLAG | {"key": "fourth"})

    def is_told(found: dict[str, Any]) -> bool:
        return bool(of(receiver, "other", "undelivered")) and bool(found)

    health = engine.until("/health", is_told)
    engine.call("DELETE", f"/alerts/channels/{gone['channel_id']}")
    well = engine.get("/health")

    (undelivered,) = engine.get("/alerts?rule_id=undelivered")["alerts"]
    assert (undelivered["subject_id"], undelivered["state"]) == (gone["channel_id"], "resolved")
    assert "answered 410" in undelivered["message"]
    assert of(receiver, "gone", "undelivered") == []
    assert health["status"] == "degraded"
    assert "alerts" in json.dumps(health)
    assert "do not reach" not in json.dumps(well)
    engine.call("DELETE", f"/alerts/channels/{other['channel_id']}")
    engine.call("DELETE", f"/alerts/rules/{rule['rule_id']}")


def told(lines: Iterator[str], last: str) -> tuple[list[dict[str, Any]], str]:
    """Return a stream's events up to the one that makes a flag, and its place."""
    found: list[dict[str, Any]] = []
    place = ""
    for line in lines:
        name, _, value = line.partition(": ")
        place = value if name == "id" else place
        if name == "data":
            found.append(json.loads(value))
            if (found[-1]["topic"], found[-1]["subject_id"]) == ("flag.create", last):
                return found, place
    raise AssertionError((found, last))
