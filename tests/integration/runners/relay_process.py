"""A relay and nothing else, in a process that can be killed."""

import asyncio
import sys
from pathlib import Path

from strategy_engine.core.clock import SystemClock
from strategy_engine.infra import database, relay
from strategy_engine.infra.bus import broker
from strategy_engine.infra.bus.broker import BusSettings
from strategy_engine.infra.relay import Keeping, Relay


async def main(data_dir: Path, url: str, server: str | None) -> None:
    control, ledger = database.open_both(data_dir, server)
    settings = BusSettings(url=url)
    publisher = Relay(
        name=relay.EXECUTIONS,
        holder="node",
        home=control,
        bus=broker.connect(settings),
        route=relay.executions(control, ledger),
        clock=SystemClock(),
        keeping=Keeping.of(settings),
    )
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await publisher.run()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3] or None))
