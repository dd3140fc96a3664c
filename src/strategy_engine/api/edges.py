"""What stands around every route: who may ask, the size of a body, HEAD, what nobody foresaw."""

import re
from typing import Any

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from strategy_engine.api import origins, permissions, problems
from strategy_engine.api.services import Keys
from strategy_engine.core import ids
from strategy_engine.core.errors import EngineError
from strategy_engine.infra import logs

MAX_BODY_BYTES = 2 << 20
MAX_IMPORT_BYTES = 64 << 20  # of a file of bars, quotes or trades
_IMPORT = re.compile(r"/instruments/.+/(bars|quotes|trades)")
IS_HEAD = "strategy_engine.is_head"  # of a scope: its request came as HEAD, which no stream ends
_LONGEST_NAME = 200

_log = logs.get("api")

type _Refusal = tuple[str, str, dict[str, Any]]  # kind, words, facts


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


class Porter:
    """Lets those in who hold a key, and says to the routes who it is; a probe needs none.

    While no key is in use whoever reaches the engine may in, so a browser that asks for a page of
    elsewhere is refused. Such an engine listens on loopback only, so it is asked for under a
    loopback name. Programs send no `Origin`, and pass.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        refusal = await self._refusal(scope) if scope["type"] == "http" else None
        if refusal is None:
            await self._app(scope, receive, send)
            return
        kind, detail, facts = refusal
        response = problems.answer(kind, detail, instance=scope["path"], facts=facts)
        await response(scope, receive, send)

    async def _refusal(self, scope: Scope) -> _Refusal | None:
        headers = Headers(scope=scope)
        keys: Keys = scope["app"].state.services.keys
        try:
            if scope["path"] in permissions.OPEN:
                return None if await keys.are_in_use() else _foreign(headers)
            identify = keys.identify
            if scope["path"] in permissions.AT_ONCE:
                identify = keys.identify_at_once
            principal = await identify(_token(headers))
        except EngineError as error:
            return error.kind, str(error), error.facts
        scope.setdefault("state", {})["principal"] = principal
        return _foreign(headers) if principal.is_local else None


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

        await self._app({**scope, "method": "GET", IS_HEAD: True}, receive, send_head)


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
        limit = MAX_IMPORT_BYTES if _IMPORT.fullmatch(scope["path"]) else self._limit
        declared = Headers(scope=scope).get("content-length", "0")
        if declared.isdecimal() and int(declared[:20]) > limit:
            response = problems.answer("too-large", _too_large(limit), instance=scope["path"])
            await response(scope, receive, send)
            return
        read = 0

        async def count() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > limit:
                raise HTTPException(problems.STATUS["too-large"], _too_large(limit))
            return message

        await self._app(scope, count, send)


def _too_large(limit: int) -> str:
    return f"the body is larger than {limit:,} bytes, the most that is read"


def _token(headers: Headers) -> str | None:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    # Starlette reads a header as Latin-1; a key is UTF-8, as the environment gave it.
    text = token.strip().encode("latin-1").decode(errors="replace")
    return text or None if scheme.lower() == "bearer" else None


def _foreign(headers: Headers) -> _Refusal | None:
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
