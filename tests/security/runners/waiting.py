"""A runner that waits to be looked at."""

from strategy_engine.sandbox.protocol import framing


def main(channel: framing.Channel) -> None:
    while (body := channel.receive()) is not None:
        channel.send(body)
