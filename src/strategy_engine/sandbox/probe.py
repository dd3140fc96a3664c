"""Which layers of a child's wall this machine gives, found out before the first child is needed.

Run as `python -P -s -m strategy_engine.sandbox.probe MODE FD`: shuts itself in as a child does,
reports to the socket FD, and ends.
"""

import os
import socket
import subprocess
import sys

import msgspec

from strategy_engine.core.errors import UnavailableError
from strategy_engine.sandbox import confinement, entry, rules, spawn
from strategy_engine.sandbox.model import (
    ChildLimits,
    ConfinementMode,
    ConfinementReport,
    NotConfinedError,
)
from strategy_engine.sandbox.protocol import framing

_MODULE = "strategy_engine.sandbox.probe"
_PATIENCE_S = 30.0
_CHUNK_BYTES = 1 << 16
_decode = msgspec.msgpack.Decoder(ConfinementReport).decode


def probe(mode: ConfinementMode) -> ConfinementReport:
    """Shut a process of its own in as a child is, and return its report.

    Raises
    ------
    NotConfinedError
        If `mode` is REQUIRE and a layer is missing; the engine must not start then.
    UnavailableError
        If the process could not tell.
    """
    try:
        report = _ask(mode)
    except (OSError, subprocess.TimeoutExpired, ValueError) as error:
        raise UnavailableError(f"the wall cannot be tried on this machine: {error}") from error
    if mode is ConfinementMode.REQUIRE and report.missing:
        raise NotConfinedError(report)
    return report


def _ask(mode: ConfinementMode) -> ConfinementReport:
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            ended = subprocess.run(  # noqa: S603  (this interpreter, our own module, no shell)
                [*spawn.interpreter(_MODULE), str(mode), str(theirs.fileno())],
                env=spawn.ENVIRONMENT,
                cwd="/",
                stdin=subprocess.DEVNULL,
                capture_output=True,
                pass_fds=(theirs.fileno(),),
                timeout=_PATIENCE_S,
                check=False,
            )
        frames = framing.FrameReader().feed(ours.recv(_CHUNK_BYTES))  # it is short, and all there
    if not frames:
        raise ValueError(rules.last_line_of(ended.stderr))
    return _decode(frames[0])


def _main(mode: ConfinementMode, fd: int) -> None:
    birth = entry.Birth(
        limits=ChildLimits(),
        label="probe",
        zygote_pid=os.getppid(),
        mode=mode,
        walls=confinement.prepare(),
    )
    entry.live(lambda _: None, fds=(fd, os.dup(sys.stderr.fileno())), birth=birth)


if __name__ == "__main__":
    _main(ConfinementMode(sys.argv[1]), int(sys.argv[2]))
