"""Validation children: at most so many at once, asked within their time, believed in nothing."""

import asyncio
import math
import signal
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Protocol

import msgspec

from strategy_engine.pipeline import speech, stage_clock
from strategy_engine.pipeline.chosen import Chosen
from strategy_engine.pipeline.history import History
from strategy_engine.pipeline.model import (
    ForgedAnswerError,
    Job,
    KilledFromOutsideError,
    StrategyFailedError,
)
from strategy_engine.registry.source import Warm
from strategy_engine.sandbox.launcher import ChildDiedError, ChildLimits, ConfinementReport
from strategy_engine.sandbox.model import ExitKind
from strategy_engine.sandbox.protocol import messages

# Where a version's own tests run: beside its warm modules; pytest is warm for the common ones.
TESTS = {Warm.LEAN: "tests", Warm.SCIENTIFIC: "scientific", Warm.NAUTILUS: "nautilus"}
SLOWEST_BAR_S = 0.02  # an evaluation may take 8 ms; a history gets more than twice that a bar
PACE_FACTOR = 10.0
LONGEST_LOOKBACK = 100_000
_LONGEST_SHOWN = 500
_LONGEST_NAME = 200
_MOST_NAMES = 1_000


class Forked(Protocol):
    """A child as a stage needs it; the sandbox's own is one."""

    @property
    def report(self) -> ConfinementReport:
        """Which layers of its wall stand."""
        ...

    async def request(self, body: bytes, timeout_s: float | None) -> bytes:
        """Send a frame and return the answer."""
        ...

    async def close(self) -> object:
        """End it."""
        ...


class Launcher(Protocol):
    """Where children come from; the sandbox's zygotes are one."""

    async def child(self, kind: str, limits: ChildLimits, label: str) -> Forked:
        """Return a confined child of a zygote."""
        ...


class Children:
    """Opens validation children. One an engine process: it counts them.

    Parameters
    ----------
    workers : int
        How many may be open at once.
    decision_timeout_s : float
        How long loading, or a single decision, may take; a history gets more with its length.
    """

    def __init__(
        self,
        launcher: Launcher,
        *,
        limits: ChildLimits,
        workers: int,
        decision_timeout_s: float = 5.0,
    ) -> None:
        self._launcher = launcher
        self._limits = limits
        self._free = asyncio.Semaphore(workers)
        self._decision_timeout_s = decision_timeout_s

    @asynccontextmanager
    async def open(
        self, kind: str, label: str, pace: "Pace | None" = None
    ) -> AsyncIterator["Conversation"]:
        """Open a child, and close it after. Never wait in it for another one: both may be last.

        Parameters
        ----------
        pace : Pace, optional
            What is known of the strategy's speed already; it learns from this child too.
        """
        child = await self._fork(kind, label)
        try:
            with stage_clock.holding():
                try:
                    yield Conversation(child, self._decision_timeout_s, pace or Pace())
                finally:
                    await child.close()
        finally:
            self._free.release()

    async def _fork(self, kind: str, label: str) -> Forked:
        with stage_clock.waiting():
            await self._free.acquire()
            try:
                with _deaths_told():
                    return await self._launcher.child(kind, self._limits, label)
            except BaseException:
                self._free.release()
                raise


class Pace:
    """How fast a strategy has decided so far: what it may take for more of the same follows.

    The longest history it was asked about counts, because a short one measures the asking.
    """

    def __init__(self) -> None:
        self._bars = 0
        self._bar_s = SLOWEST_BAR_S

    def learn(self, bars: int, taken_s: float) -> None:
        """Take in how long so many bars took."""
        if bars >= self._bars > 0 or bars > 0 == self._bars:
            self._bars, self._bar_s = bars, taken_s / bars

    def allowance_s(self, bars: int) -> float:
        """Return how long so many bars may take, beside the first decision's time."""
        return bars * min(SLOWEST_BAR_S, PACE_FACTOR * self._bar_s)


