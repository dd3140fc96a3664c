"""A runner that says that it ran, whatever the wall is."""

from strategy_engine.sandbox.protocol import framing


def answer(channel: framing.Channel) -> None:
    channel.send(b"ran")
    channel.receive()
