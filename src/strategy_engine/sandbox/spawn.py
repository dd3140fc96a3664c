"""Exec a zygote: a clean environment, a control socket, and nothing else of the engine."""

import os
import socket
import subprocess
import sys
from dataclasses import dataclass

from strategy_engine.sandbox.model import ConfinementMode

_MODULE = "strategy_engine.sandbox.zygote"

# All of it: nothing of the engine's environment, which may hold secrets, is passed on.
ENVIRONMENT = {
    "PATH": os.defpath,
    "LANG": "C.UTF-8",
    "TZ": "UTC",
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
    "PYTHONHASHSEED": "0",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What a zygote is made of.

    Parameters
    ----------
    kind : str
        What it is called.
    modules : tuple of str
        What it imports and warms before its first fork.
    runner : str
        `module:function` that each child runs.
    extra_path : tuple of str
        Where else modules are looked for.
    confinement : ConfinementMode
        How much of the wall each child must have.
    """

    kind: str
    modules: tuple[str, ...]
    runner: str
    extra_path: tuple[str, ...] = ()
    confinement: ConfinementMode = ConfinementMode.REQUIRE


@dataclass(frozen=True, slots=True, kw_only=True)
class Spawned:
    """A zygote's process, and the engine's ends of what leads to it."""

    process: subprocess.Popen[bytes]
    pidfd: int
    control: socket.socket
    stderr_fd: int


def spawn(recipe: Recipe) -> Spawned:
    """Exec a zygote. It dies with the calling thread, so call from one that lasts: the loop's.

    Raises
    ------
    OSError
        If the machine has no process or descriptor left.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    stderr_fd, stderr_end = os.pipe()
    try:
        process = subprocess.Popen(  # noqa: S603  (this interpreter, our own module, no shell)
            command(recipe, control_fd=theirs.fileno()),
            env=ENVIRONMENT,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stderr_end,
            pass_fds=(theirs.fileno(),),
            start_new_session=True,  # ^C in the terminal is for the engine, which stops its zygotes
        )
    except OSError:
        ours.close()
        os.close(stderr_fd)
        raise
    finally:
        theirs.close()
        os.close(stderr_end)
    ours.settimeout(0)
    return Spawned(
        process=process,
        pidfd=os.pidfd_open(process.pid),  # not reaped yet, so the number is still its own
        control=ours,
        stderr_fd=stderr_fd,
    )


def command(recipe: Recipe, *, control_fd: int) -> list[str]:
    """Return the command line of a zygote."""
    return [
        *interpreter(_MODULE),
        str(control_fd),
        recipe.kind,
        ",".join(recipe.modules),
        recipe.runner,
        str(os.getpid()),
        *recipe.extra_path,
    ]


def interpreter(module: str) -> list[str]:
    """Return how this interpreter runs a module of ours in a process of its own, shut off.

    It reads and writes bytecode where this process does: compiling what a zygote imports takes
    twice as long as importing it.
    """
    isolated = ["-P", "-s"]  # no directory of the caller's, no site-packages of the user's
    if sys.dont_write_bytecode:
        isolated += ["-B"]
    if sys.pycache_prefix is not None:
        isolated += ["-X", f"pycache_prefix={sys.pycache_prefix}"]
    return [sys.executable, *isolated, "-m", module]
