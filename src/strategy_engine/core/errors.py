"""One tree of errors. A message says what happened, the value, the limit, and what to do."""

from typing import Any, ClassVar


class EngineError(Exception):
    """Base of every error a caller can act on. Rooms know kinds, never HTTP.

    Parameters
    ----------
    message : str
        What happened, the value, the limit, what to do.
    **facts
        The same in parts for a program: `field`, `value`, `accepted`, and whatever helps.
    """

    kind: ClassVar[str] = "engine-error"

    def __init__(self, message: str, **facts: Any) -> None:
        super().__init__(message)
        self.facts = facts


class NotFoundError(EngineError):
    """What was asked for does not exist."""

    kind = "not-found"


class ConflictError(EngineError):
    """The request contradicts what exists."""

    kind = "conflict"


class IllegalTransitionError(ConflictError):
    """The state machine has no arrow for this trigger in this state."""

    kind = "illegal-transition"


class InvalidError(EngineError):
    """A value is of the wrong type, out of range, or makes no sense here."""

    kind = "invalid"


class TooLargeError(EngineError):
    """A value is beyond a size limit."""

    kind = "too-large"


class NotBuiltError(EngineError):
    """The contract names it; this version of the product does not do it yet."""

    kind = "not-built"


class UnavailableError(EngineError):
    """A part of the engine cannot serve now; trying again later may help."""

    kind = "unavailable"
