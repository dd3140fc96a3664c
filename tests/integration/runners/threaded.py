"""A runner whose module starts a thread when it is imported."""

import threading

from strategy_engine.sandbox.protocol import framing

threading.Thread(target=threading.Event().wait, daemon=True).start()


def main(channel: framing.Channel) -> None:
    channel.receive()
