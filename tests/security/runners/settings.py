"""Where the suite runs: as root, as an ordinary user, beneath Docker's profile without rights.

Each changes the calling process for good, so each is called first in a process of its own.
"""

import json
import os
import platform
import struct
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from strategy_engine.sandbox import bpf, libc, seccomp, syscalls

NOBODY = 65534
DOCKER_PROFILE = Path(__file__).parents[1] / "docker-default-seccomp.json"
REPOSITORY = Path(__file__).parents[3]

_MS_BIND, _MS_MOVE, _MS_REC, _MS_PRIVATE = 0x1000, 0x2000, 0x4000, 0x4_0000
_CLONE_NEWNS = 0x2_0000
_ARCHES = {"x86_64": "amd64", "aarch64": "arm64"}
_INT = 0xFFFF_FFFF


def as_root() -> None:
    """Stay what it is."""


def as_an_ordinary_user() -> None:
    """Become nobody. Where Python lies in a folder closed to others, show it through a mount."""
    if os.geteuid() != 0:
        return
    libc.call(_number("unshare"), _CLONE_NEWNS)
    _mount("none", "/", _MS_REC | _MS_PRIVATE)
    for closed, paths in _closed_folders().items():
        _open_a_way(closed, paths)
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)


def beneath_docker() -> None:
    """Load Docker's default profile and drop every capability."""
    libc.call(_number("prctl"), 38, 1, 0, 0, 0)  # NO_NEW_PRIVS, which loading asks for
    machine = syscalls.Machine(platform.machine())
    seccomp.load(bpf.encode(docker_profile(machine)), machine)
    if os.geteuid() == 0:
        give_up_capabilities()


def give_up_capabilities() -> None:
    """Give up every capability for good, so that an exec as root brings none back."""
    for capability in range(64):
        try:
            libc.call(_number("prctl"), 24, capability, 0, 0, 0)  # CAPBSET_DROP
        except OSError:
            break  # past the last one
    header = struct.pack("=Ii", 0x2008_0522, 0)
    libc.call(_number("capset"), header, bytes(24))


SETTINGS = {"root": as_root, "user": as_an_ordinary_user, "docker": beneath_docker}


def docker_profile(machine: syscalls.Machine) -> tuple[bpf.Instruction, ...]:
    """Compile Docker's profile for one architecture and a container without capabilities.

    Foreign ABIs pass here, so that it is the child's own filter that must end them.
    """
    profile = json.loads(DOCKER_PROFILE.read_text())
    rules = sorted(_docker_rules(profile, _ARCHES[machine]), key=lambda rule: rule.name)
    return bpf.assemble(
        rules,
        syscalls.ABIS[machine],
        otherwise=bpf.errno(profile["defaultErrnoRet"]),
        unknown=bpf.errno(38),
        foreign=bpf.ALLOW,
    )


def _docker_rules(profile: dict[str, Any], arch: str) -> Iterator[bpf.Rule]:
    for entry in profile["syscalls"]:
        wanted, unwanted = entry.get("includes", {}), entry.get("excludes", {})
        if wanted.get("caps") or arch not in wanted.get("arches", [arch]):
            continue
        if arch in unwanted.get("arches", []):
            continue
        action = bpf.ALLOW
        if entry["action"] == "SCMP_ACT_ERRNO":
            action = bpf.errno(entry["errnoRet"])
        for name in entry["names"]:
            for tests in _alternatives(entry.get("args", [])):
                yield bpf.Rule(name=name, action=action, tests=tests)


def _alternatives(conditions: list[dict[str, Any]]) -> Iterator[tuple[bpf.Test, ...]]:
    if not conditions:
        yield ()
        return
    (condition,) = conditions  # the profile has no rule with two
    index, value = condition["index"], condition["value"]
    match condition["op"]:
        case "SCMP_CMP_EQ":
            pairs = [(_INT, value)]
        case "SCMP_CMP_MASKED_EQ":
            pairs = [(value, condition.get("valueTwo", 0))]
        case "SCMP_CMP_LT":
            pairs = [_sharing(value, bit, own=0) for bit in range(32) if value >> bit & 1]
        case "SCMP_CMP_GT":
            pairs = [_sharing(value, bit, own=1) for bit in range(32) if not value >> bit & 1]
        case operation:
            raise ValueError(f"the profile has a new operation: {operation}")
    for mask, wanted in pairs:
        yield (bpf.Test(argument=index, mask=mask, value=wanted),)


def _sharing(value: int, bit: int, *, own: int) -> tuple[int, int]:
    """Return mask and value of all numbers like `value` above a bit, and with `own` in it."""
    mask = _INT & ~((1 << bit) - 1)
    return mask, value & mask & ~(1 << bit) | own << bit


def _number(name: str) -> int:
    return syscalls.ABIS[syscalls.Machine(platform.machine())].numbers[name]


def _mount(source: str, target: str, flags: int, kind: str = "", options: str = "") -> None:
    texts = [text.encode() for text in (source, target, kind)]
    libc.call(_number("mount"), *texts, flags, options.encode() or None)


def _closed_folders() -> dict[Path, list[Path]]:
    """Return what must be seen beneath each folder that is closed to others."""
    found: dict[Path, list[Path]] = {}
    for path in sorted({Path(sys.base_prefix), Path(sys.prefix), REPOSITORY}):
        above = [each for each in reversed(path.parents) if not each.stat().st_mode & 0o001]
        if above and not any(map(path.is_relative_to, found.get(above[0], []))):
            found.setdefault(above[0], []).append(path)
    return found


def _open_a_way(closed: Path, paths: list[Path]) -> None:
    """Cover a closed folder with an empty open one, in which only `paths` are to be seen."""
    aside = {path: tempfile.mkdtemp() for path in paths}
    for path, place in aside.items():
        _mount(str(path), place, _MS_BIND | _MS_REC)
    _mount("none", str(closed), 0, "tmpfs", "mode=755")
    for path, place in aside.items():
        path.mkdir(parents=True)
        _mount(place, str(path), _MS_MOVE)
        Path(place).rmdir()
