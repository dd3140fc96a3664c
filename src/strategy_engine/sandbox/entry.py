"""A child's first and last steps: shut in, report, run, end. Runs in the child, trusts nothing."""

import gc
import io
import os
import socket
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

import msgspec

from strategy_engine.sandbox import confinement, rules
from strategy_engine.sandbox.model import ChildLimits, ConfinementMode, ConfinementReport
from strategy_engine.sandbox.protocol import framing

type Runner = Callable[[framing.Channel], object]

_STDERR = 2
_SHOWN_FRAMES = 8
_LONGEST_LINE = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Birth:
    """How a child is shut in.

    Parameters
    ----------
    limits : ChildLimits
        What it may use.
    label : str
        What it is called.
    zygote_pid : int
        Its parent, with which it dies.
    mode : ConfinementMode
        With REQUIRE nothing runs behind a wall that is not whole.
    walls : confinement.Walls
        What was made once for every child.
    """

    limits: ChildLimits
    label: str
    zygote_pid: int
    mode: ConfinementMode
    walls: confinement.Walls


def live(
    runner: Runner,
    *,
    fds: tuple[int, int],
    birth: Birth,
) -> NoReturn:
    """Be a child: never return, whatever happens.

    Parameters
    ----------
    runner : callable
        Given the channel to the engine; its return ends the child.
    fds : tuple of int
        The child's socket, and the write end of its log pipe.
    birth : Birth
        How it is shut in.
    """
    code = rules.EXIT_CONFINEMENT
    try:
        channel, report = _shut_in(fds, birth)
        if report.is_complete or birth.mode is not ConfinementMode.REQUIRE:
            code = rules.EXIT_EXCEPTION  # unless it ends otherwise; it may close what it is told by
            code = _run(runner, channel)
    except BaseException as error:  # noqa: BLE001  (a process's edge: nothing may get past it)
        _tell(error)
    finally:
        os._exit(code)


def _shut_in(fds: tuple[int, int], birth: Birth) -> tuple[framing.Channel, ConfinementReport]:
    sock = confinement.keep_only(socket.socket(fileno=fds[0]), fds[1], later_fd=birth.walls.fd)
    report = confinement.confine(
        birth.limits,
        label=birth.label,
        zygote_pid=birth.zygote_pid,
        mode=birth.mode,
        walls=birth.walls,
    )
    channel = framing.Channel(sock)
    channel.send(msgspec.msgpack.encode(report))
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # what is printed is seen, also before a kill
    gc.enable()
    return channel, report


def _run(runner: Runner, channel: framing.Channel) -> int:
    try:
        runner(channel)
    except SystemExit as ending:
        return _code_of(ending)
    except MemoryError:
        os.write(_STDERR, b"MemoryError\n")  # made beforehand: there may be no room to format one
        return rules.EXIT_MEMORY
    except BaseException as error:  # noqa: BLE001  (a process's edge: the strategy's own errors)
        _tell(error)
        return rules.EXIT_EXCEPTION
    finally:
        _flush()
    return 0


def _code_of(ending: SystemExit) -> int:
    if ending.code is None:
        return 0
    if isinstance(ending.code, int):
        return ending.code & 0xFF
    _print(str(ending.code))
    return 1


def _tell(error: BaseException) -> None:
    told = traceback.TracebackException.from_exception(error, limit=-_SHOWN_FRAMES)
    _print("".join(told.stack.format()))
    _print(" ".join("".join(told.format_exception_only()).split())[:_LONGEST_LINE])


def _print(text: str) -> None:
    _flush()
    os.write(_STDERR, f"{text}\n".encode(errors="replace"))


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            continue  # the strategy closed or replaced it; what it printed there is its own loss
