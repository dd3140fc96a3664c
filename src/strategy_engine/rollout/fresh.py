"""A fresh process of a version, which is shown a transcript of another one's life."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from strategy_engine.core.errors import EngineError
from strategy_engine.execution import history as histories
from strategy_engine.execution import rules, traders
from strategy_engine.execution import ticks as histories_of_ticks
from strategy_engine.execution.conversation import Conversation, Launcher
from strategy_engine.execution.history import Series
from strategy_engine.execution.model import Execution
from strategy_engine.execution.ticks import NO_TICKS
from strategy_engine.market.recorded import Ohlcv
from strategy_engine.market.service import Catalogue
from strategy_engine.registry.model import Content
from strategy_engine.rollout import parity
from strategy_engine.rollout.parity import Said, Shown
from strategy_engine.sandbox.model import ChildLimits
from strategy_engine.sandbox.protocol import messages
from strategy_engine.venue.model import Turn


class TranscriptBrokenError(EngineError):
    """A part of what was said is missing, so nothing can be concluded from the rest."""

    kind = "transcript-broken"


class Transcripts(Protocol):
    """Who has what was said; the ledger's reader is one."""

    async def transcript(self, execution_id: str, after_no: int, limit: int) -> Sequence[Turn]:
        """Return what was said with an execution's processes after a turn, oldest first."""
        ...


class Recorded(Protocol):
    """Who has the bars that came over the bus; the ledger's record of them is one."""

    async def between(
        self, bar_type: str, first_close_ns: int, last_close_ns: int
    ) -> Mapping[int, Ohlcv]:
        """Return bars of a type by the times that they closed at, both ends included."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What every comparison needs. `limits` are those of a live process."""

    records: Transcripts
    recorded: Recorded
    catalogue: Catalogue
    launcher: Launcher
    limits: ChildLimits = field(default_factory=lambda: ChildLimits(cpu_s=None))
    decision_timeout_s: float = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What was shown; what was decided live, and again; bars that were not those of the history."""

    message: messages.ToChild
    live: Said
    again: Said
    wrong_bars: tuple[str, ...]


class Fresh:
    """The process, how far it was shown the transcript, and the bars that there should be."""

    def __init__(
        self,
        talk: Conversation,
        series: Mapping[str, Series],
        *,
        recorded: Recorded | None,
    ) -> None:
        self.shown_no = 0
        self.where = "the warm-up"
        self._talk = talk
        self._series = series
        self._recorded = recorded
        self._heard: dict[str, Mapping[int, Ohlcv]] = {}
        self._script = parity.Script()

    @classmethod
    async def begin(cls, tools: Tools, mine: Execution, content: Content) -> "Fresh":
        """Load a version as a node does."""
        config = mine.config
        settings = rules.settings_of(content, config)
        series = await asyncio.to_thread(
            histories.load, tools.catalogue, settings.symbols, settings.timeframe, config.end_ns
        )
        trader = traders.trader_of(content, settings)
        is_live, ticks = config.feed == rules.BUS, NO_TICKS
        if trader.takes_ticks and not is_live:
            load = histories_of_ticks.load
            ticks = await asyncio.to_thread(load, tools.catalogue, settings.symbols)
        label = f"{mine.execution_id} compared"
        process = await tools.launcher.child(content.warm.value, tools.limits, label)
        talk = Conversation(process, decision_timeout_s=tools.decision_timeout_s)
        try:
            await trader.load(talk, series, ticks)
        except BaseException:
            await process.close()
            raise
        return cls(talk, series, recorded=tools.recorded if is_live else None)

    async def look_up(self, turns: Sequence[Turn]) -> None:
        """Read what the bus had of the bars that these turns show."""
        if self._recorded is None:
            return
        shown = [bar for turn in turns for bar in parity.bars_of(parity.decode(turn))]
        for symbol, series in self._series.items():
            closes = [each.open_ns for each in shown if each.symbol == symbol]
            if not closes:
                continue
            length_ns = series.bars.timeframe_ns
            self._heard[symbol] = await self._recorded.between(
                f"{symbol}-{series.timeframe}", min(closes) + length_ns, max(closes) + length_ns
            )

    async def show(self, turn: Turn) -> Answer | None:
        """Ask what was asked in the next turn; None for one that is not shown.

        Raises
        ------
        TranscriptBrokenError
            If a turn is missing before this one.
        StrategyFailedError, ContractBrokenError, ChildDiedError
            If the strategy raises, its process answers nonsense, or dies.
        """
        if turn.no != self.shown_no + 1:
            raise TranscriptBrokenError(
                f"turn {turn.no} of the transcript follows turn {self.shown_no}: what was between"
                " them is not there any more, so its decisions cannot be made again"
            )
        showing = self._script.showing(turn)
        if showing is None:
            self.shown_no = turn.no
            return None
        self.where = parity.place(showing.message)
        again = parity.said_by(await self._talk.repeat(showing.frame))
        self.shown_no = turn.no
        live = self._script.answered(messages.decode_from_child(turn.answered))
        return Answer(
            message=showing.message,
            live=live,
            again=again,
            wrong_bars=tuple(self._wrong(parity.bars_of(showing.message))),
        )

    async def aclose(self) -> None:
        """End the process."""
        await self._talk.process.close()

    def _wrong(self, shown: Sequence[Shown]) -> list[str]:
        known = [(each, self._known(each)) for each in shown]
        return [
            parity.wrong_bar(each, there)
            for each, there in known
            if there is not None and not parity.is_same_bar(each.ohlcv, there)
        ]

    def _known(self, shown: Shown) -> Ohlcv | None:
        bars = self._series[shown.symbol].bars
        heard = self._heard.get(shown.symbol, {}).get(shown.open_ns + bars.timeframe_ns)
        if heard is not None:
            return heard
        at = int(np.searchsorted(bars.ts_ns, shown.open_ns))
        if at == len(bars) or bars.ts_ns[at] != shown.open_ns:
            return None
        columns = (bars.open, bars.high, bars.low, bars.close, bars.volume)
        opened, high, low, close, volume = (float(each[at]) for each in columns)
        return opened, high, low, close, volume
