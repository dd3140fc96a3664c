import io
from typing import Any

import pytest
from rich.console import Console

from strategy_engine.api import example_readings, examples
from strategy_engine.cli import tour
from strategy_engine.client.service import Client
from strategy_engine.core.errors import EngineError, UnavailableError

STRATEGY = examples.CREATED["strategy_id"]
EXECUTION = example_readings.STARTED["execution_id"]
PASSED = {"passed": True, "duration_ms": 5.0, "verdict": "passed", "message": "", "findings": []}
FOLLOW = f"GET /deployments/{examples.ACCEPTED['pipeline_id']}/status"
TRADES = f"GET /executions/{EXECUTION}/trades"


class Alive:
    """An engine that does not end, or ends at a chosen look."""

    def __init__(self, looks: int | None = None) -> None:
        self._looks = looks

    def url(self) -> str:
        raise NotImplementedError

    def check(self) -> None:
        if self._looks is not None:
            self._looks -= 1
            if self._looks < 0:
                raise UnavailableError("the engine ended by itself with SIGKILL; see its log")


def execution(**given: Any) -> dict[str, Any]:
    return {**example_readings.EXECUTION, **given}


def fill(number: int, **given: Any) -> dict[str, Any]:
    return {**example_readings.TRADES["trades"][0], "trade_id": f"{EXECUTION}-{number}", **given}


def deployed(**given: Any) -> dict[str, Any]:
    results = dict.fromkeys(examples.DEPLOYMENT_STATUS["stages"], PASSED)
    return {**examples.DEPLOYMENT_STATUS, "status": "completed", "results": results, **given}


@pytest.fixture
def prepared(fake: Any) -> Any:
    fake.answers_to(
        "GET /health", {**example_readings.HEALTH, "status": "degraded"}, example_readings.HEALTH
    )
    fake.answers_to("POST /strategies", examples.CREATED, status=201)
    fake.answers_to(f"POST /strategies/{STRATEGY}/deploy", examples.ACCEPTED, status=202)
    fake.answers_to(FOLLOW, deployed())
    fake.answers_to(f"POST /strategies/{STRATEGY}/start", example_readings.STARTED)
    fake.answers_to(f"POST /strategies/{STRATEGY}/stop", example_readings.STOPPED)
    note = {**example_readings.INSTRUMENTS["instruments"][0], "note": "One good year is luck."}
    fake.answers_to("GET /instruments", {"instruments": [note], "count": 1})
    fake.answers_to(
        f"GET /executions/{EXECUTION}",
        execution(trade_count=0, pnl=0.0),
        execution(trade_count=1),
        execution(trade_count=3),
        execution(trade_count=4, status="stopped", pnl=-4.2, end_reason="stopped"),
    )
    pages = [[fill(1), fill(2, side="SELL", pnl=2.5, closes_round_trip=True)], [], [fill(3)], []]
    fake.answers_to(TRADES, *({**example_readings.TRADES, "trades": page} for page in pages))
    return fake


def take(fake: Any, *, process: tour.Process | None = None, once: bool = True) -> str:
    printed = io.StringIO()
    with Client(fake.url) as client:
        tour.Tour(
            process=process or Alive(), client=client, console=Console(file=printed, width=120)
        ).run(once=once, speed=200)
    return printed.getvalue()


def test_the_tour_registers_the_specified_strategy(prepared: Any) -> None:
    take(prepared)

    content = prepared.body_of("POST /strategies")
    assert (content["strategy_name"], content["version"]) == ("Advanced RSI Strategy", "2.0.0")
    assert content["code"].startswith("class RSIStrategy:")
    assert content["risk_limits"] == {"max_position_size": 15_000, "daily_loss_limit": -2_000}


def test_the_tour_prints_each_fill_once(prepared: Any) -> None:
    told = take(prepared)

    assert told.count("@ 1.10235") == 3
    assert told.count("P&L +2.50") == 1


def test_fills_are_asked_from_the_first_that_was_not_printed(prepared: Any) -> None:
    take(prepared)

    asked = [route for route, _ in prepared.asked if route.startswith(TRADES)]
    assert asked[0].endswith("offset=0")
    assert asked[-1].endswith("offset=3")


def test_the_summary_is_of_the_stopped_execution(prepared: Any) -> None:
    told = take(prepared)

    summary = told.partition("started")[2]
    assert "-4.20" in summary
    assert "closed trades  4" in summary


def test_the_samples_own_warning_is_printed(prepared: Any) -> None:
    assert "One good year is luck." in take(prepared)


def test_a_failed_stage_ends_the_tour_with_its_reason(prepared: Any) -> None:
    refused = {**PASSED, "passed": False, "message": "it never trades"}
    prepared.answers_to(FOLLOW, deployed(status="failed", results={"backtest": refused}))

    with pytest.raises(EngineError, match="failed at backtest: it never trades"):
        take(prepared)


def test_an_execution_that_fails_ends_the_tour_with_its_error(prepared: Any) -> None:
    prepared.answers_to(
        f"GET /executions/{EXECUTION}", execution(status="error", error="line 7: ZeroDivisionError")
    )

    with pytest.raises(EngineError, match="line 7: ZeroDivisionError"):
        take(prepared)


def test_too_few_trades_are_no_success(prepared: Any) -> None:
    prepared.answers_to(
        f"GET /executions/{EXECUTION}",
        execution(status="stopped", trade_count=2, end_reason="completed"),
    )

    with pytest.raises(EngineError, match="after 2 closed trades; 3 were expected"):
        take(prepared)


def test_an_engine_that_ends_on_the_way_ends_the_tour(prepared: Any) -> None:
    with pytest.raises(EngineError, match="SIGKILL"):
        take(prepared, process=Alive(looks=2))


def test_without_once_the_tour_goes_on_serving_and_says_what_to_try(
    prepared: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(seconds: float) -> None:
        if seconds == tour.IDLE_S:
            raise KeyboardInterrupt

    monkeypatch.setattr(tour.time, "sleep", interrupt)

    told = take(prepared, once=False)

    assert f"strategy-engine executions {EXECUTION} --url {prepared.url}" in told
    assert f"POST /strategies/{STRATEGY}/stop" not in [route for route, _ in prepared.asked]
