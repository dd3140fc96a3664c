from typing import Any

import pytest
from rich.console import Console

from strategy_engine.api import example_readings, examples
from strategy_engine.cli import board, views


def shown(renderable: Any) -> str:
    console = Console(width=200, color_system=None)
    with console.capture() as capture:
        console.print(renderable)
    return capture.get()


def result(**given: Any) -> Any:
    return {"passed": True, "duration_ms": 12.3, "message": "", "findings": [], **given}


def deployment(**given: Any) -> Any:
    return {**examples.DEPLOYMENT_STATUS, **given}


@pytest.mark.parametrize(
    ("value", "told"),
    [(0.123, "0.12"), (-3, "-3.00"), (None, "–"), ("x", "–"), (True, "–")],
)
def test_what_is_no_number_is_shown_as_a_dash(value: Any, told: str) -> None:
    assert views.number(value, ".2f") == told


@pytest.mark.parametrize(
    ("value", "told", "style"),
    [(1234.5, "+1,234.50", "green"), (-1, "-1.00", "red"), (0, "+0.00", "")],
)
def test_money_has_a_sign_and_its_colour(value: float, told: str, style: str) -> None:
    amount = views.money(value)

    assert (amount.plain, amount.style) == (told, style)


@pytest.mark.parametrize(
    ("iso", "told"),
    [
        ("2017-03-01T14:00:00Z", "2017-03-01 14:00:00"),
        ("2017-03-01T14:00:00+02:00", "2017-03-01 12:00:00"),
        (None, "–"),
        ("soon", "soon"),
    ],
)
def test_times_are_shown_in_utc(iso: str | None, told: str) -> None:
    assert views.when(iso) == told


@pytest.mark.parametrize(("ms", "told"), [(42.4, "42 ms"), (999.0, "999 ms"), (1840, "1.84 s")])
def test_a_duration_is_shown_in_its_own_unit(ms: float, told: str) -> None:
    assert views.duration(ms) == told


def test_neither_markup_nor_escape_codes_of_a_strategy_reach_the_terminal() -> None:
    line = shown(views.text("[red]\x1b[2Jboo[/red]"))

    assert line == "[red]?[2Jboo[/red]\n"


def test_a_fill_shows_what_it_realised_only_where_it_closed_something() -> None:
    opening: Any = {**example_readings.TRADES["trades"][0], "closes_round_trip": False, "pnl": 0.0}
    closing: Any = {**opening, "closes_round_trip": True, "pnl": -3.25, "cause": "stop_loss"}

    assert "P&L" not in shown(views.trade(opening))
    assert "P&L -3.25  stop_loss" in shown(views.trade(closing))


def test_a_passed_stage_is_told_by_what_it_measured() -> None:
    measured = result(trade_count=28, sharpe_ratio=2.104, max_drawdown=-0.024, win_rate=0.857)

    assert board.headline(measured) == "28 trades, Sharpe 2.10, drawdown -2.40%, win rate 86%"


def test_a_failed_stage_is_told_by_its_reason() -> None:
    failed = result(passed=False, message="Sharpe 0.4 is below 1.0", sharpe_ratio=0.4)

    assert board.headline(failed) == "Sharpe 0.4 is below 1.0"


def test_a_board_shows_every_stage_in_order_with_findings_under_theirs() -> None:
    lines = shown(board.board(deployment(left_out=["paper_trading"]))).splitlines()

    assert [line.split()[1] for line in lines if line[0] != " "] == [
        *examples.DEPLOYMENT_STATUS["stages"],
        "paper_trading",
    ]
    assert lines[1].strip() == "warning: no argument takes oversold_threshold"
    assert "15 tests passed" in lines[2]


NOTES = result(
    findings=[
        {"level": "note", "message": "no_lookahead: 5 cuts, the same decisions", "where": None},
        {"level": "note", "message": "the history is shorter: 90 days", "where": None},
    ]
)


def test_a_stage_names_what_it_checked_in_a_line() -> None:
    told = shown(board.finished("backtest", NOTES))

    assert "checked no lookahead" in told
    assert "5 cuts" not in told


def test_a_board_with_notes_shows_all_that_was_noted() -> None:
    told = shown(board.board(deployment(results={"backtest": NOTES}), notes=True))

    assert "note: no_lookahead: 5 cuts, the same decisions" in told
    assert "note: the history is shorter: 90 days" in told


def test_the_reason_of_a_failure_is_not_told_twice() -> None:
    finding = {"level": "error", "message": "it never trades", "where": None}
    failed = result(passed=False, message="it never trades", findings=[finding])

    assert shown(board.finished("backtest", failed)).count("it never trades") == 1


def test_a_finding_shows_its_place() -> None:
    finding = {"level": "error", "message": "imports os", "where": "line 3"}
    failed = result(passed=False, message="1 error", findings=[finding])

    assert "error: imports os (line 3)" in shown(board.finished("syntax_check", failed))


def test_an_inconclusive_stage_has_a_mark_of_its_own() -> None:
    open_question = result(passed=False, verdict="inconclusive", message="4 trades; 10 are needed")

    assert shown(board.finished("performance_validation", open_question)).startswith("?")


def test_why_a_deployment_failed_names_the_stage_and_its_reason() -> None:
    results = {"syntax_check": result(), "backtest": result(passed=False, message="no trades")}

    told = board.why_failed(deployment(results=results))

    assert told.endswith("failed at backtest: no trades")


def test_a_deployment_that_failed_without_a_failed_stage_is_told_by_its_message() -> None:
    told = board.why_failed(deployment(results={}, message="rejected by ada: too risky"))

    assert told.endswith("failed: rejected by ada: too risky")


def test_health_names_only_the_parts_that_are_not_well() -> None:
    parts = [
        {"name": "database", "status": "healthy", "reason": ""},
        {"name": "node", "status": "degraded", "reason": "no sign of life for 7 s"},
    ]
    told = shown(views.health({**example_readings.HEALTH, "parts": parts}, "http://x"))  # type: ignore[typeddict-item]

    assert "no sign of life for 7 s" in told
    assert "database" not in told


@pytest.mark.parametrize(
    ("target", "told"),
    [
        (None, "25,000.00"),
        (25_000.0, "25,000.00"),
        (40_000.5, "25,000.00, to be 40,000.50"),
        ("nothing", "25,000.00, all of it to leave"),
    ],
)
def test_an_execution_shows_its_capital_and_what_that_is_to_be(
    target: float | str | None, told: str
) -> None:
    found: Any = example_readings.EXECUTION | {"capital": 25_000.0, "capital_target": target}
    lines = shown(views.execution(found)).splitlines()
    (line,) = [each for each in lines if each.strip().startswith("capital")]
    assert line.split(maxsplit=1)[1].strip() == told


def test_when_an_execution_serves_is_told_by_instrument():
    at = "2025-08-24T10:30:00Z"
    spans = [
        {"symbol": "A", "never": True, "after": None, "until": None},
        {"symbol": "B", "never": False, "after": at, "until": None},
        {"symbol": "*", "never": False, "after": None, "until": None},
    ]

    assert [views._serving(each) for each in spans] == [
        "A never",
        "B after 2025-08-24 10:30:00",
        "the others always",
    ]
