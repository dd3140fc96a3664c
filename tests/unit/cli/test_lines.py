"""The commands about lines, allocations and experiments, against an engine of prepared answers."""

import json

import pytest

from strategy_engine.api import example_lines as examples

LINE = "RSI%20Mean%20Reversion"
NAME = "RSI Mean Reversion"
EXPERIMENT = examples.WHOLE_EXPERIMENT["experiment_id"]


def test_lines_are_listed_with_their_members_and_what_moves_them(fake, run):
    fake.answers_to("GET /lines", examples.LINES)
    shown = run("lines", "list").stdout
    assert f"RSI Mean Reversion  75,210.50  experiment {EXPERIMENT}" in shown
    assert "1.2.0  stable  running  75.0%  75,210.50  P&L +210.50" in shown


def test_a_line_that_is_named_is_shown_with_its_books(fake, run):
    member = examples.LINE["members"][0] | {"capital_target": 50_000.0}
    books = examples.LINE["books"] | {"agrees": False, "findings": ["exec_1: cash \x1b[31m"]}
    fake.answers_to(f"GET /lines/{LINE}", examples.LINE | {"members": [member], "books": books})
    shown = run("lines", "list", NAME).stdout
    assert "capital 75,000.00, to be 50,000.00" in shown
    assert "books DO NOT AGREE: 6 fills, cash 67,400.12" in shown
    assert "exec_1: cash ?[31m" in shown


def test_there_may_be_no_lines_yet(fake, run):
    fake.answers_to("GET /lines", {"lines": [], "count": 0})
    assert "deploy --help" in run("lines", "list").stdout


def test_a_policy_is_sent_as_it_was_written(fake, run):
    fake.answers_to(f"PUT /lines/{LINE}/allocation", examples.ALLOCATION)
    done = run(
        *("lines", "allocate", NAME, "--policy", "fixed", "--weight", "1.2.0=0.6"),
        *("--weight", "1.3.0=0.3", "--cap", "1.3.0=0.4", "--band", "0.01"),
    )
    assert done.exit_code == 0, done.output
    assert fake.body_of(f"PUT /lines/{LINE}/allocation") == {
        "policy": "fixed",
        "versions": ["1.2.0", "1.3.0"],
        "weights": {"1.2.0": 0.6, "1.3.0": 0.3},
        "caps": {"1.3.0": 0.4},
        "band": 0.01,
    }
    assert "1.2.0 60.0%, 1.3.0 40.0%, cash 0.0%" in done.stdout


def test_without_a_policy_an_allocation_is_shown_and_released_by_its_command(fake, run):
    fake.answers_to(f"GET /lines/{LINE}/allocation", examples.ALLOCATION)
    ending = examples.ALLOCATION | {"status": "ending"}
    fake.answers_to(f"DELETE /lines/{LINE}/allocation", ending)
    assert "equal_risk  active" in run("lines", "allocate", NAME).stdout
    assert "equal_risk  ending" in run("lines", "release", NAME).stdout


def test_an_experiment_is_started_with_what_was_asked(fake, run):
    fake.answers_to("POST /experiments", examples.EXPERIMENT, status=201)
    done = run(
        *("experiments", "start", NAME, "--a", "1.2.0", "--b", "1.3.0"),
        *("--hypothesis", "it pays", "--share-b", "0.25", "--pairs", "400"),
    )
    assert done.exit_code == 0, done.output
    assert fake.body_of("POST /experiments") == {
        "strategy_name": NAME,
        "version_a": "1.2.0",
        "version_b": "1.3.0",
        "hypothesis": "it pays",
        "share_b": 0.25,
        "planned_pairs": 400,
    }
    assert "1.2.0 | 1.3.0  capital  running" in done.stdout


@pytest.mark.parametrize("command", [("list",), ("stop",)])
def test_an_experiment_is_told_with_its_interval_and_recommendation(fake, run, command):
    fake.answers_to(f"GET /experiments/{EXPERIMENT}", examples.WHOLE_EXPERIMENT)
    fake.answers_to(f"POST /experiments/{EXPERIMENT}/stop", examples.WHOLE_EXPERIMENT)
    shown = run("experiments", *command, EXPERIMENT).stdout
    assert "B - A a year: +3.10%, from -10.40% to +16.60% (95%, at all times)" in shown
    assert "812 of 2000 paired bars: inconclusive" in shown


def test_experiments_are_listed_and_answers_printed_as_json_when_asked(fake, run):
    fake.answers_to("GET /experiments", examples.EXPERIMENTS)
    assert EXPERIMENT in run("experiments", "list").stdout
    assert json.loads(run("experiments", "list", "--json").stdout) == examples.EXPERIMENTS
