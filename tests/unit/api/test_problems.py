"""Every error is an RFC 9457 problem that says what to do, and tells nothing it should not."""

import inspect
import json
from typing import Any

import httpx
import pytest

from strategy_engine.api import plain, problems
from strategy_engine.core import errors

MEMBERS = {"type", "title", "status", "detail", "instance"}


def told(answer: httpx.Response) -> dict[str, Any]:
    problem = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem.keys() >= MEMBERS
    assert problem["status"] == answer.status_code
    return dict(problem)


async def test_an_unknown_strategy_is_a_problem(client: httpx.AsyncClient) -> None:
    problem = told(await client.get("/strategies/strat_nobody"))

    assert problem["type"] == "/problems/not-found"
    assert problem["title"] == "Not found"
    assert problem["status"] == 404
    assert problem["instance"] == "/strategies/strat_nobody"
    assert (problem["field"], problem["value"]) == ("strategy_id", "strat_nobody")


async def test_an_unknown_route_is_a_problem(client: httpx.AsyncClient) -> None:
    problem = told(await client.get("/strategy"))
    assert problem["status"] == 404
    assert "/docs" in problem["detail"]


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/strategies", {"GET", "HEAD", "POST"}),
        ("PATCH", "/strategies/strat_x", {"GET", "HEAD", "PUT", "DELETE"}),
        ("GET", "/strategies/strat_x/deploy", {"POST"}),
        ("POST", "/health", {"GET", "HEAD"}),
        ("PUT", "/instruments/EUR/USD.SIM/bars", {"GET", "HEAD", "POST"}),
    ],
)
async def test_a_wrong_method_tells_all_the_right_ones(
    client: httpx.AsyncClient, method: str, path: str, allowed: set[str]
) -> None:
    answer = await client.request(method, path)
    problem = told(answer)
    assert problem["status"] == 405
    assert set(answer.headers["allow"].split(", ")) == allowed
    assert set(problem["accepted"]) == allowed


@pytest.mark.parametrize(
    "body",
    [b"{", b"", b"{'a': 1}", b"\xff\xfe", b"[" * 100_000, b'{"version": ' + b"9" * 5_000 + b"}"],
    ids=["cut", "empty", "python", "latin", "deep", "long integer"],
)
async def test_a_body_that_is_no_json_is_refused(client: httpx.AsyncClient, body: bytes) -> None:
    answer = await client.post(
        "/strategies", content=body, headers={"content-type": "application/json"}
    )
    assert told(answer)["status"] in {400, 422}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"[" * 50_000 + b"]" * 50_000, "nested deeper than 32 levels"),
        (b'{"a": ' * 100_000 + b"1" + b"}" * 100_000, "nested deeper than 32 levels"),
        (b'{"version": ' + b"9" * 5_000 + b"}", "integer of more than 4,300 digits"),
        (b'{"version": "\xff"}', "no UTF-8 text (byte 13 is none)"),
    ],
    ids=["list", "object", "integer", "latin"],
)
async def test_a_body_that_cannot_be_read_says_what_is_wrong_with_it(
    client: httpx.AsyncClient, body: bytes, words: str
) -> None:
    answer = await client.post(
        "/strategies", content=body, headers={"content-type": "application/json"}
    )
    problem = told(answer)
    assert words in problem["detail"]
    assert ("UTF-8" in problem["detail"]) is (b"\xff" in body)
    assert problem["field"] == "body"


async def test_a_body_of_another_type_says_what_is_accepted(client: httpx.AsyncClient) -> None:
    answer = await client.post(
        "/strategies", content="a=b", headers={"content-type": "application/x-www-form-urlencoded"}
    )
    problem = told(answer)
    assert problem["status"] == 422
    assert problem["field"] == "body"
    assert "application/json" in problem["detail"]


