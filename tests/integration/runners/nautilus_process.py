"""A stock NautilusTrader node: it publishes bars on Redis, and prints what it hears from others.

Arguments: the port of Redis, the encoding, the streams to listen to (comma-separated), and a JSON
file with bars as [bar type, open, high, low, close, volume, close_ns]. It prints `ready` when it
listens, publishes on SIGUSR1, and prints a JSON line a message.
"""

import asyncio
import json
import signal
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

from nautilus_trader.common.actor import Actor
from nautilus_trader.config import (
    DatabaseConfig,
    LoggingConfig,
    MessageBusConfig,
    TradingNodeConfig,
)
from nautilus_trader.live.node import TradingNode
from nautilus_trader.model.data import Bar, BarType
from nautilus_trader.model.objects import Price, Quantity


class Listener(Actor):
    """Prints every dictionary that comes by the bus on the engine's topics."""

    def on_start(self) -> None:
        for topic in ("strategy.*", "portfolio.*", "analytics.*", "pipeline.*"):
            self.msgbus.subscribe(topic=topic, handler=self.heard)

    def heard(self, message: Any) -> None:
        sys.stdout.write(json.dumps(message) + "\n")
        sys.stdout.flush()


def bar(row: list[Any]) -> Bar:
    bar_type, *prices, volume, close_ns = row
    return Bar(
        BarType.from_str(bar_type),
        *(
            Price.from_str(str(Decimal(str(price)).quantize(Decimal("0.00001"))))
            for price in prices
        ),
        Quantity.from_str(str(volume)),
        close_ns,
        close_ns,
    )


def main(port: int, encoding: str, streams: list[str], bars: list[list[Any]]) -> None:
    node = TradingNode(
        config=TradingNodeConfig(
            trader_id="MARKET-DATA-001",
            logging=LoggingConfig(log_level="ERROR", log_colors=False),
            message_bus=MessageBusConfig(
                database=DatabaseConfig(port=port), encoding=encoding, external_streams=streams
            ),
        )
    )
    node.trader.add_actor(Listener())
    node.kernel.msgbus.add_streaming_type(dict)
    node.build()
    loop = node.get_event_loop()

    def publish() -> None:
        for row in bars:
            made = bar(row)
            node.kernel.msgbus.publish(f"data.bars.{made.bar_type}", made)
        sys.stdout.write('"published"\n')
        sys.stdout.flush()

    async def say_ready() -> None:
        while not node.is_running():  # noqa: ASYNC110 - a stock node sets no event when it runs
            await asyncio.sleep(0.02)
        sys.stdout.write('"ready"\n')
        sys.stdout.flush()

    loop.add_signal_handler(signal.SIGUSR1, publish)
    loop.create_task(say_ready())
    try:
        node.run()
    finally:
        node.dispose()


if __name__ == "__main__":
    rows = json.loads(Path(sys.argv[4]).read_text())
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3].split(","), rows)
