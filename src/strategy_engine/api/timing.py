"""How long each answer takes, by route."""

import time
from typing import Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from strategy_engine.api import streams
from strategy_engine.infra.meters import ControlMeters

NOWHERE = "none"  # the route of what no route answers: paths are the client's, and without end
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Timing:
    """Times what answers; a stream's time is its reader's and is left out."""

    def __init__(self, app: ASGIApp, *, meters: ControlMeters) -> None:
        self._app = app
        self._meters = meters

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began_s, status = time.perf_counter(), 0

        async def note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start" and not _is_stream(message):
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, note)
        finally:
            if status:
                self._meters.answers.labels(_method(scope), _route(scope), str(status)).observe(
                    time.perf_counter() - began_s
                )


def _is_stream(message: Message) -> bool:
    kind = Headers(raw=message["headers"]).get("content-type", "")
    return kind.startswith(streams.MEDIA_TYPE)


def _method(scope: Scope) -> str:
    method: str = scope["method"]
    return method if method in METHODS else "OTHER"


def _route(scope: Scope) -> str:
    found: Any = scope.get("route")
    return getattr(found, "path", NOWHERE)
