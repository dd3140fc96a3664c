import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from strategy_engine.client import problems
from strategy_engine.client.service import Client
from strategy_engine.core.errors import InvalidError

type Answer = Callable[[httpx.Request], httpx.Response]


class Wire:
    """Carries requests to a function and keeps them."""

    def __init__(self, answer: Answer) -> None:
        self.requests: list[httpx.Request] = []
        self._answer = answer

    def client(self, **options: Any) -> Client:
        return Client(
            "http://engine.example", transport=httpx.MockTransport(self._carry), **options
        )

    def _carry(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return self._answer(request)


def answering(body: Any, status: int = 200) -> Wire:
    return Wire(lambda _: httpx.Response(status, json=body))


def failing(error: Exception) -> Wire:
    def fail(_: httpx.Request) -> httpx.Response:
        raise error

    return Wire(fail)


REQUESTS: list[tuple[str, Callable[[Client], Any], str, str]] = [
    ("health", lambda c: c.health(), "GET", "/health"),
    ("create", lambda c: c.create_strategy({"code": ""}), "POST", "/strategies"),
    ("list", lambda c: c.strategies(name="x"), "GET", "/strategies?name=x&limit=50"),
    ("get", lambda c: c.strategy("strat_1"), "GET", "/strategies/strat_1"),
    ("deploy", lambda c: c.deploy("strat_1", {}), "POST", "/strategies/strat_1/deploy"),
    ("follow", lambda c: c.deployment("pipe_1"), "GET", "/deployments/pipe_1/status"),
    ("deployments", lambda c: c.deployments(), "GET", "/deployments?limit=10"),
    ("approve", lambda c: c.approve("pipe_1"), "POST", "/deployments/pipe_1/approve"),
    ("reject", lambda c: c.reject("pipe_1"), "POST", "/deployments/pipe_1/reject"),
    ("act", lambda c: c.act("pipe_1", "skip-step"), "POST", "/deployments/pipe_1/skip-step"),
    (
        "foresee",
        lambda c: c.act("pipe_1", "abort", dry_run=True),
        "POST",
        "/deployments/pipe_1/abort?dry_run=true",
    ),
    ("events", lambda c: c.deployment_events("pipe_1"), "GET", "/deployments/pipe_1/events"),
    ("start", lambda c: c.start("strat_1", {}), "POST", "/strategies/strat_1/start"),
    ("stop", lambda c: c.stop("strat_1"), "POST", "/strategies/strat_1/stop"),
    ("pause", lambda c: c.pause("strat_1"), "POST", "/strategies/strat_1/pause"),
    ("resume", lambda c: c.resume("strat_1"), "POST", "/strategies/strat_1/resume"),
    ("active", lambda c: c.executions(), "GET", "/executions"),
    ("stopped", lambda c: c.executions(status="stopped"), "GET", "/executions?status=stopped"),
    ("execution", lambda c: c.execution("exec_1"), "GET", "/executions/exec_1"),
    ("trades", lambda c: c.trades("e", offset=3), "GET", "/executions/e/trades?limit=100&offset=3"),
]


@pytest.mark.parametrize(
    ("ask", "method", "target"), [row[1:] for row in REQUESTS], ids=[row[0] for row in REQUESTS]
)
def test_a_method_asks_its_route_and_returns_the_answer_as_it_is(
    ask: Callable[[Client], Any], method: str, target: str
) -> None:
    wire = answering({"anything": 1})

    with wire.client() as client:
        answer = ask(client)

    asked = wire.requests[0]
    assert (asked.method, asked.url.raw_path.decode()) == (method, target)
    assert answer == {"anything": 1}


def test_an_identifier_cannot_change_the_route() -> None:
    wire = answering({})

    with wire.client() as client:
        client.strategy("../health?x=1#")

    assert wire.requests[0].url.raw_path == b"/strategies/..%2Fhealth%3Fx%3D1%23"


def test_start_sends_its_settings_as_execution_config() -> None:
    wire = answering({})

    with wire.client() as client:
        client.start("strat_1", {"speed": 5.0})

    assert json.loads(wire.requests[0].content) == {"execution_config": {"speed": 5.0}}


def test_instruments_are_returned_without_their_envelope() -> None:
    with answering({"instruments": [{"symbol": "A.B"}], "count": 1}).client() as client:
        assert client.instruments() == [{"symbol": "A.B"}]


def test_a_key_travels_as_a_bearer_token() -> None:
    wire = answering({})

    with wire.client(api_key="k" * 16) as client:
        client.executions()

    assert wire.requests[0].headers["Authorization"] == "Bearer " + "k" * 16


def test_without_a_key_no_authorization_is_sent() -> None:
    wire = answering({})

    with wire.client() as client:
        client.executions()

    assert "Authorization" not in wire.requests[0].headers


def test_a_problem_becomes_an_error_with_its_text_status_and_facts() -> None:
    problem = {
        "type": "/problems/conflict",
        "title": "Conflict",
        "status": 409,
        "detail": "A 1.0.0 exists with other content",
        "field": "version",
    }

    with (
        answering(problem, 409).client() as client,
        pytest.raises(problems.RefusedError, match=r"A 1\.0\.0 exists") as caught,
    ):
        client.create_strategy({})

    assert caught.value.status == 409
    assert caught.value.facts == {"field": "version"}


def test_a_refused_key_says_where_the_key_is_set() -> None:
    with (
        answering({"detail": "no valid key"}, 401).client() as client,
        pytest.raises(problems.RefusedError, match="no valid key; set STRATEGY_API_KEY"),
    ):
        client.executions()


def test_health_is_an_answer_also_when_the_engine_cannot_serve() -> None:
    with answering({"status": "degraded"}, 503).client() as client:
        assert client.health()["status"] == "degraded"


def test_an_engine_that_is_not_there_is_told_with_how_to_start_one() -> None:
    with (
        failing(httpx.ConnectError("[Errno 111] Connection refused")).client() as client,
        pytest.raises(problems.NoEngineError) as caught,
    ):
        client.health()

    assert str(caught.value) == (
        "no engine at http://engine.example (connection refused);"
        " start one with `strategy-engine serve`"
    )


def test_an_engine_that_does_not_answer_in_time_is_told_with_the_limit() -> None:
    with (
        failing(httpx.ReadTimeout("")).client(timeout_s=7) as client,
        pytest.raises(problems.NoEngineError, match="within 7 s"),
    ):
        client.health()


@pytest.mark.parametrize("body", [b"<html>", b"[1]", b"", b"\xff"])
def test_something_else_at_the_url_is_told_apart_from_an_engine(body: bytes) -> None:
    wire = Wire(lambda _: httpx.Response(200, content=body))

    with wire.client() as client, pytest.raises(problems.NoEngineError, match="no strategy engine"):
        client.health()


def test_a_url_that_is_none_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(InvalidError):
        Client("engine")


@pytest.mark.parametrize(
    ("url", "proxied"), [("http://127.0.0.1:8700", False), ("http://engine.example", True)]
)
def test_a_proxy_is_used_for_other_machines_only(
    monkeypatch: pytest.MonkeyPatch, url: str, *, proxied: bool
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("no_proxy", "")

    with Client(url) as client:
        assert bool(client._http._mounts) is proxied
