"""The contract pack at work: the questions asked of children, and the checks they come to."""

import asyncio
from dataclasses import dataclass, field

from strategy_engine.core.errors import EngineError
from strategy_engine.pipeline import contract, questions, speech
from strategy_engine.pipeline.children import TESTS, Children, Conversation, Pace, both
from strategy_engine.pipeline.chosen import Advice
from strategy_engine.pipeline.contract import Answer, Sample
from strategy_engine.pipeline.history import History
from strategy_engine.pipeline.model import Check, Job, StrategyFailedError
from strategy_engine.sandbox.launcher import ChildDiedError
from strategy_engine.sandbox.protocol import messages

_ANSWERS = (StrategyFailedError, ChildDiedError)
_NOT_RUN = messages.TestOutcome(
    name="tests",
    passed=False,
    skipped=True,
    message="given up: the strategy hangs or dies at a question of the contract pack",
)


@dataclass(slots=True, kw_only=True)
class _Heard:
    """What one strategy said, question by question. Grows while it is asked."""

    pace: Pace = field(default_factory=Pace)
    first: asyncio.Event = field(default_factory=asyncio.Event)
    is_answering: bool = False
    is_stopped: bool = False
    unmade: EngineError | None = None
    answers: dict[str, Answer] = field(default_factory=dict)
    again: Answer | None = None
    restarted: contract.Restarted | None = None


class _StopAskingError(Exception):
    """What it died of would come at every further question, and cost its time again."""


async def run(
    job: Job, children: Children, real: History, tests_s: float
) -> tuple[list[messages.TestOutcome], list[Check]]:
    """Return what the user's own tests report, and the checks of the contract pack.

    A strategy that the pack found to hang would hang in its own tests too: they are given up then.

    Raises
    ------
    ForgedAnswerError
        If a child answers nonsense.
    """
    heard = _Heard()
    try:
        async with asyncio.TaskGroup() as group:
            tests = group.create_task(run_user_tests(job, children, tests_s))
            checks = await examine(job, children, real, heard)
            if heard.is_stopped:
                tests.cancel()
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [_NOT_RUN] if tests.cancelled() else tests.result(), checks


async def examine(
    job: Job, children: Children, real: History, heard: _Heard | None = None
) -> list[Check]:
    """Return the checks of the contract pack, judged on a slice of real bars.

    It ends at the first question that a child dies of without a word.

    Raises
    ------
    ForgedAnswerError
        If a child answers nonsense.
    """
    samples = await asyncio.to_thread(contract.odd_samples, real)
    sharing = await asyncio.to_thread(questions.of(job.content).sharing, job, real)
    heard = heard or _Heard()
    try:
        await both(
            _listen(job, children, (real, samples), heard),
            both(_repeat(job, children, real, heard), _beside(job, children, sharing, heard)),
        )
    except _StopAskingError:
        heard.is_stopped = True
    advice = speech.of(job.content).advice
    return [
        *await asyncio.to_thread(_checks, heard, (*samples, _whole(real)), advice),
        await asyncio.to_thread(sharing.judge),
    ]


def _whole(real: History) -> Sample:
    return Sample(name=contract.REAL_PRICES, what=f"{real.timeline().size:,} bars", part=real)


def _checks(heard: _Heard, samples: tuple[Sample, ...], advice: Advice) -> list[Check]:
    real = samples[-1].part
    through = heard.answers.get(contract.REAL_PRICES)
    return [
        contract.judge_construction(heard.unmade),
        *(contract.judge_sample(each, heard.answers.get(each.name), advice) for each in samples),
        contract.judge_signals(heard.answers),
        contract.judge_repetition(through, heard.again, real),
        contract.judge_restarts(through, heard.restarted, real),
    ]


async def run_user_tests(
    job: Job, children: Children, timeout_s: float
) -> list[messages.TestOutcome]:
    """Return what the user's own tests report; a child that dies in them is one failed test."""
    if not job.content.tests:
        return []
    try:
        async with children.open(TESTS[job.content.warm], f"tests of {job.strategy_id}") as talk:
            return await talk.run_tests(job, timeout_s)
    except _ANSWERS as error:
        return [messages.TestOutcome(name="tests", passed=False, message=str(error))]


async def _listen(
    job: Job, children: Children, asked: tuple[History, tuple[Sample, ...]], heard: _Heard
) -> None:
    real, samples = asked
    waiting = [*samples, _whole(real)]
    try:
        while waiting:
            label = f"contract of {job.strategy_id}"
            async with children.open(job.content.warm, label, heard.pace) as talk:
                if not await _made(talk, job, real, heard):
                    return
                await _ask_all(talk, waiting, heard)
        through = heard.answers.get(contract.REAL_PRICES)
        if through is not None and not isinstance(through, EngineError):
            further = questions.of(job.content)
            heard.restarted = await further.restarted(job, real, through, children)
    finally:
        heard.first.set()


async def _made(talk: Conversation, job: Job, real: History, heard: _Heard) -> bool:
    try:
        await talk.load(job, real)
    except _ANSWERS as error:
        heard.unmade = error
        if isinstance(error, ChildDiedError):
            raise _StopAskingError from error
    return heard.unmade is None


async def _ask_all(talk: Conversation, waiting: list[Sample], heard: _Heard) -> None:
    # A strategy that raised has ended its child, and another goes on with the next question. One
    # that hangs or eats its memory would do so at every question: it is asked no more.
    while waiting:
        sample = waiting.pop(0)
        try:
            heard.answers[sample.name] = await talk.backtest(sample.part)
        except StrategyFailedError as error:
            heard.answers[sample.name] = error
            return
        except ChildDiedError as error:
            heard.answers[sample.name] = error
            raise _StopAskingError from error
        heard.is_answering = True
        heard.first.set()


async def _repeat(job: Job, children: Children, real: History, heard: _Heard) -> None:
    # In a process with another past than the first one's: there the odd series came before.
    await heard.first.wait()
    if not heard.is_answering:
        return
    label = f"repetition of {job.strategy_id}"
    try:
        async with children.open(job.content.warm, label, heard.pace) as talk:
            await talk.load(job, real)
            await talk.backtest(
                real.last(1)
            )  # one that never answers is found out at its first bar
            heard.again = await talk.backtest(real)
    except _ANSWERS as error:
        heard.again = error
        if contract.is_silent(error):
            heard.answers.setdefault(contract.REAL_PRICES, error)
            raise _StopAskingError from error


async def _beside(job: Job, children: Children, sharing: questions.Sharing, heard: _Heard) -> None:
    await heard.first.wait()
    if not heard.is_answering:
        return
    label = f"instances of {job.strategy_id}"
    try:
        async with children.open(job.content.warm, label, heard.pace) as talk:
            await sharing.ask(talk)
    except _ANSWERS as error:
        is_silent = contract.is_silent(error)
        if sharing.fail(error, is_silent=is_silent):
            heard.answers.setdefault(contract.REAL_PRICES, error)
        if is_silent:
            raise _StopAskingError from error
