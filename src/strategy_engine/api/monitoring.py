"""HTTP door to the engine itself: how it is, what it has done, where to go."""

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Request, Response

from strategy_engine.api import doors, example_readings, exposition, openapi, readings, views
from strategy_engine.api.telemetry import Telemetry

router = APIRouter(tags=["monitoring"])
index_router = APIRouter(tags=["monitoring"], dependencies=[doors.bearer])

_UNAVAILABLE: openapi.Responses = {
    503: {"model": readings.Health, "description": "Control itself cannot serve."}
}
_TEXT: dict[str, Any] = {"schema": {"type": "string"}, "example": example_readings.METRICS_TEXT}
_TEXTS: openapi.Responses = {
    200: {"content": {exposition.TEXT: _TEXT, exposition.OPENMETRICS: _TEXT}}
}


@router.get("/health", summary="How the engine is", responses=_UNAVAILABLE | openapi.keyless())
async def health(given: doors.Given, response: Response) -> readings.Health:
    """Return 200 with healthy or degraded (which part, and why); 503 if control cannot serve."""
    found = await given.telemetry.health()
    response.status_code = 200 if found.serving else 503
    return views.health(found)


@router.get(
    "/metrics",
    summary="What the engine has done",
    response_model=readings.Metrics,
    responses=_TEXTS | openapi.keyless(),
)
async def metrics(request: Request, given: doors.Given) -> Any:
    """Return JSON, or Prometheus text where `Accept` asks for text or OpenMetrics."""
    media_type = exposition.wanted(request.headers.get("accept", ""))
    if media_type != exposition.JSON:
        return await _exposed(given.telemetry, media_type)
    found = await given.telemetry.metrics()
    shown = readings.Metrics.model_validate({**asdict(found), "engine_type": "strategy_deployment"})
    return Response(shown.model_dump_json(), media_type=exposition.JSON, headers=_VARY)


@router.get(
    "/metrics/prometheus",
    summary="The same for Prometheus, whatever it accepts",
    response_class=Response,
    responses=_TEXTS | openapi.keyless(),
)
async def prometheus(request: Request, given: doors.Given) -> Response:
    """Return Prometheus text, or OpenMetrics where `Accept` likes that better."""
    liked = exposition.wanted(request.headers.get("accept", ""))
    is_open = liked == exposition.OPENMETRICS
    return await _exposed(given.telemetry, liked if is_open else exposition.TEXT)


async def _exposed(telemetry: Telemetry, media_type: str) -> Response:
    found = await telemetry.metrics()
    text, content_type = exposition.render(found, await telemetry.measured(), media_type)
    return Response(text, media_type=content_type, headers=_VARY)


_VARY = {"Vary": "Accept"}


@index_router.get("/", summary="Where to go from here", responses=openapi.errors())
async def index(request: Request) -> readings.Index:
    """Return where the documentation, the OpenAPI document and the probes are."""
    return readings.Index(
        name=request.app.title,
        version=request.app.version,
        docs=request.app.docs_url,
        openapi=request.app.openapi_url,
        health="/health",
        metrics="/metrics",
    )
