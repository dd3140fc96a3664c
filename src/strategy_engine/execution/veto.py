"""Who is asked outside before an order goes that could open something, and how one waits for it."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from strategy_engine.core.errors import EngineError
from strategy_engine.execution.limiting import is_real, who
from strategy_engine.execution.model import Execution
from strategy_engine.execution.reins import Reins
from strategy_engine.registry.model import Content
from strategy_engine.venue.gate import GateRequest
from strategy_engine.venue.oversight import Seat, Who
from strategy_engine.venue.vetting import NOBODY_ASKED, Answers


class DrainedError(EngineError):
    """An execution is to end between two bars, and its decision has not been placed.

    Nothing of it is kept: who goes on with the execution decides again, and asks again.
    """

    kind = "drained"


class Veto(Protocol):
    """Asks a risk engine outside."""

    @property
    def unasked(self) -> Answers:
        """What holds for an order that nobody was asked about."""
        ...

    async def ask(
        self, who: Who, wanted: Sequence[GateRequest], held_back: Callable[[], Awaitable[None]]
    ) -> Answers:
        """Return what is said of orders, no later than the deadline.

        Parameters
        ----------
        held_back : callable
            Returns as soon as no answer matters any more; what was not answered may not go then.
        """
        ...


class NoVeto:
    """Nobody is asked, and everything may go."""

    unasked = NOBODY_ASKED

    async def ask(
        self, who: Who, wanted: Sequence[GateRequest], held_back: Callable[[], Awaitable[None]]
    ) -> Answers:
        """Return that everything may go."""
        del who, wanted, held_back
        return NOBODY_ASKED


class Vet:
    """Asks for one execution.

    Parameters
    ----------
    reins : Reins
        Whoever is to end, to pause or to open nothing waits for no answer.
    """

    def __init__(self, veto: Veto, mine: Who, reins: Reins) -> None:
        self._veto = veto
        self._mine = mine
        self._reins = reins

    @property
    def unasked(self) -> Answers:
        """What holds for an order that nobody was asked about."""
        return self._veto.unasked

    async def ask(self, wanted: Sequence[GateRequest], seat: Seat) -> Answers:
        """Return what is said of orders.

        Raises
        ------
        DrainedError
            If the execution is to be left as it stands.
        """
        if not wanted:
            return self.unasked

        async def held_back() -> None:
            await self._reins.until(lambda: seat.killed is not None or not self._reins.may_open)

        answers = await self._veto.ask(self._mine, wanted, held_back)
        if self._reins.is_draining:
            raise DrainedError("the execution is left as it stands: it decides and asks again")
        return answers


def vet_of(veto: Veto, mine: Execution, content: Content, reins: Reins) -> Vet:
    """Return who asks for an execution; a validation run, which plays the past, asks nobody."""
    return Vet(veto if is_real(mine) else NoVeto(), who(mine, content), reins)


def of_nobody() -> Vet:
    """Return who asks nobody."""
    nobody = Who(execution_id="", strategy_id="", line="", account="")
    return Vet(NoVeto(), nobody, Reins())
