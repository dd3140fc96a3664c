"""Webhooks from the command line: the secret once, on its own line, and never again."""

import json
from typing import Any

from strategy_engine.api import examples

HOOK = examples.WEBHOOK["webhook_id"]
SECRET = examples.CREATED_WEBHOOK["secret"]
LOG = f"GET /webhooks/{HOOK}/deliveries"


def test_create_prints_the_secret_alone_so_that_a_shell_can_keep_it(run: Any, fake: Any) -> None:
    fake.answers_to("POST /webhooks", examples.CREATED_WEBHOOK, status=201)

    told = run("webhooks", "create", "https://ops.example/", "--topic", "pipeline.failed")

    wanted = {"url": "https://ops.example/", "topics": ["pipeline.failed"]}
    assert fake.body_of("POST /webhooks") == wanted
    assert told.stdout == f"{SECRET}\n"
    assert f"webhook {HOOK}: nobody can show its secret again" in told.stderr
    assert SECRET not in told.stderr


def test_a_list_tells_where_each_is_sent_and_what(run: Any, fake: Any) -> None:
    every = examples.WEBHOOK | {"topics": []}
    fake.answers_to("GET /webhooks", {"webhooks": [examples.WEBHOOK, every], "count": 2})

    first, second = run("webhooks", "list").stdout.splitlines()

    assert first.endswith("strategies  strategy.deployed, pipeline.failed")
    assert second.endswith("all topics")


def test_a_list_without_webhooks_says_how_one_is_made(run: Any, fake: Any) -> None:
    fake.answers_to("GET /webhooks", {"webhooks": [], "count": 0})

    assert "webhooks create" in run("webhooks", "list").stdout


def test_deliveries_tell_what_the_last_try_came_to(run: Any, fake: Any) -> None:
    fake.answers_to(LOG, examples.DELIVERIES)

    told = run("webhooks", "deliveries", HOOK, "--state", "pending")

    asked, _ = fake.asked[-1]
    assert asked == f"{LOG}?state=pending&limit=50"
    assert "pending" in told.stdout
    assert "answered 503" in told.stdout


def test_deliveries_as_json_are_the_engine_s_answer(run: Any, fake: Any) -> None:
    fake.answers_to(LOG, examples.DELIVERIES)

    assert json.loads(run("webhooks", "deliveries", HOOK, "--json").stdout) == examples.DELIVERIES


def test_remove_says_which(run: Any, fake: Any) -> None:
    fake.answers_to(f"DELETE /webhooks/{HOOK}", examples.WEBHOOK)

    assert run("webhooks", "remove", HOOK).stdout == f"removed {HOOK}\n"


def test_what_the_engine_refuses_is_told(run: Any, fake: Any) -> None:
    problem = {"detail": "10.0.0.1 is not a public address", "status": 422}
    fake.answers_to("POST /webhooks", problem, status=422)

    told = run("webhooks", "create", "http://10.0.0.1/")

    assert told.exit_code == 1
    assert "is not a public address" in told.stderr
