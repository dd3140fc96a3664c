"""What a native strategy is asked beside its backtest."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from strategy_engine.core.errors import EngineError
from strategy_engine.pipeline import contract
from strategy_engine.pipeline.asked import Longer
from strategy_engine.pipeline.children import Children, Conversation
from strategy_engine.pipeline.chosen import Chosen
from strategy_engine.pipeline.contract import Answer, Restarted
from strategy_engine.pipeline.history import History, Ints
from strategy_engine.pipeline.model import Check, Job, StrategyFailedError
from strategy_engine.pipeline.native.session import Session
from strategy_engine.pipeline.native.steps import Steps
from strategy_engine.pipeline.native.tape import Tape
from strategy_engine.pipeline.rules import Cut
from strategy_engine.sandbox.launcher import ChildDiedError

MOST_FED = 10_000  # bars and ticks; each takes a way to the process and back
MOST_COMPARED = 10_000  # bars of each instrument, traded with the usual history and with twice it
HANDED_OVER = 500  # bars; fewer where they have many ticks. After them it must choose the same
LAST_HAND_OVER = 0.6  # of those bars: by then, the process was replaced

_FAILURES = (StrategyFailedError, ChildDiedError)


class NativeSharing:
    """The same bars twice in one process."""

    def __init__(self, job: Job, real: History) -> None:
        self._job, self._real = job, real
        self._answers: list[Answer] = []

    async def ask(self, talk: Conversation) -> None:
        """Ask one instance, then another."""
        await talk.load(self._job, self._real)
        for _ in range(2):
            self._answers.append(await talk.backtest(self._real))

    def fail(self, error: EngineError, *, is_silent: bool) -> bool:
        """Note what ended it; its first question is what the first process had."""
        is_plain = is_silent and not self._answers
        if not is_plain:
            self._answers.append(error)
        return is_plain

    def judge(self) -> Check:
        """Judge whether the second instance chose as the first."""
        first, second, *_ = [*self._answers, None, None]
        return contract.judge_second(first, second, self._real)


class NativeQuestions:
    """A NautilusTrader strategy."""

    async def longer(self, talk: Conversation, job: Job, seen: History, lookback: int) -> Longer:
        """Start in the middle, with the usual history to request bars from, and with twice it."""
        recent = seen.last(2 * lookback + MOST_COMPARED)
        part = recent.skip(2 * lookback)
        if any(not len(each.bars) for each in part.series):
            return Longer(lookback=2 * lookback, part=part)
        await talk.load(job, seen)
        usual = await talk.backtest(recent.skip(lookback), warm_up=lookback)
        chosen = await talk.backtest(recent, warm_up=2 * lookback)
        return Longer(lookback=2 * lookback, part=part, usual=usual, chosen=chosen)

    async def fed(self, job: Job, seen: History, children: Children) -> list[Cut]:
        """Show its first bars one by one to a live session: there no later one is to be had."""
        session = await asyncio.to_thread(Session, job, seen)
        async with children.open(job.content.warm, f"bar by bar of {job.strategy_id}") as talk:
            await talk.load(job, seen)
            try:
                await session.start(talk)
                chosen: Chosen | StrategyFailedError = await session.play(talk, MOST_FED)
            except StrategyFailedError as error:
                chosen = error
        end_ns = session.now_ns()
        return [(end_ns, seen.until(end_ns), chosen)]

    async def restarted(
        self, job: Job, real: History, through: Chosen, children: Children
    ) -> Restarted:
        """Let a second process take over in the middle of a live session."""
        ledgered = await asyncio.to_thread(through.replay, real, job.settings)
        restarted: dict[str, Answer] = {}
        unsettled: list[int] = []
        points, end = await asyncio.to_thread(hand_overs, real, ledgered.held)
        for when, at in points.items():
            try:
                found = await _handed_over(job, real, children, (at, end))
            except _FAILURES as error:
                restarted[when] = error
                break
            restarted[when] = found
            unsettled += found.unsettled(through, real)
        return Restarted(answers=restarted, note=_note(unsettled))

    def sharing(self, job: Job, real: History) -> NativeSharing:
        """Return what to ask of two instances."""
        return NativeSharing(job, real)


def hand_overs(part: History, held: Mapping[str, Ints]) -> tuple[dict[str, int], int]:
    """Return after how many bars and ticks to replace the process, and how many to show in all.

    Parameters
    ----------
    held : mapping of str to array of int64
        Lots after each bar of a symbol; the first symbol's count.
    """
    (symbol, lots), *_ = held.items()
    closes = next(each.bars.close_ns for each in part.series if each.symbol == symbol)
    met = Tape(part).met_by(closes)
    size = min(HANDED_OVER, int(np.searchsorted(met, MOST_FED, side="right")))
    # From the first position on: before it, a strategy may still wait for its indicators.
    early = lots[: int(size * LAST_HAND_OVER)]
    if not early.size:
        return {}, 0
    begin = int(np.argmax(early != 0))
    points = contract.restart_points({symbol: early[begin:]})
    return {when: int(met[begin + at]) for when, at in points.items()}, int(met[size - 1])


def _note(unsettled: Sequence[int]) -> str:
    if not unsettled:
        return ""
    return (
        f"{len(unsettled)} of them differed while it warmed up, the last {max(unsettled)} bars"
        " after a restart"
    )


async def _handed_over(
    job: Job, real: History, children: Children, bounds: tuple[int, int]
) -> Steps:
    at, end = bounds
    session = await asyncio.to_thread(Session, job, real)
    async with children.open(job.content.warm, f"live session of {job.strategy_id}") as talk:
        await talk.load(job, real)
        await session.start(talk)
        await session.play(talk, at)
        while not session.is_idle() and not session.is_over():
            await session.play_instant(talk)
    async with children.open(job.content.warm, f"restart of {job.strategy_id}") as talk:
        loaded = await talk.load(job, real)
        resumed = session.met
        await session.resume(talk, loaded.lookback)
        played = await session.play(talk, end)
        return replace(played, resumed=resumed)
