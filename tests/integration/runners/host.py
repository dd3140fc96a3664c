"""An engine of its own, to be killed: starts a zygote and children, prints their process ids."""

import asyncio
import sys
from pathlib import Path

from strategy_engine.sandbox import launcher


async def main() -> None:
    zygote = launcher.Zygote("lean", "acts:main", (str(Path(__file__).parent),))
    limits = launcher.ChildLimits()
    children = [await zygote.fork(limits, f"child-{number}") for number in range(4)]
    for child in children[:2]:
        child.send(b"loop_for_ever")
    sys.stdout.write(" ".join(str(pid) for pid in (zygote.pid, *(each.pid for each in children))))
    sys.stdout.write("\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


asyncio.run(main())