class Conversation:
    """What a stage says to one child, and hears from it."""

    def __init__(self, child: Forked, decision_timeout_s: float, pace: Pace) -> None:
        self._child = child
        self._decision_timeout_s = decision_timeout_s
        self._pace = pace
        self._speech: speech.Speech | None = None

    async def load(
        self, job: Job, part: History, *, lookback: int | None = None
    ) -> messages.Loaded:
        """Compile and construct the strategy for the symbols of a history.

        Raises
        ------
        StrategyFailedError, ForgedAnswerError, ChildDiedError
            If it does not compile or construct, answers nonsense, or dies.
        """
        self._speech = speech.of(job.content)
        message = self._speech.load(job, part, lookback or job.settings.lookback)
        answer = await self._ask(message, messages.Loaded, self._decision_timeout_s)
        if not 1 <= answer.lookback <= LONGEST_LOOKBACK:
            raise ForgedAnswerError(f"the child answered a lookback of {answer.lookback} bars")
        return _shortened(answer)

    async def backtest(
        self,
        part: History,
        *,
        warm_up: int = 0,
        restart_at: int | None = None,
        shown: Sequence[messages.FlagsShown] = (),
    ) -> Chosen:
        """Return the choices of fresh instances on a history after its warm-up, checked.

        Parameters
        ----------
        shown : sequence
            What flags said to a live run that is repeated; without it they are at their defaults.

        Raises
        ------
        StrategyFailedError, ForgedAnswerError, ChildDiedError
            If the strategy raises, an answer is malformed or illegal, or the child dies.
        """
        spoken = self._speech
        if spoken is None:
            raise RuntimeError("load a strategy before it is asked to choose")
        # Encoded at once: the frames of a long history are not kept beside it while it is answered.
        question = await asyncio.to_thread(
            lambda: messages.encode(
                spoken.backtest(part, warm_up=warm_up, restart_at=restart_at, shown=shown)
            )
        )
        bars, loop = part.bar_count(), asyncio.get_running_loop()
        timeout_s = math.ceil(10 * (self._decision_timeout_s + self._pace.allowance_s(bars))) / 10
        asked_at = loop.time()
        answer = await self._send(question, spoken.answer, timeout_s)
        self._pace.learn(bars, loop.time() - asked_at)
        return await asyncio.to_thread(spoken.unpack, answer, part, warm_up=warm_up)

    async def act(self, message: messages.ToChild) -> messages.NativeActed:
        """Tell a live native strategy something, and return what it asks for.

        Raises
        ------
        StrategyFailedError, ForgedAnswerError, ChildDiedError
            If the strategy raises, an answer is malformed, or the child dies.
        """
        with _deaths_told():
            body = await self._child.request(messages.encode(message), self._decision_timeout_s)
        return _read(body, messages.NativeActed)

    async def run_tests(self, job: Job, timeout_s: float) -> list[messages.TestOutcome]:
        """Run the user's own tests and return what they reported."""
        message = messages.RunTests(code=job.content.code, tests=job.content.tests)
        return (await self._ask(message, messages.Tested, timeout_s)).outcomes

    async def _ask[M: messages.FromChild](
        self, message: messages.ToChild, expected: type[M], timeout_s: float
    ) -> M:
        question = await asyncio.to_thread(messages.encode, message)
        return await self._send(question, expected, timeout_s)

    async def _send[M: messages.FromChild](
        self, question: bytes, expected: type[M], timeout_s: float
    ) -> M:
        with _deaths_told():
            body = await self._child.request(question, timeout_s)
        return await asyncio.to_thread(_read, body, expected)


def _read[M: messages.FromChild](body: bytes, expected: type[M]) -> M:
    try:
        answer = messages.decode_from_child(body)
    except msgspec.MsgspecError as error:
        raise ForgedAnswerError(f"the child answered what is no message: {error}") from None
    if isinstance(answer, expected):
        return answer
    if isinstance(answer, messages.Failed):
        raise _failure(answer)
    raise ForgedAnswerError(
        f"the child answered {type(answer).__name__} where {expected.__name__} was asked for"
    )


@contextmanager
def _deaths_told() -> Iterator[None]:
    try:
        yield
    except ChildDiedError as error:
        if is_from_outside(error):
            raise KilledFromOutsideError(error.exit.reason) from error
        raise


def is_from_outside(error: ChildDiedError) -> bool:
    """Say whether a child died of what no strategy does: a SIGKILL, or the engine's own going."""
    ended = error.exit
    is_kill = ended.kind is ExitKind.SIGNAL and ended.status == -signal.SIGKILL
    return ended.kind is ExitKind.KILLED or is_kill


def _shortened(loaded: messages.Loaded) -> messages.Loaded:
    def names(given: list[str]) -> list[str]:
        return [each[:_LONGEST_NAME] for each in given[:_MOST_NAMES]]

    return messages.Loaded(
        class_name=loaded.class_name[:_LONGEST_NAME],
        lookback=loaded.lookback,
        bound=names(loaded.bound),
        unbound=names(loaded.unbound),
        hooks=names(loaded.hooks),
    )


def _failure(failed: messages.Failed) -> StrategyFailedError:
    where = failed.where[:_LONGEST_SHOWN]
    at = "" if failed.bar_index is None else f" at bar {failed.bar_index}"
    place = f" ({where})" if where else ""
    said = failed.message[:_LONGEST_SHOWN]
    return StrategyFailedError(
        f"it raised {failed.error[:_LONGEST_NAME]}{at}{f': {said}' if said else ''}{place}",
        where=where,
        phase=failed.phase,
        error=failed.error,
    )


async def both[A, B](one: Coroutine[Any, Any, A], two: Coroutine[Any, Any, B]) -> tuple[A, B]:
    """Do two things at once; the first error ends the other, and is the one raised."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = group.create_task(one), group.create_task(two)
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return tasks[0].result(), tasks[1].result()
