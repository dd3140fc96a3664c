"""What a child's memory holds: nothing secret of the engine's, and no page to write code to."""

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from strategy_engine.sandbox.launcher import ChildLimits, Zygote

RUNNERS = Path(__file__).parent / "runners"
ONLY_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root may look into a child")
TIMEOUT_S = 10.0
MIB = 1 << 20


def test_no_secret_of_the_engine_is_anywhere_in_a_childs_memory(tmp_path: Path) -> None:
    (tmp_path / "engine.env").write_text(f"PASSWORD={secrets.token_hex(16)}\n")
    canaries = {
        "STRATEGY_API_KEY": secrets.token_hex(16),
        "CANARY_IN_ENVIRONMENT": secrets.token_hex(16),
        "CANARY_IN_URL": secrets.token_hex(16),
        "DATABASE_URL": f"postgresql://engine:{secrets.token_hex(16)}@127.0.0.1/engine",
        "REDIS_URL": f"redis://:{secrets.token_hex(16)}@127.0.0.1:6379/0",
        "STRATEGY_BUS_COMMAND_SECRET": secrets.token_hex(16),
    }

    engine = subprocess.run(
        [sys.executable, str(RUNNERS / "secretive.py"), str(tmp_path)],
        capture_output=True,
        text=True,
        env=os.environ | canaries,
        check=False,
        timeout=60,
    )

    assert engine.returncode == 0, engine.stderr[-4_000:]
    told = json.loads(engine.stdout)
    assert told["given"]  # the search finds what is there
    assert told["clean environment"]
    assert told["bytes"] > 20 * MIB
    places = ("key", "environment", "file", "url", "server", "redis", "commands")
    assert told["found"] == told["wide"] == dict.fromkeys(places, False)


def regions_of(pid: int) -> Iterator[tuple[int, int, str]]:
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        addresses, rights = line.split(maxsplit=2)[:2]
        start, end = (int(each, 16) for each in addresses.split("-"))
        yield start, end, rights


def memory_of(pid: int) -> bytes:
    pieces = []
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for start, end, rights in regions_of(pid):
            if rights.startswith("r"):
                try:
                    memory.seek(start)
                    pieces.append(memory.read(end - start))
                except (OSError, OverflowError, ValueError):
                    continue  # the kernel's own pages
    return b"".join(pieces)


@ONLY_ROOT
async def test_a_confined_child_and_its_zygote_seen_from_outside_hold_none_either(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    canary = secrets.token_hex(16)
    monkeypatch.setenv("STRATEGY_API_KEY", canary)
    zygote = Zygote("lean", "waiting:main", (str(RUNNERS),))
    child = await zygote.fork(ChildLimits(), "seen")
    known = secrets.token_hex(16).encode()
    await child.request(known, TIMEOUT_S)

    assert zygote.pid is not None
    seen, above = memory_of(child.pid), memory_of(zygote.pid)
    await zygote.stop()

    assert known in seen
    assert b"OPENBLAS_NUM_THREADS=1" in seen
    assert b"OPENBLAS_NUM_THREADS=1" in above
    assert canary.encode() not in seen + above


@ONLY_ROOT
async def test_no_page_of_a_child_is_writable_and_executable_or_shared_and_writable() -> None:
    zygote = Zygote("lean", "waiting:main", (str(RUNNERS),))
    child = await zygote.fork(ChildLimits(), "seen")

    rights = {each for *_, each in regions_of(child.pid)}
    await zygote.stop()

    assert {"rw-p", "r-xp"} <= rights
    assert not [each for each in rights if "w" in each and ("x" in each or "s" in each)]
