"""A runner that shows what a `tests` zygote has warm."""

import json
import sys

from strategy_engine.sandbox.protocol import framing


def main(channel: framing.Channel) -> None:
    while channel.receive() is not None:
        channel.send(json.dumps({"modules": sorted(sys.modules)}).encode())
