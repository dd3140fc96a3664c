"""What a child may open: a read-only allow-list of folders, in force by Landlock.

The list is made once, before any fork; a child only puts it in force.

References
----------
Linux, `Documentation/userspace-api/landlock.rst`; `include/uapi/linux/landlock.h`.
"""

import fcntl
import os
import stat
import struct
import sys
import sysconfig
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import strategy_engine
from strategy_engine.sandbox import libc

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same on every architecture
_ASK_VERSION = 1
_RULE_PATH_BENEATH = 1

_LOWEST_FD = 4
_READ_FILE = 1 << 2
_READ_DIR = 1 << 3
_PATH_BENEATH = struct.Struct("=Qi")
_RULESET = struct.Struct("=QQQ")  # files, network, scopes


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One thing that Landlock can forbid, and the version that brought it.

    Parameters
    ----------
    name : str
        What a report calls it.
    abi : int
        The first version of Landlock that has it.
    kernel : str
        The first Linux that has that version.
    files, network, scopes : int
        Its bits in the attributes of a ruleset.
    """

    name: str
    abi: int
    kernel: str
    files: int = 0
    network: int = 0
    scopes: int = 0

    @property
    def needs(self) -> str:
        """The kernel that it needs, for people."""
        return f"Linux {self.kernel} (Landlock ABI {self.abi})"


# ABI 2 (moving between folders) is not here: what no rule allows, no version ever did.
PARTS = (
    Part(name="landlock_files", abi=1, kernel="5.13", files=(1 << 13) - 1),
    Part(name="landlock_truncate", abi=3, kernel="6.2", files=1 << 14),
    Part(name="landlock_tcp", abi=4, kernel="6.7", network=0b11),
    Part(name="landlock_devices", abi=5, kernel="6.10", files=1 << 15),
    Part(name="landlock_abstract_sockets", abi=6, kernel="6.12", scopes=0b01),
    Part(name="landlock_signals", abi=6, kernel="6.12", scopes=0b10),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruleset:
    """A ruleset that waits to be put in force: its descriptor, and what this kernel can forbid."""

    fd: int
    abi: int


def readable_paths() -> tuple[Path, ...]:
    """Return what a child may read: Python, its packages, this package, libraries, time zones."""
    python = (sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib"))
    libraries = (f"{sys.base_prefix}/lib", "/lib", "/lib64", "/usr/lib", "/usr/lib64")
    package = (str(Path(each)) for each in strategy_engine.__path__)
    others = ("/etc/ld.so.cache", "/usr/share/zoneinfo")
    return tuple(map(Path, dict.fromkeys((*python, *libraries, *package, *others))))


def version() -> int:
    """Return this kernel's version of Landlock.

    Raises
    ------
    OSError
        If it has none, it is switched off, or another filter forbids it.
    """
    return libc.call(_CREATE_RULESET, None, 0, _ASK_VERSION)


def prepare(paths: Iterable[Path]) -> Ruleset:
    """Return a ruleset that forbids all this kernel can, but reading what is under `paths`.

    Raises
    ------
    OSError
        With the kernel's error; nothing is left open then.
    """
    abi = version()
    fd = _create(abi)
    try:
        for path in paths:
            _allow_reading(fd, path)
    except BaseException:
        os.close(fd)
        raise
    return Ruleset(fd=fd, abi=abi)


def restrict(ruleset: Ruleset) -> None:
    """Put a ruleset in force for good, and close it.

    Raises
    ------
    OSError
        With the kernel's error; nothing is in force then.
    """
    try:
        libc.call(_RESTRICT_SELF, ruleset.fd, 0)
    finally:
        os.close(ruleset.fd)


def _create(abi: int) -> int:
    there = [part for part in PARTS if part.abi <= abi]
    bits = (
        sum(part.files for part in there),
        sum(part.network for part in there),
        sum(part.scopes for part in there),
    )
    attributes = _RULESET.pack(*bits)
    made = libc.call(_CREATE_RULESET, attributes, len(attributes), 0)
    try:  # out of the way of 0 to 3, which every child points at its own
        return fcntl.fcntl(made, fcntl.F_DUPFD_CLOEXEC, _LOWEST_FD)
    finally:
        os.close(made)


def _allow_reading(ruleset_fd: int, path: Path) -> None:
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return  # not every machine has all of them; what does not exist needs no rule
    try:
        is_folder = stat.S_ISDIR(os.fstat(fd).st_mode)
        access = _READ_FILE | _READ_DIR if is_folder else _READ_FILE
        libc.call(_ADD_RULE, ruleset_fd, _RULE_PATH_BENEATH, _PATH_BENEATH.pack(access, fd), 0)
    finally:
        os.close(fd)
