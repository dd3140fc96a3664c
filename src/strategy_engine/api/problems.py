"""Errors become RFC 9457 problem details here, and nowhere else."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import Match

from strategy_engine.api import plain
from strategy_engine.core.errors import EngineError

MEDIA_TYPE = "application/problem+json"
STATUS = {
    "malformed": 400,
    "unauthorized": 401,
    "forbidden": 403,
    "foreign-origin": 403,
    "foreign-host": 403,
    "not-found": 404,
    "method-not-allowed": 405,
    "conflict": 409,
    "illegal-transition": 409,
    "emergency-stopped": 409,
    "too-large": 413,
    "invalid": 422,
    "strategy-died": 422,  # what the caller registered is what failed, not the engine
    "strategy-failed": 422,
    "forged-answer": 422,
    "internal": 500,
    "not-built": 501,
    "unavailable": 503,
    "not-confined": 503,
}
CHALLENGE = {"WWW-Authenticate": 'Bearer realm="strategy-engine"'}
MOST_ERRORS = 20

_KIND_OF = {status: kind for kind, status in reversed(STATUS.items())}  # the first one wins
_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


def answer(
    kind: str,
    detail: str,
    *,
    instance: str,
    facts: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """Return the answer that tells a problem; the error's facts are members of it."""
    status = STATUS.get(kind, STATUS["internal"])
    told = {plain.line(name): _fact(value) for name, value in (facts or {}).items()}
    body = told | {
        "type": f"/problems/{kind}",
        "title": title_of(kind),
        "status": status,
        "detail": plain.sentence(detail),
        "instance": plain.line(instance),
    }
    challenge = CHALLENGE if status == STATUS["unauthorized"] else {}
    return JSONResponse(
        body, status, headers={**challenge, **(headers or {})}, media_type=MEDIA_TYPE
    )


def title_of(kind: str) -> str:
    """Return what a kind of problem is called."""
    return kind.replace("-", " ").capitalize()


def kind_of(status: int) -> str:
    """Return the kind of problem that a bare HTTP status means."""
    return _KIND_OF.get(status, "internal")


def install(app: FastAPI) -> None:
    """Make every error that a route raises a problem."""
    app.add_exception_handler(EngineError, _on_engine_error)
    app.add_exception_handler(RequestValidationError, _on_invalid_request)
    app.add_exception_handler(HTTPException, _on_http_error)


async def _on_engine_error(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, EngineError):  # the framework's signature is wider than its call
        raise error
    return answer(error.kind, str(error), instance=request.url.path, facts=error.facts)


async def _on_invalid_request(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, RequestValidationError):
        raise error
    path, errors = request.url.path, error.errors()
    first = errors[0]
    if first["type"] == "json_invalid":
        detail = f"the body is not JSON: {first['ctx']['error']} at character {first['loc'][-1]}"
        return answer("malformed", detail, instance=path, facts={"field": "body"})
    if first["loc"] == ("body",) and isinstance(first.get("input"), bytes):
        given = request.headers.get("content-type", "no content-type")
        detail = f"the body came as {given}; send JSON with `content-type: application/json`"
        facts = {"field": "body", "value": given, "accepted": "application/json"}
        return answer("invalid", detail, instance=path, facts=facts)
    faults = [_fault(each) for each in errors[:MOST_ERRORS]]
    detail = "; ".join(fault.pop("message") for fault in faults)
    facts = faults[0] | ({"errors": faults} if len(faults) > 1 else {})
    return answer("invalid", detail, instance=path, facts=facts)


async def _on_http_error(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, HTTPException):
        raise error
    path, method = request.url.path, request.method
    match error.status_code:
        case 404:
            detail = f"nothing is at {path}; /docs lists what there is"
            return answer("not-found", detail, instance=path)
        case 405:
            allowed = _allowed(request)
            detail = f"{method} is not possible on {path}; possible: {', '.join(allowed)}"
            facts = {"value": method, "accepted": allowed}
            headers = {"Allow": ", ".join(allowed)}
            return answer("method-not-allowed", detail, instance=path, facts=facts, headers=headers)
        case 400:
            kind, detail = _unread(error.__cause__)
            return answer(kind, detail, instance=path, facts={"field": "body"})
        case _:
            kind = kind_of(error.status_code)
            return answer(kind, str(error.detail), instance=path, headers=error.headers)


def _unread(cause: BaseException | None) -> tuple[str, str]:
    """Return the kind and the words for a body that the JSON reader gave up on."""
    match cause:
        case RecursionError():
            return "invalid", f"the body is nested deeper than {plain.DEEPEST} levels"
        case UnicodeDecodeError():
            where = f"byte {cause.start} is none"
            return "malformed", f"the body is no UTF-8 text ({where}); send JSON as UTF-8"
        case ValueError():  # Python's own bound on the digits that it converts
            digits = sys.get_int_max_str_digits()
            detail = (
                f"the body holds an integer of more than {digits:,} digits; the most is 64 bits"
            )
            return "invalid", detail
        case _:
            return "malformed", "the body cannot be read; send JSON as UTF-8"


def _allowed(request: Request) -> list[str]:
    routes = request.app.router.routes
    allowed = [
        method
        for method in _METHODS
        if any(
            route.matches({**request.scope, "method": method})[0] is Match.FULL for route in routes
        )
    ]
    return allowed + (["HEAD"] if "GET" in allowed else [])


def _fact(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {plain.line(name): _fact(each) for name, each in list(value.items())[:MOST_ERRORS]}
    if isinstance(value, list | tuple):
        return [_fact(each) for each in value[: MOST_ERRORS * 5]]
    return plain.echo(plain.plain(value))


def _fault(error: Mapping[str, Any]) -> dict[str, Any]:
    context = error.get("ctx", {})
    field = context.get("field") or _field(error["loc"])
    value = context.get("value", error.get("input"))
    accepted = _accepted(error["type"], context)
    said = f"{field}: {error['msg']}"
    if error["type"] not in {"missing", "unfit", "unknown_field"}:
        said += f", got {plain.echo(value)!r}"
    fault = {"message": said, "field": field, "value": plain.echo(value)}
    return fault | ({} if accepted is None else {"accepted": accepted})


def _field(location: Sequence[str | int]) -> str:
    return ".".join(str(each) for each in location[1:]) or str(location[0])


def _accepted(kind: str, context: Mapping[str, Any]) -> Any:
    bounds = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}
    lengths = {"min_length": "at least", "max_length": "at most"}
    if "accepted" in context:
        return context["accepted"]
    if "expected" in context:
        return str(context["expected"])
    for name, sign in bounds.items():
        if name in context:
            return f"{sign} {context[name]}"
    for name, words in lengths.items():
        if name in context:
            return f"{words} {context[name]} long"
    if "pattern" in context:
        return str(context["pattern"])
    named = kind.removesuffix("_type").removesuffix("_parsing")
    return None if named in {"missing", "value_error", "unfit"} else named.replace("_", " ")
