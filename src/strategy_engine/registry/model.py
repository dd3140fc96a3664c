"""A strategy version, its states, and the one table that moves it between them."""

import hashlib
import json
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from strategy_engine.core.transitions import next_state
from strategy_engine.registry import source


class Status(StrEnum):
    """Where a version stands between draft and capital."""

    DRAFT = "draft"
    TESTING = "testing"
    APPROVED = "approved"
    DEPLOYED = "deployed"
    RUNNING = "running"
    PAUSED = "paused"
    STOPPED = "stopped"
    ERROR = "error"


class Trigger(StrEnum):
    """What happens to a version, or is done to it."""

    VALIDATE = "validate"
    FAIL = "fail"
    APPROVE = "approve"
    DEPLOY = "deploy"
    START = "start"
    PAUSE = "pause"
    RESUME = "resume"
    STOP = "stop"
    REPLACE = "replace"
    BREAK = "break"
    RESET = "reset"


_S, _T = Status, Trigger
ARROWS: dict[tuple[Status, Trigger], Status] = {
    (_S.DRAFT, _T.VALIDATE): _S.TESTING,
    (_S.TESTING, _T.FAIL): _S.DRAFT,
    (_S.TESTING, _T.APPROVE): _S.APPROVED,
    (_S.APPROVED, _T.DEPLOY): _S.DEPLOYED,
    (_S.APPROVED, _T.VALIDATE): _S.TESTING,
    (_S.DEPLOYED, _T.START): _S.RUNNING,
    (_S.DEPLOYED, _T.STOP): _S.STOPPED,
    (_S.DEPLOYED, _T.REPLACE): _S.STOPPED,
    (_S.RUNNING, _T.PAUSE): _S.PAUSED,
    (_S.RUNNING, _T.STOP): _S.STOPPED,
    (_S.RUNNING, _T.REPLACE): _S.STOPPED,
    (_S.PAUSED, _T.RESUME): _S.RUNNING,
    (_S.PAUSED, _T.STOP): _S.STOPPED,
    (_S.PAUSED, _T.REPLACE): _S.STOPPED,
    (_S.STOPPED, _T.START): _S.RUNNING,
    (_S.STOPPED, _T.VALIDATE): _S.TESTING,
    (_S.APPROVED, _T.BREAK): _S.ERROR,
    (_S.DEPLOYED, _T.BREAK): _S.ERROR,
    (_S.RUNNING, _T.BREAK): _S.ERROR,
    (_S.PAUSED, _T.BREAK): _S.ERROR,
    (_S.TESTING, _T.BREAK): _S.ERROR,
    (_S.ERROR, _T.RESET): _S.DRAFT,
}

ACTIVE = frozenset({Status.TESTING, Status.RUNNING, Status.PAUSED})
LIVE = frozenset({Status.DEPLOYED, Status.RUNNING, Status.PAUSED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What a version is made of. Nothing of it changes once it has left DRAFT."""

    strategy_name: str
    version: str
    code: str
    parameters: dict[str, Any] = field(default_factory=dict)
    risk_limits: dict[str, Any] = field(default_factory=dict)
    tests: dict[str, str] = field(default_factory=dict)

    @property
    def code_hash(self) -> str:
        """Return the SHA-256 of the code."""
        return hashlib.sha256(self.code.encode()).hexdigest()

    @property
    def is_native(self) -> bool:
        """Whether it keeps NautilusTrader's contract instead of the signal contract."""
        return source.kernel_of(self.code) is source.Kernel.NATIVE

    @property
    def warm(self) -> source.Warm:
        """Return which zygote forks its processes."""
        return source.warm_of(self.code)

    @property
    def digest(self) -> str:
        """Return the SHA-256 of everything that makes the version, in a canonical form."""
        parts = [
            self.strategy_name,
            self.version,
            self.code,
            self.parameters,
            self.risk_limits,
            self.tests,
        ]
        text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Strategy:
    """One version of a strategy line as the registry holds it."""

    strategy_id: str
    content: Content
    status: Status
    created_at: datetime
    updated_at: datetime
    archived_at: datetime | None = None

    def on(self, trigger: Trigger) -> "Strategy":
        """Return the strategy as it stands after `trigger`."""
        return replace(self, status=next_state(ARROWS, self.status, trigger))
