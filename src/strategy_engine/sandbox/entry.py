"""A child's first and last steps: shut in, report, run, end. Runs in the child, trusts nothing."""

import gc
import io
import os
import socket
import sys
import traceback
from collections.abc import Callable
from typing import NoReturn

import msgspec

from strategy_engine.sandbox import confinement, rules
from strategy_engine.sandbox.model import ChildLimits
from strategy_engine.sandbox.protocol import framing

type Runner = Callable[[framing.Channel], object]

_STDERR = 2
_SHOWN_FRAMES = 8
_LONGEST_LINE = 1000


def live(
    runner: Runner,
    *,
    fds: tuple[int, int],
    limits: ChildLimits,
    label: str,
    zygote_pid: int,
) -> NoReturn:
    """Be a child: never return, whatever happens.

    Parameters
    ----------
    runner : callable
        Given the channel to the engine; its return ends the child.
    fds : tuple of int
        The child's socket, and the write end of its log pipe.
    """
    code = rules.EXIT_CONFINEMENT
    try:
        channel = _shut_in(fds, limits=limits, label=label, zygote_pid=zygote_pid)
        code = _run(runner, channel)
    except BaseException as error:  # noqa: BLE001  (a process's edge: nothing may get past it)
        _tell(error)
    finally:
        os._exit(code)


def _shut_in(
    fds: tuple[int, int], *, limits: ChildLimits, label: str, zygote_pid: int
) -> framing.Channel:
    sock = confinement.keep_only(socket.socket(fileno=fds[0]), fds[1])
    report = confinement.confine(limits, label=label, zygote_pid=zygote_pid)
    channel = framing.Channel(sock)
    channel.send(msgspec.msgpack.encode(report))
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # what is printed is seen, also before a kill
    gc.enable()
    return channel


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
