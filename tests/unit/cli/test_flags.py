"""Flags from the command line."""

from datetime import UTC, datetime
from typing import Any

import pytest

from strategy_engine.api import examples
from strategy_engine.cli import rules
from strategy_engine.core.errors import InvalidError

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
KEY = examples.FLAG["key"]


def test_set_with_a_type_makes_a_flag(run: Any, fake: Any) -> None:
    fake.answers_to("POST /flags", examples.FLAG, status=201)
    rule = '{"value": 0.08, "share_of_executions": 0.25}'

    told = run(
        *("flags", "set", KEY, "--type", "number", "--default", "0.05", "--rule", rule),
        *("--expires", "2026-03-01T12:00:00Z", "--owner", "alice"),
    )

    assert told.exit_code == 0, told.stderr
    assert fake.body_of("POST /flags") == {
        "key": KEY,
        "type": "number",
        "default": 0.05,
        "rules": [{"value": 0.08, "share_of_executions": 0.25}],
        "expires_at": "2026-03-01T12:00:00+00:00",
        "owner": "alice",
    }
    assert told.stdout.startswith(f"{KEY}  number  0.05  alice  until ")
    assert '"share_of_executions": 0.25' in told.stdout


def test_set_without_a_type_changes_only_what_is_named(run: Any, fake: Any) -> None:
    fake.answers_to(f"PUT /flags/{KEY}", examples.FLAG)

    run("flags", "set", KEY, "--no-rules", "--description", "over")

    assert fake.body_of(f"PUT /flags/{KEY}") == {"rules": [], "description": "over"}


def test_a_new_flag_ends_in_90_days_if_nothing_else_is_said(run: Any, fake: Any) -> None:
    fake.answers_to("POST /flags", examples.FLAG, status=201)

    run("flags", "set", KEY, "--type", "string", "--default", "1")

    sent = fake.body_of("POST /flags")
    left = datetime.fromisoformat(sent["expires_at"]) - datetime.now(UTC)
    assert 89 <= left.total_seconds() / 86_400 <= 90
    assert sent["default"] == "1"  # a string's value is text, whatever it looks like


def test_list_tells_each_flag_with_its_rules(run: Any, fake: Any) -> None:
    ended = examples.FLAG | {"key": "old", "live": False, "rules": []}
    fake.answers_to("GET /flags", {"flags": [examples.FLAG, ended], "count": 2})

    told = run("flags", "list").stdout

    assert "old  number  0.05  alice  ended" in told
    assert '  {"value": 0.08, "strategy_name": "RSI_Mean_Reversion"' in told


def test_list_asks_for_archived_flags_only_when_told_to(run: Any, fake: Any) -> None:
    fake.answers_to("GET /flags", examples.FLAGS)

    run("flags", "list")
    run("flags", "list", "--archived")

    assert [route for route, _ in fake.asked] == ["GET /flags", "GET /flags?archived=true"]


def test_list_of_one_flag_tells_its_history(run: Any, fake: Any) -> None:
    fake.answers_to(f"GET /flags/{KEY}", examples.WHOLE_FLAG)

    assert "local  create" in run("flags", "list", KEY).stdout


def test_archive_says_when(run: Any, fake: Any) -> None:
    ended = examples.FLAG | {"archived_at": "2026-01-05T12:00:00Z", "live": False}
    fake.answers_to(f"DELETE /flags/{KEY}", ended)

    assert "archived 2026-01-05T12:00:00Z" in run("flags", "archive", KEY).stdout


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("90m", "2026-01-05T13:30:00+00:00"),
        ("12h", "2026-01-06T00:00:00+00:00"),
        ("30d", "2026-02-04T12:00:00+00:00"),
        ("2026-03-01", "2026-03-01T00:00:00+00:00"),
        ("2026-03-01T12:00+01:00", "2026-03-01T12:00:00+01:00"),
    ],
)
def test_a_time_is_one_or_so_far_from_now(text: str, moment: str) -> None:
    assert rules.moment(text, NOW) == moment


@pytest.mark.parametrize("text", ["", "soon", "3w", "-1d", "999999999d", "999999d"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(InvalidError, match="no time"):
        rules.moment(text, datetime(9000, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize("text", ["true", "[1]", "{", '{"value": NaN}'])
def test_a_rule_that_is_no_object_is_refused(text: str) -> None:
    with pytest.raises(InvalidError):
        rules.flag_rule(text)
