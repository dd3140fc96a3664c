"""A whole engine on a real Redis, with a stock NautilusTrader node at the other end."""

import contextlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema_rs
import msgspec
import pytest

from strategy_engine import examples
from strategy_engine.infra.bus import commands, topics
from strategy_engine.infra.bus.commands import Command

RUNNERS = Path(__file__).parent / "runners"
_spec = importlib.util.spec_from_file_location("redis_server", RUNNERS / "redis_server.py")
servers = importlib.util.module_from_spec(_spec)
sys.modules["redis_server"] = servers
_spec.loader.exec_module(servers)

RSI = next(each for each in examples.EXAMPLES if each.name == "RSI mean reversion")
SECRET = "a secret of more than thirty-two letters"
HOUR_NS = 3_600_000_000_000
COMMANDS = "risk-commands"

ALTERNATING = """
class Alternating:
    lookback = 5

    def generate_signal(self, market_data):
        return "SELL" if market_data["position"] else "BUY"
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with servers.running(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture(scope="module")
def engine(start_engine: Callable[..., Any], server: Any) -> Any:
    return start_engine(
        REDIS_URL=server.url,
        PIPELINE_STAGES="syntax_check",
        STRATEGY_METRICS_INTERVAL="0.5",
        STRATEGY_BUS_ENCODING="msgpack",
        STRATEGY_BUS_DATA_STREAM="trader-MARKET-DATA-001:stream",
        STRATEGY_BUS_COMMAND_STREAM=COMMANDS,
        STRATEGY_BUS_COMMAND_SECRET=SECRET,
    )


def started(engine: Any, name: str, code: str, **config: Any) -> tuple[str, str]:
    """Register, deploy and start; return the version and its execution."""
    body = {
        "strategy_name": name,
        "version": "1.0.0",
        "code": code,
        "parameters": {} if code == ALTERNATING else dict(RSI.parameters),
        "risk_limits": dict(RSI.risk_limits),
    }
    strategy_id = engine.post("/strategies", body)["strategy_id"]
    pipeline_id = engine.post(f"/strategies/{strategy_id}/deploy")["pipeline_id"]
    engine.until(f"/deployments/{pipeline_id}/status", lambda now: now["status"] == "completed")
    answer = engine.post(f"/strategies/{strategy_id}/start", {"execution_config": config})
    assert answer["execution_status"] in {"running", "error"}, answer
    return strategy_id, answer["execution_id"]


def trades_of(engine: Any, execution_id: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while True:
        page = engine.get(f"/executions/{execution_id}/trades?limit=500&offset={len(found)}")
        found += page["trades"]
        if len(found) >= page["total"]:
            return found


def told(server: Any, topic: str, execution_id: str = "") -> list[dict[str, Any]]:
    """Return what was published on a topic, of one execution, without repetitions."""
    entries = server.entries(f"trader-STRATEGY-ENGINE-001:stream:{topic}")
    payloads = [msgspec.msgpack.decode(each["payload"]) for each in entries]
    unique = {each["event_id"]: each for each in payloads}
    return [each for each in unique.values() if execution_id in {"", each.get("execution_id", "")}]


def until(is_so: Callable[[], bool], timeout_s: float = 40.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)


class Nautilus:
    """A stock NautilusTrader node in its own process, and the lines that it prints."""

    def __init__(self, server: Any, path: Path, bars: list[Any], *, encoding: str) -> None:
        path.write_text(json.dumps(bars))
        names = ("strategy.trade", "strategy.execution.started", "portfolio.position.updated")
        streams = ",".join(f"trader-STRATEGY-ENGINE-001:stream:{name}" for name in names)
        self.process = subprocess.Popen(
            [sys.executable, RUNNERS / "nautilus_process.py"]
            + [str(server.port), encoding, streams, str(path)],
            stdout=subprocess.PIPE,
            text=True,
        )
        self.lines: list[Any] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout:
            for line in self.process.stdout:
                with contextlib.suppress(ValueError):  # its own log speaks there too
                    self.lines.append(json.loads(line))

    def events(self, kind: str) -> list[dict[str, Any]]:
        return [
            each
            for each in list(self.lines)
            if isinstance(each, dict) and each["event_id"].endswith(kind)
        ]

    def publish(self) -> None:
        self.process.send_signal(signal.SIGUSR1)

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join(10)


def bars_after(engine: Any, symbol: str, count: int) -> list[list[Any]]:
    """Return bars that go on where the catalogue ends, as the node is given them."""
    listed = engine.get("/instruments")["instruments"]
    instrument = next(each for each in listed if each["symbol"] == symbol)
    last = engine.get(f"/instruments/{symbol}/bars?limit=1")["bars"][0]
    opened = datetime.fromisoformat(last["timestamp"])
    first_ns = int(opened.replace(tzinfo=UTC).timestamp()) * 10**9 + 2 * HOUR_NS
    bar_type = f"{symbol}-{instrument['default_timeframe']}"
    return [
        [
            bar_type,
            1.2,
            1.21,
            1.19,
            1.2 + 0.005 * (number % 3 - 1),
            1_000,
            first_ns + number * HOUR_NS,
        ]
        for number in range(count)
    ]


def test_a_stock_nautilus_node_feeds_an_execution_and_understands_what_it_does(
    engine, server, tmp_path
):
    nautilus = Nautilus(
        server, tmp_path / "bars.json", bars_after(engine, "EUR/USD.SIM", 40), encoding="msgpack"
    )
    try:
        until(lambda: "ready" in nautilus.lines)
        strategy_id, execution_id = started(engine, "From the bus", ALTERNATING, feed="bus")
        nautilus.publish()
        engine.until(f"/executions/{execution_id}", lambda now: now["fill_count"] >= 38)
        engine.post(f"/strategies/{strategy_id}/stop")
        trades = trades_of(engine, execution_id)
        until(lambda: len(nautilus.events(".trade")) >= len(trades))
        until(lambda: len(nautilus.events(".position")) >= 1)
    finally:
        nautilus.end()

    heard = nautilus.events(".trade")
    assert [each["trade"]["trade_id"] for each in heard] == [each["trade_id"] for each in trades]
    assert [each["sequence"] for each in heard] == list(range(1, len(trades) + 1))
    assert [each["trade"]["price"] for each in heard] == [each["price"] for each in trades]
    assert nautilus.events(".position")[-1]["position"]["symbol"] == "EUR/USD.SIM"


@pytest.mark.parametrize("outage_s", [0.0, pytest.param(30.0, marks=pytest.mark.soak)])
def test_redis_away_under_trading_stops_nothing_loses_nothing_and_is_told(engine, server, outage_s):
    name = f"Through {outage_s:g} s without Redis"
    strategy_id, execution_id = started(engine, name, ALTERNATING, speed=20)
    path = f"/executions/{execution_id}"
    engine.until(path, lambda now: now["fill_count"] >= 2)
    server.kill()
    try:
        degraded = engine.until("/health", lambda now: not now["messagebus_connected"])
        before = engine.get(path)["fill_count"]
        time.sleep(outage_s)  # a test of how long it may last, not of when something is done
        traded = engine.until(path, lambda now: now["fill_count"] > before)
    finally:
        server.start()
    engine.until("/health", lambda now: now["messagebus_connected"])
    engine.until(path, lambda now: now["fill_count"] > traded["fill_count"])
    engine.post(f"/strategies/{strategy_id}/stop")
    trades = [each["trade_id"] for each in trades_of(engine, execution_id)]
    until(lambda: len(told(server, topics.TRADE, execution_id)) == len(trades))
    until(lambda: len(told(server, topics.STOPPED, execution_id)) == 1)

    published = told(server, topics.TRADE, execution_id)
    assert degraded["status"] == "degraded"
    assert next(each for each in degraded["parts"] if each["name"] == "bus")["reason"]
    assert [each["trade"]["trade_id"] for each in published] == trades
    assert told(server, topics.STOPPED, execution_id)[0]["fill_count"] == len(trades)


def test_a_node_killed_under_trading_tells_every_fill_once_and_in_order(engine, server):
    strategy_id, execution_id = started(engine, "Through kills", ALTERNATING, speed=40)
    path = f"/executions/{execution_id}"
    for _ in range(3):
        before = engine.get(path)["fill_count"]
        engine.until(path, lambda now, least=before: now["fill_count"] > least + 10)
        pid = next(pid for name, pid in engine.children().items() if "node" in name)
        os.kill(pid, signal.SIGKILL)
    before = engine.get(path)["fill_count"]
    engine.until(path, lambda now: now["fill_count"] > before + 10)
    engine.post(f"/strategies/{strategy_id}/stop")
    trades = [each["trade_id"] for each in trades_of(engine, execution_id)]
    until(lambda: len(told(server, topics.STOPPED, execution_id)) == 1)

    published = told(server, topics.TRADE, execution_id)
    assert [each["trade"]["trade_id"] for each in published] == trades
    assert len(told(server, topics.STARTED, execution_id)) == 1
    assert len(trades) >= 40


def send(server: Any, topic: str, command_id: str, secret: str = SECRET, **target: Any) -> None:
    command = Command(command_id=command_id, issued_at=datetime.now(UTC), reason="drill", **target)
    payload = msgspec.json.encode(commands.sign(secret, topic, command))
    with server.client() as client:
        client.xadd(COMMANDS, {"topic": topic, "payload": payload, "encoding": "json"})


def test_signed_commands_from_redis_pause_and_halt_and_forged_ones_do_not(engine, server):
    _, execution_id = started(engine, "Commanded", ALTERNATING, speed=50)
    path = f"/executions/{execution_id}"

    send(server, "risk.halt", "forged", secret="x" * 40, execution_id=execution_id)
    send(server, "risk.reduce", "drill-1", execution_id=execution_id)
    reduced = engine.until(path, lambda now: now["risk_state"] == "REDUCING")
    send(server, "risk.pause", "drill-2", execution_id=execution_id)
    engine.until(path, lambda now: now["status"] == "paused")
    send(server, "risk.halt", "drill-3", execution_id=execution_id)
    halted = engine.until(path, lambda now: now["status"] == "stopped")

    assert reduced["status"] == "running"
    assert (halted["risk_state"], halted["desired"]) == ("HALTED", "flatten")
    assert halted["end_reason"] == "risk.halt: drill"
    refused = 'strategy_bus_messages_total{what="commands_refused_bad_signature"} 1.0'
    until(lambda: refused in engine.call("GET", "/metrics", headers={"accept": "text/plain"})[1])


def test_everything_published_is_what_the_engine_says_it_publishes(engine, server):
    strategy_id, execution_id = started(engine, "Described", ALTERNATING, speed=40)
    engine.until(f"/executions/{execution_id}", lambda now: now["fill_count"] >= 4)
    until(lambda: len(told(server, topics.METRICS, execution_id)) >= 1)
    engine.post(f"/strategies/{strategy_id}/stop")
    until(lambda: len(told(server, topics.STOPPED, execution_id)) == 1)
    document = engine.get("/asyncapi.json")

    seen = set()
    for name, channel in document["channels"].items():
        for entry in server.entries(channel["address"]):
            topic = entry["topic"].decode()
            if topic not in channel["messages"] or name in {"commands", "bars"}:
                continue
            schema = document["components"]["messages"][topic]["payload"]
            whole = {**schema, "components": document["components"]}
            jsonschema_rs.validate(whole, msgspec.msgpack.decode(entry["payload"]))
            seen.add(topic)

    assert seen >= {
        topics.DEPLOYED,
        topics.STAGE_COMPLETED,
        topics.STARTED,
        topics.TRADE,
        topics.POSITION,
        topics.METRICS,
        topics.STOPPED,
    }


def test_a_pipeline_that_fails_is_told_with_its_stage(engine, server):
    body = {"strategy_name": "Broken", "version": "1.0.0", "code": "class X:\n    pass\n"}
    strategy_id = engine.post("/strategies", body)["strategy_id"]
    pipeline_id = engine.post(f"/strategies/{strategy_id}/deploy")["pipeline_id"]
    engine.until(f"/deployments/{pipeline_id}/status", lambda now: now["status"] == "failed")

    def of_it(topic: str) -> list[dict[str, Any]]:
        return [each for each in told(server, topic) if each["pipeline_id"] == pipeline_id]

    until(lambda: bool(of_it(topics.PIPELINE_FAILED)))
    (failed,) = of_it(topics.PIPELINE_FAILED)
    (stage,) = of_it(topics.STAGE_COMPLETED)
    assert (failed["stage"], failed["outcome"]) == ("syntax_check", "rejected")
    assert (stage["passed"], stage["sequence"]) == (False, 1)


def test_an_execution_that_fails_is_told_as_an_error_and_then_as_stopped(engine, server):
    code = ALTERNATING.replace('return "SELL"', 'raise RuntimeError("no more"); return "SELL"')
    _, execution_id = started(engine, "Fails", code, speed=200)
    engine.until(f"/executions/{execution_id}", lambda now: now["status"] == "error")

    until(lambda: len(told(server, topics.STOPPED, execution_id)) == 1)
    (error,) = told(server, topics.ERROR, execution_id)
    assert "no more" in error["error"]
    assert told(server, topics.STOPPED, execution_id)[0]["status"] == "error"