@pytest.mark.parametrize(
    ("name", "value", "word"),
    [
        ("code", "x = '\x00'", "NUL"),
        ("code", "x = '\ud800'", "surrogate"),
        ("parameters", {"a": ["\x00"]}, "NUL"),
        ("parameters", {"a": {"b": "\udfff"}}, "surrogate"),
        ("parameters", {"\ud800": 1}, "surrogate"),
        ("parameters", {"a": float("nan")}, "finite"),
        ("parameters", {"a": float("inf")}, "finite"),
        ("parameters", {"a": 2**63}, "64 bits"),
        ("parameters", {"a": [0] * 100_001}, "100,000"),
    ],
)
async def test_what_could_not_be_kept_is_refused_and_named(
    client: httpx.AsyncClient, content: dict[str, Any], name: str, value: Any, word: str
) -> None:
    answer = await client.post(
        "/strategies",
        content=json.dumps(content | {name: value}),
        headers={"content-type": "application/json"},
    )
    problem = told(answer)
    assert problem["status"] == 422
    assert word in problem["detail"]


async def test_a_body_nested_beyond_reason_is_refused(
    client: httpx.AsyncClient, content: dict[str, Any]
) -> None:
    deep: Any = 1
    for _ in range(100):
        deep = {"a": deep}
    problem = told(await client.post("/strategies", json=content | {"parameters": deep}))
    assert problem["status"] == 422
    assert "nested" in problem["detail"]


async def test_a_huge_value_is_not_echoed_whole(
    client: httpx.AsyncClient, content: dict[str, Any]
) -> None:
    answer = await client.post("/strategies", json=content | {"version": "9" * 1_000_000})
    assert told(answer)["status"] == 422
    assert len(answer.content) < 5_000


async def test_many_faults_are_told_together(client: httpx.AsyncClient) -> None:
    problem = told(await client.post("/strategies", json={"strategy_name": 1}))
    assert {each["field"] for each in problem["errors"]} == {"strategy_name", "version", "code"}


async def test_an_unknown_field_names_the_known_ones(
    client: httpx.AsyncClient, content: dict[str, Any]
) -> None:
    problem = told(await client.post("/strategies", json=content | {"paramters": {}}))
    assert (problem["field"], problem["value"]) == ("paramters", "{}")
    assert "parameters" in problem["accepted"]


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"limit": 0}, "limit"),
        ({"limit": 501}, "limit"),
        ({"offset": -1}, "offset"),
        ({"offset": 2**64}, "offset"),
        ({"limit": "many"}, "limit"),
        ({"status": "sleeping"}, "status"),
    ],
)
async def test_a_wrong_query_is_named_with_what_is_accepted(
    client: httpx.AsyncClient, params: dict[str, Any], field: str
) -> None:
    problem = told(await client.get("/strategies", params=params))
    assert problem["status"] == 422
    assert problem["field"] == field
    assert problem["accepted"]


@pytest.mark.parametrize("identifier", ["%00", "a%20b", "x" * 61, "%ED%A0%80"])
async def test_an_identifier_that_cannot_exist_is_refused(
    client: httpx.AsyncClient, identifier: str
) -> None:
    problem = told(await client.get(f"/strategies/{identifier}"))
    assert problem["status"] == 422
    assert problem["field"] == "strategy_id"


QUERIES = [
    ("/strategies", "name"),
    ("/strategies", "status"),
    ("/deployments", "strategy_id"),
    ("/deployments", "status"),
    ("/executions", "strategy_id"),
    ("/executions", "status"),
    ("/executions/exec_0/equity", "start"),
    ("/executions/exec_0/metrics", "end"),
    ("/instruments/AAPL.SIM/bars", "timeframe"),
    ("/instruments", "nobody-reads-this"),
]


