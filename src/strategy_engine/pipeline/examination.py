"""The contract pack at work: the questions asked of children, and the checks they come to."""

import asyncio
from dataclasses import dataclass, field, replace

from strategy_engine.core.errors import EngineError
from strategy_engine.pipeline import backtest, contract
from strategy_engine.pipeline.children import LEAN, TESTS, Children, Conversation, both
from strategy_engine.pipeline.contract import Answer, Sample
from strategy_engine.pipeline.decisions import Chosen
from strategy_engine.pipeline.history import History, Ints
from strategy_engine.pipeline.model import Check, Job, StrategyFailedError
from strategy_engine.sandbox.launcher import ChildDiedError
from strategy_engine.sandbox.protocol import messages

_ANSWERS = (StrategyFailedError, ChildDiedError)


@dataclass(slots=True, kw_only=True)
class _Heard:
    """What one strategy said, question by question. Grows while it is asked."""

    first: asyncio.Event = field(default_factory=asyncio.Event)
    is_answering: bool = False
    unmade: EngineError | None = None
    answers: dict[str, Answer] = field(default_factory=dict)
    restarted: dict[str, Answer] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pair:
    apart: dict[str, Answer]
    together: Answer | None
    held: tuple[dict[str, Ints], dict[str, Ints]]


async def examine(job: Job, children: Children, real: History) -> list[Check]:
    """Return the checks of the contract pack, judged on a slice of real bars.

    Raises
    ------
    ForgedAnswerError
        If a child answers nonsense.
    """
    samples = await asyncio.to_thread(contract.odd_samples, real)
    two = await asyncio.to_thread(contract.with_twin, real)
    heard = _Heard()
    _, (again, pair) = await both(
        _listen(job, children, (real, samples), heard),
        both(_repeat(job, children, real, heard), _beside(job, children, two, heard)),
    )
    return await asyncio.to_thread(_checks, heard, samples, real, (again, pair))


def _checks(
    heard: _Heard,
    samples: tuple[Sample, ...],
    real: History,
    others: tuple[Answer | None, _Pair],
) -> list[Check]:
    again, pair = others
    through = heard.answers.get(contract.REAL_PRICES)
    sample = Sample(name=contract.REAL_PRICES, what=f"{real.timeline().size:,} bars", part=real)
    return [
        contract.judge_construction(heard.unmade),
        *(contract.judge_sample(each, heard.answers.get(each.name)) for each in samples),
        contract.judge_sample(sample, through),
        contract.judge_signals(heard.answers),
        contract.judge_repetition(through, again, real),
        contract.judge_restarts(through, heard.restarted, real),
        contract.judge_sharing(pair.apart, pair.together, pair.held),
    ]


async def run_user_tests(
    job: Job, children: Children, timeout_s: float
) -> list[messages.TestOutcome]:
    """Return what the user's own tests report; a child that dies in them is one failed test."""
    if not job.content.tests:
        return []
    try:
        async with children.open(TESTS, f"tests of {job.strategy_id}") as talk:
            return await talk.run_tests(job, timeout_s)
    except _ANSWERS as error:
        return [messages.TestOutcome(name="tests", passed=False, message=str(error))]


async def _listen(
    job: Job, children: Children, asked: tuple[History, tuple[Sample, ...]], heard: _Heard
) -> None:
    real, samples = asked
    waiting = [*samples, Sample(name=contract.REAL_PRICES, what="", part=real)]
    try:
        while waiting:
            async with children.open(LEAN, f"contract of {job.strategy_id}") as talk:
                if not await _made(talk, job, real, heard):
                    return
                if not await _ask_all(talk, waiting, heard):
                    return
                through = heard.answers.get(contract.REAL_PRICES)
                if not waiting and isinstance(through, dict):
                    heard.restarted = await _restart(talk, job, real, through)
    finally:
        heard.first.set()


async def _made(talk: Conversation, job: Job, real: History, heard: _Heard) -> bool:
    try:
        await talk.load(job, real)
    except _ANSWERS as error:
        heard.unmade = error
    return heard.unmade is None


async def _ask_all(talk: Conversation, waiting: list[Sample], heard: _Heard) -> bool:
    # A strategy that raised has ended its child, and another goes on with the next question. One
    # that hangs or eats its memory would do so at every question: it is asked no more.
    while waiting:
        sample = waiting.pop(0)
        try:
            heard.answers[sample.name] = await talk.backtest(sample.part)
        except StrategyFailedError as error:
            heard.answers[sample.name] = error
            return True
        except ChildDiedError as error:
            heard.answers[sample.name] = error
            return False
        heard.is_answering = True
        heard.first.set()
    return True


async def _restart(
    talk: Conversation, job: Job, real: History, through: Chosen
) -> dict[str, Answer]:
    ledgered = await asyncio.to_thread(backtest.replay, through, real, job.settings)
    restarted: dict[str, Answer] = {}
    for when, at in contract.restart_points(ledgered.held).items():
        try:
            restarted[when] = await talk.backtest(real, restart_at=at)
        except _ANSWERS as error:
            restarted[when] = error
            break
    return restarted


async def _repeat(job: Job, children: Children, real: History, heard: _Heard) -> Answer | None:
    # In a process with another past than the first one's: there the odd series came before.
    await heard.first.wait()
    if not heard.is_answering:
        return None
    try:
        async with children.open(LEAN, f"repetition of {job.strategy_id}") as talk:
            await talk.load(job, real)
            await talk.backtest(
                real.last(1)
            )  # one that never answers is found out at its first bar
            return await talk.backtest(real)
    except _ANSWERS as error:
        return error


async def _beside(job: Job, children: Children, pair: History, heard: _Heard) -> _Pair:
    calm = replace(job, settings=contract.undisturbed(job.settings))
    apart: dict[str, Answer] = {}
    both: Answer | None = None
    await heard.first.wait()
    if not heard.is_answering:
        return _Pair(apart={}, together=None, held=({}, {}))
    try:
        async with children.open(LEAN, f"instances of {job.strategy_id}") as talk:
            await talk.load(calm, pair)
            for each in pair.series:
                apart[each.symbol] = await talk.backtest(contract.alone(pair, each.symbol))
            both = await talk.backtest(pair)
    except _ANSWERS as error:
        both = error
    return await asyncio.to_thread(_held, calm, pair, apart, both)


def _held(job: Job, pair: History, apart: dict[str, Answer], both: Answer | None) -> _Pair:
    if both is None or isinstance(both, EngineError):
        return _Pair(apart=apart, together=both, held=({}, {}))
    each_held = {
        symbol: backtest.replay(chosen, contract.alone(pair, symbol), job.settings).held[symbol]
        for symbol, chosen in apart.items()
        if not isinstance(chosen, EngineError)
    }
    held = backtest.replay(both, pair, job.settings).held
    return _Pair(apart=apart, together=both, held=(each_held, dict(held)))
