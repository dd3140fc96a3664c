"""Where one execution's bars come from: a replay of the catalogue, or the bus as they happen."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from typing import Protocol, TypedDict

import numpy as np

from strategy_engine.core.clock import Clock
from strategy_engine.core.errors import UnavailableError
from strategy_engine.execution import rules
from strategy_engine.execution.history import History, Series, Ticks
from strategy_engine.execution.model import ExecutionConfig
from strategy_engine.execution.pace import Bars
from strategy_engine.execution.ticks import NO_TICKS, TickHistory
from strategy_engine.market.busbars import BusBars
from strategy_engine.market.busfeed import BusFeed, Track
from strategy_engine.market.feeds import MarketEvent, ReplayFeed
from strategy_engine.market.growing import GrowingBars
from strategy_engine.market.model import Bars as MarketBars
from strategy_engine.market.replay import MarketReplay

RETRY_S = 0.25


class _How(TypedDict):
    start_after_ns: int
    speed: float
    clock: Clock


class Source(Protocol):
    """What an execution knows of the market, and what it will hear."""

    @property
    def series(self) -> Mapping[str, Series]:
        """Every instrument's bars."""
        ...

    @property
    def config(self) -> ExecutionConfig:
        """The execution's config, with its start if the source knows it."""
        ...

    @property
    def ticks(self) -> TickHistory:
        """The quotes and trades that there are beside the bars."""
        ...

    def bars(self, history: History, after_ns: int) -> Bars:
        """Return what becomes known after a time of an execution's live part, one by one."""
        ...

    def leave(self) -> None:
        """Want no more of it."""
        ...


class Replay:
    """The catalogue's bars and ticks, played at a speed."""

    def __init__(
        self,
        series: Mapping[str, Series],
        config: ExecutionConfig,
        *,
        default_speed: float,
        clock: Clock,
        ticks: TickHistory = NO_TICKS,
    ) -> None:
        self.series = series
        self.ticks = ticks
        self.config = config
        self._speed = default_speed if config.speed is None else config.speed
        self._clock = clock

    def bars(self, history: History, after_ns: int) -> Bars:
        """Return what becomes known after a time of an execution's live part, one by one."""
        how: _How = {"start_after_ns": after_ns, "speed": self._speed, "clock": self._clock}
        ticks = history.ticks
        feed: AsyncIterator[MarketEvent]
        if ticks.offers:
            feed = MarketReplay(
                bars=history.bars(), quotes=ticks.quotes, trades=ticks.trades, **how
            )
        else:
            feed = ReplayFeed(history.bars(), **how)
        return Bars(feed, is_fast=not self._speed)

    def leave(self) -> None:
        """Want no more of it: nothing to do."""


class LiveSeries(Series):
    """One instrument's bars, to which those that come are appended."""

    __slots__ = ("growing",)

    growing: GrowingBars

    def __init__(self, past: Series) -> None:
        for name in ("instrument", "timeframe", "terms"):
            object.__setattr__(self, name, getattr(past, name))
        object.__setattr__(self, "ticks", past.ticks)
        object.__setattr__(self, "growing", GrowingBars(past.bars))

    @property
    def bars(self) -> MarketBars:
        """What there is by now."""
        return self.growing.bars

    def ticks_at(self, index: int) -> Ticks:
        """Return open, high, low and close of a bar in ticks."""
        if index < len(self.ticks[0]):
            return super().ticks_at(index)
        bars = self.growing.bars
        prices = np.array([bars.open[index], bars.high[index], bars.low[index], bars.close[index]])
        opened, high, low, close = self.terms.ticks(prices).tolist()
        return opened, high, low, close


class Live:
    """The catalogue's bars, then what the bus has had since, then what comes.

    Without a start of its own, an execution is live from the last bar that was there when it
    began: what is before it warms the strategy up.
    """

    def __init__(
        self,
        source: BusBars,
        tracks: Mapping[str, Track],
        series: Mapping[str, LiveSeries],
        config: ExecutionConfig,
        *,
        clock: Clock,
    ) -> None:
        self._source = source
        self._tracks = tracks
        self._clock = clock
        self.series = series
        start_ns = config.start_ns
        if start_ns is None:
            start_ns = max(each.growing.last_close_ns for each in series.values())
        self.config = replace(config, start_ns=start_ns)

    @property
    def ticks(self) -> TickHistory:
        """None: the bus has bars."""
        return NO_TICKS

    def bars(self, history: History, after_ns: int) -> Bars:
        """Return the bars that close after a time, one by one, as they come."""
        del history
        feed = BusFeed(self._source, self._tracks, start_after_ns=after_ns, clock=self._clock)
        return Bars(feed, is_fast=False)

    def leave(self) -> None:
        """Hear no more of the bus."""
        for track in self._tracks.values():
            self._source.leave(track.listener)


async def go_live(
    source: BusBars | None,
    past: Mapping[str, Series],
    config: ExecutionConfig,
    *,
    clock: Clock,
    is_wanted: Callable[[], bool],
) -> Live:
    """Join the bus where the catalogue ends; wait for the bus as long as it is wanted.

    Raises
    ------
    InvalidError
        If this engine reads no bars from a bus.
    UnavailableError
        If the bus is away, and the execution is no longer to run.
    """
    if source is None:
        raise rules.not_set_up(rules.BUS, (rules.REPLAY,))
    while True:
        try:
            return await _joined(source, past, config, clock)
        except UnavailableError:
            if not is_wanted():
                raise
        await asyncio.sleep(RETRY_S)


async def _joined(
    source: BusBars, past: Mapping[str, Series], config: ExecutionConfig, clock: Clock
) -> Live:
    series = {symbol: LiveSeries(each) for symbol, each in past.items()}
    tracks: dict[str, Track] = {}
    try:
        for symbol, each in series.items():
            bar_type = f"{symbol}-{each.timeframe}"
            listener = await source.listen(bar_type, each.growing.timeframe_ns)
            tracks[symbol] = Track(symbol=symbol, bars=each.growing, listener=listener)
            for bar in await source.recorded(bar_type, each.growing.last_close_ns):
                each.growing.append(bar)
    except BaseException:
        for track in tracks.values():
            source.leave(track.listener)
        raise
    return Live(source, tracks, series, config, clock=clock)
