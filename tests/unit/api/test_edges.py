"""The key, the size limit, and what nobody foresaw."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import structlog

from strategy_engine.api import edges

KEY = "a-key-of-16-signs"


@pytest.fixture
async def guarded(world: Any) -> AsyncIterator[httpx.AsyncClient]:
    async with world.client(world.build(api_key=KEY)) as made:
        yield made


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        f"Bearer {KEY}x",
        f"Bearer {KEY[:-1]}",
        f"Basic {KEY}",
        KEY,
        "Bearer \xe4",
    ],
)
@pytest.mark.parametrize("path", ["/", "/strategies", "/docs", "/openapi.json", "/nowhere"])
async def test_without_the_key_nothing_is_told(
    guarded: httpx.AsyncClient, path: str, authorization: str | None
) -> None:
    headers = {} if authorization is None else {"authorization": authorization.encode("latin-1")}
    answer = await guarded.get(path, headers=headers)

    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert answer.json()["type"] == "/problems/unauthorized"
    assert KEY not in answer.text


@pytest.mark.parametrize("scheme", ["Bearer", "bearer"])
async def test_with_the_key_everything_is_served(guarded: httpx.AsyncClient, scheme: str) -> None:
    answer = await guarded.get("/strategies", headers={"authorization": f"{scheme} {KEY}"})
    assert answer.status_code == 200


async def test_a_key_of_any_letters_is_sent_and_known_as_utf8(world: Any) -> None:
    key = "schlüssel-für-маркет"
    async with world.client(world.build(api_key=key)) as client:
        for sent, status in ((key.encode(), 200), (key[:-1].encode() + b"\xff", 401)):
            answer = await client.get("/strategies", headers={"authorization": b"Bearer " + sent})
            assert answer.status_code == status


@pytest.mark.parametrize("path", ["/health", "/metrics"])
async def test_probes_need_no_key(guarded: httpx.AsyncClient, path: str) -> None:
    assert (await guarded.get(path)).status_code == 200


async def test_who_held_the_key_is_in_the_history(
    guarded: httpx.AsyncClient, content: dict[str, Any]
) -> None:
    headers = {"authorization": f"Bearer {KEY}"}
    created = await guarded.post("/strategies", json=content, headers=headers)
    path = f"/strategies/{created.json()['strategy_id']}/history"
    history = (await guarded.get(path, headers=headers)).json()["history"]
    assert [each["actor"] for each in history] == ["api-key"]


async def test_a_body_that_says_it_is_too_large_is_not_read(world: Any) -> None:
    read = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal read
        for _ in range(100):
            read += 1
            yield b"x"

    app = world.build()
    async with world.client(app) as client:
        answer = await client.post(
            "/strategies",
            content=body(),
            headers={"content-length": str(edges.MAX_BODY_BYTES + 1)},
        )

    assert answer.status_code == 413
    assert answer.json()["type"] == "/problems/too-large"
    assert read == 0


async def test_a_streamed_body_is_refused_once_it_has_shown_its_size(world: Any) -> None:
    sent = 0
    answered: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        nonlocal sent
        sent += 1 << 20
        return {"type": "http.request", "body": b"x" * (1 << 20), "more_body": True}

    async def send(message: dict[str, Any]) -> None:
        answered.append(message)

    await world.build()(scope("POST", "/strategies"), receive, send)

    assert answered[0]["status"] == 413
    assert sent == 3 << 20


@pytest.mark.parametrize("path", ["/strategies/strat_x/stop", "/strategies/strat_x/deploy"])
async def test_a_body_is_limited_on_every_route(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.post(path, content=b"x" * (edges.MAX_BODY_BYTES + 1))
    assert answer.status_code == 413


async def test_a_body_of_exactly_the_limit_is_read(client: httpx.AsyncClient) -> None:
    answer = await client.post(
        "/strategies",
        content=b" " * (edges.MAX_BODY_BYTES - 2) + b"{}",
        headers={"content-type": "application/json"},
    )
    assert answer.status_code == 422


@pytest.mark.parametrize("length", ["-1", "many", "²", ""])
async def test_a_length_that_is_no_number_is_left_to_the_counting(
    client: httpx.AsyncClient, content: dict[str, Any], length: str
) -> None:
    headers = {"content-length": length.encode("latin-1")}
    answer = await client.post("/strategies", json=content, headers=headers)
    assert answer.status_code == 201


async def test_what_nobody_foresaw_is_logged_and_not_told(
    world: Any, client: httpx.AsyncClient
) -> None:
    world.services.telemetry.error = RuntimeError("the secret is 42")

    with structlog.testing.capture_logs() as logged:
        answer = await client.get("/metrics")

    problem = answer.json()
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert "secret" not in answer.text
    assert "RuntimeError" not in answer.text
    assert [each["error_id"] for each in logged] == [problem["error_id"]]
    assert logged[0]["exc_info"]


async def test_half_an_answer_is_broken_off_not_mended() -> None:
    answered: list[dict[str, Any]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise RuntimeError("halfway")

    async def send(message: dict[str, Any]) -> None:
        answered.append(message)

    with structlog.testing.capture_logs(), pytest.raises(RuntimeError, match="halfway"):
        await edges.LastResort(app)(scope("GET", "/"), None, send)
    assert [each["type"] for each in answered] == ["http.response.start"]


async def test_the_life_of_the_application_passes_every_edge(world: Any) -> None:
    lived: list[str] = []

    async def lifespan_app(scope: Any, receive: Any, send: Any) -> None:
        lived.append(scope["type"])

    guarded = edges.Porter(edges.BodyLimit(lifespan_app))
    app = edges.Heads(edges.LastResort(guarded))
    await app({"type": "lifespan"}, None, None)
    assert lived == ["lifespan"]


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "https://127.0.0.1:8701",
        "http://localhost:8700",
        "http://127.0.0.1",
        "http://127.0.0.1:8700.evil.example",
        "http://evil.example/127.0.0.1:8700",
        "file://127.0.0.1:8700",
        "null",
        "",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
async def test_without_a_key_a_page_of_elsewhere_is_refused(
    world: Any, client: httpx.AsyncClient, content: dict[str, Any], *, method: str, origin: str
) -> None:
    headers = {"origin": origin}
    answer = await client.request(method, "/strategies", json=content, headers=headers)

    assert answer.status_code == 403
    assert answer.json()["type"] == "/problems/foreign-origin"
    assert answer.headers["content-type"] == "application/problem+json"
    assert (await world.services.registry.page(offset=0)).total == 0


@pytest.mark.parametrize("host", ["127.0.0.1:8700", "localhost:8700", "LOCALHOST", "[::1]:8700"])
@pytest.mark.parametrize("own", [True, False])
async def test_without_a_key_its_own_page_and_programs_are_served(
    client: httpx.AsyncClient, content: dict[str, Any], *, host: str, own: bool
) -> None:
    headers = {"host": host} | ({"origin": f"http://{host.lower()}"} if own else {})

    assert (await client.post("/strategies", json=content, headers=headers)).status_code == 201
    assert (await client.get("/health", headers=headers)).status_code == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "127.0.0.1.evil.example:8700", "192.0.2.1:8700", "0.0.0.0:8700", "", "[::1"],
)
@pytest.mark.parametrize("path", ["/strategies", "/health", "/metrics", "/openapi.json"])
async def test_without_a_key_a_name_that_was_made_to_lead_here_is_refused(
    client: httpx.AsyncClient, host: str, path: str
) -> None:
    headers = {"host": host, "origin": f"http://{host}"}
    answer = await client.get(path, headers=headers)

    assert answer.status_code == 403
    assert answer.json()["type"] == "/problems/foreign-host"
    assert "STRATEGY_API_KEY" in answer.json()["detail"]


async def test_with_a_key_any_name_and_any_origin_may_ask(guarded: httpx.AsyncClient) -> None:
    headers = {
        "authorization": f"Bearer {KEY}",
        "host": "engine.example",
        "origin": "https://desk.example",
    }
    assert (await guarded.get("/strategies", headers=headers)).status_code == 200


@pytest.mark.parametrize(
    "path",
    ["/", "/strategies", "/health", "/metrics", "/instruments/EUR/USD.SIM/bars", "/openapi.json"],
)
async def test_a_head_is_what_a_get_would_answer_without_its_body(
    client: httpx.AsyncClient, path: str
) -> None:
    head, whole = await client.head(path), await client.get(path)

    assert head.status_code == 200
    assert head.content == b""
    assert head.headers == whole.headers
    assert int(head.headers["content-length"]) == len(whole.content)


@pytest.mark.parametrize(
    ("path", "status"),
    [("/nowhere", 404), ("/strategies/strat_x", 404), ("/strategies/strat_x/stop", 405)],
)
async def test_a_head_of_what_cannot_be_read_fails_without_a_body(
    client: httpx.AsyncClient, path: str, status: int
) -> None:
    answer = await client.head(path)

    assert (answer.status_code, answer.content) == (status, b"")


async def test_a_head_without_the_key_is_refused(guarded: httpx.AsyncClient) -> None:
    answer = await guarded.head("/strategies")

    assert (answer.status_code, answer.content) == (401, b"")


def scope(method: str, path: str) -> dict[str, Any]:
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"content-type", b"application/json")],
        "client": ("127.0.0.1", 1),
        "server": ("engine", 80),
    }
