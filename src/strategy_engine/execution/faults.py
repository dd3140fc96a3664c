"""How failures and walls are told. Pure."""

import signal
from enum import Enum, auto
from typing import Any

from strategy_engine.core.errors import EngineError, UnavailableError
from strategy_engine.execution.model import FAILED, LOST, Role
from strategy_engine.sandbox.model import ChildDiedError, ConfinementReport, ExitKind

_SHOWN_LOG_LINES = 10


class Fault(Enum):
    """Whose doing it is that an execution cannot go on, and so what follows."""

    STRATEGY = auto()  # its code raised, or said what no strategy may: the same bar would do again
    CRASH = auto()  # its process ended by its own doing: started again, a few times
    ENGINE = auto()  # its process was taken from it: claimed again


def judge(error: EngineError, role: Role) -> Fault:
    """Return whose doing an error is; a validation run is judged by its first crash."""
    if is_engines_fault(error):
        return Fault.ENGINE
    if isinstance(error, ChildDiedError) and role is not Role.VALIDATION:
        return Fault.CRASH
    return Fault.STRATEGY


def is_engines_fault(error: EngineError) -> bool:
    """Whether the strategy may have no part in an error, so that its execution is claimed again.

    A process killed from outside (by a person, or by the kernel for want of memory) is one; what
    the engine itself kills, for silence or a limit, has a kind of its own.
    """
    if isinstance(error, ChildDiedError):
        ended = error.exit
        is_from_outside = ended.kind is ExitKind.SIGNAL and ended.status == -signal.SIGKILL
        return ended.kind is ExitKind.KILLED or is_from_outside
    return isinstance(error, UnavailableError)


def cause(error: Exception) -> str:
    """Return in one line why an execution is interrupted."""
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def end_reason(error: Exception) -> str:
    """Return how a failed execution ended: by its own fault, or lost for want of the engine."""
    return LOST if isinstance(error, UnavailableError) else FAILED


def explain(error: Exception, *, restarts: int = 0) -> str:
    """Return the reason in one line, and below it the last lines that a dead child printed."""
    lines = [f"{error}; it was started again {restarts} times before" if restarts else str(error)]
    if isinstance(error, ChildDiedError):
        lines += error.exit.log_lines[-_SHOWN_LOG_LINES:]
    return "\n".join(lines)


def plain_report(report: ConfinementReport) -> dict[str, Any]:
    """Return which layers of a wall stand, as JSON has it."""
    return {
        "is_complete": report.is_complete,
        "layers": [
            {"name": each.name, "is_on": each.is_on, "why": each.why} for each in report.layers
        ],
    }
