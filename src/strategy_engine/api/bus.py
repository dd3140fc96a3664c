"""HTTP door to the description of the bus."""

from typing import Any

from fastapi import APIRouter

from strategy_engine.api import doors, openapi
from strategy_engine.infra.bus import asyncapi
from strategy_engine.infra.bus.broker import BusSettings

router = APIRouter(tags=["monitoring"], dependencies=[doors.bearer])

# The beginning of it: the whole has references of its own, which no OpenAPI document may hold.
_BEGINNING = {
    name: value
    for name, value in asyncapi.document(BusSettings()).items()
    if name in {"asyncapi", "info", "defaultContentType"}
}
_EXAMPLE: openapi.Responses = {200: {"content": {"application/json": {"example": _BEGINNING}}}}


@router.get(
    "/asyncapi.json",
    summary="What is said and heard on the bus",
    responses=_EXAMPLE | openapi.errors(),
)
async def asyncapi_document(given: doors.Given) -> dict[str, Any]:
    """Return the AsyncAPI document: every topic, its stream, and the schema of its payload."""
    return asyncapi.document(given.bus)
