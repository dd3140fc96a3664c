"""What stands around every route: who may ask, the size of a body, HEAD, what nobody foresaw."""

import hmac

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from strategy_engine.api import origins, problems
from strategy_engine.core import ids
from strategy_engine.infra import logs

MAX_BODY_BYTES = 2 << 20
KEYLESS = frozenset({"/health", "/metrics"})
_LONGEST_NAME = 200

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


class OriginGuard:
    """Refuses what a browser sends for a page of elsewhere; for an engine without a key.

    Such an engine listens on loopback only, so it is asked for under a loopback name. Programs send
    no `Origin`, and pass.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        refusal = _foreign(Headers(scope=scope)) if scope["type"] == "http" else None
        if refusal is None:
            await self._app(scope, receive, send)
            return
        kind, detail, facts = refusal
        response = problems.answer(kind, detail, instance=scope["path"], facts=facts)
        await response(scope, receive, send)


class Heads:
    """Answers HEAD as GET would be answered, without the body."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def send_head(message: Message) -> None:
            is_body = message["type"] == "http.response.body"
            await send({**message, "body": b""} if is_body else message)

        await self._app({**scope, "method": "GET"}, receive, send_head)


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


def _foreign(headers: Headers) -> tuple[str, str, dict[str, str]] | None:
    """Return the kind, the words and the facts of a refusal, or None for who may ask."""
    hosts = headers.getlist("host")
    for host in hosts:
        if not origins.is_loopback(host):
            detail = (
                f"this engine has no key, so it answers only as localhost or 127.0.0.1, not as"
                f" {host[:_LONGEST_NAME]!r}; ask for it by that name, or start it with"
                " STRATEGY_API_KEY"
            )
            return "foreign-host", detail, {"field": "Host", "value": host}
    for origin in headers.getlist("origin"):
        if not any(origins.is_own_origin(origin, host) for host in hosts):
            detail = (
                f"this engine has no key, so it refuses what a browser sends for a page of"
                f" {origin[:_LONGEST_NAME]!r}; start it with STRATEGY_API_KEY, and send the key"
            )
            return "foreign-origin", detail, {"field": "Origin", "value": origin}
    return None
