"""A relay and nothing else, in a process that can be killed."""

import asyncio
import sys
from pathlib import Path

from strategy_engine.core.clock import SystemClock
from strategy_engine.infra import database, relay
from strategy_engine.infra.bus import broker
from strategy_engine.infra.bus.broker import BusSettings
from strategy_engine.infra.database import Database
from strategy_engine.infra.relay import Keeping, Relay


async def main(data_dir: Path, url: str) -> None:
    control = Database(database.control_url(data_dir))
    ledger = Database(database.ledger_url(data_dir))
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
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
