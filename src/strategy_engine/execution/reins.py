"""What is wanted of a running execution: heard at any time, obeyed between two bars."""

import asyncio
from enum import Enum, auto

from strategy_engine.execution.engagement import Engagement
from strategy_engine.execution.model import Desired


class Gait(Enum):
    """Whether an execution may come to a bar now."""

    STANDS = auto()  # it has not begun to play; it stops before its first bar if it is held then
    GOES = auto()
    RESTS = auto()  # it is held between two bars
    IS_OVER = auto()


class Reins:
    """One execution's, between those who say what it is to do and the one who plays its bars."""

    def __init__(self) -> None:
        self.engagement: Engagement | None = None
        self.is_draining = False
        self.nudge = asyncio.Event()
        self._is_held = False
        self._gait = Gait.STANDS
        self._moved = asyncio.Event()  # set, and replaced, when its gait changes or it is let go

    # -- said to it

    def engage(self, engagement: Engagement) -> None:
        """Hear what is wanted now."""
        if self.engagement != engagement:
            self.engagement = engagement
            self.nudge.set()

    def drain(self) -> None:
        """End between two bars, and leave the execution as it stands for who comes next."""
        self.is_draining = True
        self._is_held = False
        self._step()
        self.nudge.set()

    def hold(self) -> None:
        """Come to no other bar, until `release`."""
        self._is_held = True
        self.nudge.set()

    def release(self) -> None:
        """Go on."""
        self._is_held = False
        self._step()

    async def stood(self) -> bool:
        """Wait until a held execution comes to no bar; whether it plays, and only rests."""
        while self._gait is Gait.GOES:
            await self._moved.wait()
        return self._gait is Gait.RESTS

    # -- asked by who plays

    def is_wanted(self) -> bool:
        """Whether it is to go on at all."""
        return not (self.is_draining or self.wants(Desired.STOP))

    def wants(self, desired: Desired) -> bool:
        """Whether this is what control wants of it."""
        return self.engagement is not None and self.engagement.desired is desired

    async def rest(self) -> None:
        """Be on the way, but stand as long as it is held."""
        while self._is_held:
            self._turn(Gait.RESTS)
            await self._moved.wait()
        self._turn(Gait.GOES)

    def end(self) -> None:
        """Come to no bar any more."""
        self._turn(Gait.IS_OVER)

    def _turn(self, gait: Gait) -> None:
        if self._gait is not gait:
            self._gait = gait
            self._step()

    def _step(self) -> None:
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()
