"""How each contract's questions are put to a child, and its answers read; one table of both."""

from collections.abc import Sequence
from typing import Protocol

from strategy_engine.pipeline.chosen import Advice, Chosen
from strategy_engine.pipeline.history import History
from strategy_engine.pipeline.model import Job
from strategy_engine.pipeline.native.speech import NativeSpeech
from strategy_engine.pipeline.signal_speech import SignalSpeech
from strategy_engine.registry import source
from strategy_engine.registry.model import Content
from strategy_engine.sandbox.protocol import messages


class Speech(Protocol):
    """One contract's questions and answers."""

    @property
    def advice(self) -> Advice:
        """What to tell the author of such a version."""
        ...

    @property
    def idle_parameters(self) -> frozenset[str]:
        """The engine's parameters that change nothing for such a version."""
        ...

    @property
    def answer(self) -> type[messages.FromChild]:
        """What a backtest is answered by."""
        ...

    def load(self, job: Job, part: History, lookback: int | None) -> messages.ToChild:
        """Return the question that compiles and constructs the strategy."""
        ...

    def backtest(
        self,
        part: History,
        *,
        warm_up: int,
        restart_at: int | None,
        shown: Sequence[messages.FlagsShown] = (),
    ) -> messages.ToChild:
        """Return the question for its choices over a history, flags saying what they said then."""
        ...

    def unpack(self, answer: messages.FromChild, part: History, *, warm_up: int) -> Chosen:
        """Return the choices of an answer on the bars after the warm-up, checked.

        Raises
        ------
        ForgedAnswerError
            If no honest kernel says so.
        """
        ...


SPEECHES: dict[source.Kernel, Speech] = {
    source.Kernel.SIGNAL: SignalSpeech(),
    source.Kernel.NATIVE: NativeSpeech(),
}


def of(content: Content) -> Speech:
    """Return how a version is spoken to."""
    return SPEECHES[source.kernel_of(content.code)]
