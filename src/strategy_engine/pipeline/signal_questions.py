"""What a signal strategy is asked beside its backtest."""

import asyncio
from dataclasses import replace

from strategy_engine.core.errors import EngineError
from strategy_engine.pipeline import contract
from strategy_engine.pipeline.asked import Longer
from strategy_engine.pipeline.children import LONGEST_LOOKBACK, Children, Conversation
from strategy_engine.pipeline.chosen import Chosen
from strategy_engine.pipeline.contract import Answer, Restarted
from strategy_engine.pipeline.history import History
from strategy_engine.pipeline.model import Check, Job, StrategyFailedError
from strategy_engine.pipeline.rules import Cut
from strategy_engine.sandbox.launcher import ChildDiedError


class SignalSharing:
    """Two instruments in one process, and each of them alone."""

    def __init__(self, job: Job, real: History) -> None:
        self._job = replace(job, settings=contract.undisturbed(job.settings))
        self._pair = contract.with_twin(real)
        self._apart: dict[str, Answer] = {}
        self._together: Answer | None = None

    async def ask(self, talk: Conversation) -> None:
        """Ask each alone, then both."""
        await talk.load(self._job, self._pair)
        for each in self._pair.series:
            self._apart[each.symbol] = await talk.backtest(contract.alone(self._pair, each.symbol))
        self._together = await talk.backtest(self._pair)

    def fail(self, error: EngineError, *, is_silent: bool) -> bool:
        """Note what ended it; its own prices, and alone, are what the first process had."""
        symbols = [each.symbol for each in self._pair.series]
        asked = next((each for each in symbols if each not in self._apart), None)
        is_plain = is_silent and asked in self._job.settings.symbols
        if is_plain:
            self._apart = {}
        else:
            self._together = error
        return is_plain

    def judge(self) -> Check:
        """Judge whether each chose beside the other as alone."""
        together, pair, settings = self._together, self._pair, self._job.settings
        if together is None or isinstance(together, EngineError):
            return contract.judge_sharing(self._apart, together, pair, ({}, {}))
        apart = {
            symbol: chosen.replay(contract.alone(pair, symbol), settings).held[symbol]
            for symbol, chosen in self._apart.items()
            if not isinstance(chosen, EngineError)
        }
        held = dict(together.replay(pair, settings).held)
        return contract.judge_sharing(self._apart, together, pair, (apart, held))


class SignalQuestions:
    """A class with `generate_signal`."""

    async def longer(self, talk: Conversation, job: Job, seen: History, lookback: int) -> Longer:
        """Ask with twice the window; from where it is full, the backtest must agree."""
        await talk.load(job, seen, lookback=min(2 * lookback, LONGEST_LOOKBACK))
        chosen = await talk.backtest(seen)
        twice = 2 * lookback
        return Longer(lookback=twice, part=seen, start=twice - 1, chosen=chosen)

    async def fed(self, job: Job, seen: History, children: Children) -> list[Cut]:
        """Ask nothing: its window's memory holds no later bar."""
        del job, seen, children
        return []

    async def restarted(
        self, job: Job, real: History, through: Chosen, children: Children
    ) -> Restarted:
        """Save, drop and reload its instances at a bar, in one process."""
        ledgered = await asyncio.to_thread(through.replay, real, job.settings)
        restarted: dict[str, Answer] = {}
        when = "in another process"
        try:
            async with children.open(job.content.warm, f"restart of {job.strategy_id}") as talk:
                await talk.load(job, real)
                for when, at in contract.restart_points(ledgered.held).items():
                    restarted[when] = await talk.backtest(real, restart_at=at)
        except (StrategyFailedError, ChildDiedError) as error:
            restarted[when] = error
        return Restarted(answers=restarted)

    def sharing(self, job: Job, real: History) -> SignalSharing:
        """Return what to ask of two instances."""
        return SignalSharing(job, real)
