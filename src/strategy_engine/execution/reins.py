"""What is wanted of a running execution: heard at any time, obeyed between two bars."""

import asyncio
from collections.abc import Callable
from enum import Enum, auto

from strategy_engine.execution.engagement import Engagement
from strategy_engine.execution.model import Desired
from strategy_engine.execution.ticks import NOWHERE, Place
from strategy_engine.venue.model import RiskState


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
        self._until: Place = NOWHERE  # so far it goes all the same, while it is held
        self._gait = Gait.STANDS
        self._moved = asyncio.Event()  # set, and replaced, when its gait changes or it is let go
        self._said = asyncio.Event()  # set, and replaced, when something is said to it

    # -- said to it

    def stir(self) -> None:
        """Let who plays hear that there is something new; in the loop of who plays."""
        self.nudge.set()
        said, self._said = self._said, asyncio.Event()
        said.set()

    def engage(self, engagement: Engagement) -> None:
        """Hear what is wanted now."""
        if self.engagement != engagement:
            self.engagement = engagement
            self.stir()

    def drain(self) -> None:
        """End between two bars, and leave the execution as it stands for who comes next."""
        self.is_draining = True
        self._is_held = False
        self._step()
        self.stir()

    def hold(self) -> None:
        """Come to no other bar, until `release`."""
        if not self._is_held:
            self._is_held, self._until = True, NOWHERE
        self.nudge.set()

    def go_on_to(self, place: Place) -> None:
        """Come to bars while it is held, but to none after a place that others have come to."""
        self._until = place
        if self._gait is Gait.RESTS:
            self._turn(Gait.GOES)

    def release(self) -> None:
        """Go on."""
        self._is_held = False
        self._step()

    async def stood(self) -> bool:
        """Wait until a held execution comes to no bar; whether it plays, and only rests."""
        while self._gait is Gait.GOES:
            await self._moved.wait()
        return self._gait is Gait.RESTS

    async def rested(self) -> bool:
        """Wait until a held execution has begun and rests, or is over; whether it rests."""
        while self._gait in {Gait.STANDS, Gait.GOES}:
            await self._moved.wait()
        return self._gait is Gait.RESTS

    # -- asked by who plays

    @property
    def is_held(self) -> bool:
        """Whether it must look before each bar whether it may come to it."""
        return self._is_held

    def is_wanted(self) -> bool:
        """Whether it is to go on at all."""
        return not (self.is_draining or self.wants(Desired.STOP))

    def wants(self, desired: Desired) -> bool:
        """Whether this is what control wants of it."""
        return self.engagement is not None and self.engagement.desired is desired

    @property
    def may_open(self) -> bool:
        """Whether it is to go on, and may open something by what was said to it."""
        wanted = self.engagement
        if self.is_draining or wanted is None:
            return not self.is_draining
        return wanted.desired is Desired.RUN and wanted.allows is RiskState.ACTIVE

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Wait until something is so by what was said to it."""
        while not is_so():
            await self._said.wait()

    async def rest(self, place: Place = NOWHERE, *, is_mid_bar: bool = False) -> None:
        """Be on the way, but stand as long as it is held, and has no way to go all the same."""
        while self._is_held and not (place < self._until or (is_mid_bar and place == self._until)):
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