@pytest.mark.parametrize("value", ["%00", "a%00b", "%ED%A0%80", "a%FF", "%C0%80"])
@pytest.mark.parametrize(("path", "name"), QUERIES)
async def test_a_query_that_is_no_text_is_refused_and_named(
    client: httpx.AsyncClient, path: str, name: str, value: str
) -> None:
    problem = told(await client.get(f"{path}?limit=5&{name}={value}"))
    assert (problem["status"], problem["field"]) == (422, name)


@pytest.mark.parametrize("symbol", ["%00", "A%00.SIM", "%ED%A0%80.SIM", "%FF"])
async def test_a_symbol_that_is_no_text_is_refused(client: httpx.AsyncClient, symbol: str) -> None:
    problem = told(await client.get(f"/instruments/{symbol}/bars"))
    assert (problem["status"], problem["field"]) == (422, "symbol")


@pytest.mark.parametrize("value", ["", "%F0%9F%98%80", "+", "%EF%BF%BD", "a&b=c", "%C3%A9=%26"])
async def test_a_query_of_any_text_is_taken(client: httpx.AsyncClient, value: str) -> None:
    assert (await client.get(f"/strategies?name={value}")).status_code == 200


async def test_a_rule_of_the_registry_keeps_its_facts(
    client: httpx.AsyncClient, content: dict[str, Any]
) -> None:
    problem = told(await client.post("/strategies", json=content | {"version": "1.2"}))
    assert (problem["status"], problem["field"], problem["value"]) == (422, "version", "1.2")
    assert problem["accepted"] == "MAJOR.MINOR.PATCH, semver.org"


async def test_code_beyond_its_limit_is_too_large(
    client: httpx.AsyncClient, content: dict[str, Any]
) -> None:
    answer = await client.post("/strategies", json=content | {"code": "#" * (1 << 20) + "\n"})
    assert told(answer)["status"] == 413


def test_the_facts_of_an_error_cannot_replace_a_problems_own_members() -> None:
    answer = problems.answer(
        "conflict", "why", instance="/x", facts={"status": 200, "type": "t", "state": "draft"}
    )
    body = json.loads(bytes(answer.body))
    assert (body["status"], body["type"], body["state"]) == (409, "/problems/conflict", "draft")


def test_facts_of_any_kind_and_size_become_short_json() -> None:
    facts = {"value": float("nan"), "accepted": ["x" * 1_000] * 1_000, "deep": {"a": {"b": [1]}}}
    answer = problems.answer("invalid", "\ud800", instance="/\ud800", facts=facts)
    body = json.loads(bytes(answer.body))
    assert body["value"] is None
    assert len(body["accepted"][0]) == plain.LONGEST_ECHO + 1
    assert body["deep"] == {"a": {"b": [1]}}
    assert (body["detail"], body["instance"]) == ("?", "/?")


def test_every_kind_of_error_in_the_core_has_a_status() -> None:
    kinds = {
        each.kind
        for _, each in inspect.getmembers(errors, inspect.isclass)
        if issubclass(each, errors.EngineError) and each is not errors.EngineError
    }
    assert kinds <= set(problems.STATUS)


def test_a_problem_cannot_steer_what_shows_it() -> None:
    facts = {"value": "\x1b[2J", "accepted": ["a\x07"], "deep": {"\x9b": "b"}}
    answer = problems.answer(
        "strategy-failed", "it said\r\n \x1b[31mboo\x00\n", instance="/\x1b\n", facts=facts
    )
    body = json.loads(bytes(answer.body))
    assert (body["detail"], body["instance"]) == ("it said ?[31mboo?", "/?")
    assert (body["value"], body["accepted"], body["deep"]) == ("?[2J", ["a?"], {"?": "b"})


def test_an_unauthorized_answer_carries_its_challenge() -> None:
    answer = problems.answer("unauthorized", "no key", instance="/")
    assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize("kind", ["an-unheard-of-kind", "engine-error"])
def test_an_unknown_kind_of_error_is_the_engines_own_fault(kind: str) -> None:
    assert problems.answer(kind, "why", instance="/").status_code == 500
