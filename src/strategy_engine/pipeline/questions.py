"""What each contract is asked beside a plain backtest; one table of both."""

from typing import Protocol

from strategy_engine.core.errors import EngineError
from strategy_engine.pipeline.asked import Longer
from strategy_engine.pipeline.children import Children, Conversation
from strategy_engine.pipeline.chosen import Chosen
from strategy_engine.pipeline.contract import Restarted
from strategy_engine.pipeline.history import History
from strategy_engine.pipeline.model import Check, Job
from strategy_engine.pipeline.native.questions import NativeQuestions
from strategy_engine.pipeline.rules import Cut
from strategy_engine.pipeline.signal_questions import SignalQuestions
from strategy_engine.registry import source
from strategy_engine.registry.model import Content


class Sharing(Protocol):
    """Whether two instances in one process know of each other."""

    async def ask(self, talk: Conversation) -> None:
        """Ask what shows it."""
        ...

    def fail(self, error: EngineError, *, is_silent: bool) -> bool:
        """Note what ended the asking; say whether it was asked what the first process was, too."""
        ...

    def judge(self) -> Check:
        """Judge what was answered."""
        ...


class Questions(Protocol):
    """What one contract is asked."""

    async def longer(self, talk: Conversation, job: Job, seen: History, lookback: int) -> Longer:
        """Ask again with twice the history behind the first bar."""
        ...

    async def fed(self, job: Job, seen: History, children: Children) -> list[Cut]:
        """Ask bar by bar, of a process that holds no later one."""
        ...

    async def restarted(
        self, job: Job, real: History, through: Chosen, children: Children
    ) -> Restarted:
        """Ask again with restarts in the middle."""
        ...

    def sharing(self, job: Job, real: History) -> Sharing:
        """Return what to ask of two instances."""
        ...


QUESTIONS: dict[source.Kernel, Questions] = {
    source.Kernel.SIGNAL: SignalQuestions(),
    source.Kernel.NATIVE: NativeQuestions(),
}


def of(content: Content) -> Questions:
    """Return what a version is asked."""
    return QUESTIONS[source.kernel_of(content.code)]
