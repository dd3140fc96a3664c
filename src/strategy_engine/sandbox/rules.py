"""What a child's end means, in a line that a user can act on. Pure."""

import math
import os
import signal

from strategy_engine.sandbox.model import (
    MIB,
    NO_ANSWER,
    ChildExit,
    ChildLimits,
    ExitKind,
    Kill,
    Remains,
)

EXIT_EXCEPTION = 70
EXIT_MEMORY = 71
EXIT_CONFINEMENT = 72

LOG_TAIL_BYTES = 4096
_FIRST_BACK_OFF_S = 0.05
_LONGEST_BACK_OFF_S = 5.0
_MOST_DOUBLINGS = 10


_HEARD = {ExitKind.BAD_FRAME, ExitKind.OVERSIZED_FRAME, ExitKind.LOG_FLOOD}


def tell_exit(
    label: str,
    remains: Remains,
    *,
    limits: ChildLimits,
    killed: Kill | None,
    log_tail: bytes,
    has_run: bool = True,
) -> ChildExit:
    """Return how a child ended, for its user.

    Parameters
    ----------
    label : str
        Whom the line is about.
    remains : Remains
        What the kernel says.
    limits : ChildLimits
        What it was allowed.
    killed : Kill or None
        Why the engine killed it, if it did.
    log_tail : bytes
        The last that it printed.
    has_run : bool
        Whether it had reported its wall; from then on what it says is the strategy's word.
    """
    lines = log_lines(log_tail)
    last_line = lines[-1] if lines else ""
    why = explain_exit(remains, limits=limits, killed=killed, last_line=last_line, has_run=has_run)
    return ChildExit(
        kind=why.kind,
        reason=f"{label}: {why.reason}",
        status=remains.status,
        rss_bytes=remains.rss_bytes,
        cpu_s=remains.cpu_s,
        log_lines=lines,
    )


def explain_exit(
    remains: Remains,
    *,
    limits: ChildLimits,
    killed: Kill | None,
    last_line: str,
    has_run: bool = True,
) -> Kill:
    """Return what ended a child, and why.

    A child that ended by itself before the engine's kill arrived keeps its own end.
    """
    status = remains.status
    if killed is not None and _is_told_by(killed, status):
        return killed
    if status is None:
        return Kill(kind=ExitKind.KILLED, reason="it died, and its zygote died before it could say")
    if status < 0:
        return _explain_signal(-status, cpu_s=remains.cpu_s, limits=limits)
    if status == EXIT_CONFINEMENT and not has_run:
        why = f"it could not be confined, so it never ran: {last_line}"
        return Kill(kind=ExitKind.EXCEPTION, reason=why)
    return _explain_code(status, limits=limits, last_line=last_line)


def _is_told_by(killed: Kill, status: int | None) -> bool:
    if status == 0:  # it had ended before it could be killed: only what it said is held against it
        return killed.kind in _HEARD
    return status in {None, -signal.SIGKILL}


def _explain_code(code: int, *, limits: ChildLimits, last_line: str) -> Kill:
    if code == 0:
        return Kill(kind=ExitKind.EXITED, reason="it ended by itself")
    if code == EXIT_EXCEPTION:
        raised = last_line or "an exception that left no line"
        return Kill(kind=ExitKind.EXCEPTION, reason=f"it raised {raised}")
    if code == EXIT_MEMORY:
        return _out_of_memory(limits)
    return Kill(
        kind=ExitKind.EXITED,
        reason=f"it ended itself with exit code {code}; a strategy must return instead",
    )


def _explain_signal(number: int, *, cpu_s: float, limits: ChildLimits) -> Kill:
    is_xcpu = number == signal.SIGXCPU and limits.cpu_s is not None
    if is_xcpu or (number == signal.SIGKILL and is_cpu_spent(cpu_s, limits)):
        return Kill(
            kind=ExitKind.CPU_LIMIT,
            reason=f"it used up its {limits.cpu_s:g} s of CPU; do less per bar, or raise the limit",
        )
    if number == signal.SIGKILL:
        return Kill(
            kind=ExitKind.SIGNAL,
            reason="it was killed (SIGKILL) from outside the engine: by the kernel for lack of"
            " memory on this machine (see dmesg), or by a person",
        )
    if number == signal.SIGSYS:
        return Kill(
            kind=ExitKind.SIGNAL,
            reason="it was ended by SIGSYS: it called the kernel by another architecture's numbers,"
            " which no strategy has a reason to do",
        )
    return Kill(
        kind=ExitKind.SIGNAL,
        reason=f"it was ended by {signal_name(number)}; compiled code in it may be at fault, or"
        f" the limit of {_mib(limits.memory_bytes)} of memory",
    )


