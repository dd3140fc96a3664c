"""Lay siege: `siege.py SETTING` runs every attack without the wall, then with it; prints JSON.

It is an engine of its own: it starts zygotes, forks children, and hands each its attacks.
"""

import asyncio
import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ATTACKS_DIR = str(HERE.parent / "attacks")
sys.path[:0] = [str(HERE), ATTACKS_DIR]

import settings  # noqa: E402  (the path to it is made above)

if __name__ == "__main__":  # before anything else is opened, or started
    settings.SETTINGS[sys.argv[1]]()

import numpy as np  # noqa: E402  (the same)
import plan  # noqa: E402  (the same)
import tools  # noqa: E402  (the same)

from strategy_engine.sandbox import launcher  # noqa: E402  (the same)
from strategy_engine.sandbox.launcher import ConfinementMode  # noqa: E402  (the same)

ANSWER_S = 20.0
LIBRARY = min(Path(np.__file__).parent.rglob("*.so"), key=lambda path: path.stat().st_size)
VICTIM = """
import ctypes, sys
held = ctypes.create_string_buffer(sys.argv[1].encode())
ctypes.CDLL(None).prctl(0x59616D61, ctypes.c_ulong(-1), 0, 0, 0)  # any may trace it, under Yama too
print(ctypes.addressof(held), flush=True)
sys.stdin.read()
"""

type Outcome = dict[str, Any]


@dataclass(slots=True)
class Battle:
    """One zygote under attack, and what lies around it."""

    zygote: launcher.Zygote
    scene: tools.Scene
    mode: ConfinementMode
    folder: Path
    is_limited: bool

    async def run(self, attacks: list[plan.Attack]) -> dict[str, Outcome]:
        """Let a child try attack after attack; a new one takes over where one ends or is spoilt."""
        outcomes: dict[str, Outcome] = {}
        child: launcher.Child | None = None
        for attack in attacks:
            if child is None or not child.is_alive or self.is_apart(attack):
                await self._dismiss(child)
                child = await self.zygote.fork(self.limits(attack), attack.name[:15])
            outcomes[attack.name] = await self._one(child, attack)
            if attack.is_alone or self.is_apart(attack):
                await self._dismiss(child)
                child = None
        await self._dismiss(child)
        return outcomes

    def is_apart(self, attack: plan.Attack) -> bool:
        return self.limits(attack) != plan.ROOMY

    def limits(self, attack: plan.Attack) -> launcher.ChildLimits:
        return attack.limits if self.is_limited else plan.ROOMY

    async def _one(self, child: launcher.Child, attack: plan.Attack) -> Outcome:
        victim = self.folder / attack.name
        victim.write_text(attack.name)
        victim.chmod(0o640)
        os.utime(victim, (1_000, 1_000))
        wish = {"attack": attack.name, "scene": asdict(replace(self.scene, victim=str(victim)))}
        try:
            through, how = json.loads(await child.request(json.dumps(wish).encode(), ANSWER_S))
            ended = None
        except launcher.ChildDiedError as error:
            through, how, ended = False, str(error), str(error.exit.kind)
        is_spoilt = is_spoilt_file(victim, attack.name)
        return {"through": through, "how": how, "ended": ended, "spoilt": is_spoilt}

    async def _dismiss(self, child: launcher.Child | None) -> None:
        if child is not None and child.is_alive:
            await child.close()


def is_spoilt_file(victim: Path, text: str) -> bool:
    """Tell whether anything of a victim's file, or beside it, is not as it was."""
    if victim.with_name(f"{victim.name}-new").exists() or not victim.exists():
        return True
    seen = victim.stat()
    as_it_was = (seen.st_mode & 0o777, seen.st_mtime, seen.st_nlink) == (0o640, 1_000, 1)
    return not as_it_was or victim.read_text() != text


@contextlib.contextmanager
def surroundings() -> Iterator[tuple[tools.Scene, Path]]:
    """Give what can be attacked: files, listeners, a process."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        data_dir = folder / "data"
        data_dir.mkdir()
        (data_dir / "secret.txt").write_text(tools.SECRET)
        (data_dir / "other").write_text("another file")
        (data_dir / "link").symlink_to("secret.txt")
        shutil.copy(LIBRARY, data_dir / "lib.so")
        listeners = [stack.enter_context(each) for each in _listeners(folder)]
        victim = stack.enter_context(_victim())
        assert victim.stdout is not None
        yield (
            tools.Scene(
                data_dir=str(data_dir),
                victim="",
                engine=os.getpid(),
                zygote=0,
                sibling=0,
                victim_pid=victim.pid,
                address=int(victim.stdout.readline()),
                tcp=listeners[0].getsockname()[1],
                udp=listeners[1].getsockname()[1],
                unix=str(folder / "door"),
                abstract=folder.name,
            ),
            folder,
        )
        victim.kill()


def _listeners(folder: Path) -> Iterator[socket.socket]:
    kinds = (
        (socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 0)),
        (socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", 0)),
        (socket.AF_UNIX, socket.SOCK_STREAM, str(folder / "door")),
        (socket.AF_UNIX, socket.SOCK_STREAM, f"\0{folder.name}"),
    )
    for family, kind, address in kinds:
        door = socket.socket(family, kind)
        door.bind(address)
        if kind is socket.SOCK_STREAM:
            door.listen()
        yield door


def _victim() -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", VICTIM, tools.SECRET],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={"VICTIM": "its environment"},
    )


async def battle(
    mode: ConfinementMode, attacks: list[plan.Attack], *, is_limited: bool
) -> dict[str, Outcome]:
    """Run attacks against one zygote's children, with their own limits or with generous ones."""
    zygote = launcher.Zygote("lean", "runner:main", (ATTACKS_DIR,), confinement=mode)
    with surroundings() as (scene, folder):
        try:
            sibling = await zygote.fork(plan.ROOMY, "sibling")
            whole = replace(scene, zygote=zygote.pid or 0, sibling=sibling.pid)
            return await Battle(zygote, whole, mode, folder, is_limited).run(attacks)
        finally:
            await zygote.stop()


async def spoil(attack: plan.Attack) -> dict[str, Outcome]:
    """Let one child spoil its own process, and look at the next one's of the same zygote."""
    return await battle(ConfinementMode.REQUIRE, [attack, plan.IS_UNSPOILT], is_limited=True)


def main(setting: str) -> None:
    shown = [each for each in plan.ATTACKS if setting in each.shown]
    without = asyncio.run(battle(ConfinementMode.OFF, shown, is_limited=False))
    limited = asyncio.run(battle(ConfinementMode.OFF, list(plan.HOARDS), is_limited=True))
    attacks = [*plan.ATTACKS, *plan.LEAKS]
    behind = asyncio.run(battle(ConfinementMode.REQUIRE, attacks, is_limited=True))
    spoils = {each.name: asyncio.run(spoil(each)) for each in plan.SPOILS}
    told = {"without": without, "limited": limited, "behind": behind, "spoils": spoils}
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    main(sys.argv[1])
