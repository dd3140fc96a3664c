"""What stands around every route: the key, the size of a body, and what nobody foresaw."""

import hmac

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from strategy_engine.api import problems
from strategy_engine.core import ids
from strategy_engine.infra import logs

MAX_BODY_BYTES = 2 << 20
KEYLESS = frozenset({"/health", "/metrics"})

_log = logs.get("api")


class LastResort:
    """Answers what nobody foresaw with a problem that tells nothing, and logs what it was."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def note_start(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, note_start)
        except Exception:
            error_id = ids.new_id("err")
            path, method = scope["path"], scope["method"]
            _log.exception("request broke", error_id=error_id, method=method, path=path)
            if started:
                raise  # half an answer is out; the server closes the connection
            detail = f"the engine failed at this request; its log tells why under {error_id}"
            response = problems.answer(
                "internal", detail, instance=path, facts={"error_id": error_id}
            )
            await response(scope, receive, send)


class KeyGuard:
    """Lets only those in who hold the key, but for what a probe or a scraper asks."""

    def __init__(self, app: ASGIApp, *, api_key: str) -> None:
        self._app = app
        self._key = api_key.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["path"] in KEYLESS or self._holds_key(scope):
            await self._app(scope, receive, send)
            return
        detail = "this engine wants its key; send it as the header `Authorization: Bearer KEY`"
        response = problems.answer("unauthorized", detail, instance=scope["path"])
        await response(scope, receive, send)

    def _holds_key(self, scope: Scope) -> bool:
        given = Headers(scope=scope).get("authorization", "")
        scheme, _, token = given.partition(" ")
        matches = hmac.compare_digest(token.strip().encode("latin-1"), self._key)
        return matches and scheme.lower() == "bearer"


class BodyLimit:
    """Refuses a body beyond the limit by what it says of itself, or as soon as it has shown it."""

    def __init__(self, app: ASGIApp, *, limit: int = MAX_BODY_BYTES) -> None:
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        declared = Headers(scope=scope).get("content-length", "0")
        if declared.isdecimal() and int(declared[:20]) > self._limit:
            response = problems.answer("too-large", self._refusal(), instance=scope["path"])
            await response(scope, receive, send)
            return
        read = 0

        async def count() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > self._limit:
                raise HTTPException(problems.STATUS["too-large"], self._refusal())
            return message

        await self._app(scope, count, send)

    def _refusal(self) -> str:
        return f"the body is larger than {self._limit:,} bytes, the most that is read"
