"""The document that clients are made from is whole."""

import re
from typing import Any

import pytest
from pydantic import BaseModel

from strategy_engine.api import (
    alert_answers,
    alert_models,
    answers,
    event_answers,
    line_answers,
    line_models,
    models,
    readings,
    shapes,
)

METHODS = {"get", "put", "post", "delete", "patch"}


@pytest.fixture
def document(world: Any) -> dict[str, Any]:
    return world.build(api_key="k" * 16).openapi()


def operations(document: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [
        (f"{method.upper()} {path}", operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if method in METHODS
    ]


def resolved(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in schema:
        return document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    if "anyOf" in schema:
        return resolved(document, schema["anyOf"][0])
    return schema


def has_example(document: dict[str, Any], media: dict[str, Any]) -> bool:
    return bool("example" in media or resolved(document, media["schema"]).get("examples"))


def test_every_endpoint_of_the_contract_is_there(document: dict[str, Any]) -> None:
    assert {name for name, _ in operations(document)} == {
        "GET /asyncapi.json",
        "GET /engine/export/metrics",
        "GET /engine/metrics",
        "GET /engine/performance",
        "GET /executions/{execution_id}/export/{table}",
        "GET /executions/{execution_id}/metrics/history",
        "GET /executions/{execution_id}/performance",
        "GET /executions/{execution_id}/tearsheet",
        "GET /lines/{strategy_name}/export/metrics",
        "GET /lines/{strategy_name}/metrics",
        "GET /lines/{strategy_name}/performance",
        "GET /strategies/{strategy_id}/export/metrics",
        "GET /strategies/{strategy_id}/metrics",
        "GET /strategies/{strategy_id}/performance",
        "GET /strategies/{strategy_id}/tearsheet",
        "POST /strategies",
        "GET /strategies",
        "GET /strategies/{strategy_id}",
        "PUT /strategies/{strategy_id}",
        "DELETE /strategies/{strategy_id}",
        "GET /strategies/{strategy_id}/history",
        "POST /strategies/{strategy_id}/reset",
        "POST /strategies/{strategy_id}/deploy",
        "POST /strategies/{strategy_id}/test",
        "POST /strategies/{strategy_id}/start",
        "POST /strategies/{strategy_id}/stop",
        "POST /strategies/{strategy_id}/pause",
        "POST /strategies/{strategy_id}/resume",
        "GET /deployments",
        "GET /deployments/{pipeline_id}",
        "GET /deployments/{pipeline_id}/status",
        "GET /deployments/{pipeline_id}/events",
        "POST /deployments/{pipeline_id}/approve",
        "POST /deployments/{pipeline_id}/reject",
        "POST /deployments/{pipeline_id}/promote",
        "POST /deployments/{pipeline_id}/promote-full",
        "POST /deployments/{pipeline_id}/skip-step",
        "POST /deployments/{pipeline_id}/pause",
        "POST /deployments/{pipeline_id}/resume",
        "POST /deployments/{pipeline_id}/abort",
        "POST /deployments/{pipeline_id}/rollback",
        "POST /deployments/{pipeline_id}/retry",
        "GET /executions",
        "GET /risk",
        "GET /risk/breaches",
        "POST /executions/{execution_id}/risk/reset",
        "GET /risk/limits",
        "PUT /risk/limits/{scope}/{subject}",
        "DELETE /risk/limits/{scope}/{subject}",
        "GET /executions/{execution_id}",
        "POST /executions/{execution_id}/flatten",
        "GET /executions/{execution_id}/trades",
        "GET /executions/{execution_id}/orders",
        "GET /executions/{execution_id}/equity",
        "GET /executions/{execution_id}/capital",
        "GET /executions/{execution_id}/metrics",
        "GET /instruments",
        "GET /instruments/{symbol}/bars",
        "POST /instruments/{symbol}/bars",
        "GET /instruments/{symbol}/quotes",
        "POST /instruments/{symbol}/quotes",
        "GET /instruments/{symbol}/trades",
        "POST /instruments/{symbol}/trades",
        "GET /health",
        "GET /metrics",
        "GET /metrics/prometheus",
        "POST /risk/emergency-stop",
        "GET /risk/emergency-stops",
        "POST /risk/emergency-stops/{stop_id}/reset",
        "GET /flags",
        "POST /flags",
        "GET /flags/{key}",
        "PUT /flags/{key}",
        "DELETE /flags/{key}",
        "GET /events",
        "GET /alerts",
        "GET /alerts/{alert_id}",
        "GET /alerts/{alert_id}/deliveries",
        "POST /alerts/{alert_id}/acknowledge",
        "GET /alerts/rules",
        "POST /alerts/rules",
        "GET /alerts/rules/{rule_id}",
        "PUT /alerts/rules/{rule_id}",
        "DELETE /alerts/rules/{rule_id}",
        "GET /alerts/channels",
        "POST /alerts/channels",
        "DELETE /alerts/channels/{channel_id}",
        "POST /alerts/channels/{channel_id}/test",
        "GET /alerts/channels/{channel_id}/deliveries",
        "GET /webhooks",
        "POST /webhooks",
        "DELETE /webhooks/{webhook_id}",
        "GET /webhooks/{webhook_id}/deliveries",
        "GET /lines",
        "GET /lines/{strategy_name}",
        "GET /lines/{strategy_name}/allocation",
        "PUT /lines/{strategy_name}/allocation",
        "DELETE /lines/{strategy_name}/allocation",
        "GET /experiments",
        "POST /experiments",
        "GET /experiments/{experiment_id}",
        "POST /experiments/{experiment_id}/stop",
        "GET /keys",
        "POST /keys",
        "DELETE /keys/{key_id}",
        "GET /",
    }


def test_every_route_has_a_tag_a_summary_and_a_description(document: dict[str, Any]) -> None:
    known = {tag["name"] for tag in document["tags"]}
    for name, operation in operations(document):
        assert set(operation["tags"]) <= known, name
        assert operation["tags"], name
        assert operation["summary"], name
        assert operation["description"], name


def test_every_request_and_answer_has_an_example(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        bodies = [operation["requestBody"]] if "requestBody" in operation else []
        for told in [*bodies, *operation["responses"].values()]:
            for media in told["content"].values():
                assert has_example(document, media), name


PROBES = {"GET /health", "GET /metrics", "GET /metrics/prometheus"}


def test_every_route_tells_its_errors_as_problems(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        failures = {code for code in operation["responses"] if int(code) >= 400}
        expected = {"500"}
        if name not in PROBES:
            expected |= {"401", "503"}
        if "requestBody" in operation:
            expected |= {"400", "413", "422"}
        if "{" in name:
            expected |= {"404", "422"}
        if operation.get("parameters"):
            expected |= {"422"}
        assert expected <= failures, name
        for code in failures - {"503"}:
            assert "application/problem+json" in operation["responses"][code]["content"], name


def test_every_parameter_is_described(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        for parameter in operation.get("parameters", []):
            assert parameter.get("description"), (name, parameter["name"])


def test_all_but_the_probes_ask_for_the_key(document: dict[str, Any]) -> None:
    keyless = {name for name, operation in operations(document) if not operation.get("security")}
    assert keyless == PROBES
    assert document["components"]["securitySchemes"]["HTTPBearer"]["scheme"] == "bearer"


def test_every_reference_in_the_document_leads_somewhere(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    references = set(re.findall(r"#/components/schemas/(\w+)", repr(document)))
    assert references <= set(schemas)
    assert "Problem" in references


SHOWN = [
    each
    for module in (
        models,
        answers,
        readings,
        shapes,
        line_models,
        line_answers,
        alert_models,
        alert_answers,
        event_answers,
    )
    for each in vars(module).values()
    if isinstance(each, type)
    and issubclass(each, BaseModel)
    and "json_schema_extra" in each.model_config
]


@pytest.mark.parametrize("shape", SHOWN, ids=lambda each: each.__name__)
def test_an_example_is_what_its_shape_takes(shape: type[BaseModel]) -> None:
    for example in shape.model_config["json_schema_extra"]["examples"]:
        read = shape.model_validate(example)
        assert read.model_dump(mode="json", exclude_unset=True) == example
