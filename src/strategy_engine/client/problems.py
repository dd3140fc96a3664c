"""What went wrong on the way to an engine or inside it, as one line that says what to do. Pure."""

import re
from collections.abc import Mapping
from typing import Any

from strategy_engine.core.errors import EngineError

UNAUTHORIZED = 401
_LONGEST = 2_000
_ERRNO = re.compile(r"\[Errno -?\d+\] ")


class NoEngineError(EngineError):
    """Nothing that speaks the engine's API answers at the URL."""

    kind = "no-engine"


class RefusedError(EngineError):
    """The engine answered a request with a problem. `status` is the answer's HTTP status."""

    kind = "refused"

    def __init__(self, message: str, *, status: int, **facts: Any) -> None:
        super().__init__(message, **facts)
        self.status = status


def refusal(status: int, problem: Mapping[str, Any]) -> RefusedError:
    """Return the error that an RFC 9457 problem tells, with its facts."""
    known = {"type", "title", "status", "detail", "instance"}
    facts = {str(name): value for name, value in problem.items() if name not in known}
    detail = problem.get("detail") or problem.get("title") or f"the engine answered {status}"
    text = str(detail)[:_LONGEST]
    if status == UNAUTHORIZED:
        text = f"{text}; set STRATEGY_API_KEY to the key that the engine was started with"
    return RefusedError(text, status=status, **facts)


def unreachable(url: str, reason: str) -> NoEngineError:
    """Return the error of a URL where nothing listens."""
    plain = _ERRNO.sub("", reason).lower()
    return NoEngineError(f"no engine at {url} ({plain}); start one with `strategy-engine serve`")


def silent(url: str, timeout_s: float) -> NoEngineError:
    """Return the error of an engine that took the request and did not answer in time."""
    return NoEngineError(
        f"the engine at {url} did not answer within {timeout_s:g} s; "
        "look at its log, or try `strategy-engine status`"
    )


def stranger(url: str, status: int) -> NoEngineError:
    """Return the error of a URL where something else than an engine answers."""
    return NoEngineError(
        f"what answers at {url} is no strategy engine (HTTP {status} without JSON); check --url"
    )
