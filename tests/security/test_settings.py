"""The settings of the attack suite are what they say they are."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

RUNNERS = Path(__file__).parent / "runners"
LOOK = """
import json, os, sys
sys.path.insert(0, sys.argv[1])
import settings
settings.SETTINGS[sys.argv[2]]()
from strategy_engine.sandbox import libc, syscalls
numbers = syscalls.ABIS[syscalls.machine()].numbers

def answer(name, *arguments):
    try:
        libc.call(numbers[name], *arguments)
    except OSError as error:
        return error.errno
    return 0

lines = [line.split(":", 1) for line in open("/proc/self/status") if ":" in line]
print(json.dumps({
    "uid": os.getuid(),
    "status": {name: text.strip() for name, text in lines},
    "mount": answer("mount", b"none", b"/nowhere", b"tmpfs", 0, None),
    "clone3": answer("clone3", None, 0),
    "clone_newuser": answer("clone", 0x10000000, 0, 0, 0, 0) if sys.argv[2] == "docker" else 0,
    "personality": {hex(each): answer("personality", each) for each in (0, 4, 8, 0xFFFFFFFF)},
    "socket": {each: answer("socket", each, 99, 0) for each in (1, 37, 38, 39, 40, 41, 70)},
}))
"""


def look(setting: str) -> Any:
    run = subprocess.run(
        [sys.executable, "-c", LOOK, str(RUNNERS), setting],
        capture_output=True,
        check=False,
        timeout=30,
    )
    assert run.returncode == 0, run.stderr.decode()
    return json.loads(run.stdout)


def test_an_ordinary_user_is_nobody_without_capabilities() -> None:
    seen = look("user")

    assert seen["uid"] == (65534 if os.geteuid() == 0 else os.getuid())
    assert int(seen["status"]["CapEff"], 16) == 0
    assert seen["status"]["Seccomp"] == "0"


def test_beneath_docker_its_profile_is_in_force_and_no_capability_is_left() -> None:
    seen = look("docker")
    status = seen["status"]

    assert (status["Seccomp"], int(status["CapEff"], 16)) == ("2", 0)
    assert int(status["CapBnd"], 16) == 0 or os.geteuid() != 0
    assert (seen["mount"], seen["clone3"], seen["clone_newuser"]) == (
        errno.EPERM,
        errno.ENOSYS,
        errno.EPERM,
    )


def test_beneath_docker_conditions_on_arguments_are_kept() -> None:
    seen = look("docker")

    assert seen["personality"] == {"0x0": 0, "0x4": errno.EPERM, "0x8": 0, "0xffffffff": 0}
    refused = {family for family, answer in seen["socket"].items() if answer == errno.EPERM}
    assert refused == {"38", "40"}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can show what root could do")
def test_root_keeps_what_it_has() -> None:
    seen = look("root")

    assert seen["uid"] == 0
    assert int(seen["status"]["CapEff"], 16) != 0
    assert seen["status"]["Seccomp"] == "0"
