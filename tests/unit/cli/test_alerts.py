"""Alerts and events from the command line: what is asked, what is shown, what is never shown."""

import json
from typing import Any

import pytest

from strategy_engine.api import event_answers
from strategy_engine.api import example_alerts as examples
from strategy_engine.cli import events
from strategy_engine.client.alerting import read_stream

ALERT, CHANNEL, RULE = (
    examples.ALERT["alert_id"],
    examples.CHANNEL["channel_id"],
    examples.RULE["rule_id"],
)


def test_open_alerts_are_listed_and_all_of_them_if_asked(run: Any, fake: Any) -> None:
    fake.answers_to("GET /alerts", examples.ALERTS)

    told = run("alerts", "list").stdout
    run("alerts", "list", "--all", "--severity", "critical")

    assert ALERT in told
    assert "max_drawdown is -0.112, below -0.1" in told
    asked = [route for route, _ in fake.asked]
    assert "open=true" in asked[0]
    assert "open" not in asked[1]
    assert "severity=critical" in asked[1]


def test_an_alert_is_acknowledged_with_a_comment(run: Any, fake: Any) -> None:
    route = f"POST /alerts/{ALERT}/acknowledge"
    fake.answers_to(route, examples.ALERT | {"state": "acknowledged"})

    told = run("alerts", "acknowledge", ALERT, "--comment", "I look")

    assert fake.body_of(route) == {"comment": "I look"}
    assert told.stdout == f"{ALERT} is acknowledged\n"


def test_a_rule_is_made_of_what_was_said_and_nothing_else(run: Any, fake: Any) -> None:
    fake.answers_to("POST /alerts/rules", examples.RULE, status=201)

    run("alerts", "add-rule", "Deep", "--metric", "max_drawdown", "--below", "-0.1", "--for", "60")

    assert fake.body_of("POST /alerts/rules") == {
        "name": "Deep",
        "severity": "warning",
        "metric": {"scope": "execution", "name": "max_drawdown", "below": -0.1, "for_s": 60.0},
    }


def test_rules_are_listed_with_their_conditions(run: Any, fake: Any) -> None:
    by_event = examples.RULE | {"metric": None, "event": {"topic": "flag", "fields": {}}}
    fake.answers_to("GET /alerts/rules", {"rules": [examples.RULE, by_event], "count": 2})

    first, second = run("alerts", "rules").stdout.splitlines()

    assert first.endswith("max_drawdown of execution below -0.1 for 60 s")
    assert second.endswith("on flag")


@pytest.mark.parametrize("is_built_in", [True, False])
def test_a_rule_is_switched_off_and_else_left_as_it_is(
    run: Any, fake: Any, *, is_built_in: bool
) -> None:
    rule = examples.RULE | {"built_in": is_built_in}
    fake.answers_to(f"GET /alerts/rules/{RULE}", rule)
    fake.answers_to(f"PUT /alerts/rules/{RULE}", rule | {"enabled": False})

    told = run("alerts", "switch-rule", RULE, "--off")

    body = fake.body_of(f"PUT /alerts/rules/{RULE}")
    assert told.stdout == f"{RULE} is off\n"
    assert (body["enabled"], body["severity"]) == (False, "warning")
    assert body["metric"] == (None if is_built_in else rule["metric"])


def test_a_channels_secret_is_printed_once_and_alone(run: Any, fake: Any) -> None:
    fake.answers_to("POST /alerts/channels", examples.CREATED_CHANNEL, status=201)
    fake.answers_to("GET /alerts/channels", examples.CHANNELS)

    made = run("alerts", "add-channel", "desk", "https://ops.example/alerts?token=x")
    listed = run("alerts", "channels")

    assert made.stdout == f"{examples.CREATED_CHANNEL['secret']}\n"
    assert fake.body_of("POST /alerts/channels")["url"] == "https://ops.example/alerts?token=x"
    assert "https://ops.example/…" in listed.stdout


def test_a_channel_is_tried_out_and_its_log_is_read(run: Any, fake: Any) -> None:
    fake.answers_to(f"POST /alerts/channels/{CHANNEL}/test", examples.TESTED, status=202)
    fake.answers_to(f"GET /alerts/channels/{CHANNEL}/deliveries", examples.DELIVERIES)

    assert run("alerts", "test", CHANNEL).stdout == f"{examples.TESTED['event_id']}\n"
    assert run("alerts", "deliveries", CHANNEL).stdout.rstrip().endswith("204")


def test_events_are_told_a_line_each_and_filtered_by_the_engine(run: Any, fake: Any) -> None:
    fake.answers_to("GET /events", event_answers.EVENTS)

    shown = run("events", "--topic", "execution", "--topic", "flag", "--line", "RSI")
    assert shown.exit_code == 0, (shown.output, shown.exception)
    (line,) = shown.stdout.splitlines()

    assert "execution.ready" in line
    assert line.endswith("RSI Mean Reversion  running")
    ((route, _),) = fake.asked
    assert "topic=execution&topic=flag" in route
    assert "line=RSI" in route


def test_a_fill_and_a_denial_are_told_in_words() -> None:
    trade = {"side": "BUY", "quantity": 100.5, "symbol": "EUR/USD.SIM", "price": 1.06275}
    order = {"reason": "max_position_size of line RSI is 100", "denial_code": "max_position_size"}
    fill = events.told(event_answers.EVENT | {"payload": {"trade": trade}})
    denial = events.told(event_answers.EVENT | {"payload": {"order": order}})

    assert fill.endswith("BUY 100.5 EUR/USD.SIM at 1.06275")
    assert denial.endswith("max_position_size of line RSI is 100")


def test_a_stream_is_read_with_its_places() -> None:
    lines = [
        "retry: 1000",
        "id: 3-4",
        "",
        "id: 5-4",
        "event: flag.update",
        f"data: {json.dumps({'topic': 'flag.update'})}",
        "",
        ": still here",
        "id: 6-4",
        "",
    ]

    told = [(each.place, each.event) for each in read_stream(lines)]

    assert told == [("3-4", None), ("5-4", {"topic": "flag.update"}), ("6-4", None)]
