"""What a strategy asked for, in order, until somebody takes it; and what its doors share."""

from dataclasses import dataclass

import msgspec
from nautilus_trader.cache.cache import Cache
from nautilus_trader.common.component import Clock, MessageBus

from strategy_engine.kernel.native.instruments import Listings
from strategy_engine.matching.ticket import Instruction
from strategy_engine.sandbox.protocol import messages

_encode = msgspec.msgpack.Encoder().encode


class Record:
    """Instructions with the time at which each was given, and notices, each said once."""

    __slots__ = ("_notices", "_said", "instructions")

    def __init__(self) -> None:
        self.instructions: list[tuple[int, Instruction]] = []
        self._notices: list[str] = []
        self._said: set[str] = set()

    def ask(self, ts_ns: int, instruction: Instruction) -> None:
        """Keep an instruction."""
        self.instructions.append((ts_ns, instruction))

    def notice(self, text: str) -> None:
        """Keep a notice, the first time that it is given."""
        if text not in self._said:
            self._said.add(text)
            self._notices.append(text)

    def take(self, until_ns: int | None = None) -> list[tuple[int, Instruction]]:
        """Return the instructions given up to a time, all of them without one; and forget them."""
        taken, self.instructions = self.instructions, []
        if until_ns is None or not taken or taken[-1][0] <= until_ns:
            return taken
        self.instructions = [each for each in taken if each[0] > until_ns]
        return [each for each in taken if each[0] <= until_ns]

    def take_notices(self) -> list[str]:
        """Return the notices that nobody has taken yet."""
        taken, self._notices = self._notices, []
        return taken


@dataclass(frozen=True, slots=True, kw_only=True)
class Wiring:
    """What every door of a desk is connected to."""

    listings: Listings
    record: Record
    bus: MessageBus
    cache: Cache
    clock: Clock


def packed(instructions: list[tuple[int, Instruction]]) -> list[messages.Asked]:
    """Return instructions as they cross the wire."""
    return [
        messages.Asked(ts_ns=ts_ns, instruction=msgspec.Raw(_encode(each)))
        for ts_ns, each in instructions
    ]