def is_cpu_spent(cpu_s: float, limits: ChildLimits) -> bool:
    """Tell whether the kernel's CPU limit was reached."""
    return limits.cpu_s is not None and cpu_s >= math.ceil(limits.cpu_s)


def signal_name(number: int) -> str:
    """Return a signal's name, or its number where it has none."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _out_of_memory(limits: ChildLimits) -> Kill:
    return Kill(
        kind=ExitKind.OUT_OF_MEMORY,
        reason=f"it asked for more than its {_mib(limits.memory_bytes)} of memory; keep fewer bars"
        " or objects, or raise the limit",
    )


def wall_limit(wall_s: float) -> Kill:
    """Return why a child that lives too long is killed."""
    return Kill(
        kind=ExitKind.WALL_LIMIT,
        reason=f"it was not done after {wall_s:g} s, its whole time; do less, or raise the limit",
    )


def silent(timeout_s: float) -> Kill:
    """Return why a child that does not answer is killed."""
    return Kill(
        kind=ExitKind.SILENT,
        reason=f"{NO_ANSWER} {timeout_s:g} s; look for an endless loop or too much"
        " work in one call, or raise the limit",
    )


def hung_up(grace_s: float) -> Kill:
    """Return why a child that closed its socket and went on is killed."""
    return Kill(
        kind=ExitKind.SILENT,
        reason=f"it closed its socket and was still there {grace_s:g} s later; a strategy must"
        " leave the descriptors it did not open",
    )


def log_flood(log_bytes: int) -> Kill:
    """Return why a child that prints too much is killed."""
    return Kill(
        kind=ExitKind.LOG_FLOOD,
        reason=f"it printed more than {log_bytes} bytes in a minute; print less",
    )


def bad_frame(why: str) -> Kill:
    """Return why a child that says what nobody understands is killed."""
    return Kill(kind=ExitKind.BAD_FRAME, reason=f"it sent what is no message: {why}")


def oversized_frame(why: str) -> Kill:
    """Return why a child that says too much at once is killed."""
    return Kill(kind=ExitKind.OVERSIZED_FRAME, reason=f"it sent {why}; send less at once")


def slow_reader(buffer_bytes: int) -> Kill:
    """Return why a child that does not read what it is sent is killed."""
    return Kill(
        kind=ExitKind.SLOW_READER,
        reason=f"more than {buffer_bytes} bytes waited for it to read; it is too slow for its"
        " data: do less per bar",
    )


def overstayed(grace_s: float) -> Kill:
    """Return why a child that was asked to end, and did not, is killed."""
    return Kill(
        kind=ExitKind.KILLED,
        reason=f"it was asked to end and was still there {grace_s:g} s later",
    )


def zygote_died(kind: str) -> Kill:
    """Return why a child dies with its zygote."""
    return Kill(
        kind=ExitKind.KILLED,
        reason=f"its zygote ({kind}) died, and every child of it; start it again",
    )


def explain_zygote(kind: str, status: int, stderr: bytes) -> str:
    """Return why there is no zygote of `kind`: how it ended, and the last line that it printed."""
    how = f"by {signal_name(-status)}" if status < 0 else f"with exit code {status}"
    return f"the {kind} zygote ended {how}: {last_line_of(stderr)}"


def log_lines(tail: bytes) -> tuple[str, ...]:
    """Return the lines in the last bytes that a child printed; a cut first line stays cut."""
    text = tail.decode("utf-8", errors="replace")
    return tuple(line.rstrip() for line in text.splitlines() if line.strip())


def back_off_s(failures: int) -> float:
    """Return how long to wait before a zygote that died `failures` times in a row starts again."""
    if failures < 1:
        return 0.0
    doublings = min(failures - 1, _MOST_DOUBLINGS)
    return min(_LONGEST_BACK_OFF_S, math.ldexp(_FIRST_BACK_OFF_S, doublings))


def last_line_of(stderr: bytes) -> str:
    """Return the last line of what a process printed, or a word that there is none."""
    lines = log_lines(stderr)
    return lines[-1] if lines else "it printed nothing"


def exit_code(wait_status: int) -> int:
    """Return a wait status as an exit code, or as minus the signal."""
    return os.waitstatus_to_exitcode(wait_status)


def _mib(size_bytes: int) -> str:
    return f"{size_bytes / MIB:g} MiB"
