"""Whatever a client sends, the answers are those that the OpenAPI document tells."""

import copy
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import requests
import schemathesis
from fastapi import FastAPI
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi import checks

from strategy_engine.api import app as api_app
from strategy_engine.api import example_alerts, examples

KEY = "a-key-of-16-signs"
CHANNEL = {"name": "desk", "url": "http://127.0.0.1:9/"}
URL = "http://testserver"
CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.negative_data_rejection,
]
DOCUMENT = api_app.build(None).openapi()  # type: ignore[arg-type]  # it needs no service
CASES = [
    (path, method, mode)
    for path, item in DOCUMENT["paths"].items()
    for method, operation in item.items()
    for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
    if mode is GenerationMode.POSITIVE or {"parameters", "requestBody"} & operation.keys()
]
EXAMPLES = 6


def without_key(document: dict[str, Any]) -> dict[str, Any]:
    """Return the document for a client that holds the key always, so no case leaves it out."""
    open_to_all = copy.deepcopy(document)
    for item in open_to_all["paths"].values():
        for operation in item.values():
            operation.pop("security", None)
    return open_to_all


SCHEMA = schemathesis.openapi.from_dict(without_key(DOCUMENT))


@dataclass
class Door:
    """An application with one of everything, and a client of it."""

    client: TestClient
    known: dict[str, str]


CONTENT = {
    "strategy_name": "Asked",
    "version": "1.0.0",
    "code": "class Held:\n    def generate_signal(self, market_data):\n        return 'HOLD'\n",
    "risk_limits": {"max_position_size": 10000, "daily_loss_limit": -1000},
}


@pytest.fixture
def door(make_world: Callable[[], Any]) -> Iterator[Door]:
    yield from opened(make_world())


@pytest.fixture(scope="module")
def reading(
    make_world_in: Callable[[Path], Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Door]:
    """Give a door that is only read through: nothing of it changes from test to test."""
    yield from opened(make_world_in(tmp_path_factory.mktemp("read")))


def opened(world: Any) -> Iterator[Door]:

    @asynccontextmanager
    async def close_at_the_end(_: FastAPI) -> AsyncIterator[None]:
        yield
        await world.database.aclose()

    app = world.build(api_key=KEY, lifespan=close_at_the_end)
    headers = {"authorization": f"Bearer {KEY}"}
    with TestClient(app, base_url=URL, headers=headers) as client:
        strategy_id = client.post("/strategies", json=CONTENT).json()["strategy_id"]
        client.post(f"/strategies/{strategy_id}/deploy")
        client.post(f"/strategies/{strategy_id}/start")
        flag = client.post("/flags", json=examples.CREATE_FLAG).json()
        hook = client.post("/webhooks", json={"url": "http://127.0.0.1:9/"}).json()
        rule = client.post("/alerts/rules", json=example_alerts.CREATE_RULE).json()
        channel = client.post("/alerts/channels", json=CHANNEL).json()
        known = {
            "rule_id": rule["rule_id"],
            "channel_id": channel["channel_id"],
            "alert_id": "alert_0",
            "webhook_id": hook["webhook_id"],
            "key": flag["key"],
            "strategy_id": strategy_id,
            "pipeline_id": "pipe_0",
            "execution_id": "exec_0",
            "strategy_name": CONTENT["strategy_name"],
            "experiment_id": "exp_0",
            "symbol": "EUR/USD.SIM",
        }
        yield Door(client, known)


@pytest.mark.parametrize(("path", "method", "mode"), CASES)
def test_an_answer_is_always_one_of_those_that_the_document_tells(
    request: pytest.FixtureRequest, path: str, method: str, mode: GenerationMode
) -> None:
    door: Door = request.getfixturevalue("reading" if method == "get" else "door")
    operation = SCHEMA[path][method]

    @given(case=operation.as_strategy(generation_mode=mode), is_known=st.booleans())
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def ask(case: schemathesis.Case, *, is_known: bool) -> None:
        if is_known and mode is GenerationMode.POSITIVE:
            case.path_parameters.update(
                {name: door.known[name] for name in case.path_parameters if name in door.known}
            )
        case.validate_response(sent(door.client, case), checks=CHECKS)

    ask()


@pytest.mark.parametrize(
    "path", [path for path, item in DOCUMENT["paths"].items() if "get" in item]
)
def test_a_reading_that_the_document_allows_is_never_refused(reading: Door, path: str) -> None:
    operation = SCHEMA[path]["get"]

    @given(case=operation.as_strategy(generation_mode=GenerationMode.POSITIVE))
    @settings(
        max_examples=4 * EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def ask(case: schemathesis.Case) -> None:
        case.path_parameters.update(
            {name: reading.known[name] for name in case.path_parameters if name != "table"}
        )
        if "timeframe" in case.query:
            case.query["timeframe"] = "1h"  # that it must divide a day, no schema can say
        case.validate_response(sent(reading.client, case), checks=[checks.positive_data_acceptance])

    ask()


def sent(client: TestClient, case: schemathesis.Case) -> httpx.Response:
    prepared = requests.Request(**case.as_transport_kwargs(base_url=URL)).prepare()
    return client.request(
        prepared.method, prepared.url, content=prepared.body, headers=dict(prepared.headers)
    )
