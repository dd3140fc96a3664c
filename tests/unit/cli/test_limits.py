"""Limits of lines, accounts and the engine from the command line."""

from typing import Any

SET = {
    "scope": "line",
    "subject": "RSI",
    "limits": {"max_position_size": 250_000},
    "actor": "alice",
    "why": "",
    "updated_at": "2025-08-24T10:00:00Z",
}


def test_limits_are_set_with_their_values_as_json_has_them(run: Any, fake: Any) -> None:
    fake.answers_to("PUT /risk/limits/line/RSI", SET)

    told = run(
        *("risk", "limit", "line", "RSI", "--limit", "max_position_size=250000"),
        *("--limit", 'allowed_symbols=["EUR/USD.SIM"]', "--why", "small"),
    )

    assert told.exit_code == 0, told.stderr
    assert fake.body_of("PUT /risk/limits/line/RSI") == {
        "limits": {"max_position_size": 250_000, "allowed_symbols": ["EUR/USD.SIM"]},
        "why": "small",
    }
    assert told.stdout.startswith("line RSI  max_position_size=250000  (alice, ")


def test_the_engine_needs_no_subject(run: Any, fake: Any) -> None:
    fake.answers_to("PUT /risk/limits/engine/all", SET | {"scope": "engine", "subject": ""})

    told = run("risk", "limit", "engine", "--limit", "max_leverage=1.5")

    assert told.stdout.startswith("engine  ")


def test_limits_are_listed_and_without_any_the_names_are(run: Any, fake: Any) -> None:
    names = ["max_position_size", "max_leverage"]
    fake.answers_to(
        "GET /risk/limits",
        {"limits": [SET], "count": 1, "names": names},
        {"limits": [], "count": 0, "names": names},
    )

    some, none = run("risk", "limits").stdout, run("risk", "limits").stdout

    assert some.startswith("line RSI  max_position_size=250000")
    assert none == "no limits are set; there are: max_position_size, max_leverage\n"


def test_limits_are_lifted_with_a_reason(run: Any, fake: Any) -> None:
    fake.answers_to("DELETE /risk/limits/line/RSI", SET)

    told = run("risk", "unlimit", "line", "RSI", "--why", "over")

    assert told.stdout.startswith("lifted: line RSI")
    assert fake.asked[0][0] == "DELETE /risk/limits/line/RSI?why=over"
