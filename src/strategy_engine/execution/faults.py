"""How failures and walls are told. Pure."""

import signal
from typing import Any

from strategy_engine.core.errors import EngineError, UnavailableError
from strategy_engine.execution.model import FAILED, LOST
from strategy_engine.sandbox.model import ChildDiedError, ConfinementReport, ExitKind

_SHOWN_LOG_LINES = 10


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


def end_reason(error: Exception) -> str:
    """Return how a failed execution ended: by its own fault, or lost for want of the engine."""
    return LOST if isinstance(error, UnavailableError) else FAILED


def explain(error: Exception) -> str:
    """Return the reason in one line, and below it the last lines that a dead child printed."""
    lines = [str(error)]
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
