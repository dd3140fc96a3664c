"""The OpenAPI document: what every route can answer besides success, and the key."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from strategy_engine.api import problems, shapes

type Responses = dict[int | str, dict[str, Any]]

DESCRIPTION = """\
Take a trading strategy from source code through validation to live paper execution.

Errors are [RFC 9457](https://www.rfc-editor.org/rfc/rfc9457) problems: `detail` says what happened,
the value, the limit and what to do; `field`, `value` and `accepted` say the same to a program.
Times are ISO 8601 in UTC, ratios are fractions, money is in account currency. HEAD answers as GET
does, without the body. When keys are in use, send one as `Authorization: Bearer KEY`; `/health` and
`/metrics` need none. An engine without a key answers only on this machine, as `localhost` or
`127.0.0.1`, and refuses the pages of other origins.
"""
TAGS = [
    {"name": "strategies", "description": "Versions: register, read, edit, archive, test."},
    {"name": "deployments", "description": "From a version to capital, and who approved it."},
    {"name": "executions", "description": "Versions at work: start, watch, stop."},
    {"name": "lines", "description": "All versions of one name: members, books, capital."},
    {"name": "experiments", "description": "Two versions side by side, to tell them apart."},
    {"name": "risk", "description": "What must stop, and what has stopped."},
    {"name": "metrics", "description": "What it all comes to: figures, tables, tearsheets."},
    {"name": "flags", "description": "Feature flags that strategies read for each decision."},
    {"name": "keys", "description": "Who may: keys with roles, made and revoked."},
    {"name": "market", "description": "Instruments, their bars, quotes and trades."},
    {"name": "webhooks", "description": "Events sent to URLs of yours, signed."},
    {"name": "alerts", "description": "What somebody should know: rules, channels, alerts."},
    {"name": "monitoring", "description": "How the engine is. Needs no key."},
]

_MEANING = {
    400: "The body cannot be read as JSON.",
    401: "The key is missing or wrong.",
    403: "The key's role may not; or no key is in use, and a page or host of elsewhere asks.",
    404: "There is no such thing.",
    409: "It contradicts what exists, or the state has no such arrow.",
    413: "A value or the body is beyond a size limit.",
    422: "A value is of the wrong type, out of range, or makes no sense here.",
    500: "The engine failed; its log tells why under the `error_id`.",
    501: "The contract names it; this version does not do it yet.",
    503: "A part of the engine cannot serve now; try again later.",
}
_ALWAYS = (401, 403, 422, 500, 503)
_KEYLESS = (403, 422, 500)
_WITH_BODY = (400, 413)
_REF = {"$ref": "#/components/schemas/Problem"}


def errors(*statuses: int, body: bool = False) -> Responses:
    """Return the error answers of a route, as FastAPI's `responses` takes them."""
    every = {*statuses, *_ALWAYS, *(_WITH_BODY if body else ())}
    return {status: _error(status) for status in sorted(every)}


def keyless(*statuses: int) -> Responses:
    """Return the error answers of a route that needs no key."""
    return {status: _error(status) for status in sorted({*statuses, *_KEYLESS})}


def install(app: FastAPI) -> None:
    """Make the application serve this document."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app)
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]  # FastAPI's own way to extend it


def _error(status: int) -> dict[str, Any]:
    kind = problems.kind_of(status)
    example = {
        "type": f"/problems/{kind}",
        "title": problems.title_of(kind),
        "status": status,
        "detail": _MEANING[status],
        "instance": "/…",
    }
    content = {problems.MEDIA_TYPE: {"schema": _REF, "example": example}}
    return {"description": _MEANING[status], "content": content}


def _document(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(
        title=app.title,
        version=app.version,
        description=DESCRIPTION,
        tags=TAGS,
        routes=app.routes,
    )
    components = document.setdefault("components", {})
    components.setdefault("schemas", {})["Problem"] = shapes.Problem.model_json_schema()
    return document
