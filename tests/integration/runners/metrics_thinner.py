"""A process that does nothing but thin metrics, to be killed in the middle of it."""

import asyncio
import sys
from datetime import datetime

from strategy_engine.core.clock import SteppedClock
from strategy_engine.infra.database import Database
from strategy_engine.performance.rollups import PATIENCE_S
from strategy_engine.performance.upkeep import Pacing, Upkeep


async def main(url: str, now: str) -> None:
    clock = SteppedClock(datetime.fromisoformat(now))
    upkeep = Upkeep(Database(url), clock, Pacing(batch=20, rest_s=0.15))
    clock.advance(PATIENCE_S)
    await upkeep.round()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
