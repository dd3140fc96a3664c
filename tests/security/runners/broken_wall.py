"""An engine whose kernel refuses a call: `broken_wall.py CALL ARGUMENT VALUE RUNNER`.

It forks in every mode and prints as JSON what was missing, and whether anything ran.
"""

import asyncio
import errno
import json
import platform
import sys
from pathlib import Path
from typing import Any

from strategy_engine.sandbox import bpf, launcher, libc, seccomp, syscalls
from strategy_engine.sandbox.launcher import ChildDiedError, ChildLimits, ConfinementMode

HERE = str(Path(__file__).parent)
SECONDS = 10.0


def refuse(name: str, argument: int, value: int) -> None:
    """Have the kernel answer ENOSYS to one call of this process and all it starts."""
    machine = syscalls.Machine(platform.machine())
    tests = () if argument < 0 else (bpf.Test(argument=argument, mask=bpf.NARROW, value=value),)
    pieces = [
        bpf.Rule(name=name, action=bpf.errno(errno.ENOSYS), tests=tests),
        bpf.Rule(name=name, action=bpf.ALLOW),
    ]
    program = bpf.assemble(
        pieces, syscalls.ABIS[machine], otherwise=bpf.ALLOW, unknown=bpf.ALLOW, foreign=bpf.ALLOW
    )
    libc.call(syscalls.ABIS[machine].numbers["prctl"], 38, 1, 0, 0, 0)
    seccomp.load(bpf.encode(program), machine)


async def fork(mode: ConfinementMode, runner: str) -> dict[str, Any]:
    """Return what the caller of `fork` sees, and what the child did when nobody stops it."""
    zygote = launcher.Zygote("lean", runner, (HERE,), confinement=mode)
    told: dict[str, Any] = {"error": "", "kind": ""}
    try:
        child = await zygote.fork(ChildLimits(), "child")
    except launcher.NotConfinedError as error:
        told |= {"error": str(error), "kind": error.kind}
        missing = error.report.missing
    else:
        missing = child.report.missing
        await child.close()
    told["missing"] = {layer.name: layer.why for layer in missing}
    zygote._refuse_unconfined = _let_pass
    child = await zygote.fork(ChildLimits(), "child")
    try:
        told["ran"] = (await child.receive(SECONDS)).decode()
    except ChildDiedError as died:
        told |= {"ran": "", "status": died.exit.status}
    await zygote.stop()
    return told


async def _let_pass(child: launcher.Child) -> None:
    del child


def main(call: str, argument: int, value: int, runner: str) -> None:
    if call != "nothing":
        refuse(call, argument, value)
    outcomes = {str(mode): asyncio.run(fork(mode, runner)) for mode in ConfinementMode}
    outcomes["probe"] = {}
    try:
        launcher.probe(ConfinementMode.REQUIRE)
    except launcher.NotConfinedError as error:
        outcomes["probe"] = {"error": str(error)}
    sys.stdout.write(json.dumps(outcomes))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
