"""What attacks have in common: raw calls by name, and the scene that they find."""

import errno
from dataclasses import dataclass
from pathlib import Path

from strategy_engine.sandbox import libc, syscalls

MACHINE = syscalls.machine() or syscalls.Machine.X86_64
NUMBERS = syscalls.ABIS[MACHINE].numbers
SECRET = "the account's key is 8d1f"
AT_FDCWD = -100

_BARRED = {errno.EPERM, errno.EACCES, errno.ENOSYS}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What is there to be attacked.

    Parameters
    ----------
    data_dir : str
        A folder as the engine's, with `secret.txt`, a symbolic link `link` to it, and `lib.so`.
    victim : str
        A file of this attack's own to spoil; `victim` + "-new" does not exist.
    engine, zygote, sibling, victim_pid : int
        Processes; the last one belongs to nobody and lets itself be traced.
    address : int
        Where that one keeps its secret.
    tcp, udp : int
        Ports that are listened to on 127.0.0.1.
    unix, abstract : str
        Sockets that are listened to.
    """

    data_dir: str
    victim: str
    engine: int
    zygote: int
    sibling: int
    victim_pid: int
    address: int
    tcp: int
    udp: int
    unix: str
    abstract: str

    @property
    def new(self) -> str:
        return f"{self.victim}-new"

    @property
    def secret(self) -> str:
        return f"{self.data_dir}/secret.txt"


def call(name: str, *arguments: int | bytes | str | None) -> int:
    """Make a system call by its name; raise the kernel's error."""
    given = [each.encode() if isinstance(each, str) else each for each in arguments]
    return libc.call(NUMBERS[name], *given)


def reached(name: str, *arguments: int | bytes | str | None) -> str:
    """Show that a call is executed, whatever it thinks of its arguments; raise if it is barred."""
    try:
        answer = call(name, *arguments)
    except OSError as error:
        if error.errno in _BARRED:
            raise
        return f"{name} looked at its arguments: {error}"
    return f"{name} answered {answer}"


def found(text: str, path: str | Path) -> str:
    return f"{text!r} in {path}" if text else ""
