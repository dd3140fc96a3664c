"""An engine that holds secrets, as one does, and looks for them in a child's whole memory.

Its environment has them; `secretive.py FOLDER` reads a file with one, and opens a database whose
URL has one. It prints where anything was found.
"""

import asyncio
import json
import os
import sys
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import SecretStr

from strategy_engine.config import Settings
from strategy_engine.infra.database import Database
from strategy_engine.sandbox import launcher
from strategy_engine.sandbox.launcher import ChildLimits, ConfinementMode

HERE = str(Path(__file__).parent)
SECONDS = 30.0
LIMITS = ChildLimits(memory_bytes=1 << 30, open_files=64)


async def memory_of_a_child(zygote: launcher.Zygote, known: bytes) -> bytes:
    """Return all that a child can read of itself, its zygote's shared pages included."""
    child = await zygote.fork(LIMITS, "dumper")
    child.send(known)
    pieces = []
    while piece := await child.receive(SECONDS):
        pieces.append(piece)
    await child.close()
    return b"".join(pieces)


def password_of(url: str | None) -> str:
    """Return the password in a URL that the engine has read."""
    return urlsplit(url or "").password or ""


def secret_of(held: SecretStr | None) -> str:
    return "" if held is None else held.get_secret_value()


async def main(folder: Path) -> None:
    settings = Settings(_env_file=folder / "engine.env")
    database = Database(f"sqlite+aiosqlite:///{folder / os.environ['CANARY_IN_URL']}.db")
    async with database.write() as connection:
        await connection.exec_driver_sql("CREATE TABLE kept (word TEXT)")
    told = (folder / "engine.env").read_text()
    canaries = {
        "key": settings.api_key or "",
        "environment": os.environ["CANARY_IN_ENVIRONMENT"],
        "file": told.strip().rpartition("=")[2],
        "url": os.environ["CANARY_IN_URL"],
        "server": password_of(settings.server),
        "redis": password_of(settings.redis_url and settings.redis_url.get_secret_value()),
        "commands": secret_of(settings.bus_command_secret),
    }
    assert all(canaries.values()), "a canary that is not there proves nothing"
    known = os.urandom(16).hex().encode()
    zygote = launcher.Zygote("lean", "dumper:main", (HERE,), confinement=ConfinementMode.OFF)
    try:
        memory = await memory_of_a_child(zygote, known)
    finally:
        await zygote.stop()
        await database.aclose()
    found = {where: word.encode() in memory for where, word in canaries.items()}
    forms = {where: word.encode("utf-16-le") in memory for where, word in canaries.items()}
    answer = {"bytes": len(memory), "found": found, "wide": forms}
    answer["given"] = known in memory
    answer["clean environment"] = b"OPENBLAS_NUM_THREADS=1" in memory
    sys.stdout.write(json.dumps(answer))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
