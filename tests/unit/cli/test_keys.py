"""Keys from the command line: the text once, on its own line, and never again."""

import json
from typing import Any

from strategy_engine.api import examples

TEXT = examples.CREATED_KEY["key"]
KEY_ID = examples.KEY["key_id"]


def test_create_prints_the_text_alone_so_that_a_shell_can_keep_it(run: Any, fake: Any) -> None:
    fake.answers_to("POST /keys", examples.CREATED_KEY, status=201)

    told = run("keys", "create", "ci", "--role", "developer")

    assert fake.body_of("POST /keys") == {"name": "ci", "role": "developer"}
    assert told.stdout == f"{TEXT}\n"
    assert f"key {KEY_ID} of ci, developer: nobody can show it again" in told.stderr
    assert TEXT not in told.stderr


def test_create_as_json_is_the_engine_s_answer(run: Any, fake: Any) -> None:
    fake.answers_to("POST /keys", examples.CREATED_KEY, status=201)

    told = run("keys", "create", "ci", "--json")

    assert fake.body_of("POST /keys") == {"name": "ci", "role": "viewer"}
    assert json.loads(told.stdout) == examples.CREATED_KEY
    assert told.stderr == ""


def test_list_tells_each_key_and_whether_it_is_in_use(run: Any, fake: Any) -> None:
    ended = examples.KEY | {"key_id": "0" * 12, "revoked_at": "2025-08-25T10:00:00Z"}
    fake.answers_to("GET /keys", {"keys": [examples.KEY, ended], "count": 2})

    first, second = run("keys", "list").stdout.splitlines()

    assert first.split() == [KEY_ID, "developer", "ci", "in", "use"]
    assert second.endswith("revoked 2025-08-25T10:00:00Z")


def test_a_list_without_keys_says_who_may(run: Any, fake: Any) -> None:
    fake.answers_to("GET /keys", {"keys": [], "count": 0})

    assert "whoever reaches the engine may everything" in run("keys", "list").stdout


def test_revoke_says_when_it_ended(run: Any, fake: Any) -> None:
    ended = examples.KEY | {"revoked_at": "2025-08-25T10:00:00Z"}
    fake.answers_to(f"DELETE /keys/{KEY_ID}", ended)

    assert "revoked 2025-08-25T10:00:00Z" in run("keys", "revoke", KEY_ID).stdout


def test_what_the_engine_refuses_is_told(run: Any, fake: Any) -> None:
    problem = {"detail": "the first key must be an administrator's", "status": 409}
    fake.answers_to("POST /keys", problem, status=409)

    told = run("keys", "create", "ci", "--role", "developer")

    assert told.exit_code == 1
    assert "the first key must be an administrator's" in told.stderr
