"""What a child may use, how it was shut in, and how it ended."""

from dataclasses import dataclass
from enum import StrEnum

from strategy_engine.core.errors import EngineError

MIB = 1 << 20
NO_ANSWER = "it gave no answer within"  # so the reason of one that is killed for that begins


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildLimits:
    """What one child may use before it is killed.

    Parameters
    ----------
    memory_bytes : int
        Growth beyond its size at the fork.
    cpu_s : float or None
        CPU seconds of its whole life, rounded up to whole ones by the kernel; None: no limit.
    wall_s : float or None
        Its whole life by the clock on the wall; None: no limit.
    log_bytes : int
        What it may print in a minute.
    frame_bytes : int
        The longest frame it may send.
    open_files : int
        Descriptors, the four it starts with included.
    send_buffer_bytes : int
        What may wait in the engine for a child that does not read.
    """

    memory_bytes: int = 256 * MIB
    cpu_s: float | None = 60.0
    wall_s: float | None = None
    log_bytes: int = MIB
    frame_bytes: int = 16 * MIB
    open_files: int = 32
    send_buffer_bytes: int = 64 * MIB


class ConfinementMode(StrEnum):
    """How much of the wall a child must have before its code runs.

    REQUIRE: all of it, or nothing runs. PREFER: what this kernel has, and a report. OFF: neither
    Landlock nor the system call filter, for looking at a strategy on one's own machine.
    """

    REQUIRE = "require"
    PREFER = "prefer"
    OFF = "off"


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One layer of the wall: whether it stands, and why not when it does not.

    Parameters
    ----------
    name : str
        What it is called.
    is_on : bool
        Whether it stands, whole.
    why : str
        Why it does not; empty when it does.
    needs : str
        The kernel that it needs; empty when any will do.
    """

    name: str
    is_on: bool
    why: str
    needs: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfinementReport:
    """Every layer of a child's wall, in the order they were put up."""

    layers: tuple[Layer, ...]

    @property
    def missing(self) -> tuple[Layer, ...]:
        """The layers that do not stand."""
        return tuple(layer for layer in self.layers if not layer.is_on)

    @property
    def is_complete(self) -> bool:
        """Whether every layer stands."""
        return not self.missing


class NotConfinedError(EngineError):
    """A layer of the wall is missing where all are required; no strategy's code ran."""

    kind = "not-confined"

    def __init__(self, report: ConfinementReport) -> None:
        told = "; ".join(map(_shortcoming, report.missing))
        super().__init__(
            f"the wall around a strategy is not whole: {told}; nothing ran. Give it a kernel that"
            f" has them, or set STRATEGY_SANDBOX={ConfinementMode.PREFER} and run only code that"
            " you trust",
            missing=[layer.name for layer in report.missing],
        )
        self.report = report


def _shortcoming(layer: Layer) -> str:
    needs = f", needs {layer.needs}" if layer.needs else ""
    return f"{layer.name} ({layer.why}{needs})"


class ExitKind(StrEnum):
    """How a child ended."""

    EXITED = "exited"
    EXCEPTION = "exception"
    OUT_OF_MEMORY = "out_of_memory"
    CPU_LIMIT = "cpu_limit"
    WALL_LIMIT = "wall_limit"
    SILENT = "silent"
    LOG_FLOOD = "log_flood"
    BAD_FRAME = "bad_frame"
    OVERSIZED_FRAME = "oversized_frame"
    SLOW_READER = "slow_reader"
    SIGNAL = "signal"
    KILLED = "killed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """Why the engine killed a child; the first reason stays."""

    kind: ExitKind
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Remains:
    """What the kernel says of a dead process.

    Parameters
    ----------
    status : int or None
        Its exit code, or minus the signal that ended it; None when nobody saw it.
    rss_bytes : int
        The most memory it ever had in RAM, its zygote's shared pages included.
    cpu_s : float
        The CPU seconds it used.
    """

    status: int | None
    rss_bytes: int = 0
    cpu_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildExit:
    """How a child ended, told once for people and for programs.

    Parameters
    ----------
    kind : ExitKind
        What happened.
    reason : str
        One line: what happened, the limit, what to do.
    status : int or None
        Its exit code, or minus the signal that ended it; None when nobody saw it.
    rss_bytes : int
        The most memory it ever had in RAM, its zygote's shared pages included.
    cpu_s : float
        The CPU seconds it used.
    log_lines : tuple of str
        The last lines it printed, oldest first.
    """

    kind: ExitKind
    reason: str
    status: int | None
    rss_bytes: int
    cpu_s: float
    log_lines: tuple[str, ...] = ()


class ChildDiedError(EngineError):
    """The child ended while something was awaited of it."""

    kind = "strategy-died"

    def __init__(self, ended: ChildExit) -> None:
        super().__init__(ended.reason, exit_kind=str(ended.kind), status=ended.status)
        self.exit = ended
