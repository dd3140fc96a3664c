"""A real engine tells a real server of what happened, signed, through a kill of control."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from strategy_engine import examples
from strategy_engine.infra.webhooks import rules

CONTROL = "engine-control"
LIMITS = {"max_position_size": 15_000, "daily_loss_limit": -2_000}


class Receiver(ThreadingHTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.got: list[tuple[dict[str, str], bytes]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/hooks"


class Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.got.append((headers, body))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def engine(start_engine: Callable[..., Any]) -> Any:
    return start_engine(STRATEGY_WEBHOOK_PRIVATE="true", STRATEGY_METRICS_INTERVAL="0.5")


def register(engine: Any, name: str, file: str) -> str:
    source = next(each for each in examples.EXAMPLES if each.file == file).source()
    content = {"strategy_name": name, "version": "1.0.0", "code": source, "risk_limits": LIMITS}
    return str(engine.post("/strategies", content)["strategy_id"])


def delivered(answer: dict[str, Any]) -> bool:
    return bool(answer["total"]) and all(
        each["state"] == "delivered" for each in answer["deliveries"]
    )


def test_deployments_and_executions_are_told_signed_once_each(
    engine: Any, receiver: Receiver
) -> None:
    hook = engine.post("/webhooks", {"url": receiver.url, "topics": []})
    strategy_id = register(engine, "told", "rsi_mean_reversion.py")
    pipeline_id = engine.post(f"/strategies/{strategy_id}/deploy", {})["pipeline_id"]
    path = f"/deployments/{pipeline_id}/status"
    engine.until(path, lambda each: each["status"] in {"completed", "failed"})
    config = {"execution_config": {"speed": 500}}
    execution_id = engine.post(f"/strategies/{strategy_id}/start", config)["execution_id"]
    log = f"/webhooks/{hook['webhook_id']}/deliveries?limit=500"
    wanted = {
        f"{pipeline_id}.deployed",
        *(f"{pipeline_id}.{stage}" for stage in engine.get(path)["stages"]),
    }

    def is_told(answer: dict[str, Any]) -> bool:
        told = {each["topic"] for each in answer["deliveries"] if each["state"] == "delivered"}
        ids = {each["event_id"] for each in answer["deliveries"] if each["state"] == "delivered"}
        return wanted <= ids and {"strategy.trade", "strategy.execution.started"} <= told

    engine.until(log, is_told, timeout_s=60)
    engine.post(f"/strategies/{strategy_id}/stop")

    for headers, body in receiver.got:
        stamp = int(headers["webhook-timestamp"])
        expected = rules.signature(hook["secret"], headers["webhook-id"], stamp, body)
        assert headers["webhook-signature"] == expected
        assert json.loads(body)["event_id"] == headers["webhook-id"]
    trades = [json.loads(body) for _, body in receiver.got if b'"strategy.trade"' in body]
    assert {each["payload"]["execution_id"] for each in trades} == {execution_id}
    engine.call("DELETE", f"/webhooks/{hook['webhook_id']}")


def test_what_happened_before_control_is_killed_is_told_after_it(
    engine: Any, receiver: Receiver
) -> None:
    hook = engine.post("/webhooks", {"url": receiver.url, "topics": ["pipeline.failed"]})
    strategy_id = register(engine, "told after a kill", "never_trades.py")
    pipeline_id = engine.post(f"/strategies/{strategy_id}/deploy", {})["pipeline_id"]

    engine.until_replaced(CONTROL, engine.kill(CONTROL))

    log = f"/webhooks/{hook['webhook_id']}/deliveries"
    answer = engine.until(log, delivered, timeout_s=60)
    assert [each["event_id"] for each in answer["deliveries"]] == [f"{pipeline_id}.failed"]
    assert {headers["webhook-id"] for headers, _ in receiver.got} == {f"{pipeline_id}.failed"}


def test_without_the_setting_a_private_target_is_refused(
    start_engine: Callable[..., Any], receiver: Receiver
) -> None:
    guarded = start_engine()
    status, problem = guarded.call("POST", "/webhooks", {"url": receiver.url})

    assert status == 422
    assert "STRATEGY_WEBHOOK_PRIVATE" in problem["detail"]
    assert guarded.get("/webhooks")["count"] == 0
